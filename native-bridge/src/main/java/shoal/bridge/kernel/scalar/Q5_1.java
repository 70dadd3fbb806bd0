package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 32 (ggml-common.h, block_q5_1): an F16 scale, an F16 constant, 32 bits, 16 bytes; the levels are those of {@link Q5_0}, but
 * nothing is taken away.
 */
record Q5_1() implements Dequantizer.Blocks {
    @Override
    public GgmlType type() {
        return GgmlType.Q5_1;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        int top = bytes.get(INT, blockOffset + 4);
        for (int j = 0; j < 16; j++) {
            int pair = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + 8 + j);
            levels[j] = pair & 15 | (top >>> j & 1) << 4;
            levels[j + 16] = pair >> 4 & 15 | (top >>> j + 16 & 1) << 4;
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
