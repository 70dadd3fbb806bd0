package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 32 (ggml-common.h, block_q5_0): an F16 scale, 32 bits, 16 bytes; value j has the low half of byte j, value j + 16 the high
 * half, and bit j of the 32 (bit 0 is lowest) on top; 16 is taken away.
 */
record Q5_0() implements Dequantizer.Blocks {
    @Override
    public GgmlType type() {
        return GgmlType.Q5_0;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        int top = bytes.get(INT, blockOffset + 2);
        for (int j = 0; j < 16; j++) {
            int pair = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + 6 + j);
            levels[j] = (pair & 15 | (top >>> j & 1) << 4) - 16;
            levels[j + 16] = (pair >> 4 & 15 | (top >>> j + 16 & 1) << 4) - 16;
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset));
    }
}
