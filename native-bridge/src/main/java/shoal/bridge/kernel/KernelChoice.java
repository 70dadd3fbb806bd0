package shoal.bridge.kernel;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.ServiceLoader;
import java.util.stream.Collectors;

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

    /** The CPU's fastest that run here, or those that settings name. @throws IllegalArgumentException if that one can't run */
    public static KernelChoice of(KernelSettings settings) {
        List<KernelProvider> providers = new ArrayList<>();
        ServiceLoader.load(KernelProvider.class, KernelProvider.class.getClassLoader())
                .forEach(providers::add);
        return of(settings, providers);
    }

    /**
     * Kernels that run, which their user closes.
     *
     * @param provider the name of whoever brings them; of several devices the first one's
     * @param why one clause for the log
     */
    public record Opened(Kernels kernels, String provider, String why) {}

    /**
     * Opens what settings name; where they name nothing, the first GPU that multiplies as the CPU does and in clearly less time, or else
     * the CPU's fastest kernels. Layers that do not fit on devices are left to these.
     *
     * @throws IllegalArgumentException if what is named can't be used
     */
    public static Opened open(KernelSettings settings) {
        return settings.provider() == null
                ? openAny(settings, deviceProviders(), new DeviceTrial(System::nanoTime))
                : openNamed(settings);
    }

    static Opened openAny(KernelSettings settings, List<KernelProvider> deviceProviders, DeviceTrial trial) {
        KernelSettings onCpu = new KernelSettings(KernelSettings.CPU, settings.threads());
        KernelChoice choice = of(onCpu);
        Kernels processor = choice.provider().open(onCpu);
        List<String> refused = new ArrayList<>();
        try {
            for (KernelProvider provider : deviceProviders) {
                if (!(provider.readiness() instanceof KernelProvider.Readiness.Ready)) {
                    continue;
                }
                for (DeviceInfo device : provider.devices()) {
                    if (device.processor()) {
                        continue;
                    }
                    Kernels opened = null;
                    String why;
                    try {
                        opened = provider.open(new KernelSettings(device.id(), settings.threads()));
                        DeviceTrial.Verdict verdict = trial.compare(opened, processor);
                        if (verdict.taken()) {
                            var shares = List.of(
                                    new SplitKernels.Share(opened, settings.deviceLayers()),
                                    new SplitKernels.Share(processor, SplitKernels.AS_MANY_AS_FIT));
                            return new Opened(
                                    new SplitKernels(shares), provider.name(), device.id() + ", " + verdict.why());
                        }
                        why = verdict.why();
                    } catch (RuntimeException failure) {
                        why = String.valueOf(failure.getMessage());
                    }
                    if (opened != null) {
                        opened.close();
                    }
                    refused.add(device.id() + " is not used: " + why);
                }
            }
        } catch (RuntimeException failure) {
            processor.close();
            throw failure;
        }
        refused.addFirst(choice.why());
        return new Opened(processor, choice.provider().name(), String.join("; ", refused));
    }

    private static Opened openNamed(KernelSettings settings) {
        List<KernelSettings> each = settings.each();
        List<KernelChoice> choices = each.stream().map(KernelChoice::of).toList();
        KernelChoice first = choices.getFirst();
        if (each.size() == 1 && !first.provider().runsOnDevices()) {
            String named = each.getFirst().provider();
            if (named != null && named.indexOf(':') >= 0) {
                throw new IllegalArgumentException(each.getFirst().providerName()
                        + " has no devices to be numbered; leave out the colon and what follows it, given is " + named);
            }
            return new Opened(first.provider().open(settings), first.provider().name(), first.why());
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
            return new Opened(new SplitKernels(shares), first.provider().name(), first.why());
        } catch (RuntimeException failure) {
            shares.forEach(share -> share.kernels().close());
            throw failure;
        }
    }

    static KernelChoice of(KernelSettings settings, List<KernelProvider> providers) {
        List<KernelProvider> fastestFirst = providers.stream()
                .sorted(Comparator.comparingInt(KernelProvider::speed).reversed())
                .toList();
        String wanted = settings.providerName();
        boolean any = wanted == null || wanted.equals(KernelSettings.CPU);
        List<String> faster = new ArrayList<>();
        for (KernelProvider provider : fastestFirst) {
            if (any ? provider.runsOnDevices() : !provider.name().equals(wanted)) {
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
