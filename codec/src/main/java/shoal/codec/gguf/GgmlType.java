package shoal.codec.gguf;

import org.jspecify.annotations.Nullable;

/**
 * How ggml stores a tensor's values: in blocks of blockValues values, each block blockBytes bytes (ggml.h, enum ggml_type;
 * ggml-common.h, the block_* structures). Ids that ggml has removed (4, 5, 31..33, 36..38) are not here.
 */
public enum GgmlType {
    F32(0, 1, 4),
    F16(1, 1, 2),
    Q4_0(2, 32, 18),
    Q4_1(3, 32, 20),
    Q5_0(6, 32, 22),
    Q5_1(7, 32, 24),
    Q8_0(8, 32, 34),
    Q8_1(9, 32, 36),
    Q2_K(10, 256, 84),
    Q3_K(11, 256, 110),
    Q4_K(12, 256, 144),
    Q5_K(13, 256, 176),
    Q6_K(14, 256, 210),
    Q8_K(15, 256, 292),
    IQ2_XXS(16, 256, 66),
    IQ2_XS(17, 256, 74),
    IQ3_XXS(18, 256, 98),
    IQ1_S(19, 256, 50),
    IQ4_NL(20, 32, 18),
    IQ3_S(21, 256, 110),
    IQ2_S(22, 256, 82),
    IQ4_XS(23, 256, 136),
    I8(24, 1, 1),
    I16(25, 1, 2),
    I32(26, 1, 4),
    I64(27, 1, 8),
    F64(28, 1, 8),
    IQ1_M(29, 256, 56),
    BF16(30, 1, 2),
    TQ1_0(34, 256, 54),
    TQ2_0(35, 256, 66),
    MXFP4(39, 32, 17),
    NVFP4(40, 64, 36),
    Q1_0(41, 128, 18),
    Q2_0(42, 64, 18);

    private static final @Nullable GgmlType[] BY_ID = new @Nullable GgmlType[43];

    static {
        for (GgmlType type : values()) {
            BY_ID[type.id] = type;
        }
    }

    private final int id;
    private final int blockValues;
    private final int blockBytes;

    GgmlType(int id, int blockValues, int blockBytes) {
        this.id = id;
        this.blockValues = blockValues;
        this.blockBytes = blockBytes;
    }

    /** The number that stands in a file. */
    public int id() {
        return id;
    }

    public int blockValues() {
        return blockValues;
    }

    public int blockBytes() {
        return blockBytes;
    }

    /** The type with this number, null where ggml has none. */
    public static @Nullable GgmlType fromId(int id) {
        return id < 0 || id >= BY_ID.length ? null : BY_ID[id];
    }

    /**
     * Bytes that so many values take.
     *
     * @throws IllegalArgumentException unless values is a whole number of blocks
     * @throws ArithmeticException past 2^63 - 1 bytes
     */
    public long sizeBytes(long values) {
        if (values < 0 || values % blockValues != 0) {
            throw new IllegalArgumentException(
                    name() + " stores blocks of " + blockValues + " values, " + values + " is no multiple");
        }
        return Math.multiplyExact(values / blockValues, blockBytes);
    }
}
