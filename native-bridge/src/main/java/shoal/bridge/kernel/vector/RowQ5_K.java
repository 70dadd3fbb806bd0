package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Of {@link shoal.bridge.kernel.scalar.Q5_K}. */
final class RowQ5_K implements RowLoop {
    private static final int BLOCK_BYTES = 176;
    private static final int TOPS = 16;
    private static final int BYTES = 48;

    @Override
    public Fold fold() {
        return Fold.LATE;
    }

    @Override
    public int bias() {
        return 16;
    }

    @Override
    public void multiply(
            MemorySegment w, long offset, int columns, short[] others, int other, BlockSums sums, UnpackedRows row) {
        multiply(w, offset, columns / HostBuffer.BLOCK, others, other, sums.products);
        KScales.unpackRow(w, offset, BLOCK_BYTES, columns, row, 0);
    }

    /** Two parts share 32 bytes, and bits 2 j and 2 j + 1 of another 32, for j of 0..3. */
    private static void multiply(MemorySegment w, long offset, int parts, short[] others, int other, short[] products) {
        for (int part = 0; part < parts; part += 2) {
            long block = offset + (long) (part >> 3) * BLOCK_BYTES;
            long bytes = block + BYTES + ((part & 7) << 4);
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int at = other + part * HostBuffer.BLOCK + group * LEVEL_WIDTH;
                int to = part * BlockSums.PRODUCTS + group * LEVEL_WIDTH;
                ShortVector first = Lanes.unsignedLevels(w, bytes, group);
                ShortVector second = Lanes.unsignedLevels(w, bytes + SumOrder.LANES, group);
                ShortVector firstTops = noTops(w, block + TOPS, group, part & 7);
                ShortVector secondTops = noTops(w, block + TOPS + SumOrder.LANES, group, part & 7);
                first.and((short) 15)
                        .sub(firstTops.and((short) 16))
                        .mul(ShortVector.fromArray(LEVELS, others, at))
                        .add(second.and((short) 15)
                                .sub(secondTops.and((short) 16))
                                .mul(ShortVector.fromArray(LEVELS, others, at + SumOrder.LANES)))
                        .intoArray(products, to);
                first.lanewise(VectorOperators.LSHR, 4)
                        .sub(firstTops.lanewise(VectorOperators.LSHR, 1).and((short) 16))
                        .mul(ShortVector.fromArray(LEVELS, others, at + HostBuffer.BLOCK))
                        .add(second.lanewise(VectorOperators.LSHR, 4)
                                .sub(secondTops
                                        .lanewise(VectorOperators.LSHR, 1)
                                        .and((short) 16))
                                .mul(ShortVector.fromArray(LEVELS, others, at + HostBuffer.BLOCK + SumOrder.LANES)))
                        .intoArray(products, to + BlockSums.PRODUCTS);
            }
        }
    }

    /** Bits from bit on, turned over, from 16 on. */
    private static ShortVector noTops(MemorySegment w, long offset, int group, int bit) {
        return Lanes.unsignedLevels(w, offset, group)
                .lanewise(VectorOperators.LSHL, 4)
                .lanewise(VectorOperators.LSHR, bit)
                .lanewise(VectorOperators.NOT);
    }
}
