package shoal.bridge.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;

/** Against llama.cpp v0.5.0: llama-perplexity -m stories-f16.gguf -f README.md -c 128 -b 128 -ctk f32 -ctv f32 -fa off. */
class PerplexityTest {
    private static final double THEIRS = 5126.9703;
    private static final double THEIR_ERROR = 683.44884;
    private static final int THEIR_CHUNKS = 37;

    @Test
    void isThatOfLlamaCpp() throws Exception {
        String text = Files.readString(SharedData.file("models/README.md"));
        var settings = new KernelSettings(null, 1);
        try (ModelFile file = ModelFile.open(SharedData.file("models/stories-f16.gguf"));
                Kernels kernels = KernelChoice.of(settings).provider().open(settings)) {
            var stage = StageSettings.of(kernels);
            List<Perplexity.Estimate> running = new ArrayList<>();
            var found = Perplexity.of(file, stage, text, 128, Integer.MAX_VALUE, running::add);
            assertEquals(THEIR_CHUNKS, found.chunks());
            assertEquals(THEIR_CHUNKS * 63, found.tokens());
            assertEquals(THEIRS, found.value(), 2e-3 * THEIRS); // they round activations to F16
            assertEquals(THEIR_ERROR, found.error(), 2e-3 * THEIR_ERROR);
            assertEquals(THEIR_CHUNKS, running.size());
            var two = Perplexity.of(file, stage, text, 128, 2, _ -> {});
            assertEquals(running.get(1).value(), two.value());
            assertEquals(2, two.allChunks());
            assertTrue(refusal(file, stage, "Too short", 128).contains("needs 256 or more"));
            assertTrue(refusal(file, stage, text, 1024).contains("allowed 4..512"));
        }
    }

    private static String refusal(ModelFile file, StageSettings settings, String text, int context) {
        return String.valueOf(assertThrows(
                        IllegalArgumentException.class, () -> Perplexity.of(file, settings, text, context, 1, _ -> {}))
                .getMessage());
    }
}
