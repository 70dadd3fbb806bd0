package shoal.bridge.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;
import shoal.codec.wire.Sampling;
import tools.jackson.databind.JsonNode;

/** Greedy continuations of the trained models equal llama.cpp's, token for token. */
class StoriesTest {
    @TestFactory
    Stream<DynamicTest> continuesAsLlamaCppDoes() {
        JsonNode models = SharedData.json("models/references.json").get("models");
        return Stream.of(
                        "stories-q8_0.gguf",
                        "stories-f16.gguf",
                        "stories-q4_0.gguf",
                        "stories-q4_k_m.gguf",
                        "stories-q6_k.gguf",
                        "stories-moe-q8_0.gguf")
                .flatMap(file -> Stream.of(CacheType.F32, CacheType.F16)
                        .map(cache -> dynamicTest(file + " " + cache, () -> check(file, cache, models.get(file)))));
    }

    private static void check(String file, CacheType cache, JsonNode cases) throws Exception {
        KernelSettings settings = KernelSettings.defaults();
        try (Kernels kernels = KernelChoice.of(settings).provider().open(settings);
                ModelFile model = ModelFile.open(SharedData.file("models/" + file));
                LocalGenerator generator = LocalGenerator.open(model, new StageSettings(kernels, 512, cache))) {
            assertEquals(12, cases.size());
            for (JsonNode expected : cases) {
                String prompt = expected.get("prompt").asString();
                List<Integer> tokens = SharedData.list(expected.get("tokens"));
                boolean ends = expected.get("stopped").asString().equals("eos");
                StringBuilder streamed = new StringBuilder();
                List<Integer> heard = new ArrayList<>();
                Generation got = generator.generate(prompt, tokens.size() + (ends ? 1 : 0), Sampling.GREEDY, token -> {
                    heard.add(token.id());
                    streamed.append(token.text());
                });
                assertEquals(SharedData.list(expected.get("prompt_tokens")), got.promptTokens(), prompt);
                assertEquals(tokens, got.tokens(), prompt);
                assertEquals(expected.get("text").asString(), got.text(), prompt);
                assertEquals(ends ? Generation.Stop.EOS : Generation.Stop.LENGTH, got.stop(), prompt);
                assertEquals(got.tokens(), heard);
                assertEquals(got.text(), streamed.toString());
            }
        }
    }
}
