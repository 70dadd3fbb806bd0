package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;

/** Of {@link shoal.bridge.kernel.scalar.Q6_K}. */
final class RowQ6_K implements RowLoop {
    private static final int BLOCK = 256;
    private static final int BLOCK_BYTES = 210;
    private static final int HIGH = 128;
    private static final int SCALES = 192;
    private static final int SCALE = 208;

    @Override
    public Fold fold() {
        return Fold.HALVES;
    }

    @Override
    public void multiply(
            MemorySegment w, long offset, int columns, short[] others, int other, BlockSums sums, UnpackedRows row) {
        int blocks = columns / BLOCK;
        for (int quarter = 0; quarter < 4; quarter++) {
            int half = quarter / 2;
            int side = quarter % 2;
            multiply(
                    w,
                    offset,
                    half,
                    side * SumOrder.LANES,
                    blocks,
                    others,
                    other + 128 * half + SumOrder.LANES * side,
                    sums.products,
                    (BlockSums.HALVES * side + 4 * half) * BlockSums.PRODUCTS);
        }
        unpackScales(w, offset, blocks, row.scales, sums.scalePairs);
    }

    private static void unpackScales(MemorySegment w, long offset, int blocks, float[] scales, int[] pairs) {
        for (int block = 0; block < blocks; block++) {
            long start = offset + (long) block * BLOCK_BYTES;
            float scale = Lanes.half(w, start + SCALE);
            for (int k = 0; k < BlockSums.HALVES; k++) {
                scales[block * BlockSums.HALVES + k] = scale;
                pairs[block * BlockSums.HALVES + k] = w.get(Lanes.SHORT, start + SCALES + 2L * k);
            }
        }
    }

    /** 16 bytes of upper bits serve four halves, as do twice 16 of lower ones. */
    private static void multiply(
            MemorySegment w,
            long offset,
            int half,
            int side,
            int blocks,
            short[] others,
            int other,
            short[] products,
            int put) {
        long lows = offset + 64L * half + side;
        long highs = offset + HIGH + 32L * half + side;
        for (int block = 0; block < blocks; block++) {
            long skip = (long) block * BLOCK_BYTES;
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int at = other + block * BLOCK + group * LEVEL_WIDTH;
                int to = put + block * BLOCK + group * LEVEL_WIDTH;
                ShortVector first = Lanes.unsignedLevels(w, lows + skip, group);
                ShortVector second = Lanes.unsignedLevels(w, lows + skip + 32, group);
                ShortVector top = Lanes.unsignedLevels(w, highs + skip, group);
                level(first.and((short) 15), top.lanewise(VectorOperators.LSHL, 4))
                        .mul(ShortVector.fromArray(LEVELS, others, at))
                        .intoArray(products, to);
                level(second.and((short) 15), top.lanewise(VectorOperators.LSHL, 2))
                        .mul(ShortVector.fromArray(LEVELS, others, at + 32))
                        .intoArray(products, to + BlockSums.PRODUCTS);
                level(first.lanewise(VectorOperators.LSHR, 4), top)
                        .mul(ShortVector.fromArray(LEVELS, others, at + 64))
                        .intoArray(products, to + 2 * BlockSums.PRODUCTS);
                level(second.lanewise(VectorOperators.LSHR, 4), top.lanewise(VectorOperators.LSHR, 2))
                        .mul(ShortVector.fromArray(LEVELS, others, at + 96))
                        .intoArray(products, to + 3 * BlockSums.PRODUCTS);
            }
        }
    }

    private static ShortVector level(ShortVector low, ShortVector top) {
        return low.or(top.and((short) 0x30)).sub((short) 32);
    }
}
