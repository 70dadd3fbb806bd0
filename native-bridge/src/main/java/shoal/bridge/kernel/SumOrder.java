package shoal.bridge.kernel;

/**
 * The one order in which CPU kernels add F32 numbers. Any vector of 4, 8 or 16 lanes can follow it at full speed, and so can plain
 * loops.
 *
 * <ul>
 *   <li>A sum over columns has {@link #LANES} partial sums, all starting at 0; column c goes to lane c mod 16, in rising order,
 *       by one fused multiply-add: {@code lane = fma(w, x, lane)}.
 *   <li>With quantised weights the step is a block of 32 columns: block b goes to lane b mod 16, in rising order, by {@code lane =
 *       fma((float) P, dw * dx, lane)}. P is the exact integer sum of the block's 32 products of levels; dw and dx are the block's
 *       scales, their product rounded to F32. A type that scales its 32 values by one integer more has that in dw, where it is
 *       exact; one that scales the halves of the 32 each by an integer has that in its levels, and so in P, which stays below 2^24.
 *   <li>Where a type adds a constant, the same lane adds that in a second fma right after: {@code lane = fma((float) S * dx, mw,
 *       lane)}; S is the exact sum of the block's 32 activation levels, each times the integer of its half where the halves differ,
 *       and its product with dx is rounded to F32.
 *   <li>At the end the lanes are added as a tree: lane i += lane i + 8, then + 4, + 2, + 1.
 *   <li>Attention: a score is such a sum over the head's values. Sums over positions are: the softmax's in lanes by position
 *       mod 16 and the same tree, a sink's part after it; the values' one fma per position, in rising order.
 *   <li>Everything else is element by element. exp is {@link Exponential}.
 * </ul>
 */
public final class SumOrder {
    public static final int LANES = 16;

    private SumOrder() {}

    /** Adds 16 lanes from offset on, as a tree. */
    public static float tree(float[] lanes, int offset) {
        float a0 = lanes[offset] + lanes[offset + 8];
        float a1 = lanes[offset + 1] + lanes[offset + 9];
        float a2 = lanes[offset + 2] + lanes[offset + 10];
        float a3 = lanes[offset + 3] + lanes[offset + 11];
        float a4 = lanes[offset + 4] + lanes[offset + 12];
        float a5 = lanes[offset + 5] + lanes[offset + 13];
        float a6 = lanes[offset + 6] + lanes[offset + 14];
        float a7 = lanes[offset + 7] + lanes[offset + 15];
        float b0 = a0 + a4;
        float b1 = a1 + a5;
        float b2 = a2 + a6;
        float b3 = a3 + a7;
        float c0 = b0 + b2;
        float c1 = b1 + b3;
        return c0 + c1;
    }
}
