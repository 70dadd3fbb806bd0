package shoal.bridge.model.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import shoal.bridge.SharedData;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.text.jinja.TemplateException;
import tools.jackson.databind.JsonNode;

/** Prompts equal those of the reference engine on real templates, byte for byte. */
class ChatTemplateTest {
    private static @Nullable Object plain(JsonNode node) {
        if (node.isObject()) {
            Map<String, @Nullable Object> entries = new LinkedHashMap<>();
            node.properties().forEach(entry -> entries.put(entry.getKey(), plain(entry.getValue())));
            return entries;
        }
        if (node.isArray()) {
            List<@Nullable Object> items = new ArrayList<>();
            node.forEach(item -> items.add(plain(item)));
            return items;
        }
        return node.isNull()
                ? null
                : node.isBoolean()
                        ? (Object) node.booleanValue()
                        : node.isNumber() ? node.numberValue() : node.asString();
    }

    @Test
    void rendersTheReferences() throws IOException {
        JsonNode references = SharedData.json("testdata/templates/references.json");
        LocalDateTime now = LocalDateTime.parse(references.get("now").asString());
        JsonNode inputs = references.get("inputs");
        List<String> wrong = new ArrayList<>();
        int checked = 0;
        for (JsonNode entry : references.get("templates")) {
            String file = entry.get("file").asString();
            ChatTemplate template =
                    ChatTemplate.of(Files.readString(SharedData.file("testdata/templates/templates/" + file)));
            for (JsonNode expected : entry.get("cases")) {
                JsonNode input = inputs.get(expected.get("case").asString());
                Map<String, @Nullable Object> extra = new HashMap<>();
                extra.put("documents", plain(input.get("documents")));
                entry.get("vars")
                        .properties()
                        .forEach(variable -> extra.put(variable.getKey(), plain(variable.getValue())));
                input.get("vars")
                        .properties()
                        .forEach(variable -> extra.put(variable.getKey(), plain(variable.getValue())));
                String want = expected.has("output")
                        ? expected.get("output").asString()
                        : expected.get("error").get("kind").asString().equals("raise_exception")
                                ? "raised "
                                        + expected.get("error").get("message").asString()
                                : "failed";
                String got;
                String why = "";
                try {
                    got = template.render(
                            (List<?>) plain(input.get("messages")),
                            (List<?>) plain(input.get("tools")),
                            input.get("add_generation_prompt").asBoolean(),
                            extra,
                            now);
                } catch (TemplateException failure) {
                    got = failure.raisedByTemplate() ? "raised " + failure.getMessage() : "failed";
                    why = failure.getMessage();
                }
                checked++;
                if (!got.equals(want)) {
                    int at = 0;
                    while (at < got.length() && at < want.length() && got.charAt(at) == want.charAt(at)) {
                        at++;
                    }
                    int from = Math.max(0, at - 40);
                    wrong.add(file + ", " + expected.get("case").asString() + ": " + why + " expected …"
                            + want.substring(from, Math.min(want.length(), at + 60)) + "… but was …"
                            + got.substring(from, Math.min(got.length(), at + 60)) + "…");
                }
            }
        }
        assertEquals("", String.join("\n", wrong), wrong.size() + " of " + checked + " differ");
        assertTrue(checked > 2000, "records checked: " + checked);
    }

    @Test
    void readsTheTemplateOfAModel() throws IOException {
        try (ModelFile model = ModelFile.open(SharedData.file("testdata/vocab/ggml-vocab-qwen2.gguf"))) {
            assertEquals(
                    "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n"
                            + "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
                    ChatTemplate.of(model.header())
                            .render(List.of(Map.of("role", "user", "content", "Hi")), null, true, Map.of()));
        }
    }
}
