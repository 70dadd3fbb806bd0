package shoal.codec.swarm;

/**
 * Stands for one source in a machine. The driver chooses the value and keeps it for as long as it knows the source, also
 * over a new connection, so that a ban holds.
 */
public record PeerKey(long value) implements Comparable<PeerKey> {
    @Override
    public int compareTo(PeerKey other) {
        return Long.compare(value, other.value);
    }
}
