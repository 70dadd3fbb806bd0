package shoal.bridge.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.text.WordTokenizer;
import shoal.codec.wire.Sampling;

/** Drafts, stop texts, shifts and kept contexts change how long it takes, and not a bit of what comes out. */
class DraftTest {
    private static final String REPETITIVE =
            "Once upon a time, there was a little cat. The little cat had a ball. The little cat liked the ball. The little cat";

    private Kernels kernels;

    @BeforeEach
    void open() {
        var settings = new KernelSettings(null, 2);
        kernels = KernelChoice.of(settings).provider().open(settings);
    }

    @AfterEach
    void close() {
        kernels.close();
    }

    private static Map<String, Sampling> samplings() {
        Map<String, Sampling> all = new LinkedHashMap<>();
        var warm = new Sampling(0.8f, 40, 0.95f, 0.02f, 7);
        all.put("greedy", Sampling.GREEDY);
        all.put("warm", warm);
        all.put("penalties", warm.withPenalties(new Sampling.Penalties(64, 1.1f, 0.1f, 0.1f)));
        all.put(
                "DRY and XTC",
                warm.withDry(new Sampling.Dry(0.8f, 1.75f, 2, -1, List.of("\n")))
                        .withXtc(new Sampling.Xtc(0.3f, 0.1f)));
        all.put("mirostat", warm.withMirostat(new Sampling.Mirostat(3, 0.1f)));
        all.put("grammar", warm.withGrammar("root ::= ([a-zA-Z ,]+ [.!\\n])+"));
        return all;
    }

    private static List<Object> run(LocalGenerator generator, Sampling sampling, Drafter drafter, int[] counts) {
        List<Object> heard = new ArrayList<>();
        var request = GenerationRequest.of(
                        generator.tokenizer().encode(REPETITIVE, true, true), 60, sampling.withLogprobs(2))
                .withDrafter(drafter);
        Generation generation = generator.generate(request, heard::add);
        counts[0] += generation.drafted();
        counts[1] += generation.accepted();
        heard.add(generation.text());
        heard.add(generation.stop());
        return heard;
    }

    @Test
    void draftsChangeNothing() throws IOException {
        int[] byLookup = new int[2];
        int[] byModel = new int[2];
        try (ModelFile file = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                ModelFile small = ModelFile.open(SharedData.file("models/stories-q4_0.gguf"));
                LocalGenerator generator = LocalGenerator.open(file, StageSettings.of(kernels), 2, 7);
                LocalGenerator draft = LocalGenerator.open(small, StageSettings.of(kernels))) {
            samplings().forEach((name, sampling) -> {
                List<Object> plain = run(generator, sampling, null, new int[2]);
                assertEquals(plain, run(generator, sampling, new PromptLookup(), byLookup), name + " by lookup");
                try (var drafter = new ModelDrafter(draft, generator.tokenizer(), sampling)) {
                    assertEquals(plain, run(generator, sampling, drafter, byModel), name + " by a model");
                }
                Drafter wrong = (_, most) -> new int[Math.min(most, 3)];
                assertEquals(plain, run(generator, sampling, wrong, new int[2]), name + " by a fool");
            });
        }
        assertTrue(byLookup[1] > 10, byLookup[1] + " of " + byLookup[0] + " looked up were right");
        assertTrue(byModel[1] > byModel[0] / 2, byModel[1] + " of " + byModel[0] + " drafted were right");
    }

    @Test
    void anotherVocabularyIsRefused() throws IOException {
        try (ModelFile file = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                LocalGenerator generator = LocalGenerator.open(file, StageSettings.of(kernels))) {
            var refused = assertThrows(
                    IllegalArgumentException.class,
                    () -> new ModelDrafter(generator, WordTokenizer.of("a", "b"), Sampling.GREEDY));
            assertEquals(
                    "the draft model's vocabulary has " + generator.tokenizer().size()
                            + " tokens, the model's has 3; a draft model needs the same vocabulary",
                    refused.getMessage());
        }
    }

    @Test
    void stopTextsAreNeverShown() throws IOException {
        try (ModelFile file = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                LocalGenerator generator = LocalGenerator.open(file, StageSettings.of(kernels))) {
            int[] prompt = generator.tokenizer().encode("Once upon a time", true, true);
            String whole = generator
                    .generate(GenerationRequest.of(prompt, 60, Sampling.GREEDY), _ -> {})
                    .text();
            for (int from = 5; from < whole.length() - 4; from += 7) {
                String stop = whole.substring(from, from + 4);
                var shown = new StringBuilder();
                Generation stopped = generator.generate(
                        GenerationRequest.of(prompt, 60, Sampling.GREEDY).withStop(List.of(stop)),
                        token -> shown.append(token.text()));
                assertEquals(whole.substring(0, whole.indexOf(stop)), stopped.text());
                assertEquals(stopped.text(), shown.toString());
                assertEquals(Generation.Stop.STOP, stopped.stop());
            }
        }
    }

    @Test
    void aKeptContextChangesNothing() throws IOException {
        try (ModelFile file = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                LocalGenerator generator = LocalGenerator.open(file, StageSettings.of(kernels));
                LocalGenerator.Context context = generator.openContext()) {
            for (String prompt :
                    List.of("Once upon a time", "Once upon a time, a cat", "Once", "Once upon a time", "The")) {
                var request =
                        GenerationRequest.of(generator.tokenizer().encode(prompt, true, true), 12, Sampling.GREEDY);
                assertEquals(
                        generator.generate(request, _ -> {}), generator.generate(request, context, _ -> {}), prompt);
            }
        }
    }

    @Test
    void aFullContextIsAnErrorOrShifts() throws IOException {
        try (ModelFile file = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                LocalGenerator generator = LocalGenerator.open(file, new StageSettings(kernels, 32))) {
            assertEquals(32, generator.contextLength());
            int[] prompt = generator.tokenizer().encode("Once upon a time, there was a", true, true);
            var request = GenerationRequest.of(
                    prompt,
                    100,
                    Sampling.GREEDY.withLogitBias(generator.tokenizer().endOfGeneration().stream()
                            .map(id -> new Sampling.Bias(id, Float.NEGATIVE_INFINITY))
                            .toList()));
            var refused = assertThrows(IllegalArgumentException.class, () -> generator.generate(request, _ -> {}));
            assertTrue(
                    refused.getMessage().contains("100 new ones are " + (prompt.length + 100))
                            && refused.getMessage().contains("context length is 32"),
                    refused.getMessage());
            Generation shifted = generator.generate(request.withContextShift(true), _ -> {});
            assertEquals(100, shifted.tokens().size());
            Generation drafted =
                    generator.generate(request.withContextShift(true).withDrafter(new PromptLookup()), _ -> {});
            assertEquals(shifted.tokens(), drafted.tokens(), "with drafts");
            // by hand: what is seen behind the first shift is the first token and the later half of the others
            int room = 32 - prompt.length;
            List<Integer> window = new ArrayList<>();
            for (int id : prompt) {
                window.add(id);
            }
            window.addAll(shifted.tokens().subList(0, room));
            List<Integer> kept = new ArrayList<>(List.of(window.getFirst()));
            kept.addAll(window.subList(1 + 16, 32));
            int[] seen = kept.stream().mapToInt(Integer::intValue).toArray();
            Generation next = generator.generate(GenerationRequest.of(seen, 5, request.sampling()), _ -> {});
            assertEquals(shifted.tokens().subList(room, room + 5), next.tokens());
        }
    }
}
