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

    /** Bytes taken now. */
    long sizeBytes();

    @Override
    void close();
}
