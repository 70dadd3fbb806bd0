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
import shoal.bridge.kernel.host.HostBuffer;

/** The first 16 bytes of a block of Q4_K or Q5_K: two F16, then eight scales and eight factors of 6 bits. */
final class KScales {
    private static final int BLOCK = 256;
    private static final VectorSpecies<Integer> FOUR = IntVector.SPECIES_128;
    private static final VectorMask<Float> UPPER_HALF = VectorMask.fromLong(FLOATS, 0xff00);

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
            unpack(w, row + (long) block * blockBytes, to, part + block * (BLOCK / HostBuffer.BLOCK));
        }
    }

    /** Eight scales and eight constants, which are taken away, go to index part on. */
    private static void unpack(MemorySegment w, long block, UnpackedRows to, int part) {
        float scale = Lanes.half(w, block);
        float constant = -Lanes.half(w, block + 2);
        IntVector header = IntVector.fromMemorySegment(FOUR, w, block, ByteOrder.LITTLE_ENDIAN);
        IntVector lower = header.rearrange(LOWER)
                .lanewise(VectorOperators.LSHR, LOWER_SHIFT)
                .and(LOWER_BITS);
        IntVector top = header.rearrange(TOP).lanewise(VectorOperators.LSHR, 2).and(TOP_BITS);
        ByteVector bytes = lower.or(top).reinterpretAsBytes();
        float[] both = to.scratch;
        for (int group = 0; group < GROUPS; group++) {
            FloatVector factor = FloatVector.broadcast(FLOATS, group * WIDTH < 8 ? scale : constant);
            if (WIDTH == 16) {
                factor = factor.blend(FloatVector.broadcast(FLOATS, constant), UPPER_HALF);
            }
            Lanes.group(bytes, group).mul(factor).intoArray(both, group * WIDTH);
        }
        System.arraycopy(both, 0, to.scales, part, 8);
        System.arraycopy(both, 8, to.constants, part, 8);
    }
}
