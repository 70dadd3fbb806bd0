package shoal.codec.pipeline;

import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.codec.wire.Slice;

/** Slices on their way through the stages. */
final class MicroBatch {
    final int number;
    final List<Slice> slices;

    /** Sequences of the slices, in order. */
    final List<Sequence> sequences;

    /** Stages that it fills up; null for one that goes through all of them. */
    final @Nullable Group refill;

    final long sentNanos;
    long deadlineNanos;
    final int tokens;

    /** Whether no stage had anything else to do while it was under way. */
    boolean alone;

    MicroBatch(
            int number,
            List<Slice> slices,
            List<Sequence> sequences,
            @Nullable Group refill,
            long sentNanos,
            long deadlineNanos) {
        this.number = number;
        this.slices = slices;
        this.sequences = sequences;
        this.refill = refill;
        this.sentNanos = sentNanos;
        this.deadlineNanos = deadlineNanos;
        this.tokens = slices.stream().mapToInt(Slice::tokenCount).sum();
    }
}
