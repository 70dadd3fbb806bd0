package shoal.bridge.kernel;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Bounds;

/**
 * One run of a compiled stage over T tokens, slice after slice. Segments are host memory of the caller, little-endian F32, and
 * are not kept.
 *
 * @param tokenIds T ids for a first stage, else null
 * @param input (T, hidden) for a later stage, else null
 * @param logitRows indices into the batch's tokens, rising; read by a last stage alone
 * @param picks for each of logitRows how many of its highest logits are wanted, as {@link TopLogits}; 0 for the whole row
 * @param output (T, hidden); from a last stage what is wanted of each of logitRows, one after another
 */
public record StageBatch(
        List<Slice> slices,
        int @Nullable [] tokenIds,
        @Nullable MemorySegment input,
        int[] logitRows,
        int[] picks,
        MemorySegment output) {

    /** All logits of all wanted rows. */
    public StageBatch(
            List<Slice> slices,
            int @Nullable [] tokenIds,
            @Nullable MemorySegment input,
            int[] logitRows,
            MemorySegment output) {
        this(slices, tokenIds, input, logitRows, new int[logitRows.length], output);
    }

    /** Consecutive positions of one sequence, from firstPosition; what it held from there on is overwritten. */
    public record Slice(SequenceMemory sequence, int firstPosition, int tokenCount) {}

    public int tokenCount() {
        int sum = 0;
        for (Slice slice : slices) {
            sum += slice.tokenCount();
        }
        return sum;
    }

    /**
     * Compares this with the program that is to run it.
     *
     * @param mostPicks of a row's logits that the stage picks by itself
     * @param ours whether a sequence is one that the stage opened, and open still
     * @throws IllegalArgumentException naming what does not fit
     */
    public void check(StageProgram program, int mostPicks, Predicate<SequenceMemory> ours) {
        int tokens = tokenCount();
        checkSlices(ours);
        if (program.readsTokens()) {
            checkTokens((Op.Embed) program.body().getFirst(), tokens);
        } else {
            checkSize("input", input, tokens, program.input().width());
        }
        int rows = tokens;
        if (program.givesLogits()) {
            rows = logitRows.length;
            Bounds.requireRange("rows with a count of picks", picks.length, rows, rows);
            for (int row : logitRows) {
                if (row < 0 || row >= tokens) {
                    throw new IllegalArgumentException("logits of token " + row + " of " + tokens + " are wanted");
                }
            }
            for (int count : picks) {
                Bounds.requireRange("picked logits of a row", count, 0, mostPicks);
            }
            checkOutput(program.output().width());
        } else {
            checkSize("output", output, rows, program.output().width());
        }
        for (Slot slot : program.slots()) {
            checkCount(tokens, slot.width());
        }
        checkCount(rows, program.output().width());
    }

    private void checkSlices(Predicate<SequenceMemory> ours) {
        for (int i = 0; i < slices.size(); i++) {
            Slice slice = slices.get(i);
            SequenceMemory sequence = slice.sequence();
            if (!ours.test(sequence)) {
                throw new IllegalArgumentException(
                        "slice " + i + " has a sequence that another stage opened, or that is closed");
            }
            if (slice.tokenCount() < 1 || slice.firstPosition() < 0 || slice.firstPosition() > sequence.length()) {
                throw new IllegalArgumentException(
                        "slice " + i + " has " + slice.tokenCount() + " tokens from position " + slice.firstPosition()
                                + " on, its sequence holds " + sequence.length());
            }
            if ((long) slice.firstPosition() + slice.tokenCount() > sequence.capacity()) {
                throw new IllegalArgumentException("slice " + i + " ends at position "
                        + ((long) slice.firstPosition() + slice.tokenCount()) + ", its sequence has room for "
                        + sequence.capacity());
            }
            for (int j = 0; j < i; j++) {
                if (slices.get(j).sequence() == sequence) {
                    throw new IllegalArgumentException("slices " + j + " and " + i + " are of one sequence");
                }
            }
        }
    }

    private void checkTokens(Op.Embed embed, int tokens) {
        int[] ids = tokenIds;
        if (ids == null || ids.length != tokens) {
            throw new IllegalArgumentException("this stage takes " + tokens + " token ids");
        }
        for (int id : ids) {
            if (id < 0 || id >= embed.table().rows()) {
                throw new IllegalArgumentException("token id " + id + " is not in the vocabulary of "
                        + embed.table().rows());
            }
        }
    }

    private void checkOutput(int vocabulary) {
        long expected = 0;
        for (int count : picks) {
            expected += TopLogits.rowBytes(count, vocabulary);
        }
        if (output.byteSize() < expected) {
            throw new IllegalArgumentException("output has " + output.byteSize() + " bytes, what is wanted of "
                    + picks.length + " rows takes " + expected);
        }
    }

    private static void checkSize(String name, @Nullable MemorySegment segment, int rows, int width) {
        long expected = (long) rows * width * Float.BYTES;
        if (segment == null || segment.byteSize() < expected) {
            throw new IllegalArgumentException(name + " has " + (segment == null ? 0 : segment.byteSize()) + " bytes, "
                    + rows + " rows of " + width + " values take " + expected);
        }
    }

    private static void checkCount(int rows, int width) {
        if ((long) rows * width > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(rows + " rows of " + width + " values in one batch are too many");
        }
    }
}
