package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 256 (ggml-common.h, block_iq4_xs): an F16 scale, 16 bits and 4 bytes of eight scales of 6 bits, one per 32 values, 128 bytes
 * that hold the parts of 32 values one after another as {@link IQ4_NL} does. Scale i has its lower four bits in byte i / 2, in the lower
 * half for even i, and its upper two in the 16 bits from bit 2 i on; 32 is taken away.
 */
record IQ4_XS() implements Dequantizer.Blocks {
    private static final int HIGH_SCALES = 2;
    private static final int LOW_SCALES = 4;
    private static final int LEVELS = 8;

    @Override
    public GgmlType type() {
        return GgmlType.IQ4_XS;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        for (int j = 0; j < 16; j++) {
            int pair = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + LEVELS + 16L * index + j);
            levels[j] = IQ4_NL.TABLE[pair & 15];
            levels[j + 16] = IQ4_NL.TABLE[pair >> 4 & 15];
        }
        int low = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + LOW_SCALES + index / 2) >> 4 * (index % 2) & 15;
        int high = bytes.get(SHORT, blockOffset + HIGH_SCALES) >> 2 * index & 3;
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset)) * ((low | high << 4) - 32);
    }
}
