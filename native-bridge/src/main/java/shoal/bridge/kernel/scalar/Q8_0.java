package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.gguf.GgmlType;

/** Blocks of 32: an F16 scale, 32 signed bytes (ggml-common.h, block_q8_0). */
record Q8_0() implements Dequantizer.Blocks {
    @Override
    public GgmlType type() {
        return GgmlType.Q8_0;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        for (int i = 0; i < 32; i++) {
            levels[i] = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + 2 + i);
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset));
    }
}
