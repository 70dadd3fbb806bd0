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

    /** The fastest that runs here, or the one that settings name. @throws IllegalArgumentException if that one can't run */
    public static KernelChoice of(KernelSettings settings) {
        List<KernelProvider> providers = new ArrayList<>();
        ServiceLoader.load(KernelProvider.class, KernelProvider.class.getClassLoader())
                .forEach(providers::add);
        return of(settings, providers);
    }

    static KernelChoice of(KernelSettings settings, List<KernelProvider> providers) {
        List<KernelProvider> fastestFirst = providers.stream()
                .sorted(Comparator.comparingInt(KernelProvider::speed).reversed())
                .toList();
        String wanted = settings.provider();
        List<String> faster = new ArrayList<>();
        for (KernelProvider provider : fastestFirst) {
            if (wanted != null && !wanted.equals(provider.name())) {
                continue;
            }
            switch (provider.readiness()) {
                case KernelProvider.Readiness.Ready() -> {
                    return new KernelChoice(
                            provider, wanted != null ? "asked for by name" : "the fastest that runs here", faster);
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

    /** One line for the operator. */
    public String describe() {
        return "kernels: " + provider.name() + " (" + why + ")"
                + (faster.isEmpty() ? "" : "; " + String.join("; ", faster));
    }
}
