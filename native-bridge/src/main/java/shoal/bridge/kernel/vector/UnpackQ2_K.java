package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import jdk.incubator.vector.ShortVector;
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
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int start = at + 128 * half + 16 * side + group * LEVEL_WIDTH;
                ShortVector levels = Lanes.unsignedLevels(w, block + LEVELS + 32L * half + 16L * side, group);
                for (int k = 0; k < 4; k++) {
                    short partScale = (short) (w.get(ValueLayout.JAVA_BYTE, block + 8L * half + 2L * k + side) & 15);
                    levels.lanewise(VectorOperators.LSHR, 2 * k)
                            .and((short) 3)
                            .mul(partScale)
                            .intoArray(to.levels, start + 32 * k);
                }
            }
        }
    }
}
