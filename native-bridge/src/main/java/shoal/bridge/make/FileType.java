package shoal.bridge.make;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;
import shoal.codec.gguf.GgmlType;

/**
 * What a whole file is called by its types: one type for most matrices, and a rule for the others ({@link Mixture}). Names and
 * numbers are llama.cpp's (llama.h, enum llama_ftype); the number stands in {@code general.file_type}.
 */
public enum FileType {
    F32(0, GgmlType.F32),
    F16(1, GgmlType.F16),
    BF16(32, GgmlType.BF16),
    Q8_0(7, GgmlType.Q8_0),
    Q4_0(2, GgmlType.Q4_0),
    Q4_1(3, GgmlType.Q4_1),
    Q5_0(8, GgmlType.Q5_0),
    Q5_1(9, GgmlType.Q5_1),
    Q2_K(10, GgmlType.Q2_K),
    Q3_K_S(11, GgmlType.Q3_K),
    Q3_K_M(12, GgmlType.Q3_K),
    Q3_K_L(13, GgmlType.Q3_K),
    Q4_K_S(14, GgmlType.Q4_K),
    Q4_K_M(15, GgmlType.Q4_K),
    Q5_K_S(16, GgmlType.Q5_K),
    Q5_K_M(17, GgmlType.Q5_K),
    Q6_K(18, GgmlType.Q6_K),
    IQ4_NL(25, GgmlType.IQ4_NL),
    IQ4_XS(30, GgmlType.IQ4_XS),
    MXFP4(38, GgmlType.MXFP4);

    private final int id;
    private final GgmlType most;

    FileType(int id, GgmlType most) {
        this.id = id;
        this.most = most;
    }

    /** The number in {@code general.file_type}. */
    public int id() {
        return id;
    }

    /** The type of most matrices. */
    public GgmlType most() {
        return most;
    }

    /** Any case. @throws IllegalArgumentException naming those there are */
    public static FileType of(String name) {
        for (FileType type : values()) {
            if (type.name().equals(name.toUpperCase(Locale.ROOT))) {
                return type;
            }
        }
        throw new IllegalArgumentException("type '" + name + "' is not known; there are "
                + Arrays.stream(values()).map(FileType::name).collect(Collectors.joining(", ")));
    }
}
