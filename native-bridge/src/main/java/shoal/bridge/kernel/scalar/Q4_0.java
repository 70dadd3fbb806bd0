package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.gguf.GgmlType;

/** Blocks of 32: an F16 scale, 16 bytes; value j is the low half of byte j less 8, value j + 16 the high half (block_q4_0). */
record Q4_0() implements Dequantizer.Blocks {
    @Override
    public GgmlType type() {
        return GgmlType.Q4_0;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        for (int j = 0; j < 16; j++) {
            int pair = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + 2 + j);
            levels[j] = (pair & 15) - 8;
            levels[j + 16] = (pair >> 4 & 15) - 8;
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset));
    }
}
