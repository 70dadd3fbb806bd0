package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The commands that sample and talk, in this process with the bundled model. */
class ChatCommandTest {
    private static final JsonMapper JSON = JsonMapper.shared();

    @TempDir
    private static Path given;

    private int exit;
    private String out = "";
    private String err = "";

    @BeforeAll
    static void files() throws IOException {
        try (InputStream model = ChatCommandTest.class.getResourceAsStream("/models/stories-q8_0.gguf")) {
            byte[] bytes = Objects.requireNonNull(model).readAllBytes();
            Files.write(given.resolve("model.gguf"), bytes);
            String text = new String(bytes, StandardCharsets.ISO_8859_1);
            Files.write(
                    given.resolve("plain.gguf"), // whose template has another key
                    text.replace("tokenizer.chat_template", "tokenizer.chat_tempXXXX")
                            .getBytes(StandardCharsets.ISO_8859_1));
        }
        Files.writeString(
                given.resolve("chat.jinja"), "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}");
        Files.writeString(given.resolve("input.json"), """
                {"messages":[{"role":"user","content":"Grüße"}],"add_generation_prompt":true,"who":"Zoë",
                 "now":"2026-11-20T12:00:00"}""");
        Files.writeString(
                given.resolve("full.jinja"),
                "{{ strftime_now('%d %b %Y') }} {{ who }}{% for m in messages %} {{ m.content }}{% endfor %}"
                        + "{% if add_generation_prompt %}>{% endif %}");
    }

