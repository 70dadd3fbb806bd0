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

/** Of {@link shoal.bridge.kernel.scalar.Q4_K}. */
final class RowQ4_K implements RowLoop {
    private static final int BLOCK_BYTES = 144;
    private static final int HEADER = 16;

    @Override
    public void multiply(
            MemorySegment w, long offset, int columns, short[] others, int other, BlockSums sums, UnpackedRows row) {
        KScales.unpackRow(w, offset, BLOCK_BYTES, columns, row, 0);
        multiply(w, offset, columns / HostBuffer.BLOCK, others, other, sums.partials);
    }

    /** Two parts share 32 bytes. */
    private static void multiply(MemorySegment w, long offset, int parts, short[] others, int other, int[] partials) {
        for (int part = 0; part < parts; part += 2) {
            long bytes = offset + (long) (part >> 3) * BLOCK_BYTES + HEADER + ((part & 7) << 4);
            int at = other + part * HostBuffer.BLOCK;
            ShortVector first = Lanes.unsignedLevels(w, bytes, 0);
            ShortVector second = Lanes.unsignedLevels(w, bytes + SumOrder.LANES, 0);
            IntVector low = BlockSums.pairs(low(first, second, others, at));
            IntVector high = BlockSums.pairs(high(first, second, others, at + HostBuffer.BLOCK));
            if (LEVEL_GROUPS == 2) {
                first = Lanes.unsignedLevels(w, bytes, 1);
                second = Lanes.unsignedLevels(w, bytes + SumOrder.LANES, 1);
                low = low.add(BlockSums.pairs(low(first, second, others, at + LEVEL_WIDTH)));
                high = high.add(BlockSums.pairs(high(first, second, others, at + HostBuffer.BLOCK + LEVEL_WIDTH)));
            }
            low.intoArray(partials, part * BlockSums.PARTIALS);
            high.intoArray(partials, (part + 1) * BlockSums.PARTIALS);
        }
    }

    private static ShortVector low(ShortVector first, ShortVector second, short[] others, int at) {
        return first.and((short) 15)
                .mul(ShortVector.fromArray(LEVELS, others, at))
                .add(second.and((short) 15).mul(ShortVector.fromArray(LEVELS, others, at + SumOrder.LANES)));
    }

    private static ShortVector high(ShortVector first, ShortVector second, short[] others, int at) {
        return first.lanewise(VectorOperators.LSHR, 4)
                .mul(ShortVector.fromArray(LEVELS, others, at))
                .add(second.lanewise(VectorOperators.LSHR, 4)
                        .mul(ShortVector.fromArray(LEVELS, others, at + SumOrder.LANES)));
    }
}
