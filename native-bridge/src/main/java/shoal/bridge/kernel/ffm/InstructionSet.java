package shoal.bridge.kernel.ffm;

import java.util.Locale;

/** What the C kernels were compiled for, in the order of shoal.h, slowest first. */
public enum InstructionSet {
    AVX2,
    AVXVNNI,
    AVX512VNNI,
    /** ARM's, with products of bytes. */
    NEON;

    /** As in the kernels' name, such as {@code native-avx512vnni}. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