    private void run(String input, String... args) {
        PrintStream realOut = System.out;
        PrintStream realErr = System.err;
        InputStream realIn = System.in;
        var outBytes = new ByteArrayOutputStream();
        var errBytes = new ByteArrayOutputStream();
        try {
            System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
            System.setOut(new PrintStream(outBytes, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(errBytes, true, StandardCharsets.UTF_8));
            List<String> all = new ArrayList<>();
            for (String arg : args) {
                all.add(arg.replace("G/", given + "/"));
            }
            exit = Main.run(all.toArray(String[]::new));
        } finally {
            System.setIn(realIn);
            System.setOut(realOut);
            System.setErr(realErr);
        }
        out = outBytes.toString(StandardCharsets.UTF_8);
        err = errBytes.toString(StandardCharsets.UTF_8);
    }

    @Test
    void talksByATemplate() {
        String script =
                "Once upon\\\na time\n/again\n\"\"\"\nTwo\nlines\n\"\"\"\n/undo\n/nothing\n/history\n/quit\nnever\n";
        run(
                script,
                "chat",
                "--model",
                "G/model.gguf",
                "--template",
                "G/chat.jinja",
                "--tokens",
                "6",
                "--json",
                "--temperature",
                "1",
                "--system",
                "Be kind.");
        assertEquals(0, exit, err);
        List<JsonNode> replies = out.lines().map(line -> JSON.readTree(line)).toList();
        assertEquals(3, replies.size(), out);
        replies.forEach(reply -> {
            assertEquals("assistant", reply.get("role").asString());
            assertTrue(reply.get("tokens").asInt() <= 6);
        });
        assertFalse(replies.get(0).get("content").equals(replies.get(1).get("content")), "again draws otherwise");
        assertTrue(err.contains("There is no /nothing"), err);
        assertTrue(err.contains("system: Be kind.\nuser: Once upon\na time\nassistant: "), err);
        assertFalse(err.contains("Two"), "undone: " + err);
    }

    @Test
    void saysWhatFillsTheContext() {
        run(
                "word ".repeat(600) + "\nhello\n",
                "chat",
                "--model",
                "G/model.gguf",
                "--template",
                "G/chat.jinja",
                "--tokens",
                "3",
                "--json");
        assertEquals(0, exit, err);
        assertTrue(err.contains("but the context length is 512; /reset forgets it"), err);
        assertEquals(1, out.lines().count(), "the next question is answered: " + out);
    }

    @Test
    void aModelWithoutTemplateSaysWhatToDo() {
        run("", "chat", "--model", "G/plain.gguf");
        assertEquals(1, exit);
        assertTrue(err.contains("the model has no chat template") && err.contains("--template FILE"), err);
        assertEquals(1, err.lines().count(), err);
        run("", "generate", "--model", "G/plain.gguf", "--prompt", "x", "--chat");
        assertEquals(1, exit);
        assertTrue(err.contains("the model has no chat template"), err);
    }

    @Test
    void appliesTemplates() {
        run("", "apply-template", "--template", "G/full.jinja", "--input", "G/input.json");
        assertEquals(0, exit, err);
        assertEquals("20 Nov 2026 Zoë Grüße>", out);
        run("", "apply-template", "--template", "G/full.jinja", "--input", "G/input.json", "--json");
        assertEquals("{\"prompt\":\"20 Nov 2026 Zoë Grüße>\"}", out.strip());
        run("", "apply-template", "--model", "G/plain.gguf", "--input", "G/input.json");
        assertEquals(1, exit);
        assertTrue(err.contains("plain.gguf: the model has no chat template"), err);
        run("", "apply-template", "--template", "G/full.jinja", "--input", "G/full.jinja");
        assertEquals(1, exit);
        assertTrue(err.contains("full.jinja is no JSON"), err);
        assertEquals(1, err.lines().count(), err);
    }

    @Test
    void generatesUnderASchemaWithLogprobs() {
        run(
                "",
                "generate",
                "--model",
                "G/model.gguf",
                "--prompt",
                "Answer:",
                "--tokens",
                "60",
                "--json",
                "--logprobs",
                "2",
                "--json-schema",
                "{\"type\":\"object\",\"properties\":{\"age\":{\"type\":\"integer\",\"maximum\":9,\"minimum\":0},"
                        + "\"good\":{\"type\":\"boolean\"}},\"required\":[\"age\",\"good\"]}");
        assertEquals(0, exit, err);
        JsonNode result = JSON.readTree(out);
        assertEquals("eos", result.get("stopped").asString(), out);
        JsonNode answer = JSON.readTree(result.get("text").asString());
        assertTrue(answer.get("age").isIntegralNumber() && answer.get("good").isBoolean(), out);
        JsonNode first = result.get("logprobs").get(0);
        assertEquals(result.get("tokens").size(), result.get("logprobs").size());
        assertEquals(2, first.get("top").size());
        assertTrue(first.get("top").get(0).get("logprob").asDouble()
                >= first.get("logprob").asDouble());
    }

    @Test
    void draftsAndStopTexts() {
        String[] plain = {
            "generate", "--model", "G/model.gguf", "--prompt", "Once upon a time", "--tokens", "40", "--json"
        };
        run("", plain);
        String text = JSON.readTree(out).get("text").asString();
        for (String[] more : List.of(
                new String[] {"--lookup"}, new String[] {"--draft", "G/model.gguf"}, new String[] {"--context-shift"
                })) {
            var args = new ArrayList<>(List.of(plain));
            args.addAll(List.of(more));
            run("", args.toArray(String[]::new));
            assertEquals(0, exit, err);
            assertEquals(text, JSON.readTree(out).get("text").asString(), more[0]);
        }
        var args = new ArrayList<>(List.of(plain));
        args.addAll(List.of("--stop", text.substring(10, 14)));
        run("", args.toArray(String[]::new));
        assertEquals(
                text.substring(0, text.indexOf(text.substring(10, 14))),
                JSON.readTree(out).get("text").asString());
        assertEquals("stop", JSON.readTree(out).get("stopped").asString());
    }

    @Test
    void wrongSamplingIsOneLine() {
        for (String[] wrong : List.of(
                new String[] {"--mirostat", "1", "--mirostat is 1, allowed are 0 and 2"},
                new String[] {"--typical-p", "2", "typical-p is 2.0, allowed 0..1"},
                new String[] {"--logit-bias", "3=x", "allowed is a number or -inf"},
                new String[] {"--grammar", "root ::= root", "recurses to the left"},
                new String[] {"--grammar-file", "G/none.gbnf", "none.gbnf does not exist"},
                new String[] {"--json-schema", "{", "the JSON schema is no JSON"},
                new String[] {"--json-schema", "{\"not\":{}}", "'not' can't be kept to by a grammar"},
                new String[] {"--dry-sequence-breaker", "", "a DRY sequence breaker is empty"},
                new String[] {"--logprobs", "21", "logprobs is 21, allowed 0..20"})) {
            run("", "generate", "--model", "G/model.gguf", "--prompt", "x", wrong[0], wrong[1]);
            assertEquals(1, exit, wrong[1] + err);
            assertTrue(err.contains(wrong[2]), err);
            assertEquals(1, err.lines().count(), err);
        }
        run("", "generate", "--at", "127.0.0.1:1", "--prompt", "x", "--lookup");
        assertTrue(err.contains("go with --model"), err);
    }
}
