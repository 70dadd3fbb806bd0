package shoal.verticles.coordinator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StopTextsTest {
    /** Whatever the pieces, what is shown is the text before the first stop text. */
    @Test
    void showsWhatComesBeforeTheFirstStop() {
        long seed = new Random().nextLong();
        var random = new Random(seed);
        for (int round = 0; round < 2000; round++) {
            String text = word(random, 40);
            var stops = new ArrayList<String>();
            for (int i = random.nextInt(4); i > 0; i--) {
                stops.add(word(random, 4));
            }
            int first = stops.stream()
                    .mapToInt(text::indexOf)
                    .filter(at -> at >= 0)
                    .min()
                    .orElse(-1);
            var held = new StopTexts(stops);
            var shown = new StringBuilder();
            int at = 0;
            while (at < text.length() && !held.met()) {
                int to = Math.min(text.length(), at + random.nextInt(5));
                shown.append(held.next(text.substring(at, to)));
                at = to;
                String so = shown.toString();
                assertTrue(text.startsWith(so), () -> "seed " + seed);
            }
            shown.append(held.end());
            String all = shown.toString();
            boolean met = held.met();
            if (met) {
                // pieces that came at once decide which of two overlapping stops is met first; none is ever shown
                assertTrue(stops.stream().noneMatch(all::contains), () -> "seed " + seed + ": " + text + stops + all);
            } else {
                assertEquals(text, all, () -> "seed " + seed);
                assertEquals(-1, first, () -> "seed " + seed);
            }
        }
    }

    @Test
    void holdsBackNoMoreThanItMust() {
        var held = new StopTexts(List.of("END", "\n\n"));
        assertEquals("a ", held.next("a E"));
        assertEquals("E", held.next("E"));
        assertEquals("Ex", held.next("x"));
        assertEquals("", held.next("\n"));
        assertEquals("\n", held.end());
    }

    private static String word(Random random, int longest) {
        var word = new StringBuilder();
        for (int i = 1 + random.nextInt(longest); i > 0; i--) {
            word.append((char) ('a' + random.nextInt(3)));
        }
        return word.toString();
    }
}
