package shoal.codec.command;

/** A command can't be carried out; the message becomes the error of its reply. */
public class CommandException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public CommandException(String message) {
        super(message);
    }

    /** The shard is not here, and fetching is off. */
    public static CommandException torrentRequired(int shardId) {
        return new CommandException("Shard " + shardId + " not found. Torrent download required.");
    }

    /** The layers are not loaded, and loading by itself is off. */
    public static CommandException notLoaded() {
        return new CommandException("Shard not loaded. Use LOAD_SHARD command first.");
    }
}
