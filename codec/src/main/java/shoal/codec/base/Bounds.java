package shoal.codec.base;

/** Checks of a record's own invariants: our mistake, so {@link IllegalArgumentException}, with found and allowed. */
public final class Bounds {
    private Bounds() {}

    /** Returns value if min ≤ value ≤ max. */
    public static long requireRange(String name, long value, long min, long max) {
        if (value < min || value > max) {
            throw new IllegalArgumentException(name + " is " + value + ", allowed " + min + ".." + max);
        }
        return value;
    }

    /** The int form of {@link #requireRange(String, long, long, long)}. */
    public static int requireRange(String name, int value, int min, int max) {
        return (int) requireRange(name, (long) value, min, max);
    }

    /** Refuses text whose UTF-8 form is longer than maxBytes. */
    public static String requireText(String name, String value, int maxBytes) {
        int size = value.getBytes(java.nio.charset.StandardCharsets.UTF_8).length;
        if (size > maxBytes) {
            throw new IllegalArgumentException(name + " has " + size + " bytes, allowed 0.." + maxBytes);
        }
        return value;
    }

    /** @throws IllegalArgumentException naming the bounds if it is outside them, or no number */
    public static void requireBetween(String name, float value, float min, float max) {
        if (!(value >= min && value <= max)) {
            throw new IllegalArgumentException(name + " is " + value + ", allowed " + plain(min) + ".." + plain(max));
        }
    }

    private static String plain(float bound) {
        return bound == (int) bound ? String.valueOf((int) bound) : String.valueOf(bound);
    }
}
