package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 32 (ggml-common.h, block_q4_1): an F16 scale, an F16 constant, 16 bytes; value j has the low half of byte j, value j + 16
 * the high half.
 */
record Q4_1() implements Dequantizer.Blocks {
    @Override
    public GgmlType type() {
        return GgmlType.Q4_1;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        for (int j = 0; j < 16; j++) {
            int pair = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + 4 + j);
            levels[j] = pair & 15;
            levels[j + 16] = pair >> 4 & 15;
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset));
    }

    @Override
    public boolean hasConstant() {
        return true;
    }

    @Override
    public float constant(MemorySegment bytes, long blockOffset, int index, int[] factors) {
        Arrays.fill(factors, 1);
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset + 2));
    }
}
