package shoal.bridge.model.text;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** A vocabulary given as a list of byte strings; text becomes the longest ones that fit. The last token ends a generation. */
public final class WordTokenizer implements Tokenizer {
    private final List<byte[]> words;

    public WordTokenizer(List<byte[]> words) {
        this.words = List.copyOf(words);
    }

    /** Of texts. */
    public static WordTokenizer of(String... words) {
        List<byte[]> bytes = new ArrayList<>();
        for (String word : words) {
            bytes.add(word.getBytes(StandardCharsets.UTF_8));
        }
        bytes.add(new byte[0]);
        return new WordTokenizer(bytes);
    }

    /** All single bytes, some further words, and the end. */
    public static WordTokenizer ofBytesAnd(List<String> words) {
        List<byte[]> bytes = new ArrayList<>();
        for (int value = 0; value < 256; value++) {
            bytes.add(new byte[] {(byte) value});
        }
        words.forEach(word -> bytes.add(word.getBytes(StandardCharsets.UTF_8)));
        bytes.add(new byte[0]);
        return new WordTokenizer(bytes);
    }

    public int end() {
        return words.size() - 1;
    }

    @Override
    public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        List<Integer> ids = new ArrayList<>();
        for (int at = 0; at < bytes.length; ) {
            int best = -1;
            for (int id = 0; id < words.size() - 1; id++) {
                byte[] word = words.get(id);
                if (word.length > (best < 0 ? 0 : words.get(best).length)
                        && at + word.length <= bytes.length
                        && java.util.Arrays.equals(word, 0, word.length, bytes, at, at + word.length)) {
                    best = id;
                }
            }
            if (best < 0) {
                throw new IllegalArgumentException("no word for " + text);
            }
            ids.add(best);
            at += words.get(best).length;
        }
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    @Override
    public byte[] bytes(int token, boolean special) {
        return words.get(token);
    }

    @Override
    public int size() {
        return words.size();
    }

    @Override
    public Set<Integer> endOfGeneration() {
        return Set.of(end());
    }

    @Override
    public int beginOfText() {
        return -1;
    }
}
