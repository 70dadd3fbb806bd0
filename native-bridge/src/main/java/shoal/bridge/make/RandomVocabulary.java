package shoal.bridge.make;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.SequencedMap;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;
import shoal.codec.gguf.MetadataValue;

/**
 * A vocabulary that reads and writes any text, of any size: a token for each byte, and then runs of one to four letters, a space
 * counting as one at their beginning, the most frequent letters of English first.
 */
final class RandomVocabulary {
    private static final int BYTES = 256;
    private static final String LETTERS = "etaoinshrdlucmfwygpbvkxqjz";
    private static final String TEMPLATE =
            "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
                    + "{% if add_generation_prompt %}assistant:{% endif %}";

    /** Type numbers of tokens (gguf.md, tokenizer.ggml.token_type). */
    private static final int NORMAL = 1;

    private static final int UNKNOWN = 2;
    private static final int CONTROL = 3;
    private static final int BYTE = 6;

    private RandomVocabulary() {}

    /** @param words the pattern of byte pairs, as tokenizer.ggml.pre names it; null for SentencePiece */
    static SequencedMap<String, MetadataValue> metadata(int size, @Nullable String words) {
        if (size < BYTES + 64) {
            throw new IllegalArgumentException(
                    "a vocabulary of " + size + " is too small, allowed " + (BYTES + 64) + " and more");
        }
        SequencedMap<String, MetadataValue> keys = words == null ? sentencePiece(size) : bytePairs(size, words);
        keys.put("tokenizer.chat_template", new MetadataValue.Text(TEMPLATE));
        return keys;
    }

    private static SequencedMap<String, MetadataValue> sentencePiece(int size) {
        List<String> tokens = new ArrayList<>(List.of("<unk>", "<s>", "</s>"));
        var types = new ArrayList<>(List.of(UNKNOWN, CONTROL, CONTROL));
        for (int i = 0; i < BYTES; i++) {
            tokens.add(String.format(Locale.ROOT, "<0x%02X>", i));
            types.add(BYTE);
        }
        String space = "▁";
        tokens.add(space);
        LETTERS.chars().forEach(letter -> tokens.add(String.valueOf((char) letter)));
        runs(space, size - tokens.size(), (before, letter) -> tokens.add(before + letter));
        var scores = new float[size];
        while (types.size() < size) {
            scores[types.size()] = -(float) (types.size() - BYTES);
            types.add(NORMAL);
        }
        var keys = common("llama", "default", tokens, types);
        keys.put("tokenizer.ggml.scores", MetadataValue.Array.ofFloats(scores));
        keys.put("tokenizer.ggml.bos_token_id", new MetadataValue.UInt32(1));
        keys.put("tokenizer.ggml.eos_token_id", new MetadataValue.UInt32(2));
        keys.put("tokenizer.ggml.unknown_token_id", new MetadataValue.UInt32(0));
        keys.put("tokenizer.ggml.add_bos_token", new MetadataValue.Bool(true));
        return keys;
    }

    private static SequencedMap<String, MetadataValue> bytePairs(int size, String words) {
        List<String> tokens = new ArrayList<>();
        var types = new ArrayList<Integer>();
        int beyond = BYTES;
        for (int i = 0; i < BYTES; i++) { // GPT-2's letter for each byte
            boolean shown = i >= '!' && i <= '~' || i >= 0xa1 && i <= 0xac || i >= 0xae;
            tokens.add(String.valueOf((char) (shown ? i : beyond++)));
        }
        var merges = new ArrayList<String>();
        runs("Ġ", size - 1 - BYTES, (before, letter) -> {
            tokens.add(before + letter);
            merges.add(before + " " + letter);
        });
        while (types.size() < size - 1) {
            types.add(NORMAL);
        }
        tokens.add("<|endoftext|>");
        types.add(CONTROL);
        var keys = common("gpt2", words, tokens, types);
        keys.put("tokenizer.ggml.merges", MetadataValue.Array.ofTexts(merges));
        keys.put("tokenizer.ggml.bos_token_id", new MetadataValue.UInt32(size - 1));
        keys.put("tokenizer.ggml.eos_token_id", new MetadataValue.UInt32(size - 1));
        keys.put("tokenizer.ggml.add_bos_token", new MetadataValue.Bool(false));
        return keys;
    }

    private static SequencedMap<String, MetadataValue> common(
            String model, String words, List<String> tokens, List<Integer> types) {
        var keys = new LinkedHashMap<String, MetadataValue>();
        keys.put("tokenizer.ggml.model", new MetadataValue.Text(model));
        keys.put("tokenizer.ggml.pre", new MetadataValue.Text(words));
        keys.put("tokenizer.ggml.tokens", MetadataValue.Array.ofTexts(tokens));
        keys.put(
                "tokenizer.ggml.token_type",
                MetadataValue.Array.ofInts(
                        types.stream().mapToInt(Integer::intValue).toArray()));
        return keys;
    }

    /** So many runs of two letters and more, each as what comes before its last letter, and that letter. */
    private static void runs(String space, int count, BiConsumer<String, String> run) {
        List<String> before = new ArrayList<>(List.of(space));
        LETTERS.chars().forEach(letter -> before.add(String.valueOf((char) letter)));
        List<String> level = before;
        int left = count;
        while (left > 0) {
            var next = new ArrayList<String>();
            for (String start : level) {
                for (int i = 0; i < LETTERS.length() && left > 0; i++, left--) {
                    String letter = LETTERS.substring(i, i + 1);
                    run.accept(start, letter);
                    next.add(start + letter);
                }
            }
            level = next;
        }
    }
}
