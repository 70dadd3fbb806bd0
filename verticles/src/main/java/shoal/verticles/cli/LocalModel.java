package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import shoal.bridge.generate.LocalGenerator;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.SplitKernels;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;

/** A whole model opened in this process; owns file, kernels and generator. */
final class LocalModel implements AutoCloseable {
    static final String DEFAULT_CACHE = "f16";

    private final ModelFile file;
    private final Kernels kernels;
    private final LocalGenerator generator;

    private LocalModel(ModelFile file, Kernels kernels, LocalGenerator generator) {
        this.file = file;
        this.kernels = kernels;
        this.generator = generator;
    }

    /** @param kernelName a provider, or null or auto for the fastest; threads 0 for one a core */
    static LocalModel open(Path model, @Nullable String kernelName, int threads) throws IOException {
        return open(model, kernelName, threads, SplitKernels.AS_MANY_AS_FIT, DEFAULT_CACHE, _ -> {});
    }

    /**
     * As above, if a look at the metadata finds nothing against it.
     *
     * @param deviceLayers how many layers devices take, or {@link SplitKernels#AS_MANY_AS_FIT}
     * @param cacheType how keys and values are kept: f32, f16 or q8_0
     * @param check throws if it finds something
     */
    static LocalModel open(
            Path model,
            @Nullable String kernelName,
            int threads,
            int deviceLayers,
            String cacheType,
            Consumer<Gguf> check)
            throws IOException {
        CacheType cache = CacheType.of(cacheType);
        ModelFile file = ModelFile.open(model);
        Kernels kernels = null;
        try {
            check.accept(file.header());
            var settings = new KernelSettings(
                    kernelName == null || kernelName.equals("auto") ? null : kernelName,
                    threads == 0 ? KernelSettings.defaults().threads() : threads,
                    deviceLayers);
            kernels = KernelChoice.open(settings).kernels();
            LocalGenerator generator =
                    LocalGenerator.open(file, new StageSettings(kernels, ModelConfig.MAX_CONTEXT, cache));
            if (!generator.placement().isEmpty()) {
                System.err.println(generator.placement());
            }
            return new LocalModel(file, kernels, generator);
        } catch (RuntimeException failure) {
            if (kernels != null) {
                kernels.close();
            }
            file.close();
            throw failure instanceof MalformedException ? inFile(model, failure) : failure;
        }
    }

    /** The same complaint, naming the file it is about. */
    static MalformedException inFile(Path model, RuntimeException failure) {
        String message = String.valueOf(failure.getMessage());
        String name = model.toString();
        return new MalformedException(message.startsWith(name) ? message : name + ": " + message, failure);
    }

    /** The model's metadata. */
    Gguf header() {
        return file.header();
    }

    LocalGenerator generator() {
        return generator;
    }

    static List<Integer> boxed(int[] values) {
        var list = new ArrayList<Integer>(values.length);
        for (int value : values) {
            list.add(value);
        }
        return list;
    }

    @Override
    public void close() {
        generator.close();
        kernels.close();
        file.close();
    }
}
