package shoal.bridge.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;
import shoal.codec.wire.Sampling;
import tools.jackson.databind.JsonNode;

/** Logits and greedy ids of random models equal llama.cpp's, within what the references' README allows. */
class ReferenceModelsTest {
    /** Of the largest logit, for weights and activations in F32 (or weights that are exact in it). */
    private static final double FLOAT_TOLERANCE = 1e-4;

    private static final List<String> FLOAT_FILES = List.of(
            "arch/mixtral.gguf",
            "arch/llama-linear.gguf",
            "arch/llama-mha-bias.gguf",
            "arch/llama31.gguf",
            "arch/qwen3.gguf",
            "arch/gemma2.gguf",
            "arch/starcoder2.gguf",
            "quants/llama-linear-F16.gguf",
            "quants/llama-linear-BF16.gguf");
    private static final List<String> QUANTISED_FILES = List.of(
            "quants/quant128-Q8_0.gguf",
            "quants/quant128-Q4_0.gguf",
            "quants/quant128-Q4_1.gguf",
            "quants/quant128-Q5_0.gguf",
            "quants/quant128-Q5_1.gguf",
            "quants/quant128-IQ4_NL.gguf",
            "quants/quant256-Q2_K.gguf",
            "quants/quant256-Q3_K_M.gguf",
            "quants/quant256-Q4_K_M.gguf",
            "quants/quant256-Q5_K_M.gguf",
            "quants/quant256-Q6_K.gguf",
            "quants/quant256-IQ4_XS.gguf");

    @TestFactory
    Stream<DynamicTest> floatModels() {
        return FLOAT_FILES.stream().map(file -> dynamicTest(file, () -> check(file, false)));
    }

    @TestFactory
    Stream<DynamicTest> quantisedModels() {
        return QUANTISED_FILES.stream().map(file -> dynamicTest(file, () -> check(file, true)));
    }

    private static void check(String file, boolean quantised) throws Exception {
        String folder = file.substring(0, file.indexOf('/'));
        JsonNode model = null;
        for (JsonNode candidate :
                SharedData.json("testdata/" + folder + "/references.json").get("models")) {
            if (candidate.get("file").asString().equals(file.substring(folder.length() + 1))) {
                model = candidate;
            }
        }
        assertTrue(model != null, file);
        KernelSettings settings = KernelSettings.defaults();
        try (Kernels kernels = KernelChoice.of(settings).provider().open(settings);
                ModelFile opened = ModelFile.open(SharedData.file("testdata/" + file));
                LocalGenerator generator = LocalGenerator.open(opened, StageSettings.of(kernels))) {
            List<Integer> ends = new ArrayList<>(generator.tokenizer().endOfGeneration());
            assertEquals(SharedData.list(model.get("eog")), ends);
            for (JsonNode prompt : model.get("prompts")) {
                check(generator, prompt, quantised);
            }
        }
    }

    private static void check(LocalGenerator generator, JsonNode prompt, boolean quantised) {
        String text = prompt.get("prompt").asString();
        JsonNode exact = prompt.get("exact");
        int[] tokens = SharedData.ints(prompt.get("prompt_tokens"));
        assertEquals(
                SharedData.list(prompt.get("prompt_tokens")),
                java.util.Arrays.stream(generator.tokenizer().encode(text, true, true))
                        .boxed()
                        .toList());
        JsonNode expected = exact.get("logits");
        double scale = 0;
        for (JsonNode logit : expected) {
            scale = Math.max(scale, Math.abs(logit.asDouble()));
        }
        double tolerance = quantised ? 3 * prompt.get("llamacpp_max_abs_diff").asDouble() : FLOAT_TOLERANCE * scale;
        float[] logits = generator.logits(tokens);
        assertEquals(expected.size(), logits.length);
        for (int id = 0; id < logits.length; id++) {
            assertEquals(expected.get(id).asDouble(), logits[id], tolerance, text + ": logit of token " + id);
        }
        JsonNode margins = exact.get("margins");
        List<Integer> greedy = SharedData.list(exact.get("greedy"));
        int sure = 0;
        while (sure < greedy.size() && (!quantised || margins.get(sure).asDouble() > tolerance)) {
            sure++;
        }
        assertEquals(
                greedy.subList(0, sure),
                generator
                        .generate(GenerationRequest.of(tokens, sure, Sampling.GREEDY), _ -> {})
                        .tokens(),
                text);
    }
}
