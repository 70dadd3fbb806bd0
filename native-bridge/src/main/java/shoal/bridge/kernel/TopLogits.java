package shoal.bridge.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * The highest logits of a row, where a stage picks them itself rather than give all. As {@link StageBatch#output} has them: the sum, the
 * logits, the ids, four bytes each, little-endian.
 *
 * @param sum over the whole row of exp(logit − highest), F32
 * @param logits the highest first
 * @param ids of their tokens; among equals the lower id is first
 */
public record TopLogits(float sum, float[] logits, int[] ids) {
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Bytes of a row of output: so many of the highest logits, or all of the vocabulary's if that is 0. */
    public static long rowBytes(int picks, int vocabulary) {
        return Integer.BYTES * (picks == 0 ? (long) vocabulary : 1 + 2L * picks);
    }

    /** The row of output that begins at a byte. */
    public static TopLogits read(MemorySegment output, long at, int picks) {
        float[] logits = new float[picks];
        int[] ids = new int[picks];
        MemorySegment.copy(output, FLOAT, at + Float.BYTES, logits, 0, picks);
        MemorySegment.copy(output, INT, at + (1L + picks) * Float.BYTES, ids, 0, picks);
        return new TopLogits(output.get(FLOAT, at), logits, ids);
    }
}
