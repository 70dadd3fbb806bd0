package shoal.bridge.kernel.vector;

import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.host.HostKernels;

/** The Vector API. This class itself names none of it, so that it loads where the module is absent. */
public final class VectorProvider implements KernelProvider {
    @Override
    public String name() {
        return "vector";
    }

    @Override
    public int speed() {
        return 10;
    }

    @Override
    public Readiness readiness() {
        if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
            return new Readiness.Missing(
                    "the JVM was started without the vector module",
                    "Start java with --add-modules jdk.incubator.vector");
        }
        return VectorStart.readiness();
    }

    @Override
    public Kernels open(KernelSettings settings) {
        return VectorStart.open(settings);
    }

    /** Touches the module; loaded once it is known to be there. */
    private static final class VectorStart {
        static Readiness readiness() {
            try {
                int bits = VectorOperations.vectorBits();
                return bits >= 128
                        ? new Readiness.Ready()
                        : new Readiness.Missing(
                                "this CPU's vectors have " + bits + " bits, at least 128 are needed",
                                "Nothing can be done on this machine");
            } catch (LinkageError unusable) {
                return new Readiness.Missing(
                        "the vector module does not start (" + unusable + ")", "Use a JDK 25 that has it whole");
            }
        }

        static Kernels open(KernelSettings settings) {
            return new HostKernels(
                    "vector-" + VectorOperations.vectorBits(), new VectorOperations(), settings.threads());
        }
    }
}
