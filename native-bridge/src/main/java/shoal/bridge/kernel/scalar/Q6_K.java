package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 256 (ggml-common.h, block_q6_K): 128 bytes of low halves, 64 bytes of upper pairs of bits, 16 signed scales of 16 values
 * each, an F16 scale. Each half of 128 values has its own 64 low bytes and 32 upper bytes: value 32 k + l, k = 0..3, has its low bits
 * in byte l + 32 (k mod 2), lower half of it for k below 2, and its upper bits in byte l from bit 2 k on; 32 is taken away.
 */
record Q6_K() implements Dequantizer.Blocks {
    private static final int HIGH = 128;
    private static final int SCALES = 192;
    private static final int SCALE = 208;

    @Override
    public GgmlType type() {
        return GgmlType.Q6_K;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        int half = index / 4;
        int k = index % 4;
        long low = blockOffset + 64L * half + 32L * (k % 2);
        long high = blockOffset + HIGH + 32L * half;
        for (int l = 0; l < 32; l++) {
            int lowBits = bytes.get(ValueLayout.JAVA_BYTE, low + l) >> (k < 2 ? 0 : 4) & 15;
            int highBits = bytes.get(ValueLayout.JAVA_BYTE, high + l) >> 2 * k & 3;
            int scale = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + SCALES + 8L * half + 2L * k + l / 16);
            levels[l] = scale * ((lowBits | highBits << 4) - 32);
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset + SCALE));
    }
}
