package shoal.bridge.model.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.SharedData;
import shoal.bridge.model.ModelFile;
import tools.jackson.databind.JsonNode;

/** Ids equal llama.cpp's on real vocabularies of each family. */
class TokenizerTest {
    private static Tokenizer tokenizer(String file) throws IOException {
        try (ModelFile model = ModelFile.open(SharedData.file(file))) {
            return Tokenizers.of(model.header());
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "ggml-vocab-llama-spm.gguf",
                "ggml-vocab-phi-3.gguf",
                "ggml-vocab-llama-bpe.gguf",
                "ggml-vocab-qwen2.gguf",
                "ggml-vocab-gpt-2.gguf",
                "ggml-vocab-deepseek-coder.gguf",
                "ggml-vocab-starcoder.gguf",
                "ggml-vocab-falcon.gguf",
                "ggml-vocab-mpt.gguf",
                "ggml-vocab-bert-bge.gguf"
            })
    void encodesTheTestsOfLlamaCpp(String file) throws IOException {
        Tokenizer tokenizer = tokenizer("testdata/vocab/" + file);
        String[] texts = Files.readString(SharedData.file("testdata/vocab/" + file + ".inp"))
                .split("\n__ggml_vocab_test__\n", -1);
        List<String> lines = Files.readAllLines(SharedData.file("testdata/vocab/" + file + ".out"));
        int checked = 0;
        for (int i = 0; i < lines.size(); i++) {
            int[] expected = Arrays.stream(lines.get(i).trim().split(" "))
                    .filter(word -> !word.isEmpty())
                    .mapToInt(Integer::parseInt)
                    .toArray();
            assertArrayEquals(expected, tokenizer.encode(texts[i], false, false), "text " + i + ": " + texts[i]);
            checked++;
        }
        assertTrue(checked > 30, "texts checked: " + checked);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "ggml-vocab-llama-spm.gguf",
                "ggml-vocab-phi-3.gguf",
                "ggml-vocab-llama-bpe.gguf",
                "ggml-vocab-qwen2.gguf",
                "ggml-vocab-gpt-2.gguf",
                "ggml-vocab-deepseek-coder.gguf",
                "ggml-vocab-starcoder.gguf",
                "ggml-vocab-falcon.gguf",
                "ggml-vocab-mpt.gguf",
                "ggml-vocab-bert-bge.gguf"
            })
    void encodesTheReferences(String file) throws IOException {
        Tokenizer tokenizer = tokenizer("testdata/vocab/" + file);
        int checked = 0;
        for (JsonNode vocabulary :
                SharedData.json("testdata/vocab/references.json").get("vocabs")) {
            if (!vocabulary.get("file").asString().equals(file)) {
                continue;
            }
            assertEquals(vocabulary.get("n_vocab").asInt(), tokenizer.size());
            assertEquals(vocabulary.get("bos").asInt(), tokenizer.beginOfText());
            assertEquals(SharedData.list(vocabulary.get("eog")), new ArrayList<>(tokenizer.endOfGeneration()));
            for (JsonNode expected : vocabulary.get("cases")) {
                String text = expected.get("text").asString();
                int[] plain = tokenizer.encode(text, false, false);
                assertArrayEquals(SharedData.ints(expected.get("tokens_plain")), plain, text);
                assertArrayEquals(
                        SharedData.ints(expected.get("tokens_special")), tokenizer.encode(text, true, true), text);
                ByteArrayOutputStream pieces = new ByteArrayOutputStream();
                for (int id : plain) {
                    pieces.writeBytes(tokenizer.bytes(id, true));
                }
                assertEquals(
                        expected.get("pieces_plain_hex").asString(),
                        HexFormat.of().formatHex(pieces.toByteArray()),
                        text);
                checked++;
            }
        }
        assertTrue(checked > 10, "cases checked: " + checked);
    }

    /** The tiny vocabularies beside the reference models, with the pre-tokenizers of their families. */
    @Test
    void encodesThePromptsOfTheReferenceModels() throws IOException {
        int checked = 0;
        for (JsonNode model : SharedData.json("testdata/arch/references.json").get("models")) {
            String file = model.get("file").asString();
            Tokenizer tokenizer = tokenizer("testdata/arch/" + file);
            assertEquals(SharedData.list(model.get("eog")), new ArrayList<>(tokenizer.endOfGeneration()), file);
            for (JsonNode prompt : model.get("prompts")) {
                String text = prompt.get("prompt").asString();
                assertArrayEquals(
                        SharedData.ints(prompt.get("prompt_tokens")),
                        tokenizer.encode(text, true, true),
                        file + ": " + text);
                ByteArrayOutputStream pieces = new ByteArrayOutputStream();
                for (int id : SharedData.ints(prompt.get("exact").get("greedy"))) {
                    pieces.writeBytes(tokenizer.bytes(id, true));
                }
                assertEquals(
                        prompt.get("exact").get("text_hex").asString(),
                        HexFormat.of().formatHex(pieces.toByteArray()),
                        file);
                checked++;
            }
        }
        assertTrue(checked > 30, "prompts checked: " + checked);
    }

    /** Mixes scripts, cases, digits, white space, punctuation and the texts of special tokens. */
    private static String anyText(Random random) {
        String[] stretches = {
            "'ll", "'S", "\r\n", "\n\n ", "  ", "<|endoftext|>", "</s>", "1234567", "\u00a0", "\u3000", "e\u0301"
        };
        StringBuilder text = new StringBuilder();
        for (int i = random.nextInt(60); i > 0; i--) {
            switch (random.nextInt(5)) {
                case 0 -> text.append(stretches[random.nextInt(stretches.length)]);
                case 1 -> text.append((char) random.nextInt(0x80));
                case 2 -> text.appendCodePoint(0x1f300 + random.nextInt(0x300));
                case 3 -> text.append((char) random.nextInt(0xd800));
                default -> text.appendCodePoint(0xe000 + random.nextInt(0x11_0000 - 0xe000));
            }
        }
        return text.toString();
    }

    /** Without the characters for whose bytes that vocabulary has no tokens: nothing can give them back. */
    private static String writable(String text, String vocabulary) {
        return switch (vocabulary) {
            case "starcoder" -> text.replaceAll("[\\x{40000}-\\x{7ffff}]", ""); // byte f1
            case "falcon" ->
                text.replaceAll("[\\x01-\\x1f&&[^\\t\\r\\n]]|[\\x{80000}-\\x{bffff}]", ""); // some control codes, f2
            default -> text;
        };
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama-bpe", "qwen2", "gpt-2", "deepseek-coder", "starcoder", "falcon", "mpt"})
    void tokensOfBytePairsJoinToTheTextAgain(String name) throws IOException {
        long seed = Long.getLong("shoal.seed", 11);
        Random random = new Random(seed);
        Tokenizer tokenizer = tokenizer("testdata/vocab/ggml-vocab-" + name + ".gguf");
        for (int round = 0; round < 300; round++) {
            String text = writable(anyText(random), name);
            ByteArrayOutputStream pieces = new ByteArrayOutputStream();
            for (int id : tokenizer.encode(text, false, random.nextBoolean())) {
                pieces.writeBytes(tokenizer.bytes(id, true));
            }
            assertEquals(text, pieces.toString(StandardCharsets.UTF_8), "shoal.seed " + seed + ", round " + round);
        }
    }

    @Test
    void detokenizerNeverSplitsACharacter() throws IOException {
        long seed = Long.getLong("shoal.seed", 7);
        Random random = new Random(seed);
        Tokenizer tokenizer = tokenizer("testdata/vocab/ggml-vocab-llama-spm.gguf");
        for (int round = 0; round < 200; round++) {
            String text = random.ints(random.nextInt(40), 1, 0x1_1000)
                    .map(c -> random.nextInt(3) == 0 ? c % 0x80 : random.nextInt(5) == 0 ? 0x1f300 + c % 0x300 : c)
                    .filter(c -> c < 0xd800 || c > 0xdfff)
                    .filter(c -> c != '\u2581')
                    .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                    .toString();
            Detokenizer detokenizer = new Detokenizer(tokenizer, false);
            StringBuilder streamed = new StringBuilder();
            for (int id : tokenizer.encode(text, true, false)) {
                String piece = detokenizer.next(id);
                assertEquals(-1, piece.indexOf('\ufffd') >= 0 && text.indexOf('\ufffd') < 0 ? 1 : -1, "seed " + seed);
                streamed.append(piece);
            }
            streamed.append(detokenizer.end());
            assertEquals(text.isEmpty() ? "" : " " + text, streamed.toString(), "seed " + seed + ", round " + round);
        }
    }

    @Test
    void unfinishedCharactersAreReplacedAtTheEnd() throws IOException {
        Tokenizer tokenizer = tokenizer("models/stories-q8_0.gguf");
        Detokenizer detokenizer = new Detokenizer(tokenizer, false);
        assertEquals("", detokenizer.next(3 + 0xf0));
        assertEquals("", detokenizer.next(3 + 0x9f));
        assertEquals("\ufffd", detokenizer.end());
        byte[] fish = "🐟".getBytes(StandardCharsets.UTF_8);
        StringBuilder text = new StringBuilder();
        for (byte b : fish) {
            text.append(detokenizer.next(3 + (b & 0xff)));
        }
        assertEquals("🐟", text.toString());
    }
}
