package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 256 (ggml-common.h, block_q2_K): 16 bytes, one per 16 values, with a scale in the low half and a factor of the constant in
 * the high half; 64 bytes of levels; an F16 scale; an F16 constant, taken away. Each half of 128 values has its own 32 bytes of levels:
 * value 32 k + l, k = 0..3, is in byte l from bit 2 k on.
 */
record Q2_K() implements Dequantizer.Blocks {
    private static final int LEVELS = 16;
    private static final int SCALE = 80;
    private static final int CONSTANT = 82;

    @Override
    public GgmlType type() {
        return GgmlType.Q2_K;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        long at = blockOffset + LEVELS + 32L * (index / 4);
        int shift = 2 * (index % 4);
        for (int l = 0; l < 32; l++) {
            int scale = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + 2L * index + l / 16) & 15;
            levels[l] = scale * (bytes.get(ValueLayout.JAVA_BYTE, at + l) >> shift & 3);
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset + SCALE));
    }

    @Override
    public boolean hasConstant() {
        return true;
    }

    @Override
    public float constant(MemorySegment bytes, long blockOffset, int index, int[] factors) {
        for (int l = 0; l < 32; l++) {
            factors[l] = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + 2L * index + l / 16) >> 4 & 15;
        }
        return -Float.float16ToFloat(bytes.get(SHORT, blockOffset + CONSTANT));
    }
}
