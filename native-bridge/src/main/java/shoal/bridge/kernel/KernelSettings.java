package shoal.bridge.kernel;

import java.util.Locale;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Bounds;

/**
 * What a user may say about kernels.
 *
 * @param provider a provider's name, with the number of one of its devices if it has some ({@code opencl:0}); {@code cpu} for the
 *     fastest without a device; or null for the fastest that runs here
 * @param threads computing threads, the caller's included
 */
public record KernelSettings(@Nullable String provider, int threads) {
    public static final int MAX_THREADS = 1_024;

    public KernelSettings {
        Bounds.requireRange("threads", threads, 1, MAX_THREADS);
        provider = provider == null ? null : provider.toLowerCase(Locale.ROOT);
    }

    /** The word {@link #provider} that asks for kernels without a device. */
    public static final String CPU = "cpu";

    /**
     * The provider that a user means who names kernels and a device, each of which may be null or {@code auto}.
     *
     * @throws IllegalArgumentException if these kernels don't run on that device
     */
    public static @Nullable String providerFor(@Nullable String kernels, @Nullable String device) {
        String named = kernels == null || kernels.equals("auto") ? null : kernels;
        if (device == null || device.equals("auto")) {
            return named;
        }
        if (device.equals(CPU)) {
            boolean onDevice = named != null
                    && KernelChoice.deviceProviders().stream()
                            .anyMatch(provider -> provider.name().equals(new KernelSettings(named, 1).providerName()));
            if (onDevice) {
                throw new IllegalArgumentException(
                        named + " kernels don't run on device cpu; leave one of the two out");
            }
            return named == null ? CPU : named;
        }
        if (named != null && !named.equals(new KernelSettings(device, 1).providerName()) && !named.equals(device)) {
            throw new IllegalArgumentException(
                    named + " kernels don't run on device " + device + "; leave one of the two out");
        }
        return device;
    }

    /** The provider's name alone. */
    public @Nullable String providerName() {
        return provider == null || provider.indexOf(':') < 0 ? provider : provider.substring(0, provider.indexOf(':'));
    }

    /** The number after the provider's name, 0 without one. */
    public int deviceIndex() {
        if (provider == null || provider.indexOf(':') < 0) {
            return 0;
        }
        String number = provider.substring(provider.indexOf(':') + 1);
        if (!number.matches("[0-9]{1,3}")) {
            throw new IllegalArgumentException(
                    "a device is named as opencl:0, with a number of at most three digits; given is " + provider);
        }
        return Integer.parseInt(number);
    }

    /** The fastest provider, one thread per core. */
    public static KernelSettings defaults() {
        return new KernelSettings(
                null, Math.min(MAX_THREADS, Runtime.getRuntime().availableProcessors()));
    }
}
