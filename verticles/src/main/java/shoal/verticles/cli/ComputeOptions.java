package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import shoal.bridge.kernel.KernelSettings;

/** With what a whole model computes in this process, as options. */
final class ComputeOptions {
    @Option(
            names = "--cache-type",
            paramLabel = "TYPE",
            defaultValue = LocalModel.DEFAULT_CACHE,
            description = "How keys and values are kept: f32, f16 or q8_0 (default ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String cacheType;

    @Option(names = "--kernels", paramLabel = "NAME", description = "auto, native, vector, scalar, opencl or cuda.")
    private @Nullable String kernels;

    @Option(
            names = "--device",
            paramLabel = "NAME",
            description = "auto, cpu, or one that doctor lists, such as opencl:0; several with commas between them.")
    private @Nullable String device;

    @Option(
            names = "--device-layers",
            paramLabel = "N",
            defaultValue = "auto",
            description = "How many layers the device takes, the CPU the rest; auto for as many as fit.")
    @SuppressWarnings("NullAway.Init")
    private String deviceLayers;

    @Option(
            names = "--threads",
            defaultValue = "0",
            paramLabel = "N",
            description = "Computing threads, 0 for one a core.")
    private int threads;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private MemoryOptions memoryOptions;

    /** Opens a model if there is memory for it and so many positions; the cache grows only as it is used. */
    LocalModel open(Path model, long positions) throws IOException {
        return LocalModel.open(
                model,
                provider(),
                threads,
                KernelSettings.deviceLayers(deviceLayers),
                cacheType,
                memoryOptions.wholeModel(positions, cacheType));
    }

    /** The kernels by name, or null for the fastest. */
    @Nullable String provider() {
        return KernelSettings.providerFor(kernels, device);
    }

    int threads() {
        return threads;
    }
}
