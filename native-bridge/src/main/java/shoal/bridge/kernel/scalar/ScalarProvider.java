package shoal.bridge.kernel.scalar;

import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.host.HostKernels;

/** Plain Java: runs everywhere. */
public final class ScalarProvider implements KernelProvider {
    @Override
    public String name() {
        return "scalar";
    }

    @Override
    public int speed() {
        return 1;
    }

    @Override
    public Readiness readiness() {
        return new Readiness.Ready();
    }

    @Override
    public Kernels open(KernelSettings settings) {
        return new HostKernels(name(), new ScalarOperations(), settings.threads());
    }
}
