package shoal.bridge.model.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StopTextsTest {
    @Test
    void holdsBackWhatMayBecomeAStopText() {
        var stops = new StopTexts(List.of("END", "\n\n"));
        assertEquals("a ", stops.next("a E"));
        assertEquals("", stops.next("N"));
        assertEquals("ENd", stops.next("d"));
        assertEquals("", stops.next("\n"));
        assertEquals("\nb", stops.next("b"));
        assertEquals("c", stops.next("cEND of it"));
        assertTrue(stops.stopped());
        assertEquals("", stops.next("more"));
        assertEquals("", stops.end());
        assertThrows(IllegalArgumentException.class, () -> new StopTexts(List.of("")));
    }

    /** However the text is cut into pieces: what is shown is what stands before the first place where a stop text ends. */
    @Test
    void piecesChangeNothing() {
        for (long seed = 0; seed < 3_000; seed++) {
            var random = new Random(seed);
            List<String> stops = new ArrayList<>();
            for (int i = random.nextInt(3); i >= 0; i--) {
                stops.add(text(random, 1 + random.nextInt(3)));
            }
            String whole = text(random, random.nextInt(12));
            var cutter = new StopTexts(stops);
            var shown = new StringBuilder();
            for (int at = 0; at < whole.length() && !cutter.stopped(); ) {
                int to = Math.min(whole.length(), at + 1 + random.nextInt(4));
                shown.append(cutter.next(whole.substring(at, to)));
                String sofar = shown.toString();
                assertFalse(stops.stream().anyMatch(sofar::contains), "seed " + seed);
                at = to;
            }
            shown.append(cutter.end());
            boolean has = stops.stream().anyMatch(whole::contains);
            assertEquals(has, cutter.stopped(), "seed " + seed);
            assertTrue(whole.startsWith(shown.toString()), "seed " + seed);
            if (has) {
                String rest = whole.substring(shown.length());
                assertTrue(stops.stream().anyMatch(rest::startsWith), "seed " + seed);
            } else {
                assertEquals(whole, shown.toString(), "seed " + seed);
            }
        }
    }

    private static String text(Random random, int length) {
        var out = new StringBuilder();
        for (int i = 0; i < length; i++) {
            out.append("ab€".charAt(random.nextInt(3)));
        }
        return out.toString();
    }
}
