package shoal.bridge.model;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.TopLogits;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;

/**
 * A range of a model's layers, ready to run. Opened by {@link shoal.bridge.model.arch.Architectures}; the tensor source and the
 * kernels must outlive it. Batches run one at a time, further callers wait; a sequence is used by one caller at a time.
 */
public final class Stage implements AutoCloseable {
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final ModelConfig config;
    private final LayerRange range;
    private final CompiledStage compiled;
    private final int contextLength;
    private final StageMemory memory;
    private final TensorSource source;

    /** @param source the weights, to be looked at again if results are no numbers */
    public Stage(
            ModelConfig config,
            LayerRange range,
            CompiledStage compiled,
            int contextLength,
            StageMemory memory,
            TensorSource source) {
        this.source = source;
        this.config = config;
        this.range = range;
        this.compiled = compiled;
        this.contextLength = contextLength;
        this.memory = memory;
    }

    public ModelConfig config() {
        return config;
    }

    public LayerRange range() {
        return range;
    }

    /** Takes token ids rather than activations. */
    public boolean isFirst() {
        return range.first() == 0;
    }

    /** Gives logits rather than activations. */
    public boolean isLast() {
        return range.last() == config.layers() - 1;
    }

    /** Most positions per sequence. */
    public int contextLength() {
        return contextLength;
    }

    public StageMemory memory() {
        return memory;
    }

    /** F32 values per row of output: hidden, or the vocabulary's size from a last stage. */
    public int outputWidth() {
        return isLast() ? config.vocabulary() : config.hidden();
    }

    /** Bytes that {@link #run} writes for this batch. */
    public long outputBytes(Batch batch) {
        if (!isLast()) {
            return (long) Float.BYTES * outputWidth() * batch.tokenCount();
        }
        long bytes = 0;
        for (Batch.Slice slice : batch.slices()) {
            bytes += slice.wantedCount() * TopLogits.rowBytes(slice.picks(), outputWidth());
        }
        return bytes;
    }

    /** How many of a row's highest logits it picks by itself, at most; 0 if it gives whole rows alone. */
    public int mostPicks() {
        return isLast() ? compiled.mostPicks() : 0;
    }

    /** Which layers run where, if that is not all on what was asked for first; else empty. */
    public String placement() {
        return compiled.placement();
    }

    /** Keys and values of a new sequence, empty; the caller closes it. */
    public SequenceMemory openSequence() {
        return compiled.openSequence(contextLength);
    }

    /** Pages of keys and values that its open sequences hold; one that several share counts once. */
    public int pagesInUse() {
        return compiled.pagesInUse();
    }

    /** Bytes of such a page, all layers together. */
    public long pageBytes() {
        return CacheShape.PAGE_POSITIONS * memory.cacheBytesPerToken();
    }

    /**
     * Runs a batch. output: {@link #outputBytes} of the caller's, filled with (T, hidden) activations, or by a last stage with the wanted
     * rows of logits, whole or as {@link TopLogits}; F32 little-endian.
     *
     * @throws IllegalArgumentException past the context length, naming both numbers, and if anything does not fit
     * @throws MalformedException if a result is no finite number, naming the tensor that is damaged
     */
    public void run(Batch batch, MemorySegment output) {
        for (Batch.Slice slice : batch.slices()) {
            long end = (long) slice.firstPosition() + slice.tokenCount();
            if (end > contextLength) {
                throw new IllegalArgumentException(
                        "the request reaches position " + end + ", but the context length is " + contextLength
                                + "; shorten the prompt or ask for fewer tokens");
            }
        }
        compiled.run(new StageBatch(
                batch.slices().stream()
                        .map(slice -> new StageBatch.Slice(slice.sequence(), slice.firstPosition(), slice.tokenCount()))
                        .toList(),
                batch.input() instanceof Batch.Input.Tokens(int[] ids) ? ids : null,
                batch.input() instanceof Batch.Input.Activations(MemorySegment values) ? values : null,
                batch.wantedRows(),
                batch.picks(),
                output));
        if (!isFinite(output, outputBytes(batch))) {
            boolean cameIn = batch.input() instanceof Batch.Input.Activations(MemorySegment values)
                    && !isFinite(values, (long) Float.BYTES * config.hidden() * batch.tokenCount());
            throw new MalformedException(
                    cameIn
                            ? "what layers " + range + " were given to go on with is no finite number; the stage before"
                                    + " them has damaged weights or a fault"
                            : WeightCheck.explain(source, config, range));
        }
    }

    /** Zero times a finite number is zero, times anything else it is NaN: one sum tells of all. */
    private static boolean isFinite(MemorySegment values, long bytes) {
        float sum = 0;
        for (long at = 0; at < bytes; at += Float.BYTES) {
            sum += 0f * values.get(FLOAT, at);
        }
        return sum == 0;
    }

    @Override
    public void close() {
        compiled.close();
    }
}
