package shoal.bridge.model;

import org.jspecify.annotations.Nullable;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;

/** Reads bounded values of the keys {@code <architecture>.…} of one header. */
public record MetadataKeys(Gguf header, String architecture) {
    private static final float MAX_NUMBER = 1e12f;

    public static MetadataKeys of(Gguf header) {
        return new MetadataKeys(header, header.architecture());
    }

    /** The whole key. */
    public String name(String key) {
        return architecture + "." + key;
    }

    public boolean has(String key) {
        return header.metadata().containsKey(name(key));
    }

    /** @param absent null if the key must be there; need not be within the bounds */
    public int bounded(String key, @Nullable Integer absent, int min, int max) {
        if (absent != null && !has(key)) {
            return absent;
        }
        int value = header.requiredInt(name(key));
        if (value < min || value > max) {
            throw new MalformedException(name(key) + " is " + value + ", allowed " + min + ".." + max);
        }
        return value;
    }

    /** A number above 0. @param absent null if the key must be there; need not be positive */
    public float positive(String key, @Nullable Float absent) {
        if (absent != null && !has(key)) {
            return absent;
        }
        float value = header.requiredFloat(name(key));
        if (!(value > 0) || value > MAX_NUMBER) {
            throw new MalformedException(name(key) + " is " + value + ", allowed are positive numbers up to 1e12");
        }
        return value;
    }

    public @Nullable String text(String key) {
        return header.text(name(key));
    }
}
