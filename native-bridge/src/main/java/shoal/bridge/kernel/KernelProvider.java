package shoal.bridge.kernel;

import java.util.List;

/** Found by {@link java.util.ServiceLoader}; its class must load anywhere, even where its kernels can't run. */
public interface KernelProvider {
    /** One word, as a user would name it: {@code scalar}, {@code vector}, {@code native}. */
    String name();

    /** Higher is faster; the highest that is ready is taken. */
    int speed();

    /** Whether the kernels run here. Does not throw. */
    Readiness readiness();

    /** Whether they compute on devices with a driver of their own, which may be none: then nobody misses them. */
    default boolean runsOnDevices() {
        return false;
    }

    /** The devices that they can run on, in the order of their numbers; empty for kernels of the CPU. Does not throw. */
    default List<DeviceInfo> devices() {
        return List.of();
    }

    /** Starts the kernels; the caller closes them. */
    Kernels open(KernelSettings settings);

    /** Whether a provider can run. */
    sealed interface Readiness {
        record Ready() implements Readiness {}

        /** @param reason why not; @param remedy what would change it, such as a JVM flag */
        record Missing(String reason, String remedy) implements Readiness {}
    }
}
