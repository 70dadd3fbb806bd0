package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 256 (ggml-common.h, block_q5_K): as {@link Q4_K}, but 32 bytes of top bits before the 128: the top bit of value 32 p + l,
 * p = 0..7, is bit p of byte l.
 */
record Q5_K() implements Dequantizer.Blocks {
    private static final int SCALES = 4;
    private static final int TOPS = 16;
    private static final int LEVELS = 48;

    @Override
    public GgmlType type() {
        return GgmlType.Q5_K;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        long at = blockOffset + LEVELS + 32L * (index / 2);
        for (int l = 0; l < 32; l++) {
            int low = bytes.get(ValueLayout.JAVA_BYTE, at + l) >> 4 * (index % 2) & 15;
            int top = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + TOPS + l) >> index & 1;
            levels[l] = low | top << 4;
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset)) * Q4_K.scale(bytes, blockOffset + SCALES, index);
    }

    @Override
    public boolean hasConstant() {
        return true;
    }

    @Override
    public float constant(MemorySegment bytes, long blockOffset, int index, int[] factors) {
        Arrays.fill(factors, 1);
        return -Float.float16ToFloat(bytes.get(SHORT, blockOffset + 2))
                * Q4_K.factor(bytes, blockOffset + SCALES, index);
    }
}
