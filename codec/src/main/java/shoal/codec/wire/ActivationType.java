package shoal.codec.wire;

import shoal.codec.base.MalformedException;

/** How activations are written on the wire, little-endian. */
public enum ActivationType {
    /** 4 bytes a value: exact, for proofs. */
    F32(0),
    /** IEEE half precision: 2 bytes a value. */
    F16(1),
    /** Blocks of 32 values of a row: an F16 scale, then 32 levels of a byte each (GGML's Q8_0). Rows must have whole blocks. */
    Q8_0(2);

    /** Values that share a scale. */
    public static final int BLOCK = 32;

    private final int number;

    ActivationType(int number) {
        this.number = number;
    }

    public int number() {
        return number;
    }

    /** @param values of whole rows */
    public int sizeBytes(int values) {
        return switch (this) {
            case F32 -> Math.multiplyExact(4, values);
            case F16 -> Math.multiplyExact(2, values);
            case Q8_0 -> Math.multiplyExact(2 + BLOCK, values / BLOCK);
        };
    }

    /** Whether rows of so many values can be written so. */
    public boolean fits(int hiddenSize) {
        return this != Q8_0 || hiddenSize % BLOCK == 0;
    }

    public static ActivationType ofNumber(long number) {
        for (ActivationType type : values()) {
            if (type.number == number) {
                return type;
            }
        }
        throw new MalformedException("activation type is " + number + ", allowed 0..2");
    }
}
