package shoal.bridge.model.text.grammar;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import shoal.codec.base.MalformedException;

/**
 * A regular expression of JSON schema (the common part of ECMA-262 and others: classes, groups, alternatives, repetitions, anchors at the
 * ends) as GBNF for what stands between the quotes of a JSON text. What has no grammar (look-around, back references) is refused.
 */
final class PatternGrammar {
    private static final int MAX_DEPTH = 50;

    /** Stands in a JSON text as it is. */
    static final CodePoints PLAIN = CodePoints.of(List.of(
                    new CodePoints.Range(0, 0x1F),
                    new CodePoints.Range('"', '"'),
                    new CodePoints.Range('\\', '\\'),
                    new CodePoints.Range(0x7F, 0x7F)))
            .complement();

    private static final CodePoints DIGITS = CodePoints.of(List.of(new CodePoints.Range('0', '9')));
    private static final CodePoints WORD = CodePoints.of(List.of(
            new CodePoints.Range('0', '9'),
            new CodePoints.Range('a', 'z'),
            new CodePoints.Range('A', 'Z'),
            new CodePoints.Range('_', '_')));
    private static final CodePoints SPACE =
            CodePoints.of(List.of(new CodePoints.Range(' ', ' '), new CodePoints.Range('\t', '\r')));
    private static final CodePoints NO_NEWLINE = CodePoints.of(List.of(
                    new CodePoints.Range('\n', '\n'),
                    new CodePoints.Range('\r', '\r'),
                    new CodePoints.Range(0x2028, 0x2029)))
            .complement();

    private static final Map<Integer, String> ESCAPED = Map.of(
            (int) '"', "\"\\\\\\\"\"",
            (int) '\\', "\"\\\\\\\\\"",
            (int) '\n', "\"\\\\n\"",
            (int) '\r', "\"\\\\r\"",
            (int) '\t', "\"\\\\t\"",
            (int) '\b', "\"\\\\b\"",
            (int) '\f', "\"\\\\f\"");

    private final String pattern;
    private int at;
    private int depth;

    private PatternGrammar(String pattern) {
        this.pattern = pattern;
    }

    static String gbnf(String pattern) {
        if (pattern.length() > 10_000) {
            throw new MalformedException("a pattern has " + pattern.length() + " characters, allowed 0..10000");
        }
        var reader = new PatternGrammar(pattern);
        String result = reader.alternatives(true);
        if (reader.at < pattern.length()) {
            throw reader.wrong("an unexpected " + pattern.charAt(reader.at));
        }
        return result;
    }

    /** At the top, an alternative without an anchor may stand anywhere in the text. */
    private String alternatives(boolean top) {
        if (++depth > MAX_DEPTH) {
            throw wrong("groups nested deeper than " + MAX_DEPTH);
        }
        List<String> options = new ArrayList<>();
        do {
            boolean fromStart = top && peek('^');
            if (fromStart) {
                at++;
            }
            String body = sequence();
            boolean toEnd = top && peek('$');
            if (toEnd) {
                at++;
            }
            options.add((top && !fromStart ? "char* " : "") + body + (top && !toEnd ? " char*" : ""));
        } while (at < pattern.length() && pattern.charAt(at) == '|' && at++ >= 0);
        depth--;
        return String.join(" | ", options);
    }

    private boolean peek(char c) {
        return at < pattern.length() && pattern.charAt(at) == c;
    }

    private String sequence() {
        var out = new StringBuilder("\"\"");
        while (at < pattern.length() && "|)".indexOf(pattern.charAt(at)) < 0) {
            if (peek('$') && (at + 1 == pattern.length() || pattern.charAt(at + 1) == '|') && depth == 1) {
                break;
            }
            out.append(' ').append(atom());
        }
        return out.toString();
    }

    private String atom() {
        int c = pattern.codePointAt(at);
        at += Character.charCount(c);
        String one = switch (c) {
            case '(' -> {
                if (pattern.startsWith("?:", at)) {
                    at += 2;
                } else if (peek('?')) {
                    throw wrong("a group that looks around or has a name");
                }
                String group = alternatives(false);
                if (!peek(')')) {
                    throw wrong("a group without an end");
                }
                at++;
                yield "(" + group + ")";
            }
            case '[' -> inJson(characterSet());
            case '.' -> inJson(NO_NEWLINE);
            case '\\' -> inJson(escape());
            case '^', '$' -> throw wrong("an anchor in the middle");
            case '*', '+', '?', '{' -> throw wrong("a repetition of nothing");
            default -> inJson(CodePoints.of(c));
        };
        return one + repetition();
    }

