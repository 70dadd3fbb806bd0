package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.HostBuffer;

/** The first 16 bytes of a block of Q4_K or Q5_K: two F16, then eight scales and eight factors of 6 bits. */
final class KScales {
    private static final int BLOCK = 256;
    private static final VectorSpecies<Integer> FOUR = IntVector.SPECIES_128;
    private static final int LANES = SumOrder.LANES;
    private static final int PARTS = BLOCK / HostBuffer.BLOCK;
    private static final VectorMask<Float> UPPER_HALF = VectorMask.fromLong(FLOATS, 0xff00);
    private static final VectorShuffle<Float> HALVES_SWAPPED =
            VectorShuffle.fromOp(FLOATS, lane -> (lane ^ PARTS) % WIDTH);

    // The 16 bytes are ints h, p, q, r; wanted are p, r with bits of p on top, q, r's upper halves with bits of q on
    // top.
    private static final VectorShuffle<Integer> LOWER = VectorShuffle.fromValues(FOUR, 1, 3, 2, 3);
    private static final IntVector LOWER_SHIFT = IntVector.fromArray(FOUR, new int[] {0, 0, 0, 4}, 0);
    private static final IntVector LOWER_BITS =
            IntVector.fromArray(FOUR, new int[] {0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f}, 0);
    private static final VectorShuffle<Integer> TOP = VectorShuffle.fromValues(FOUR, 0, 1, 0, 2);
    private static final IntVector TOP_BITS = IntVector.fromArray(FOUR, new int[] {0, 0x30303030, 0, 0x30303030}, 0);

    private KScales() {}

    /** Those of all blocks of a row, from index part on. */
    static void unpackRow(MemorySegment w, long row, int blockBytes, int columns, UnpackedRows to, int part) {
        int blocks = columns / BLOCK;
        for (int block = 0; block < blocks; block++) {
            unpack(w, row + (long) block * blockBytes, to, part + block * PARTS);
        }
    }

    /** Eight scales and eight constants, which are taken away, go to index part on; eight more may be overwritten. */
    private static void unpack(MemorySegment w, long block, UnpackedRows to, int part) {
        float scale = Lanes.half(w, block);
        float constant = -Lanes.half(w, block + 2);
        IntVector header = IntVector.fromMemorySegment(FOUR, w, block, ByteOrder.LITTLE_ENDIAN);
        IntVector lower = header.rearrange(LOWER)
                .lanewise(VectorOperators.LSHR, LOWER_SHIFT)
                .and(LOWER_BITS);
        IntVector top = header.rearrange(TOP).lanewise(VectorOperators.LSHR, 2).and(TOP_BITS);
        ByteVector bytes = lower.or(top).reinterpretAsBytes();
        if (WIDTH == LANES) {
            // eight more than are meant: what lies behind is written later, or is room to spare
            FloatVector both = Lanes.group(bytes, 0)
                    .mul(FloatVector.broadcast(FLOATS, scale).blend(constant, UPPER_HALF));
            both.intoArray(to.scales, part);
            both.rearrange(HALVES_SWAPPED).intoArray(to.constants, part);
            return;
        }
        for (int group = 0; group < GROUPS; group++) {
            int lane = group * WIDTH;
            if (lane < PARTS) {
                Lanes.group(bytes, group).mul(scale).intoArray(to.scales, part + lane);
            } else {
                Lanes.group(bytes, group).mul(constant).intoArray(to.constants, part + lane - PARTS);
            }
        }
    }
}
