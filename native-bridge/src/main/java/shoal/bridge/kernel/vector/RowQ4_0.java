package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** Of {@link shoal.bridge.kernel.scalar.Q4_0}. */
final class RowQ4_0 implements RowLoop {
    private static final int BLOCK_BYTES = 18;

    @Override
    public void multiply(
            MemorySegment w, long offset, int columns, short[] others, int other, BlockSums sums, UnpackedRows row) {
        multiply(w, offset, columns / HostBuffer.BLOCK, others, other, sums.partials, row.scales);
    }

    private static void multiply(
            MemorySegment w, long offset, int parts, short[] others, int other, int[] partials, float[] scales) {
        for (int part = 0; part < parts; part++) {
            long block = offset + (long) part * BLOCK_BYTES;
            int at = other + part * HostBuffer.BLOCK;
            scales[part] = Lanes.half(w, block);
            IntVector sum = BlockSums.pairs(products(w, block, others, at, 0));
            if (LEVEL_GROUPS == 2) {
                sum = sum.add(BlockSums.pairs(products(w, block, others, at, 1)));
            }
            sum.intoArray(partials, part * BlockSums.PARTIALS);
        }
    }

    private static ShortVector products(MemorySegment w, long block, short[] others, int at, int group) {
        int low = at + group * LEVEL_WIDTH;
        ShortVector pairs = Lanes.unsignedLevels(w, block + 2, group);
        return pairs.and((short) 15)
                .sub((short) 8)
                .mul(ShortVector.fromArray(LEVELS, others, low))
                .add(pairs.lanewise(VectorOperators.LSHR, 4)
                        .sub((short) 8)
                        .mul(ShortVector.fromArray(LEVELS, others, low + SumOrder.LANES)));
    }
}