    private String repetition() {
        if (at >= pattern.length()) {
            return "";
        }
        String found;
        switch (pattern.charAt(at)) {
            case '*', '+', '?' -> found = String.valueOf(pattern.charAt(at++));
            case '{' -> {
                int end = pattern.indexOf('}', at);
                String range = end < 0 ? "" : pattern.substring(at, end + 1);
                if (!range.matches("\\{[0-9]{1,5}(,[0-9]{0,5})?}")) {
                    throw wrong("a { that begins no repetition");
                }
                at = end + 1;
                found = range;
            }
            default -> {
                return "";
            }
        }
        if (peek('?')) {
            at++; // lazy: the same texts
        }
        if (at < pattern.length() && "*+?{".indexOf(pattern.charAt(at)) >= 0) {
            throw wrong("a repetition of a repetition");
        }
        return found;
    }

    private CodePoints characterSet() {
        boolean negated = peek('^');
        if (negated) {
            at++;
        }
        List<CodePoints.Range> ranges = new ArrayList<>();
        while (!peek(']')) {
            if (at >= pattern.length()) {
                throw wrong("a [ without an end");
            }
            CodePoints first = member();
            boolean single = first.ranges().size() == 1
                    && first.ranges().getFirst().first()
                            == first.ranges().getFirst().last();
            if (single && peek('-') && at + 1 < pattern.length() && pattern.charAt(at + 1) != ']') {
                at++;
                CodePoints last = member();
                int from = first.ranges().getFirst().first();
                int to = last.ranges().isEmpty() ? -1 : last.ranges().getFirst().first();
                if (last.ranges().size() != 1 || to < from) {
                    throw wrong("a range of characters that is none");
                }
                ranges.add(new CodePoints.Range(from, to));
            } else {
                ranges.addAll(first.ranges());
            }
        }
        at++;
        CodePoints set = CodePoints.of(ranges);
        return negated ? set.complement() : set;
    }

    private CodePoints member() {
        if (at >= pattern.length()) {
            throw wrong("a [ without an end");
        }
        int c = pattern.codePointAt(at);
        at += Character.charCount(c);
        return c == '\\' ? escape() : CodePoints.of(c);
    }

    private CodePoints escape() {
        if (at >= pattern.length()) {
            throw wrong("nothing behind a backslash");
        }
        char c = pattern.charAt(at++);
        return switch (c) {
            case 'd' -> DIGITS;
            case 'D' -> DIGITS.complement();
            case 'w' -> WORD;
            case 'W' -> WORD.complement();
            case 's' -> SPACE;
            case 'S' -> SPACE.complement();
            case 'n' -> CodePoints.of('\n');
            case 'r' -> CodePoints.of('\r');
            case 't' -> CodePoints.of('\t');
            case 'f' -> CodePoints.of('\f');
            case 'v' -> CodePoints.of(0x0B);
            case 'x' -> CodePoints.of(hex(2));
            case 'u' -> CodePoints.of(hex(4));
            default -> {
                if (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
                    throw wrong("\\" + c);
                }
                yield CodePoints.of(c);
            }
        };
    }

    private int hex(int digits) {
        if (at + digits > pattern.length()
                || !pattern.substring(at, at + digits).matches("[0-9a-fA-F]+")) {
            throw wrong("an escape without its hexadecimal digits");
        }
        int value = Integer.parseInt(pattern.substring(at, at + digits), 16);
        at += digits;
        return value;
    }

    /** One of these characters, as it stands in a JSON text. */
    private String inJson(CodePoints set) {
        List<String> options = new ArrayList<>();
        CodePoints plain = set.and(PLAIN);
        if (!plain.ranges().isEmpty()) {
            options.add(characterClass(plain));
        }
        ESCAPED.entrySet().stream()
                .sorted(Map.Entry.comparingByKey())
                .filter(entry -> set.contains(entry.getKey()))
                .forEach(entry -> options.add(entry.getValue()));
        if (options.isEmpty()) {
            throw wrong("a class of characters that no JSON text has");
        }
        return options.size() == 1 ? options.getFirst() : "(" + String.join(" | ", options) + ")";
    }

    /** In GBNF. */
    static String characterClass(CodePoints set) {
        var out = new StringBuilder("[");
        for (CodePoints.Range range : set.ranges()) {
            out.append(one(range.first()));
            if (range.last() > range.first()) {
                out.append('-').append(one(range.last()));
            }
        }
        return out.append(']').toString();
    }

    private static String one(int c) {
        boolean plain = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z';
        return plain ? String.valueOf((char) c) : String.format(Locale.ROOT, "\\U%08X", c);
    }

    private MalformedException wrong(String what) {
        return new MalformedException(
                "the JSON schema's pattern has " + what + " near character " + at + ", which a grammar can't say");
    }
}
