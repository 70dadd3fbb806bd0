package shoal.bridge.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.TopLogits;
import shoal.bridge.kernel.device.Devices;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.sampling.SampledToken;
import shoal.bridge.model.sampling.Sampler;
import shoal.bridge.model.sampling.TokenHistory;
import shoal.codec.base.LayerRange;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import tools.jackson.databind.JsonNode;

/** Whole models on a device: the ids that the CPU and llama.cpp give, whatever the chunks and stages. */
class DeviceModelsTest {
    private static final String PROMPT =
            "Once upon a time, a little girl named Mina lived in a small town. Mina wanted to";

    /** Of the twelve prompts that the references have; the rest would say the same, slowly, where the device is a CPU. */
    private static final int PROMPTS = 6;

    private Kernels kernels;

    @BeforeEach
    void open() {
        kernels = Devices.open();
    }

    @AfterEach
    void close() {
        if (kernels != null) {
            kernels.close();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"stories-q8_0.gguf", "stories-q4_k_m.gguf", "stories-f16.gguf", "stories-moe-q8_0.gguf"})
    void continuesAsTheCpuDoes(String file) throws Exception {
        JsonNode cases = SharedData.json("models/references.json").get("models").get(file);
        try (ModelFile model = ModelFile.open(SharedData.file("models/" + file));
                LocalGenerator generator = LocalGenerator.open(model, StageSettings.of(kernels))) {
            for (int i = 0; i < PROMPTS; i++) {
                JsonNode expected = cases.get(i);
                List<Integer> tokens = SharedData.list(expected.get("tokens"));
                Generation got =
                        generator.generate(expected.get("prompt").asString(), tokens.size(), Sampling.GREEDY, _ -> {});
                assertEquals(tokens, got.tokens(), expected.get("prompt").asString());
            }
        }
    }

