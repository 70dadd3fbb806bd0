package shoal.bridge.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.TensorSource;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufWriter;
import shoal.codec.gguf.MetadataValue;
import shoal.codec.gguf.TensorInfo;

/** How the work is cut changes no bit: stages, chunks, threads, kernels, neighbours in a batch. */
class InvarianceTest {
    private static final String PROMPT =
            "Once upon a time, a little girl named Mina lived in a small town. Mina wanted to";

    private Kernels kernels;

    @BeforeEach
    void open() {
        kernels = open(null, 2);
    }

    @AfterEach
    void close() {
        kernels.close();
    }

    private static Kernels open(String provider, int threads) {
        KernelSettings settings = new KernelSettings(provider, threads);
        return KernelChoice.of(settings).provider().open(settings);
    }

    private static ModelFile model(String name) throws IOException {
        return ModelFile.open(SharedData.file("models/" + name));
    }

    private static float[] logits(ModelFile model, Kernels kernels, int stages, int chunk) {
        return logits(model, StageSettings.of(kernels), stages, chunk);
    }

    private static float[] logits(ModelFile model, StageSettings settings, int stages, int chunk) {
        try (LocalGenerator generator = LocalGenerator.open(model, settings, stages, chunk)) {
            return generator.logits(generator.tokenizer().encode(PROMPT, true, true));
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 3", "2, 1000", "4, 7", "8, 1000"})
    void stagesAndChunksChangeNothing(int stages, int chunk) throws IOException {
        for (String name : List.of("stories-q8_0.gguf", "stories-moe-q8_0.gguf", "stories-f16.gguf")) {
            try (ModelFile model = model(name)) {
                assertArrayEquals(logits(model, kernels, 1, 1000), logits(model, kernels, stages, chunk), name);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(CacheType.class)
    void cutsChangeNothingWithAnyCache(CacheType type) throws IOException {
        try (ModelFile model = model("stories-q4_0.gguf");
                Kernels scalar = open("scalar", 1)) {
            float[] expected = logits(model, settings(scalar, type), 1, 1000);
            assertArrayEquals(expected, logits(model, settings(kernels, type), 1, 1000));
            assertArrayEquals(expected, logits(model, settings(kernels, type), 3, 5));
            if (type != CacheType.F32) {
                assertFalse(
                        Arrays.equals(expected, logits(model, settings(kernels, CacheType.F32), 1, 1000)),
                        "rounded keys and values show");
            }
        }
    }

    private static StageSettings settings(Kernels kernels, CacheType type) {
        return new StageSettings(kernels, 512, type);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void aSplitSetIsTheModel(int number) throws IOException {
        try (ModelFile whole = model("stories-q4_0.gguf");
                ModelFile set = ModelFile.open(
                        SharedData.file("testdata/split/stories-q4_0-0000" + number + "-of-00002.gguf"))) {
            assertArrayEquals(logits(whole, kernels, 1, 1000), logits(set, kernels, 3, 1000));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 5})
    void threadsChangeNothing(int threads) throws IOException {
        try (ModelFile model = model("stories-q8_0.gguf");
                Kernels other = open(null, threads)) {
            assertArrayEquals(logits(model, kernels, 1, 1000), logits(model, other, 1, 1000));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"stories-q8_0.gguf", "stories-q4_0.gguf", "stories-moe-q8_0.gguf", "stories-f16.gguf"})
    void theOracleAgrees(String name) throws IOException {
        try (ModelFile model = model(name);
                Kernels vector = open("vector", 2);
                Kernels scalar = open("scalar", 2)) {
            assertArrayEquals(logits(model, scalar, 1, 16), logits(model, vector, 1, 1000));
        }
    }

    @Test
    void neighboursInABatchChangeNothing() throws IOException {
        int[][] prompts = {{1, 521, 408, 806}, {1, 960, 960, 264, 934, 413, 274}, {1, 302}};
        try (ModelFile model = model("stories-q8_0.gguf");
                Stage stage = Architectures.open(model, new LayerRange(0, 7), StageSettings.of(kernels))) {
            int width = stage.outputWidth();
            float[] together = new float[(4 + 7 + 1) * width];
            try (SequenceMemory a = stage.openSequence();
                    SequenceMemory b = stage.openSequence();
                    SequenceMemory c = stage.openSequence()) {
                Batch batch = new Batch(
                        List.of(
                                new Batch.Slice(a, 0, 4, Batch.Wanted.ALL),
                                new Batch.Slice(b, 0, 7, Batch.Wanted.ALL),
                                new Batch.Slice(c, 0, 2, Batch.Wanted.LAST)),
                        new Batch.Input.Tokens(new int[] {1, 521, 408, 806, 1, 960, 960, 264, 934, 413, 274, 1, 302}));
                stage.run(batch, MemorySegment.ofArray(together));
            }
            int at = 0;
            for (int[] prompt : prompts) {
                Batch.Wanted wanted = prompt.length == 2 ? Batch.Wanted.LAST : Batch.Wanted.ALL;
                try (SequenceMemory sequence = stage.openSequence()) {
                    Batch batch = Batch.ofTokens(sequence, 0, prompt, wanted);
                    float[] alone = new float[batch.wantedCount() * width];
                    stage.run(batch, MemorySegment.ofArray(alone));
                    assertArrayEquals(alone, Arrays.copyOfRange(together, at, at + alone.length));
                    at += alone.length;
                }
            }
        }
    }

    @Test
    void replayedPositionsReplaceOldOnes() throws IOException {
        int[] tokens = {1, 521, 408, 806, 615, 979, 261, 608, 778, 777, 266, 972, 13, 999, 365, 994, 494, 318, 264};
        try (ModelFile model = model("stories-q8_0.gguf");
                Stage stage = Architectures.open(model, new LayerRange(0, 7), StageSettings.of(kernels));
                SequenceMemory sequence = stage.openSequence()) {
            float[] first = new float[stage.outputWidth()];
            stage.run(Batch.ofTokens(sequence, 0, tokens, Batch.Wanted.LAST), MemorySegment.ofArray(first));
            float[] other = new float[stage.outputWidth()];
            stage.run(
                    Batch.ofTokens(sequence, 3, new int[] {5, 6, 7, 8}, Batch.Wanted.LAST),
                    MemorySegment.ofArray(other));
            assertEquals(7, sequence.length());
            sequence.truncate(3);
            float[] again = new float[stage.outputWidth()];
            stage.run(
                    Batch.ofTokens(sequence, 3, Arrays.copyOfRange(tokens, 3, tokens.length), Batch.Wanted.LAST),
                    MemorySegment.ofArray(again));
            assertArrayEquals(first, again);
            assertThrows(
                    IllegalArgumentException.class,
                    () -> stage.run(
                            Batch.ofTokens(sequence, 30, new int[] {1}, Batch.Wanted.LAST),
                            MemorySegment.ofArray(again)),
                    "a gap");
        }
    }

    @Test
    void refusesWhatDoesNotFit() throws IOException {
        try (ModelFile model = model("stories-q8_0.gguf")) {
            MalformedException beyond = assertThrows(
                    MalformedException.class,
                    () -> Architectures.open(model, new LayerRange(4, 8), StageSettings.of(kernels)));
            assertEquals("layers 4-8 are asked for, the model has 0-7", beyond.getMessage());
            try (LocalGenerator generator = LocalGenerator.open(model, StageSettings.of(kernels))) {
                IllegalArgumentException tooLong =
                        assertThrows(IllegalArgumentException.class, () -> generator.logits(new int[513]));
                assertTrue(tooLong.getMessage().contains("513"), tooLong.getMessage());
                assertTrue(tooLong.getMessage().contains("512"), tooLong.getMessage());
                assertThrows(IllegalArgumentException.class, () -> generator.logits(new int[] {1024}));
            }
            long parts = 0;
            for (LayerRange part : List.of(new LayerRange(0, 2), new LayerRange(3, 3), new LayerRange(4, 7))) {
                parts += Architectures.memory(model.header(), part, CacheType.F32)
                        .weightsBytes();
            }
            long all = model.header().tensors().stream()
                    .mapToLong(tensor -> tensor.sizeBytes())
                    .sum();
            assertEquals(all, parts, "each tensor of an untied model is needed once");
            assertEquals(
                    all,
                    Architectures.memory(model.header(), new LayerRange(0, 7), CacheType.F32)
                            .weightsBytes());
            assertEquals(
                    2 * 4 * 4 * 32 * 3,
                    Architectures.memory(model.header(), new LayerRange(2, 4), CacheType.F32)
                            .cacheBytesPerToken());
        }
    }

    @Test
    void namesUnsupportedArchitectures() throws IOException {
        try (ModelFile model = ModelFile.open(SharedData.file("testdata/vocab/ggml-vocab-falcon.gguf"))) {
            MalformedException refused =
                    assertThrows(MalformedException.class, () -> LocalGenerator.open(model, StageSettings.of(kernels)));
            assertTrue(
                    refused.getMessage().startsWith("architecture falcon is not supported; supported are llama"),
                    refused.getMessage());
        }
    }

    @Test
    void namesUnsupportedTypesAndTokenizers() throws IOException {
        try (ModelFile model = model("stories-f16.gguf")) {
            List<TensorInfo> tensors = model.header().tensors().stream()
                    .map(tensor -> tensor.name().equals("blk.3.attn_k.weight")
                            ? new TensorInfo(tensor.name(), tensor.dimensions(), GgmlType.I8, 0)
                            : tensor)
                    .toList();
            assertRefused(
                    changed(
                            model,
                            GgufWriter.write(model.header().metadata(), tensors).gguf()),
                    "tensor blk.3.attn_k.weight has type I8, which is not supported; supported are F32");
            SequencedMap<String, MetadataValue> metadata =
                    new LinkedHashMap<>(model.header().metadata());
            metadata.put("tokenizer.ggml.model", new MetadataValue.Text("rwkv"));
            assertRefused(
                    changed(
                            model,
                            GgufWriter.write(metadata, model.header().tensors()).gguf()),
                    "tokenizer model rwkv is not supported; supported are llama");
        }
    }

    private void assertRefused(TensorSource source, String message) {
        MalformedException refused =
                assertThrows(MalformedException.class, () -> LocalGenerator.open(source, StageSettings.of(kernels)));
        assertTrue(refused.getMessage().startsWith(message), refused.getMessage());
    }

    /** Another header for the same tensors. */
    private static TensorSource changed(ModelFile model, Gguf header) {
        return new TensorSource() {
            @Override
            public Gguf header() {
                return header;
            }

            @Override
            public MemorySegment tensor(TensorInfo tensor) {
                return model.tensor(tensor);
            }
        };
    }
}
