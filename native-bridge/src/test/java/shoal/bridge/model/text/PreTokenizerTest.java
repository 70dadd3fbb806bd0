package shoal.bridge.model.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.MalformedException;

/** Words as the models' own patterns cut them, and no text that makes cutting slow or deep. */
class PreTokenizerTest {
    @Test
    void cutsAsTheFamiliesDo() {
        String text = "I'LL pay  12345 FooBar's\n\n x";
        assertEquals(
                List.of("I", "'", "LL", " pay", " ", " 12345", " FooBar", "'s", "\n\n", " x"),
                PreTokenizer.of("gpt-2").split(text));
        assertEquals(
                List.of("I", "'LL", " pay", " ", " ", "123", "45", " FooBar", "'s", "\n\n", " x"),
                PreTokenizer.of("llama-bpe").split(text));
        assertEquals(
                List.of("I'LL", " pay", " ", " ", "123", "45", " Foo", "Bar's", "\n\n", " x"),
                PreTokenizer.of("gpt-4o").split(text));
    }

    /** A text that counts how often its characters are looked at. */
    private static final class CountedText implements CharSequence {
        private final String text;
        private long looks;

        CountedText(String text) {
            this.text = text;
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public char charAt(int index) {
            looks++;
            return text.charAt(index);
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return text.subSequence(start, end);
        }

        @Override
        public String toString() {
            return text;
        }
    }

    /** Each character is looked at a bounded number of times, and the stack does not grow with the text. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "gpt-2",
                "starcoder",
                "llama-bpe",
                "qwen2",
                "qwen35",
                "gpt-4o",
                "tekken",
                "deepseek-coder",
                "deepseek-v3",
                "falcon",
                "default"
            })
    void staysLinearOnHostileText(String name) {
        PreTokenizer words = PreTokenizer.of(name);
        for (String unit : List.of(
                "a", "A", "Aa", "aA", " ", "\n", " \n", "\u00a0", "1", "'", "'l", "!", "e\u0301", "中", "😀", "\t ")) {
            for (Pattern pattern : words.patterns()) {
                CountedText text = new CountedText(unit.repeat(5_000) + "x");
                Matcher matcher = pattern.matcher(text);
                while (matcher.find()) {
                    assertTrue(
                            text.looks < 40L * text.length(),
                            name + " on " + unit + ": " + text.looks + " looks up to " + matcher.end());
                }
                assertTrue(text.looks < 40L * text.length(), name + " on " + unit + ": " + text.looks);
            }
            String text = unit.repeat(30_000) + "x";
            assertEquals(text, String.join("", words.split(text)), name + " on " + unit);
        }
    }

    @Test
    void refusesUnknownNames() {
        MalformedException refused = assertThrows(MalformedException.class, () -> PreTokenizer.of("martian"));
        assertTrue(
                refused.getMessage().contains("martian") && refused.getMessage().contains("gpt-2"),
                refused.getMessage());
    }
}
