package shoal.bridge.model.text.grammar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.model.text.WordTokenizer;
import shoal.codec.base.MalformedException;

class GrammarTest {
    private static final WordTokenizer BYTES = WordTokenizer.ofBytesAnd(
            List.of("ab", "ba", "aab", "bé", "é", "éa", "c]", "abc", "日本", "\"", "\": ", "{\""));

    private static boolean accepts(String gbnf, String text) {
        var matcher = new GrammarMatcher(Grammar.parse(gbnf, BYTES), BYTES);
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        int[] ids = new int[bytes.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = bytes[i] & 0xFF;
        }
        matcher.goTo(ids, 0);
        return matcher.mayEnd();
    }

    @Test
    void readsTheDialect() {
        String gbnf = """
                # a comment
                root  ::= greeting (", " name)* "!"  # and another
                greeting ::= "Hi" | "Hello" |
                  "Good " [mM] "orning"
                name ::= [A-Z] [a-z]{2,4}
                """;
        assertTrue(accepts(gbnf, "Hi!"));
        assertTrue(accepts(gbnf, "Good morning, Bob, Alice!"));
        assertFalse(accepts(gbnf, "Good morning, Bo!"));
        assertFalse(accepts(gbnf, "Good morning, Alicia!"));
        assertFalse(accepts(gbnf, "Hi"));
        assertTrue(accepts("root ::= \"\\x41\\u00e9\\U0001F41F\\t\\\"\"", "Aé🐟\t\""));
        assertTrue(accepts("root ::= [^x\\]\\n] .", "]".replace(']', 'y') + "\n"));
        assertFalse(accepts("root ::= [^x\\]\\n] .", "]a"));
        assertTrue(accepts("root ::= [a-]+", "a-a"));
        assertTrue(accepts("root ::= \"a\"{2}", "aa"));
        assertFalse(accepts("root ::= \"a\"{2}", "aaa"));
        assertTrue(accepts("root ::= \"ab\"{2,}", "ababab"));
        assertFalse(accepts("root ::= \"ab\"{2,}", "ab"));
        assertTrue(accepts("root ::= \"a\"{0,2}", ""));
        assertFalse(accepts("root ::= \"a\"{0,2}", "aaa"));
        assertTrue(accepts("root ::= [^\"]+", "日本🐟"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '~', textBlock = """
            start ::= "a"                        ~ the grammar has no rule 'root'
            root ::= "a" other                   ~ grammar line 1: there is no rule 'other'
            root ::= "a                          ~ grammar line 1: a literal has no end; " is missing
            root ::= [a                          ~ grammar line 1: a character class has no end; ] is missing
            root ::= ("a"                        ~ grammar line 1: expected ), found 'the end'
            root := "a"                          ~ grammar line 1: expected ::= behind 'root'
            root ::= "a"{3,2}                    ~ grammar line 1: a repetition from 3 to 2 times
            root ::= "a"{99999999}               ~ grammar line 1: a repetition of 99999 times or more, allowed 0..10000
            root ::= "\\q"                       ~ grammar line 1: unknown escape \\q
            root ::= [z-a]                       ~ grammar line 1: a range of characters that runs backwards
            root ::= "\\uD800"                   ~ grammar line 1: U+d800 is no character
            root ::= <[9999]>                    ~ grammar line 1: token 9999 is not in the vocabulary, allowed 0..268
            """)
    void tellsWhatIsWrong(String gbnf, String message) {
        assertEquals(
                message,
                assertThrows(MalformedException.class, () -> Grammar.parse(gbnf, BYTES))
                        .getMessage());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "root ::= root \"a\" | \"b\"",
                "root ::= a\na ::= b \"x\"\nb ::= a | \"y\"",
                "root ::= e root\ne ::= \"\" | \"x\"",
                "root ::= (\"a\"?)*",
                "root ::= root"
            })
    void refusesLeftRecursion(String gbnf) {
        var refused = assertThrows(MalformedException.class, () -> Grammar.parse(gbnf, null));
        assertTrue(refused.getMessage().contains("recurses to the left"), refused.getMessage());
    }

    static List<String> hostile() {
        return List.of(
                "root ::= " + "(".repeat(100_000),
                "root ::= \"a\"" + "?".repeat(100_000),
                "root ::= \"a\"" + "{9999}".repeat(150),
                "root ::= " + "(\"a\"{9999} \"b\"){9999} ".repeat(200),
                "root ::= \"a\"\n".repeat(2),
                "x".repeat(2_000_000));
    }

    @ParameterizedTest
    @org.junit.jupiter.params.provider.MethodSource
    void hostile(String gbnf) {
        var refused = assertThrows(MalformedException.class, () -> Grammar.parse(gbnf, null));
        assertTrue(refused.getMessage().length() < 200, refused.getMessage());
    }

    /** Each token may start thousands of ways to read: refused or answered, never endless. */
    @Test
    void ambiguityIsBounded() {
        String gbnf =
                "root ::= a a a a a a a a\na ::= b b b b b b b b | \"\"\nb ::= (\"x\" | \"xx\" | c)\nc ::= \"x\" c | \"x\"";
        var matcher = new GrammarMatcher(Grammar.parse(gbnf, null), BYTES);
        int[] ids = new int[60];
        java.util.Arrays.fill(ids, 'x');
        try {
            matcher.goTo(ids, 0);
            assertTrue(matcher.allows('x'));
        } catch (IllegalStateException refused) {
            assertTrue(refused.getMessage().contains("too ambiguous"));
        }
    }

    @Test
    void tokensByName() {
        var words = WordTokenizer.of("<think>", "</think>", "a", "b");
        String gbnf = "root ::= <think> (!</think>)* </think> \"a\"+";
        var matcher = new GrammarMatcher(Grammar.parse(gbnf, words), words);
        matcher.goTo(new int[] {}, 0);
        assertTrue(matcher.allows(0));
        assertFalse(matcher.allows(2));
        matcher.goTo(new int[] {0, 2, 3, 0}, 0);
        assertTrue(matcher.allows(1));
        assertTrue(matcher.allows(3));
        assertFalse(matcher.allows(4), "the end");
        matcher.goTo(new int[] {0, 2, 1, 2}, 0);
        assertTrue(matcher.mayEnd());
        assertFalse(matcher.allows(3));
        BitSet expected = new BitSet();
        expected.set(2);
        expected.set(4);
        assertEquals(expected, matcher.allowed());
    }

    // ---------------------------------------------------------------------- random grammars, and a slow oracle

    private static final String LETTERS = "abé";

    private static String expression(Random random, int rule, int rules, int deep) {
        int kind = random.nextInt(deep <= 0 ? 3 : 8);
        return switch (kind) {
            case 0 -> "\"" + LETTERS.charAt(random.nextInt(3)) + "\"";
            case 1 -> random.nextBoolean() ? "[aé]" : "[^a]";
            case 2 -> rule + 1 < rules ? "r" + (rule + 1 + random.nextInt(rules - rule - 1)) : "\"ab\"";
            case 3 ->
                "(" + expression(random, rule, rules, deep - 1) + " | " + expression(random, rule, rules, deep - 1)
                        + ")";
            case 4 ->
                "\"" + LETTERS.charAt(random.nextInt(3)) + "\" r" + random.nextInt(rules); // recursion, not to the left
            case 5 -> "(\"a\" " + expression(random, rule, rules, deep - 1) + ")" + "*+?".charAt(random.nextInt(3));
            case 6 -> "[ab]{" + random.nextInt(2) + "," + (1 + random.nextInt(3)) + "}";
            default -> expression(random, rule, rules, deep - 1) + " " + expression(random, rule, rules, deep - 1);
        };
    }

    private static String randomGrammar(Random random) {
        int rules = 1 + random.nextInt(4);
        var gbnf = new StringBuilder("root ::= r0\n");
        for (int rule = 0; rule < rules; rule++) {
            gbnf.append("r").append(rule).append(" ::= ").append(expression(random, rule, rules, 3));
            if (random.nextInt(3) > 0) { // a way out, so that most grammars have finite texts
                gbnf.append(" | \"").append(LETTERS.charAt(random.nextInt(3))).append("\"");
            }
            gbnf.append('\n');
        }
        return gbnf.toString();
    }

    /** Where the text may be when an expression that began at a place has been read: tries everything. */
    private static Set<Integer> ends(Expression expression, int[] text, int at, Map<String, Expression> rules) {
        Set<Integer> ends = new TreeSet<>();
        switch (expression) {
            case Expression.Characters(CodePoints allowed) -> {
                if (at < text.length && allowed.contains(text[at])) {
                    ends.add(at + 1);
                }
            }
            case Expression.Sequence(List<Expression> parts) -> {
                ends.add(at);
                for (Expression part : parts) {
                    Set<Integer> next = new TreeSet<>();
                    ends.forEach(end -> next.addAll(ends(part, text, end, rules)));
                    ends = next;
                }
            }
            case Expression.Choice(List<Expression> options) ->
                ends.addAll(options.stream()
                        .flatMap(option -> ends(option, text, at, rules).stream())
                        .toList());
            case Expression.Reference(String rule, int _) -> ends.addAll(ends(rules.get(rule), text, at, rules));
            case Expression.Repeat(Expression repeated, int min, int max) -> {
                Set<Integer> current = new TreeSet<>(Set.of(at));
                for (int count = 0;
                        !current.isEmpty() && (max < 0 || count <= max) && count <= text.length + min;
                        count++) {
                    if (count >= min) {
                        ends.addAll(current);
                    }
                    Set<Integer> next = new TreeSet<>();
                    current.forEach(end -> next.addAll(ends(repeated, text, end, rules)));
                    current = next;
                }
            }
            case Expression.Token _ -> throw new AssertionError("there are none here");
        }
        return ends;
    }

    @Test
    void acceptsWhatTheSlowOracleAccepts() {
        int accepted = 0;
        int checked = 0;
        for (long seed = 0; seed < 400; seed++) {
            var random = new Random(seed);
            String gbnf = randomGrammar(random);
            Map<String, Expression> rules = GbnfParser.parse(gbnf, null);
            var matcher = new GrammarMatcher(Grammar.parse(gbnf, null), BYTES);
            List<String> texts = new ArrayList<>();
            for (int i = 0; i < 12; i++) { // what the matcher itself leads to, and the same with a change
                String walked = walk(matcher, random);
                texts.add(walked);
                var changed = new StringBuilder(walked);
                int at = random.nextInt(walked.length() + 1);
                if (random.nextBoolean() && at < walked.length()) {
                    changed.deleteCharAt(at);
                } else {
                    changed.insert(at, LETTERS.charAt(random.nextInt(3)));
                }
                texts.add(changed.toString());
            }
            for (int i = 0; i < 20; i++) {
                var text = new StringBuilder();
                for (int length = random.nextInt(6); length > 0; length--) {
                    text.append(LETTERS.charAt(random.nextInt(3)));
                }
                texts.add(text.toString());
            }
            for (String text : texts) {
                int[] points = text.codePoints().toArray();
                boolean expected = ends(rules.get("root"), points, 0, rules).contains(points.length);
                byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
                int[] ids = new int[bytes.length];
                for (int i = 0; i < ids.length; i++) {
                    ids[i] = bytes[i] & 0xFF;
                }
                matcher.goTo(ids, 0);
                assertEquals(expected, matcher.mayEnd(), "seed " + seed + " text " + text + "\n" + gbnf);
                checked++;
                accepted += expected ? 1 : 0;
            }
        }
        assertTrue(accepted > checked / 10 && accepted < checked * 9 / 10, accepted + " of " + checked);
    }

    /** A text that the matcher leads to, whole UTF-8; perhaps not at an end. */
    private static String walk(GrammarMatcher matcher, Random random) {
        List<Integer> ids = new ArrayList<>();
        var out = new java.io.ByteArrayOutputStream();
        while (out.size() < 12) {
            matcher.goTo(ids.stream().mapToInt(Integer::intValue).toArray(), 0);
            BitSet allowed = matcher.allowed();
            if (matcher.mayEnd() && random.nextInt(3) == 0) {
                break;
            }
            int[] choices = allowed.stream()
                    .filter(id -> id != BYTES.end()
                            && (id >= 256 || LETTERS.indexOf((char) id) >= 0 || id == 0xC3 || id == 0xA9))
                    .toArray();
            if (choices.length == 0) {
                break;
            }
            int id = choices[random.nextInt(choices.length)];
            ids.add(id);
            out.writeBytes(BYTES.bytes(id, false));
        }
        return out.toString(StandardCharsets.UTF_8).replace("\uFFFD", "");
    }

    /** The walk over the whole vocabulary agrees with each token by itself, and with a matcher that has seen nothing. */
    @Test
    void theWholeVocabularyAtOnceIsEachTokenByItself() {
        for (long seed = 0; seed < 150; seed++) {
            var random = new Random(seed);
            Grammar grammar = Grammar.parse(randomGrammar(random), null);
            var matcher = new GrammarMatcher(grammar, BYTES);
            List<Integer> ids = new ArrayList<>();
            for (int step = 0; step < 8; step++) {
                int[] sofar = ids.stream().mapToInt(Integer::intValue).toArray();
                matcher.goTo(sofar, 0);
                BitSet allowed = matcher.allowed();
                var fresh = new GrammarMatcher(grammar, BYTES);
                fresh.goTo(sofar, 0);
                for (int id = 0; id < BYTES.size(); id++) {
                    assertEquals(fresh.allows(id), allowed.get(id), "seed " + seed + " step " + step + " token " + id);
                }
                int[] choices = allowed.stream().filter(id -> id != BYTES.end()).toArray();
                if (choices.length == 0) {
                    break;
                }
                ids.add(choices[random.nextInt(choices.length)]);
            }
        }
    }

    /** Every boundary of UTF-8, and ranges across them. */
    @Test
    void rangesOfCharactersAreTheirBytes() {
        int[] edges = {0, 1, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF, 0x3F, 0xABC, 0x1F41F};
        var random = new Random(1);
        for (int round = 0; round < 300; round++) {
            int a = edges[random.nextInt(edges.length)] + random.nextInt(3) - 1;
            int b = edges[random.nextInt(edges.length)] + random.nextInt(3) - 1;
            int first = Math.clamp(Math.min(a, b), 0, CodePoints.MAX);
            int last = Math.clamp(Math.max(a, b), 0, CodePoints.MAX);
            CodePoints set = CodePoints.of(List.of(new CodePoints.Range(first, last)));
            for (int edge : edges) {
                for (int point = Math.max(0, edge - 2); point <= Math.min(CodePoints.MAX, edge + 2); point++) {
                    if (point >= 0xD800 && point <= 0xDFFF) {
                        continue;
                    }
                    byte[] bytes = Character.toString(point).getBytes(StandardCharsets.UTF_8);
                    boolean inBytes = set.utf8().stream()
                            .anyMatch(sequence -> sequence.size() == bytes.length
                                    && java.util.stream.IntStream.range(0, bytes.length)
                                            .allMatch(i -> sequence.get(i).first() <= (bytes[i] & 0xFF)
                                                    && (bytes[i] & 0xFF)
                                                            <= sequence.get(i).last()));
                    assertEquals(first <= point && point <= last, inBytes, first + ".." + last + " " + point);
                }
            }
        }
    }
}
