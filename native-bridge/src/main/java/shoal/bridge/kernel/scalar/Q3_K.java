package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 256 (ggml-common.h, block_q3_K): 32 bytes of top bits, 64 bytes of lower pairs of bits, 12 bytes of 16 scales of 6 bits, one
 * per 16 values, an F16 scale. Pairs lie as in {@link Q2_K}; the top bit of value 32 p + l, p = 0..7, is bit p of byte l; 4 is taken
 * away. Scale i has its lower four bits in byte i mod 8, lower half of it for i below 8, and its upper two in byte 8 + i mod 4 from bit
 * 2 (i / 4) on; 32 is taken away.
 */
record Q3_K() implements Dequantizer.Blocks {
    private static final int PAIRS = 32;
    private static final int SCALES = 96;
    private static final int SCALE = 108;

    @Override
    public GgmlType type() {
        return GgmlType.Q3_K;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        long at = blockOffset + PAIRS + 32L * (index / 4);
        int shift = 2 * (index % 4);
        for (int l = 0; l < 32; l++) {
            int pair = bytes.get(ValueLayout.JAVA_BYTE, at + l) >> shift & 3;
            int top = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + l) >> index & 1;
            levels[l] = scale(bytes, blockOffset, 2 * index + l / 16) * ((pair | top << 2) - 4);
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset + SCALE));
    }

    private static int scale(MemorySegment bytes, long blockOffset, int i) {
        int low = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + SCALES + i % 8) >> (i < 8 ? 0 : 4) & 15;
        int high = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + SCALES + 8 + i % 4) >> 2 * (i / 4) & 3;
        return (low | high << 4) - 32;
    }
}
