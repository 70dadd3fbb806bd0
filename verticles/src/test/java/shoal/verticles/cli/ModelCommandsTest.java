package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The commands that make and look at model files, one after the other on what the first one made. */
final class ModelCommandsTest {
    @TempDir
    private Path folder;

    @Test
    void makeQuantizeInspectMeasure() throws Exception {
        Path model = folder.resolve("model.gguf");
        Path small = folder.resolve("small.gguf");
        Path text = folder.resolve("text.txt");
        Files.writeString(text, "the rain in the sea and the ship on the sand ".repeat(20));

        JsonNode made = json("make-model --like llama-tiny --type F16 --json --out " + model);
        assertEquals(Files.size(model), made.get("bytes").asLong());
        assertTrue(told("make-model --list").contains("llama-1b"));

        JsonNode quantised = json("quantize " + model + " " + small + " Q4_K_M --json");
        assertEquals(Files.size(small), quantised.get("bytes").asLong());
        assertTrue(quantised.get("tensor_types").get("Q4_K").asInt() > 0, quantised.toString());

        JsonNode inspected = json("inspect " + small + " --tensors --json");
        assertEquals("llama", inspected.get("architecture").asString());
        assertEquals(15, inspected.get("metadata").get("general.file_type").asInt());
        assertEquals(3, inspected.get("measures").get("layers").asInt());
        assertTrue(inspected.get("problems").isEmpty(), inspected.toString());
        assertTrue(inspected.get("chat_template").asBoolean());
        long bytes = 0;
        for (JsonNode tensor : inspected.get("tensors")) {
            bytes += tensor.get("bytes").asLong();
            assertTrue(tensor.get("offset").asLong() > 0);
        }
        long totals = 0;
        for (JsonNode type : inspected.get("types")) {
            totals += type.get("bytes").asLong();
        }
        assertEquals(totals, bytes);
        String shown = told("inspect " + small + " --tensors");
        assertTrue(shown.contains("runs here: yes"), shown);
        assertTrue(shown.contains("blk.2.ffn_down.weight"), shown);
        assertFalse(shown.contains("\u001b"), shown);

        JsonNode measured = json("perplexity " + small + " --text " + text + " --context 32 --chunks 2 --json");
        assertEquals(2, measured.get("chunks").asInt());
        assertEquals(2 * 15, measured.get("tokens").asInt());
        // Noise foretells nothing: about as good as guessing among the 512 tokens, and not much worse.
        double perplexity = measured.get("perplexity").asDouble();
        assertTrue(perplexity > 100 && perplexity < 5000, measured.toString());
    }

    @Test
    void inspectSaysWhatDoesNotRun() throws Exception {
        Path model = folder.resolve("model.gguf");
        json("make-model --like qwen3-tiny --type Q8_0 --json --out " + model);
        byte[] bytes = Files.readAllBytes(model);
        String latin = new String(bytes, StandardCharsets.ISO_8859_1);
        int name = latin.indexOf("blk.1.attn_k_norm.weight");
        bytes[name + 4] = '9'; // the layer's norm is missing now, and another one has no layer
        Files.write(model, bytes);
        JsonNode inspected = json("inspect --json " + model);
        assertTrue(
                inspected.get("problems").get(0).asString().contains("blk.1.attn_k_norm.weight is missing"),
                inspected.get("problems").toString());
    }

    private static JsonNode json(String commandLine) {
        return JsonMapper.shared().readTree(told(commandLine));
    }

    private static String told(String commandLine) {
        var out = new ByteArrayOutputStream();
        PrintStream before = System.out;
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        try {
            assertEquals(0, Main.run(commandLine.split(" +")), commandLine);
        } finally {
            System.setOut(before);
        }
        return out.toString(StandardCharsets.UTF_8);
    }
}
