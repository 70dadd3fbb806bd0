package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.ShortVector;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.scalar.IQ4_NL;

/** Of {@link shoal.bridge.kernel.scalar.IQ4_NL}. */
final class RowIQ4_NL implements RowLoop {
    private static final int BLOCK_BYTES = 18;
    private static final int BYTES = 2;
    private static final ByteVector TABLE = HalfTable.of(IQ4_NL.TABLE);

    @Override
    public Fold fold() {
        return Fold.EARLY;
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

                Lanes.levels(Lanes.lowHalves(w, block + BYTES).selectFrom(TABLE), group)
                        .mul(ShortVector.fromArray(LEVELS, others, at))
                        .add(Lanes.levels(Lanes.highHalves(w, block + BYTES).selectFrom(TABLE), group)
                                .mul(ShortVector.fromArray(LEVELS, others, at + SumOrder.LANES)))
                        .intoArray(products, part * BlockSums.PRODUCTS + group * LEVEL_WIDTH);
            }
        }
    }
}
