package shoal.codec.sim;

import java.util.SplittableRandom;
import java.util.random.RandomGenerator;

/** Derives independent random generators from one seed, by purpose and number, so that one more draw here changes none there. */
public final class Seeds {
    private final long seed;

    public Seeds(long seed) {
        this.seed = seed;
    }

    public long seed() {
        return seed;
    }

    /** The same seed, purpose and index give the same numbers. */
    public RandomGenerator random(String purpose, long index) {
        return new SplittableRandom(derive(seed, mix(purpose.hashCode()) + index));
    }

    /** Seed number index of a family that begins with base. */
    public static long derive(long base, long index) {
        return mix(base + 0x9E3779B97F4A7C15L * (index + 1));
    }

    /** The finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
    private static long mix(long value) {
        long z = (value ^ value >>> 30) * 0xBF58476D1CE4E5B9L;
        z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
        return z ^ z >>> 31;
    }
}
