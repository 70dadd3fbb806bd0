package shoal.codec.wire;

import shoal.codec.base.MalformedException;

/** How activations are written on the wire, little-endian. */
public enum ActivationType {
    /** 4 bytes a value: exact, for proofs. */
    F32(0),
    /** IEEE half precision: 2 bytes a value. */
    F16(1);

    private final int number;

    ActivationType(int number) {
        this.number = number;
    }

    public int number() {
        return number;
    }

    public int sizeBytes(int values) {
        return switch (this) {
            case F32 -> Math.multiplyExact(4, values);
            case F16 -> Math.multiplyExact(2, values);
        };
    }

    public static ActivationType ofNumber(long number) {
        for (ActivationType type : values()) {
            if (type.number == number) {
                return type;
            }
        }
        throw new MalformedException("activation type is " + number + ", allowed 0..1");
    }
}
