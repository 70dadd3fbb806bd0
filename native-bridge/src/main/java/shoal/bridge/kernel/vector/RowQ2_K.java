package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;

/** Of {@link shoal.bridge.kernel.scalar.Q2_K}. */
final class RowQ2_K implements RowLoop {
    private static final int BLOCK = 256;
    private static final int BLOCK_BYTES = 84;
    private static final int BYTES = 16;
    private static final int SCALE = 80;
    private static final int CONSTANT = 82;

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
        unpackScales(w, offset, blocks, row, sums.scalePairs, sums.factorPairs);
    }

    private static void unpackScales(
            MemorySegment w, long offset, int blocks, UnpackedRows row, int[] scales, int[] factors) {
        for (int block = 0; block < blocks; block++) {
            long start = offset + (long) block * BLOCK_BYTES;
            float scale = Lanes.half(w, start + SCALE);
            float constant = -Lanes.half(w, start + CONSTANT);
            for (int k = 0; k < BlockSums.HALVES; k++) {
                int at = block * BlockSums.HALVES + k;
                int both = w.get(Lanes.SHORT, start + 2L * k);
                scales[at] = both & 0x0f0f;
                factors[at] = both >> 4 & 0x0f0f;
                row.scales[at] = scale;
                row.constants[at] = constant;
            }
        }
    }

    /** 16 bytes serve four halves. */
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
        long bytes = offset + BYTES + 32L * half + side;
        for (int block = 0; block < blocks; block++) {
            long skip = (long) block * BLOCK_BYTES;
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int at = other + block * BLOCK + group * LEVEL_WIDTH;
                int to = put + block * BLOCK + group * LEVEL_WIDTH;
                ShortVector pairs = Lanes.unsignedLevels(w, bytes + skip, group);
                pairs.and((short) 3)
                        .mul(ShortVector.fromArray(LEVELS, others, at))
                        .intoArray(products, to);
                pairs.lanewise(VectorOperators.LSHR, 2)
                        .and((short) 3)
                        .mul(ShortVector.fromArray(LEVELS, others, at + 32))
                        .intoArray(products, to + BlockSums.PRODUCTS);
                pairs.lanewise(VectorOperators.LSHR, 4)
                        .and((short) 3)
                        .mul(ShortVector.fromArray(LEVELS, others, at + 64))
                        .intoArray(products, to + 2 * BlockSums.PRODUCTS);
                pairs.lanewise(VectorOperators.LSHR, 6)
                        .mul(ShortVector.fromArray(LEVELS, others, at + 96))
                        .intoArray(products, to + 3 * BlockSums.PRODUCTS);
            }
        }
    }
}
