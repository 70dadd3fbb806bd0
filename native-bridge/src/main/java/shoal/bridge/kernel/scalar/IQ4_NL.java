package shoal.bridge.kernel.scalar;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import shoal.codec.gguf.GgmlType;

/**
 * Blocks of 32 (ggml-common.h, block_iq4_nl): an F16 scale, 16 bytes; value j is a table's entry at the low half of byte j, value
 * j + 16 that at the high half.
 */
public record IQ4_NL() implements Dequantizer.Blocks {
    /** ggml-common.h, kvalues_iq4nl. */
    public static final int[] TABLE = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

    @Override
    public GgmlType type() {
        return GgmlType.IQ4_NL;
    }

    @Override
    public float unpack(MemorySegment bytes, long blockOffset, int index, int[] levels) {
        for (int j = 0; j < 16; j++) {
            int pair = bytes.get(ValueLayout.JAVA_BYTE, blockOffset + 2 + j);
            levels[j] = TABLE[pair & 15];
            levels[j + 16] = TABLE[pair >> 4 & 15];
        }
        return Float.float16ToFloat(bytes.get(SHORT, blockOffset));
    }
}
