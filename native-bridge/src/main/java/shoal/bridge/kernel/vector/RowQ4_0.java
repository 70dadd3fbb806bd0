package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Of {@link shoal.bridge.kernel.scalar.Q4_0}. */
final class RowQ4_0 implements RowLoop {
    private static final int BLOCK_BYTES = 18;
    private static final int BYTES = 2;

    @Override
    public Fold fold() {
        return Fold.LATE;
    }

    @Override
    public int bias() {
        return -8;
    }

    @Override
    public void multiply(
            MemorySegment w, long offset, int columns, short[] others, int other, BlockSums sums, UnpackedRows row) {
        multiply(w, offset, columns / HostBuffer.BLOCK, others, other, sums.products, row.scales);
    }

    private static void multiply(
            MemorySegment w, long offset, int parts, short[] others, int other, short[] products, float[] scales) {
        for (int part = 0; part < parts; part++) {
            long block = offset + (long) part * BLOCK_BYTES;
            scales[part] = Lanes.half(w, block);
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int at = other + part * HostBuffer.BLOCK + group * LEVEL_WIDTH;
                ShortVector pairs = Lanes.unsignedLevels(w, block + BYTES, group);
                pairs.and((short) 15)
                        .mul(ShortVector.fromArray(LEVELS, others, at))
                        .add(pairs.lanewise(VectorOperators.LSHR, 4)
                                .mul(ShortVector.fromArray(LEVELS, others, at + SumOrder.LANES)))
                        .intoArray(products, part * BlockSums.PRODUCTS + group * LEVEL_WIDTH);
            }
        }
    }
}
