package shoal.bridge.kernel.device;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;

/** The device that tests run on: the first that there is, or they are skipped. A CPU under PoCL will do. */
public final class Devices {
    private Devices() {}

    /** Kernels on the first device; the caller closes them. */
    public static Kernels open() {
        KernelSettings settings = settings();
        return KernelChoice.of(settings).provider().open(settings);
    }

    /** Those that name the first device. */
    public static KernelSettings settings() {
        List<String> reasons = new ArrayList<>();
        for (KernelProvider provider : KernelChoice.deviceProviders()) {
            switch (provider.readiness()) {
                case KernelProvider.Readiness.Ready() -> {
                    DeviceInfo first = provider.devices().getFirst();
                    return new KernelSettings(first.id(), 1);
                }
                case KernelProvider.Readiness.Missing(String reason, String remedy) ->
                    reasons.add(provider.name() + ": " + reason + ". " + remedy);
            }
        }
        assumeTrue(false, () -> "no device to compute on: " + String.join("; ", reasons));
        throw new AssertionError("assumed before");
    }
}
