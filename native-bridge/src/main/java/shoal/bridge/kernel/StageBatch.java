package shoal.bridge.kernel;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One run of a compiled stage over T tokens, slice after slice. Segments are host memory of the caller, little-endian F32, and
 * are not kept.
 *
 * @param tokenIds T ids for a first stage, else null
 * @param input (T, hidden) for a later stage, else null
 * @param logitRows indices into the batch's tokens, rising; read by a last stage alone
 * @param output (T, hidden), or (logitRows, vocabulary) from a last stage
 */
public record StageBatch(
        List<Slice> slices,
        int @Nullable [] tokenIds,
        @Nullable MemorySegment input,
        int[] logitRows,
        MemorySegment output) {

    /** Consecutive positions of one sequence, from firstPosition; what it held from there on is overwritten. */
    public record Slice(SequenceMemory sequence, int firstPosition, int tokenCount) {}

    public int tokenCount() {
        int sum = 0;
        for (Slice slice : slices) {
            sum += slice.tokenCount();
        }
        return sum;
    }
}
