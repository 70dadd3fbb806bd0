package shoal.bridge.kernel.vector;

import static shoal.bridge.kernel.vector.Lanes.LEVEL_GROUPS;
import static shoal.bridge.kernel.vector.Lanes.LEVEL_WIDTH;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import shoal.bridge.kernel.SumOrder;
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
    public boolean scalesHalves() {
        return true;
    }

    @Override
    public int largestLevel() {
        return 32;
    }

    @Override
    public void unpackScales(MemorySegment w, long offset, int columns, UnpackedRows to, int part) {
        int blocks = columns / GgmlType.Q6_K.blockValues();
        for (int i = 0; i < blocks; i++) {
            long block = offset + (long) i * GgmlType.Q6_K.blockBytes();
            int first = part + 8 * i;
            Arrays.fill(to.scales, first, first + 8, Lanes.half(w, block + SCALE));
            for (int k = 0; k < 16; k++) {
                to.halfScales[2 * first + k] = w.get(ValueLayout.JAVA_BYTE, block + SCALES + k);
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
            // 16 bytes of upper bits serve four parts, as do twice 16 of lower ones
            int half = i / 2;
            int side = i % 2 * SumOrder.LANES;
            for (int group = 0; group < LEVEL_GROUPS; group++) {
                int start = at + 128 * half + side + group * LEVEL_WIDTH;
                ShortVector first = Lanes.unsignedLevels(w, block + 64L * half + side, group);
                ShortVector second = Lanes.unsignedLevels(w, block + 64L * half + 32 + side, group);
                ShortVector top = Lanes.unsignedLevels(w, block + HIGH + 32L * half + side, group);
                level(first.and((short) 15), top.lanewise(VectorOperators.LSHL, 4))
                        .intoArray(to.levels, start);
                level(second.and((short) 15), top.lanewise(VectorOperators.LSHL, 2))
                        .intoArray(to.levels, start + 32);
                level(first.lanewise(VectorOperators.LSHR, 4), top).intoArray(to.levels, start + 64);
                level(second.lanewise(VectorOperators.LSHR, 4), top.lanewise(VectorOperators.LSHR, 2))
                        .intoArray(to.levels, start + 96);
            }
        }
    }

    private static ShortVector level(ShortVector low, ShortVector top) {
        return low.or(top.and((short) 0x30)).sub((short) 32);
    }
}
