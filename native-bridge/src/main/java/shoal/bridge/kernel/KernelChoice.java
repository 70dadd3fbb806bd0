package shoal.bridge.kernel;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.ServiceLoader;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Which provider runs the kernels.
 *
 * @param why one clause for the log
 * @param faster per faster provider that can't run here: why, and what to do about it
 */
public record KernelChoice(KernelProvider provider, String why, List<String> faster) {
    public KernelChoice {
        faster = List.copyOf(faster);
    }

    /** The fastest that runs here, or the one that settings name. @throws IllegalArgumentException if that one can't run */
    public static KernelChoice of(KernelSettings settings) {
        List<KernelProvider> providers = new ArrayList<>();
        ServiceLoader.load(KernelProvider.class, KernelProvider.class.getClassLoader())
                .forEach(providers::add);
        return of(settings, providers);
    }

    /**
     * Opens what settings name. Where that is a device, or several, layers that do not fit there are left to the fastest kernels of the
     * CPU.
     *
     * @throws IllegalArgumentException if a device can't be used
     */
    public static Kernels open(KernelSettings settings) {
        List<KernelSettings> each = settings.each();
        List<KernelChoice> choices = each.stream().map(KernelChoice::of).toList();
        if (each.size() == 1 && !choices.getFirst().provider().runsOnDevices()) {
            String named = each.getFirst().provider();
            if (named != null && named.indexOf(':') >= 0) {
                throw new IllegalArgumentException(each.getFirst().providerName()
                        + " has no devices to be numbered; leave out the colon and what follows it, given is " + named);
            }
            return choices.getFirst().provider().open(settings);
        }
        List<SplitKernels.Share> shares = new ArrayList<>();
        try {
            int left = settings.deviceLayers();
            for (int i = 0; i < each.size(); i++) {
                if (!choices.get(i).provider().runsOnDevices()) {
                    throw new IllegalArgumentException(each.get(i).provider() + " is no device; name devices alone");
                }
                int layers = left == SplitKernels.AS_MANY_AS_FIT ? left : Math.ceilDiv(left, each.size() - i);
                left = left == SplitKernels.AS_MANY_AS_FIT ? left : left - layers;
                shares.add(new SplitKernels.Share(choices.get(i).provider().open(each.get(i)), layers));
            }
            var processor = new KernelSettings(KernelSettings.CPU, settings.threads());
            shares.add(new SplitKernels.Share(of(processor).provider().open(processor), SplitKernels.AS_MANY_AS_FIT));
            return new SplitKernels(shares);
        } catch (RuntimeException failure) {
            shares.forEach(share -> share.kernels().close());
            throw failure;
        }
    }

    /** The name of the provider that settings lead to; of several devices the first one's. */
    public static String name(KernelSettings settings) {
        return of(settings.each().getFirst()).provider().name();
    }

    static KernelChoice of(KernelSettings settings, List<KernelProvider> providers) {
        List<KernelProvider> fastestFirst = providers.stream()
                .sorted(Comparator.comparingInt(KernelProvider::speed).reversed())
                .toList();
        String wanted = settings.providerName();
        boolean any = wanted == null || wanted.equals(KernelSettings.CPU);
        List<String> faster = new ArrayList<>();
        for (KernelProvider provider : fastestFirst) {
            if (any ? !takenByItself(provider, wanted) : !provider.name().equals(wanted)) {
                continue;
            }
            switch (provider.readiness()) {
                case KernelProvider.Readiness.Ready() -> {
                    return new KernelChoice(provider, any ? "the fastest that runs here" : "asked for by name", faster);
                }
                case KernelProvider.Readiness.Missing(String reason, String remedy) ->
                    faster.add(provider.name() + " kernels can't run: " + reason + ". " + remedy);
            }
        }
        throw new IllegalArgumentException(
                faster.isEmpty()
                        ? "there are no '" + wanted + "' kernels; there are "
                                + providers.stream().map(KernelProvider::name).collect(Collectors.joining(", "))
                        : String.join("; ", faster));
    }

    /** Kernels of the CPU, and those of a device that is none. */
    private static boolean takenByItself(KernelProvider provider, @Nullable String wanted) {
        if (!provider.runsOnDevices()) {
            return true;
        }
        return wanted == null
                && provider.takenByItself()
                && provider.devices().stream().anyMatch(device -> !device.processor());
    }

    /** A device's {@link Kernels#copiedBytesPerSecond}, measured now; 0 if that fails. */
    public static double measured(KernelProvider provider, DeviceInfo device) {
        try (Kernels kernels = provider.open(new KernelSettings(device.id(), 1))) {
            return kernels.copiedBytesPerSecond();
        } catch (RuntimeException unusable) {
            return 0;
        }
    }

    /** The kernels that compute on devices, the fastest first, whether they can run or not. */
    public static List<KernelProvider> deviceProviders() {
        return ServiceLoader.load(KernelProvider.class, KernelProvider.class.getClassLoader()).stream()
                .map(ServiceLoader.Provider::get)
                .filter(KernelProvider::runsOnDevices)
                .sorted(Comparator.comparingInt(KernelProvider::speed).reversed())
                .toList();
    }

    /** One line for the operator. */
    public String describe() {
        return "kernels: " + provider.name() + " (" + why + ")"
                + (faster.isEmpty() ? "" : "; " + String.join("; ", faster));
    }
}
