package shoal.codec.command;

import org.jspecify.annotations.Nullable;

/** A command or its reply, with who and which. */
public sealed interface Envelope {
    int MAX_ID_BYTES = 128;

    /**
     * Asks, or tells all.
     *
     * @param to whom; null for a broadcast
     */
    record Request(String requestId, String from, @Nullable String to, Command command) implements Envelope {}

    /** Done as asked. */
    record Success(String command, String requestId, Result result) implements Envelope {}

    /** Not done; the text is for the reader. */
    record Failure(String command, String requestId, String error) implements Envelope {}
}
