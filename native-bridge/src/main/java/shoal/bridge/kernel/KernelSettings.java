package shoal.bridge.kernel;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Bounds;

/**
 * What a user may say about kernels.
 *
 * @param provider a provider's name, with the number of one of its devices if it has some ({@code opencl:0}), or several such with
 *     commas between them; {@code cpu} for the fastest without a device; or null for the fastest that runs here
 * @param threads computing threads, the caller's included
 * @param deviceLayers of a stage that its devices take together, at most; or {@link SplitKernels#AS_MANY_AS_FIT}
 */
public record KernelSettings(@Nullable String provider, int threads, int deviceLayers) {
    public static final int MAX_THREADS = 1_024;

    /** Devices that one process computes on. */
    public static final int MAX_DEVICES = 16;

    public KernelSettings {
        Bounds.requireRange("threads", threads, 1, MAX_THREADS);
        Bounds.requireRange("layers on devices", deviceLayers, SplitKernels.AS_MANY_AS_FIT, Integer.MAX_VALUE);
        provider = provider == null ? null : provider.toLowerCase(Locale.ROOT);
    }

    /** As many layers on devices as fit. */
    public KernelSettings(@Nullable String provider, int threads) {
        this(provider, threads, SplitKernels.AS_MANY_AS_FIT);
    }

    /** @throws IllegalArgumentException if it is neither {@code auto} nor a number */
    public static int deviceLayers(String text) {
        if (text.equals("auto")) {
            return SplitKernels.AS_MANY_AS_FIT;
        }
        if (!text.matches("[0-9]{1,5}")) {
            throw new IllegalArgumentException(
                    "layers on devices are auto or a number of at most five digits; given is " + text);
        }
        return Integer.parseInt(text);
    }

    /** One for each provider that is named. */
    List<KernelSettings> each() {
        if (provider == null) {
            return List.of(this);
        }
        List<KernelSettings> each = Arrays.stream(provider.split(",", -1))
                .map(name -> new KernelSettings(name, threads, deviceLayers))
                .toList();
        if (each.size() > MAX_DEVICES || Set.copyOf(each).size() < each.size()) {
            throw new IllegalArgumentException(
                    "devices are at most " + MAX_DEVICES + ", each named once; given are " + provider);
        }
        return each;
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
        boolean all = new KernelSettings(device, 1)
                .each().stream().allMatch(one -> Objects.equals(named, one.providerName()));
        if (named != null && !all && !named.equals(device)) {
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
