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

/** Of {@link shoal.bridge.kernel.scalar.IQ4_XS}. */
final class RowIQ4_XS implements RowLoop {
    private static final int BLOCK = 256;
    private static final int BLOCK_BYTES = 136;
    private static final int HIGH_SCALES = 2;
    private static final int LOW_SCALES = 4;
    private static final int BYTES = 8;
    private static final ByteVector TABLE = HalfTable.of(IQ4_NL.TABLE);

    @Override
    public Fold fold() {
        return Fold.EARLY;
    }

    @Override
    public void multiply(
            MemorySegment w, long offset, int columns, short[] others, int other, BlockSums sums, UnpackedRows row) {
        multiply(w, offset, columns / HostBuffer.BLOCK, others, other, sums.products);
        unpackScales(w, offset, columns / BLOCK, row.scales);
    }

    private static void unpackScales(MemorySegment w, long offset, int blocks, float[] scales) {
        for (int block = 0; block < blocks; block++) {
            long start = offset + (long) block * BLOCK_BYTES;
            float scale = Lanes.half(w, start);
            int high = w.get(Lanes.SHORT, start + HIGH_SCALES);
            int low = Lanes.bits32(w, start + LOW_SCALES);
            for (int k = 0; k < 8; k++) {
                int bits = low >>> 4 * k & 15 | (high >>> 2 * k & 3) << 4;
                scales[8 * block + k] = scale * (bits - 32);
            }
        }
    }

    private static void multiply(MemorySegment w, long offset, int parts, short[] others, int other, short[] products) {
        for (int part = 0; part < parts; part++) {
            long bytes = offset + (long) (part >> 3) * BLOCK_BYTES + BYTES + ((part & 7) << 4);
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int at = other + part * HostBuffer.BLOCK + group * LEVEL_WIDTH;
                Lanes.levels(Lanes.lowHalves(w, bytes).selectFrom(TABLE), group)
                        .mul(ShortVector.fromArray(LEVELS, others, at))
                        .add(Lanes.levels(Lanes.highHalves(w, bytes).selectFrom(TABLE), group)
                                .mul(ShortVector.fromArray(LEVELS, others, at + SumOrder.LANES)))
                        .intoArray(products, part * BlockSums.PRODUCTS + group * LEVEL_WIDTH);
            }
        }
    }
}
