package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.FLOATS;
import static shoal.bridge.kernel.vector.Lanes.GROUPS;
import static shoal.bridge.kernel.vector.Lanes.WIDTH;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import shoal.codec.gguf.GgmlType;

/** Of {@link shoal.bridge.kernel.scalar.Q6_K}. */
final class UnpackQ6_K implements Unpacker {
    private static final int HIGH = 128;
    private static final int SCALES = 192;
    private static final int SCALE = 208;

    @Override
    public Constants constants() {
        return Constants.NONE;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        int blocks = columns / GgmlType.Q6_K.blockValues();
        for (int i = 0; i < blocks; i++) {
            long block = offset + (long) i * GgmlType.Q6_K.blockBytes();
            int first = part + 8 * i;
            Arrays.fill(to.scales, first, first + 8, Lanes.half(w, block + SCALE));
            for (int group = 0; group < GROUPS; group++) {
                Lanes.signedBytes(w, block + SCALES, group).intoArray(to.factors, 2 * first + group * WIDTH);
            }
        }
    }

    @Override
    public void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.Q6_K.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(w, offset + (long) i * GgmlType.Q6_K.blockBytes(), to, at + i * GgmlType.Q6_K.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        for (int i = 0; i < 4; i++) {
            // 16 bytes of upper bits serve four parts
            int half = i / 2;
            int side = i % 2;
            for (int k = 0; k < 4; k++) {
                float partScale = w.get(ValueLayout.JAVA_BYTE, block + SCALES + 8L * half + 2L * k + side);
                for (int group = 0; group < GROUPS; group++) {
                    IntVector low = Lanes.unsignedBytes(w, block + 64L * half + 32L * (k & 1) + 16L * side, group)
                            .lanewise(VectorOperators.LSHR, k >> 1 << 2)
                            .and(15);
                    IntVector top = Lanes.unsignedBytes(w, block + HIGH + 32L * half + 16L * side, group)
                            .lanewise(VectorOperators.LSHR, 2 * k)
                            .and(3)
                            .lanewise(VectorOperators.LSHL, 4);
                    Lanes.toFloats(low.or(top))
                            .sub(32f)
                            .mul(FloatVector.broadcast(FLOATS, partScale))
                            .intoArray(to.levels, at + 128 * half + 32 * k + 16 * side + group * WIDTH);
                }
            }
        }
    }
}
