package shoal.bridge.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.library.NativeLibrary;
import shoal.bridge.make.FileType;
import shoal.bridge.make.RandomModel;
import shoal.bridge.make.Recipe;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufReader;
import shoal.codec.gguf.GgufWriter;
import shoal.codec.gguf.MetadataValue;
import shoal.codec.gguf.TensorInfo;

/** A header that lies is refused by name before anything is computed or allocated for it. */
class HostileModelTest {
    /** Numbers that a key is changed to in the header of a real model, and what the refusal says. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "llama.block_count | 0 | llama.block_count is 0, allowed 1..65536",
                "llama.block_count | 2000000000 | llama.block_count is 2000000000, allowed 1..65536",
                "llama.block_count | 9 | tensor blk.8.attn_norm.weight is missing",
                "llama.embedding_length | 1000000000 | llama.embedding_length is 1000000000, allowed",
                "llama.embedding_length | 512 | tensor token_embd.weight has shape [256, 1024], expected [512, 1024]",
                "llama.attention.head_count | 0 | llama.attention.head_count is 0, allowed 1..4096",
                "llama.attention.head_count | 7 | llama.attention.head_count is 7, no multiple of",
                "llama.attention.head_count | 4 | tensor blk.0.attn_k.weight has shape [256, 128], expected [256, 256]",
                "llama.attention.head_count_kv | 3 | llama.attention.head_count is 8, no multiple of",
                "llama.attention.head_count_kv | 9 | llama.attention.head_count_kv is 9, allowed 1..8",
                "llama.rope.dimension_count | 31 | llama.rope.dimension_count is 31, allowed are even numbers",
                "llama.rope.dimension_count | 34 | llama.rope.dimension_count is 34, allowed 0..32",
                "llama.feed_forward_length | 511 | tensor blk.0.ffn_gate.weight has shape [256, 512], expected [256, 511]",
                "llama.context_length | 0 | llama.context_length is 0, allowed 1..",
                "llama.attention.layer_norm_rms_epsilon | -1 | is NaN, allowed are positive numbers",
            })
    void refusesWrongNumbers(String key, int value, String message) throws Exception {
        byte[] bytes = Files.readAllBytes(SharedData.file("models/stories-q8_0.gguf"));
        byte[] name = key.getBytes(StandardCharsets.UTF_8);
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(find(bytes, name) + name.length + 4, value);
        assertTrue(refusal(bytes).contains(message), refusal(bytes));
    }

    @Test
    void aTruncatedFileNamesItself(@TempDir Path folder) throws Exception {
        byte[] bytes = Files.readAllBytes(SharedData.file("models/stories-q8_0.gguf"));
        Path file = folder.resolve("cut.gguf");
        Files.write(file, java.util.Arrays.copyOf(bytes, bytes.length / 2));
        MalformedException refused = assertThrows(MalformedException.class, () -> ModelFile.open(file));
        assertTrue(refused.getMessage().startsWith("cut.gguf: tensor blk."), refused.getMessage());
        assertTrue(assertThrows(java.io.IOException.class, () -> ModelFile.open(folder.resolve("none.gguf")))
                .getMessage()
                .endsWith("none.gguf does not exist; check the path"));
        assertTrue(assertThrows(java.io.IOException.class, () -> ModelFile.open(folder))
                .getMessage()
                .contains("is a directory"));
    }

    @Test
    void providersSayWhyAndWhatElse() {
        assertEquals(
                "there are no 'abacus' kernels; there are scalar, vector, opencl, cuda, native",
                assertThrows(IllegalArgumentException.class, () -> KernelChoice.of(new KernelSettings("abacus", 1)))
                        .getMessage());
        KernelChoice choice = KernelChoice.of(KernelSettings.defaults());
        boolean built = NativeLibrary.get() instanceof NativeLibrary.Loaded;
        String fastest = built ? "native" : "vector";
        assertEquals(fastest, choice.provider().name());
        assertTrue(choice.describe().startsWith("kernels: " + fastest + " (the fastest"), choice.describe());
        assertEquals(!built, choice.describe().contains("native kernels can't run: this build has no native library"));
    }

    /** A weight that is no number is found when results are none, and named; one in a vector is found at once. */
    @ParameterizedTest
    @CsvSource({
        "blk.1.ffn_up.weight, 300, NaN, false",
        "blk.2.attn_v.weight, 5, Infinity, false",
        "output.weight, 77, -Infinity, false",
        "blk.0.ffn_norm.weight, 3, NaN, true",
        "output_norm.weight, 0, Infinity, true",
    })
    void namesTheWeightThatIsNoNumber(String name, int at, float value, boolean atOnce, @TempDir Path folder)
            throws Exception {
        Path path = folder.resolve("bad.gguf");
        RandomModel.write(Recipe.of("llama-tiny"), FileType.F32, false, 5, path, _ -> {});
        byte[] bytes = Files.readAllBytes(path);
        Gguf header = GgufReader.read(MemorySegment.ofArray(bytes));
        long offset = header.fileOffset(header.requiredTensor(name)) + 4L * at;
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putFloat((int) offset, value);
        Files.write(path, bytes);
        String said =
                "tensor " + name + " has the value " + value + " at " + at + "; the file is damaged, get it again";
        var settings = new KernelSettings("scalar", 1);
        try (ModelFile file = ModelFile.open(path);
                Kernels kernels = KernelChoice.of(settings).provider().open(settings)) {
            LayerRange all = Architectures.config(header).allLayers();
            if (atOnce) {
                assertEquals(
                        said,
                        assertThrows(
                                        MalformedException.class,
                                        () -> Architectures.open(file, all, StageSettings.of(kernels)))
                                .getMessage());
                return;
            }
            try (Stage stage = Architectures.open(file, all, StageSettings.of(kernels));
                    var sequence = stage.openSequence()) {
                Batch batch = Batch.ofTokens(sequence, 0, new int[] {1, 2, 300}, Batch.Wanted.LAST);
                MemorySegment out = MemorySegment.ofArray(new float[stage.outputWidth()]);
                assertEquals(
                        said,
                        assertThrows(MalformedException.class, () -> stage.run(batch, out))
                                .getMessage());
            }
        }
    }

