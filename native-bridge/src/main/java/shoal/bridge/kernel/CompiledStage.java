package shoal.bridge.kernel;

/** A {@link StageProgram} ready to run. One batch at a time; further callers wait. */
public interface CompiledStage extends AutoCloseable {
    /** Memory for one sequence of at most capacity positions; the caller closes it. */
    SequenceMemory openSequence(int capacity);

    /** Pages of keys and values that its open sequences hold; one that several share counts once. */
    int pagesInUse();

    /**
     * Runs the batch and fills its output. The result of a token depends on its own sequence alone, to the last bit: not on
     * the other slices, on how a prompt was cut into batches, or on the number of threads.
     *
     * @throws IllegalArgumentException if a shape, a position or a token id does not fit; nothing was computed then
     * @throws StageLostException if what it computes on is gone
     */
    void run(StageBatch batch);

    /** How many of a row's highest logits it picks by itself, at most; 0 if it gives whole rows alone. */
    default int mostPicks() {
        return 0;
    }

    /** Which layers run where, if that is not all on what was asked for first; else empty. */
    default String placement() {
        return "";
    }

    @Override
    void close();
}
