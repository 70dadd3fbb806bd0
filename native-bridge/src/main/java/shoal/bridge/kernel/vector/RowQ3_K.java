package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;

/** Of {@link shoal.bridge.kernel.scalar.Q3_K}. */
final class RowQ3_K implements RowLoop {
    private static final int BLOCK = 256;
    private static final int BLOCK_BYTES = 110;
    private static final int PAIRS = 32;
    private static final int SCALES = 96;
    private static final int SCALE = 108;

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
            int first = Lanes.bits32(w, start + SCALES);
            int second = Lanes.bits32(w, start + SCALES + 4);
            int top = Lanes.bits32(w, start + SCALES + 8);
            int at = block * BlockSums.HALVES;
            put(first, top << 4, pairs, at);
            put(second, top << 2, pairs, at + 2);
            put(first >>> 4, top, pairs, at + 4);
            put(second >>> 4, top >>> 2, pairs, at + 6);
            for (int k = 0; k < BlockSums.HALVES; k++) {
                scales[at + k] = scale;
            }
        }
    }

    /** Four scales, of two blocks of 32: the lower halves of low's bytes, and bits 4 and 5 of top's; 32 is taken away. */
    private static void put(int low, int top, int[] pairs, int at) {
        int four = low & 0x0f0f_0f0f | top & 0x3030_3030;
        // per byte without a carry: 6 bits less 32 are the same bits with the upper one turned over and spread
        int turned = four ^ 0x2020_2020;
        int signed = turned | (turned & 0x2020_2020) << 1 | (turned & 0x2020_2020) << 2;
        pairs[at] = (short) signed;
        pairs[at + 1] = signed >> 16;
    }

    /** 16 bytes of pairs of bits serve four halves. */
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
        long lows = offset + PAIRS + 32L * half + side;
        long highs = offset + side;
        for (int block = 0; block < blocks; block++) {
            long skip = (long) block * BLOCK_BYTES;
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int at = other + block * BLOCK + group * LEVEL_WIDTH;
                int to = put + block * BLOCK + group * LEVEL_WIDTH;
                ShortVector pairs = Lanes.unsignedLevels(w, lows + skip, group);
                ShortVector noTops = Lanes.unsignedLevels(w, highs + skip, group)
                        .lanewise(VectorOperators.LSHL, 2)
                        .lanewise(VectorOperators.LSHR, 4 * half)
                        .lanewise(VectorOperators.NOT);
                level(pairs, noTops)
                        .mul(ShortVector.fromArray(LEVELS, others, at))
                        .intoArray(products, to);
                level(pairs.lanewise(VectorOperators.LSHR, 2), noTops.lanewise(VectorOperators.LSHR, 1))
                        .mul(ShortVector.fromArray(LEVELS, others, at + 32))
                        .intoArray(products, to + BlockSums.PRODUCTS);
                level(pairs.lanewise(VectorOperators.LSHR, 4), noTops.lanewise(VectorOperators.LSHR, 2))
                        .mul(ShortVector.fromArray(LEVELS, others, at + 64))
                        .intoArray(products, to + 2 * BlockSums.PRODUCTS);
                level(pairs.lanewise(VectorOperators.LSHR, 6), noTops.lanewise(VectorOperators.LSHR, 3))
                        .mul(ShortVector.fromArray(LEVELS, others, at + 96))
                        .intoArray(products, to + 3 * BlockSums.PRODUCTS);
            }
        }
    }

    private static ShortVector level(ShortVector pairs, ShortVector noTops) {
        return pairs.and((short) 3).sub(noTops.and((short) 4));
    }
}
