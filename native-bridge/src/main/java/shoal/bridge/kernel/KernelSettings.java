package shoal.bridge.kernel;

import java.util.Locale;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Bounds;

/**
 * What a user may say about kernels.
 *
 * @param provider a provider's name, or null for the fastest that runs here
 * @param threads computing threads, the caller's included
 */
public record KernelSettings(@Nullable String provider, int threads) {
    public static final int MAX_THREADS = 1_024;

    public KernelSettings {
        Bounds.requireRange("threads", threads, 1, MAX_THREADS);
        provider = provider == null ? null : provider.toLowerCase(Locale.ROOT);
    }

    /** The fastest provider, one thread per core. */
    public static KernelSettings defaults() {
        return new KernelSettings(
                null, Math.min(MAX_THREADS, Runtime.getRuntime().availableProcessors()));
    }
}
