package shoal.bridge.kernel;

/**
 * Keys and values of one sequence in one stage, in a provider's memory. Grows as positions are written. One thread at a
 * time; close when no batch that names it is running.
 */
public interface SequenceMemory extends AutoCloseable {
    /** Positions held: 0..length-1. */
    int length();

    /** Most positions it may ever hold. */
    int capacity();

    /** Forgets positions from length on. @throws IllegalArgumentException if there are fewer */
    void truncate(int length);

    /**
     * A new sequence that begins with the first positions of this one; the caller closes it. Whole pages are shared until one of
     * the two writes there, so a long common beginning takes memory and time once.
     *
     * @throws IllegalArgumentException if there are fewer positions
     */
    SequenceMemory fork(int positions);

    /** What a position leaves behind. */
    CacheShape shape();

    /**
     * Copies keys and values of the positions that are asked for.
     *
     * @throws IllegalArgumentException if it does not have them, or is of another shape
     */
    void copyTo(KeyValuePages to);

    /**
     * Takes up copied positions, right behind those that it has: from then on it goes on as the one that they were copied from, to the
     * last bit where both are run by kernels of one kind.
     *
     * @throws IllegalArgumentException if they do not fit
     */
    void copyFrom(KeyValuePages from);

    /** Bytes of the pages that it holds, shared ones included. */
    long sizeBytes();

    @Override
    void close();
}
