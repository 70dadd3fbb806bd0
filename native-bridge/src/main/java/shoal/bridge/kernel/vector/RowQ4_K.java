package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVELS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.host.HostBuffer;

/** Of {@link shoal.bridge.kernel.scalar.Q4_K}. */
final class RowQ4_K implements RowLoop {
    private static final int BLOCK_BYTES = 144;
    private static final int BYTES = 16;

    @Override
    public Fold fold() {
        return Fold.LATE;
    }

    @Override
    public void multiply(
            MemorySegment w, long offset, int columns, short[] others, int other, BlockSums sums, UnpackedRows row) {
        multiply(w, offset, columns / HostBuffer.BLOCK, others, other, sums.products);
        KScales.unpackRow(w, offset, BLOCK_BYTES, columns, row, 0);
    }

    /** Half a block at a time: four parts, of which two share 32 bytes. */
    private static void multiply(MemorySegment w, long offset, int parts, short[] others, int other, short[] products) {
        for (int part = 0; part < parts; part += 4) {
            long bytes = offset + (long) (part >> 3) * BLOCK_BYTES + BYTES + ((part & 4) << 4);
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int at = other + part * HostBuffer.BLOCK + group * LEVEL_WIDTH;
                int to = part * BlockSums.PRODUCTS + group * LEVEL_WIDTH;
                ShortVector a = Lanes.unsignedLevels(w, bytes, group);
                ShortVector b = Lanes.unsignedLevels(w, bytes + 16, group);
                ShortVector c = Lanes.unsignedLevels(w, bytes + 32, group);
                ShortVector d = Lanes.unsignedLevels(w, bytes + 48, group);
                a.and((short) 15)
                        .mul(ShortVector.fromArray(LEVELS, others, at))
                        .add(b.and((short) 15).mul(ShortVector.fromArray(LEVELS, others, at + 16)))
                        .intoArray(products, to);
                a.lanewise(VectorOperators.LSHR, 4)
                        .mul(ShortVector.fromArray(LEVELS, others, at + 32))
                        .add(b.lanewise(VectorOperators.LSHR, 4).mul(ShortVector.fromArray(LEVELS, others, at + 48)))
                        .intoArray(products, to + BlockSums.PRODUCTS);
                c.and((short) 15)
                        .mul(ShortVector.fromArray(LEVELS, others, at + 64))
                        .add(d.and((short) 15).mul(ShortVector.fromArray(LEVELS, others, at + 80)))
                        .intoArray(products, to + 2 * BlockSums.PRODUCTS);
                c.lanewise(VectorOperators.LSHR, 4)
                        .mul(ShortVector.fromArray(LEVELS, others, at + 96))
                        .add(d.lanewise(VectorOperators.LSHR, 4).mul(ShortVector.fromArray(LEVELS, others, at + 112)))
                        .intoArray(products, to + 3 * BlockSums.PRODUCTS);
            }
        }
    }
}
