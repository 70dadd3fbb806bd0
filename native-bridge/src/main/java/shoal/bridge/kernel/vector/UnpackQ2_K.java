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

/** Of {@link shoal.bridge.kernel.scalar.Q2_K}. */
final class UnpackQ2_K implements Unpacker {
    private static final int LEVELS = 16;
    private static final int SCALE = 80;
    private static final int CONSTANT = 82;

    @Override
    public Constants constants() {
        return Constants.PER_HALF;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        int blocks = columns / GgmlType.Q2_K.blockValues();
        for (int i = 0; i < blocks; i++) {
            long block = offset + (long) i * GgmlType.Q2_K.blockBytes();
            int first = part + 8 * i;
            Arrays.fill(to.scales, first, first + 8, Lanes.half(w, block + SCALE));
            Arrays.fill(to.constants, first, first + 8, -Lanes.half(w, block + CONSTANT));
            for (int k = 0; k < 16; k++) {
                to.factors[2 * first + k] = w.get(ValueLayout.JAVA_BYTE, block + k) >> 4 & 15;
            }
        }
    }

    @Override
    public void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.Q2_K.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(w, offset + (long) i * GgmlType.Q2_K.blockBytes(), to, at + i * GgmlType.Q2_K.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        for (int i = 0; i < 4; i++) {
            // 16 bytes serve four parts
            int half = i / 2;
            int side = i % 2;
            for (int k = 0; k < 4; k++) {
                float partScale = w.get(ValueLayout.JAVA_BYTE, block + 8L * half + 2L * k + side) & 15;
                for (int group = 0; group < GROUPS; group++) {
                    IntVector levels = Lanes.unsignedBytes(w, block + LEVELS + 32L * half + 16L * side, group)
                            .lanewise(VectorOperators.LSHR, 2 * k)
                            .and(3);
                    Lanes.toFloats(levels)
                            .mul(FloatVector.broadcast(FLOATS, partScale))
                            .intoArray(to.levels, at + 128 * half + 32 * k + 16 * side + group * WIDTH);
                }
            }
        }
    }
}
