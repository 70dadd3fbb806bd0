package shoal.codec.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class GgufReaderTest {
    @Test
    void readsTheBundledModel() {
        byte[] file = Shared.bytes("models/stories-q8_0.gguf");
        Gguf gguf = GgufReader.read(MemorySegment.ofArray(file));
        assertEquals("llama", gguf.architecture());
        assertEquals(8, gguf.requiredInt("llama.block_count"));
        assertEquals(1e-5f, gguf.requiredFloat("llama.attention.layer_norm_rms_epsilon"));
        assertEquals(1024, gguf.requiredTexts("tokenizer.ggml.tokens").length);
        assertEquals("<0x0A>", gguf.requiredTexts("tokenizer.ggml.tokens")[13]);
        assertEquals(1024, gguf.requiredFloats("tokenizer.ggml.scores").length);
        assertEquals(1024, gguf.requiredInts("tokenizer.ggml.token_type").length);
        TensorInfo embedding = gguf.requiredTensor("token_embd.weight");
        assertEquals(List.of(256L, 1024L), embedding.dimensions());
        assertEquals(GgmlType.Q8_0, embedding.type());
        assertEquals(256 * 1024 / 32 * 34, embedding.sizeBytes());
        long values =
                gguf.tensors().stream().mapToLong(TensorInfo::elementCount).sum();
        assertEquals(5_247_232, values, "the parameter count of the model's README");
        assertEquals(file.length, gguf.dataEnd());
    }

    /** Types and tensor counts as llama.cpp's own tools list them. */
    @ParameterizedTest
    @ValueSource(strings = {"arch", "quants"})
    void agreesWithLlamaCppAboutTensorTypes(String folder) throws IOException {
        Path path = Shared.path("testdata/" + folder);
        JsonNode references = JsonMapper.shared().readTree(Files.readString(path.resolve("references.json")));
        int checked = 0;
        for (JsonNode model : references.get("models")) {
            byte[] file = Files.readAllBytes(path.resolve(model.get("file").asString()));
            Gguf gguf = GgufReader.read(MemorySegment.ofArray(file));
            Map<String, Integer> counts = new TreeMap<>();
            gguf.tensors().forEach(t -> counts.merge(t.type().name(), 1, Integer::sum));
            Map<String, Integer> expected = new TreeMap<>();
            model.get("tensor_types")
                    .properties()
                    .forEach(e ->
                            expected.put(e.getKey().toUpperCase(), e.getValue().asInt()));
            assertEquals(expected, counts, model.get("name").asString());
            checked++;
        }
        assertTrue(checked > 0);
    }

    /** Files of llama.cpp, written again: every byte of the header, and the size of the tensors of each type. */
    @ParameterizedTest
    @ValueSource(strings = {"models", "testdata/arch", "testdata/quants", "testdata/vocab"})
    void writesWhatLlamaCppWrites(String folder) throws IOException {
        int checked = 0;
        try (var files = Files.newDirectoryStream(Shared.path(folder), "*.gguf")) {
            for (Path path : files) {
                byte[] file = Files.readAllBytes(path);
                Gguf gguf = GgufReader.read(MemorySegment.ofArray(file));
                var written = GgufWriter.write(gguf.version(), gguf.metadata(), gguf.tensors());
                assertEquals(gguf.tensors(), written.gguf().tensors(), path.toString());
                int end = Math.min(written.header().length, file.length);
                assertArrayEquals(Arrays.copyOf(file, end), Arrays.copyOf(written.header(), end), path.toString());
                if (!gguf.tensors().isEmpty()) {
                    assertEquals(file.length, written.fileSize(), path.toString());
                }
                checked++;
            }
        }
        assertTrue(checked > 0);
    }

    @Test
    void readsVocabularyFilesWithoutTensors() throws IOException {
        try (var files = Files.newDirectoryStream(Shared.path("testdata/vocab"), "*.gguf")) {
            for (Path file : files) {
                Gguf gguf = GgufReader.read(MemorySegment.ofArray(Files.readAllBytes(file)));
                assertEquals(List.of(), gguf.tensors(), file.toString());
                assertNotNull(gguf.texts("tokenizer.ggml.tokens"), file.toString());
            }
        }
    }
}
