package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 256 (ggml-common.h, block_q4_K): an F16 scale, an F16 constant that is taken away, 12 bytes of eight scales and eight
 * factors of the constant of 6 bits, one of each per 32 values, 128 bytes. Parts 2 g and 2 g + 1 of 32 values are the low and the high
 * halves of the 32 bytes from 32 g on.
 */
record Q4_K() implements Dequantizer.Blocks {
    private static final int SCALES = 4;
    private static final int LEVELS = 16;

    @Override
    public GgmlType type() {
        return GgmlType.Q4_K;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        long at = blockOffset + LEVELS + 32L * (index / 2);
        for (int l = 0; l < 32; l++) {
            levels[l] = bytes.get(ValueLayout.JAVA_BYTE, at + l) >> 4 * (index % 2) & 15;
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset)) * scale(bytes, blockOffset + SCALES, index);
    }

    @Override
    public boolean hasConstant() {
        return true;
    }

    @Override
    public float constant(MemorySegment bytes, long blockOffset, int index, int[] factors) {
        Arrays.fill(factors, 1);
        return -Float.float16ToFloat(bytes.get(SHORT, blockOffset + 2)) * factor(bytes, blockOffset + SCALES, index);
    }

    /**
     * Scale i of the 12 bytes: for i below 4 the lower six bits of byte i; above, the lower half of byte i + 4, and the upper two bits
     * of byte i - 4 on top.
     */
    static int scale(MemorySegment bytes, long scales, int i) {
        return i < 4
                ? bytes.get(ValueLayout.JAVA_BYTE, scales + i) & 63
                : bytes.get(ValueLayout.JAVA_BYTE, scales + i + 4) & 15
                        | (bytes.get(ValueLayout.JAVA_BYTE, scales + i - 4) >> 6 & 3) << 4;
    }

    /**
     * Factor i of the 12 bytes: for i below 4 the lower six bits of byte i + 4; above, the upper half of byte i + 4, and the upper two
     * bits of byte i on top.
     */
    static int factor(MemorySegment bytes, long scales, int i) {
        return i < 4
                ? bytes.get(ValueLayout.JAVA_BYTE, scales + i + 4) & 63
                : bytes.get(ValueLayout.JAVA_BYTE, scales + i + 4) >> 4 & 15
                        | (bytes.get(ValueLayout.JAVA_BYTE, scales + i) >> 6 & 3) << 4;
    }
}