    @Test
    void activationsThatAreNoNumbersAreNotBlamedOnTheWeights(@TempDir Path folder) throws Exception {
        Path path = folder.resolve("model.gguf");
        RandomModel.write(Recipe.of("llama-tiny"), FileType.Q8_0, false, 5, path, _ -> {});
        var settings = new KernelSettings("scalar", 1);
        try (ModelFile file = ModelFile.open(path);
                Kernels kernels = KernelChoice.of(settings).provider().open(settings);
                Stage stage = Architectures.open(file, new LayerRange(1, 2), StageSettings.of(kernels));
                var sequence = stage.openSequence()) {
            float[] given = new float[stage.config().hidden()];
            MemorySegment out = MemorySegment.ofArray(new float[stage.outputWidth()]);
            Batch batch = Batch.ofActivations(sequence, 0, 1, MemorySegment.ofArray(given), Batch.Wanted.LAST);
            stage.run(batch, out);
            given[7] = Float.NaN;
            String said = assertThrows(MalformedException.class, () -> stage.run(batch, out))
                    .getMessage();
            assertTrue(said.startsWith("what layers 1-2 were given"), said);
        }
    }

    @Test
    void aVocabularyThatDoesNotFitTheEmbeddingIsRefused(@TempDir Path folder) throws Exception {
        Path path = folder.resolve("model.gguf");
        RandomModel.write(Recipe.of("llama-tiny"), FileType.Q8_0, false, 5, path, _ -> {});
        try (ModelFile file = ModelFile.open(path)) {
            var metadata = new java.util.LinkedHashMap<>(file.header().metadata());
            var tokens = file.header().requiredTexts("tokenizer.ggml.tokens");
            metadata.put(
                    "tokenizer.ggml.tokens",
                    MetadataValue.Array.ofTexts(java.util.List.of(tokens).subList(0, 500)));
            byte[] header = GgufWriter.write(metadata, file.header().tensors()).header();
            byte[] bytes = java.util.Arrays.copyOf(header, header.length + (int) file.sizeBytes());
            assertEquals(
                    "tensor token_embd.weight has shape [256, 512], expected [256, 500]; the vocabulary has 500 tokens",
                    refusal(bytes));
        }
    }

    private static int find(byte[] bytes, byte[] name) {
        for (int at = 0; at < bytes.length - name.length; at++) {
            if (java.util.Arrays.equals(bytes, at, at + name.length, name, 0, name.length)) {
                return at;
            }
        }
        throw new AssertionError("no such key");
    }

    private static String refusal(byte[] bytes) {
        try (Arena arena = Arena.ofShared();
                Kernels kernels =
                        KernelChoice.of(KernelSettings.defaults()).provider().open(KernelSettings.defaults())) {
            MemorySegment file = arena.allocate(bytes.length, 32).copyFrom(MemorySegment.ofArray(bytes));
            Gguf header = GgufReader.read(file);
            TensorSource source = new TensorSource() {
                @Override
                public Gguf header() {
                    return header;
                }

                @Override
                public MemorySegment tensor(TensorInfo tensor) {
                    return file.asSlice(header.fileOffset(tensor), tensor.sizeBytes());
                }
            };
            return assertThrows(MalformedException.class, () -> {
                        LayerRange all = Architectures.config(header).allLayers();
                        Architectures.open(source, all, StageSettings.of(kernels));
                    })
                    .getMessage();
        }
    }
}
