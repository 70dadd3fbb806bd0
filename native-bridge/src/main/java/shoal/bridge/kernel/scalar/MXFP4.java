package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 32 (OCP Microscaling Formats 1.0, section 5.2; ggml-common.h, block_mxfp4): a byte e, 16 bytes of E2M1 numbers; value j is the
 * low half of byte j, value j + 16 the high half. Levels are twice those numbers, the scale is half of 2^(e - 127).
 */
public record MXFP4() implements Dequantizer.Blocks {
    /** Twice 0, 0.5, 1, 1.5, 2, 3, 4, 6, then the same below 0. */
    public static final int[] TABLE = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

    @Override
    public GgmlType type() {
        return GgmlType.MXFP4;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        for (int j = 0; j < 16; j++) {
            int pair = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + 1 + j);
            levels[j] = TABLE[pair & 15];
            levels[j + 16] = TABLE[pair >> 4 & 15];
        }
        return scale(bytes.get(ValueLayout.JAVA_BYTE, blockOffset));
    }

    /** 2^(e - 128) for e of 0..255; no NaN for 255, as in ggml. */
    public static float scale(int e) {
        int exponent = e & 255;
        return Float.intBitsToFloat(exponent < 2 ? 0x0020_0000 << exponent : exponent - 1 << 23);
    }
}
