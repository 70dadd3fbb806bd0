package shoal.bridge.kernel;

/** How keys and values are kept. Attention reads them back as F32 and computes in F32. */
public enum CacheType {
    F32,
    /** Rounded to the nearest half. */
    F16,
    /** Per 32 values of a head an F16 scale, max|x| / 127, and levels rounded as {@link Kernels} says of activations. */
    Q8_0;

    /** Values of a head that share a scale. */
    public static final int BLOCK = 32;

    /** Bytes that one head's key, or its value, takes per position. */
    public long headBytes(int headSize) {
        return switch (this) {
            case F32 -> (long) Float.BYTES * headSize;
            case F16 -> (long) Short.BYTES * headSize;
            case Q8_0 -> (long) headSize / BLOCK * (Short.BYTES + BLOCK);
        };
    }

    /** @throws IllegalArgumentException naming those that there are */
    public static CacheType of(String name) {
        for (CacheType type : values()) {
            if (type.name().equalsIgnoreCase(name)) {
                return type;
            }
        }
        throw new IllegalArgumentException("cache type " + name + " is not known; there are f32, f16, q8_0");
    }
}
