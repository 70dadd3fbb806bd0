package shoal.bridge.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelProvider;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.ffm.NativeProvider;
import shoal.bridge.make.FileType;
import shoal.bridge.make.RandomModel;
import shoal.bridge.make.Recipe;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;
import shoal.codec.wire.Sampling;

/**
 * A decoded token leaves little for the garbage collector: small objects of each layer, nothing as wide as the model or its
 * vocabulary, nothing that grows with the text. With the kernels in C: those of the Vector API make objects until they are compiled.
 */
class AllocationTest {
    private static final int WARM = 50;
    private static final int TOKENS = 100;

    /** Bytes of a token: of the generator and the sampler, and of each layer. */
    private static final int BASE = 12 << 10;

    private static final int PER_LAYER = 4 << 10;

    @TempDir
    Path folder;

    @Test
    void aTokenLeavesLittleBehind() throws IOException {
        var settings = new KernelSettings("native", 1);
        if (new NativeProvider().readiness()
                instanceof KernelProvider.Readiness.Missing(String reason, String remedy)) {
            Assumptions.abort(reason + ". " + remedy);
        }
        var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        Assumptions.assumeTrue(threads.isThreadAllocatedMemorySupported(), "this JVM does not count what it allocates");
        Recipe recipe = Recipe.of("llama-tiny");
        Path file = folder.resolve("model.gguf");
        RandomModel.write(recipe, FileType.Q8_0, false, 7, file, _ -> {});
        try (ModelFile model = ModelFile.open(file);
                Kernels kernels = KernelChoice.of(settings).provider().open(settings);
                LocalGenerator generator = LocalGenerator.open(model, StageSettings.of(kernels))) {
            long[] before = new long[WARM + TOKENS + 1];
            int[] count = new int[1];
            var request = GenerationRequest.of(
                    generator.tokenizer().encode("The sea", false, false), WARM + TOKENS, Sampling.GREEDY);
            generator.generate(request, _ -> before[count[0]++] = threads.getCurrentThreadAllocatedBytes());
            assertEquals(WARM + TOKENS, count[0]);
            double perToken = (before[count[0] - 1] - before[WARM - 1]) / (double) TOKENS;
            int most = BASE + recipe.layers() * PER_LAYER;
            assertTrue(
                    perToken <= most,
                    () -> kernels.name() + ": " + (long) perToken + " bytes a token, allowed are " + most + " with "
                            + recipe.layers() + " layers");
        }
    }
}
