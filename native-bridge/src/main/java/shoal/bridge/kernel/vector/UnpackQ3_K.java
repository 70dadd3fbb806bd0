package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.codec.gguf.GgmlType;

/** Of {@link shoal.bridge.kernel.scalar.Q3_K}. */
final class UnpackQ3_K implements Unpacker {
    private static final int PAIRS = 32;
    private static final int SCALES = 96;
    private static final int SCALE = 108;

    @Override
    public Constants constants() {
        return Constants.NONE;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        int blocks = columns / GgmlType.Q3_K.blockValues();
        for (int i = 0; i < blocks; i++) {
            long block = offset + (long) i * GgmlType.Q3_K.blockBytes();
            int first = part + 8 * i;
            Arrays.fill(to.scales, first, first + 8, Lanes.half(w, block + SCALE));
        }
    }

    @Override
    public void unpackLevels(MemorySegment w, long offset, int columns, UnpackedRows to, int at) {
        int blocks = columns / GgmlType.Q3_K.blockValues();
        for (int i = 0; i < blocks; i++) {
            unpackBlock(w, offset + (long) i * GgmlType.Q3_K.blockBytes(), to, at + i * GgmlType.Q3_K.blockValues());
        }
    }

    private static void unpackBlock(MemorySegment w, long block, UnpackedRows to, int at) {
        for (int i = 0; i < 4; i++) {
            // 16 bytes of pairs serve four parts
            int half = i / 2;
            int side = i % 2;
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int start = at + 128 * half + 16 * side + group * LEVEL_WIDTH;
                ShortVector pairs = Lanes.unsignedLevels(w, block + PAIRS + 32L * half + 16L * side, group);
                ShortVector tops =
                        Lanes.unsignedLevels(w, block + 16L * side, group).lanewise(VectorOperators.LSHR, 4 * half);
                for (int k = 0; k < 4; k++) {
                    ShortVector top = tops.lanewise(VectorOperators.LSHR, k)
                            .and((short) 1)
                            .lanewise(VectorOperators.LSHL, 2);
                    pairs.lanewise(VectorOperators.LSHR, 2 * k)
                            .and((short) 3)
                            .or(top)
                            .sub((short) 4)
                            .mul(partScale(w, block, 8 * half + 2 * k + side))
                            .intoArray(to.levels, start + 32 * k);
                }
            }
        }
    }

    private static short partScale(MemorySegment w, long block, int i) {
        int low = w.get(ValueLayout.JAVA_BYTE, block + SCALES + (i & 7)) >> (i >> 3 << 2) & 15;
        int high = w.get(ValueLayout.JAVA_BYTE, block + SCALES + 8 + (i & 3)) >> 2 * (i >> 2) & 3;
        return (short) ((low | high << 4) - 32);
    }
}
