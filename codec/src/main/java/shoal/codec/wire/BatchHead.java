package shoal.codec.wire;

import static shoal.codec.base.Bounds.requireRange;

import java.util.List;
import shoal.codec.base.Epoch;

/**
 * What a micro-batch is, on its way through a pipeline.
 *
 * @param pipeline whose stages they are: a coordinator gives each model that it serves a number
 * @param number of the micro-batch; counted on through all epochs, and from the greatest number to the smallest one
 * @param stage index in the pipeline of who is to work on it; one machine may run several
 * @param lastStage index of who works on it last and tells the coordinator; before the pipeline's end if it only fills up stages that
 *     took over
 */
public record BatchHead(long pipeline, Epoch epoch, int number, int stage, int lastStage, List<Slice> slices) {
    public static final int MAX_TOKENS = 4096;

    public BatchHead {
        requireRange("stage", stage, 0, Frame.GenerationStarted.MAX_STAGES - 1);
        requireRange("last stage", lastStage, stage, Frame.GenerationStarted.MAX_STAGES - 1);
        requireRange("slices", slices.size(), 1, Slice.MAX_SLICES);
        slices = List.copyOf(slices);
        long tokens = 0;
        for (Slice slice : slices) {
            tokens += slice.tokenCount();
        }
        requireRange("tokens", tokens, 1, MAX_TOKENS);
    }

    public int tokenCount() {
        int sum = 0;
        for (Slice slice : slices) {
            sum += slice.tokenCount();
        }
        return sum;
    }

    /** As it goes on to the next stage. */
    public BatchHead next() {
        return new BatchHead(pipeline, epoch, number, stage + 1, lastStage, slices);
    }
}