    /** Log probabilities need all logits; without them the device picks, behind drafts too. */
    @ParameterizedTest
    @ValueSource(floats = {0, 0.8f})
    void picksWhatAllLogitsWouldGive(float temperature) throws Exception {
        var sampling = new Sampling(temperature, 40, 0.95f, 0.02f, 7);
        try (ModelFile model = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                LocalGenerator generator = LocalGenerator.open(model, StageSettings.of(kernels))) {
            int[] prompt = generator.tokenizer().encode("The little cat had a ball. The little", true, true);
            var all = GenerationRequest.of(prompt, 40, sampling.withLogprobs(1));
            var picked = GenerationRequest.of(prompt, 40, sampling).withDrafter(new PromptLookup());
            Generation drafted = generator.generate(picked, _ -> {});
            assertEquals(generator.generate(all, _ -> {}).tokens(), drafted.tokens());
            assertTrue(drafted.drafted() > 0);
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 3", "4, 1000", "3, 1"})
    void stagesAndChunksChangeNothing(int stages, int chunk) throws Exception {
        for (String name : List.of("stories-q8_0.gguf", "stories-moe-q8_0.gguf")) {
            try (ModelFile model = ModelFile.open(SharedData.file("models/" + name))) {
                assertArrayEquals(logits(model, 1, 1000), logits(model, stages, chunk), name);
            }
        }
    }

    /** A stage that is shared between a device and the CPU. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3, 1_000})
    void layersLeftToTheCpuGiveItsTokens(int layers) throws Exception {
        KernelSettings device = Devices.settings();
        JsonNode expected = SharedData.json("models/references.json")
                .get("models")
                .get("stories-q8_0.gguf")
                .get(0);
        List<Integer> tokens = SharedData.list(expected.get("tokens"));
        try (ModelFile model = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                Kernels shared = KernelChoice.open(new KernelSettings(device.provider(), 1, layers))
                        .kernels();
                LocalGenerator generator = LocalGenerator.open(model, StageSettings.of(shared))) {
            Generation got =
                    generator.generate(expected.get("prompt").asString(), tokens.size(), Sampling.GREEDY, _ -> {});
            assertEquals(tokens, got.tokens());
            assertEquals(layers == 1 || layers == 3, generator.placement().contains(" on " + device.provider()));
        }
    }

    private float[] logits(ModelFile model, int stages, int chunk) {
        try (LocalGenerator generator = LocalGenerator.open(model, StageSettings.of(kernels), stages, chunk)) {
            return generator.logits(generator.tokenizer().encode(PROMPT, true, true));
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "arch/mixtral.gguf",
                "arch/llama31.gguf",
                "arch/qwen3.gguf",
                "arch/gemma2.gguf",
                "arch/starcoder2.gguf",
                "quants/quant128-Q4_0.gguf",
                "quants/quant256-Q4_K_M.gguf",
                "quants/quant256-Q6_K.gguf"
            })
    void logitsAreTheReferences(String file) throws Exception {
        boolean quantised = file.startsWith("quants/");
        String folder = file.substring(0, file.indexOf('/'));
        JsonNode model = null;
        for (JsonNode candidate :
                SharedData.json("testdata/" + folder + "/references.json").get("models")) {
            if (candidate.get("file").asString().equals(file.substring(folder.length() + 1))) {
                model = candidate;
            }
        }
        assertTrue(model != null, file);
        try (ModelFile opened = ModelFile.open(SharedData.file("testdata/" + file));
                LocalGenerator generator = LocalGenerator.open(opened, StageSettings.of(kernels))) {
            JsonNode prompt = model.get("prompts").get(0);
            JsonNode expected = prompt.get("exact").get("logits");
            double scale = 0;
            for (JsonNode logit : expected) {
                scale = Math.max(scale, Math.abs(logit.asDouble()));
            }
            double tolerance =
                    quantised ? 3 * prompt.get("llamacpp_max_abs_diff").asDouble() : 1e-4 * scale;
            float[] logits = generator.logits(SharedData.ints(prompt.get("prompt_tokens")));
            assertEquals(expected.size(), logits.length);
            for (int id = 0; id < logits.length; id++) {
                assertEquals(expected.get(id).asDouble(), logits[id], tolerance, "logit of token " + id);
            }
        }
    }

    /** Greedy, and of the 40 likeliest by chance: from logits that the device picked, and from all of them. */
    @ParameterizedTest
    @ValueSource(ints = {0, 40})
    void tokensOfPickedLogitsAreThoseOfAll(int topK) throws Exception {
        try (ModelFile model = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                Stage stage = Architectures.open(
                        model,
                        new LayerRange(0, Architectures.config(model.header()).layers() - 1),
                        StageSettings.of(kernels))) {
            Sampler sampler = Sampler.of(topK == 0 ? Sampling.GREEDY : new Sampling(0.9f, topK, 0.95f, 0, 5));
            int picks = sampler.deciding();
            assertEquals(Math.max(1, topK), picks);
            assertEquals(generated(stage, sampler, 0), generated(stage, sampler, picks));
        }
    }

    private static List<Integer> generated(Stage stage, Sampler sampler, int picks) {
        var tokens = new ArrayList<>(List.of(1, 300, 25));
        SamplingState state = SamplingState.START;
        try (SequenceMemory sequence = stage.openSequence()) {
            while (tokens.size() < 40) {
                int[] ids = tokens.stream()
                        .skip(sequence.length())
                        .mapToInt(Integer::intValue)
                        .toArray();
                var batch = new Batch(
                        List.of(new Batch.Slice(sequence, sequence.length(), ids.length, Batch.Wanted.LAST, picks)),
                        new Batch.Input.Tokens(ids));
                MemorySegment output = MemorySegment.ofArray(new float[(int) (stage.outputBytes(batch) / 4)]);
                stage.run(batch, output);
                SampledToken sampled = picks == 0
                        ? sampler.sample(
                                output.toArray(ValueLayout.JAVA_FLOAT), tokens.size(), new TokenHistory(0), state)
                        : sampler.sample(TopLogits.read(output, 0, picks), tokens.size(), state);
                state = sampled.next();
                tokens.add(sampled.id());
            }
        }
        return tokens;
    }
}
