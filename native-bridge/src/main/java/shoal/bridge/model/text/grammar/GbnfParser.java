package shoal.bridge.model.text.grammar;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.Tokenizer;
import shoal.codec.base.MalformedException;

/**
 * Reads GBNF, the dialect of llama.cpp (its grammars/README.md): rules {@code name ::= …}, alternates, literals, character classes,
 * {@code .}, groups, {@code * + ? {m} {m,} {m,n}}, comments, and tokens as {@code <text>}, {@code <[id]>} and negated {@code !<…>}.
 */
final class GbnfParser {
    static final int MAX_CHARS = 1 << 20;
    private static final int MAX_DEPTH = 200;
    static final int MAX_REPEAT = 10_000;

    private final String text;
    private final @Nullable Tokenizer tokenizer;
    private int at;
    private int depth;

    private GbnfParser(String text, @Nullable Tokenizer tokenizer) {
        this.text = text;
        this.tokenizer = tokenizer;
    }

    /** Rules by name, in their order. @param tokenizer knows the tokens that the grammar names; null if it may name none */
    static Map<String, Expression> parse(String gbnf, @Nullable Tokenizer tokenizer) {
        if (gbnf.length() > MAX_CHARS) {
            throw new MalformedException("the grammar has " + gbnf.length() + " characters, allowed 0.." + MAX_CHARS);
        }
        return new GbnfParser(gbnf, tokenizer).rules();
    }

    private Map<String, Expression> rules() {
        Map<String, Expression> rules = new LinkedHashMap<>();
        skipSpace(true);
        while (at < text.length()) {
            int begun = at;
            String name = name();
            skipSpace(false);
            if (!text.startsWith("::=", at)) {
                throw wrong("expected ::= behind '" + name + "'");
            }
            at += 3;
            skipSpace(true);
            Expression rule = choice(false);
            if (at < text.length() && !isNewline()) {
                throw wrong("expected the end of the line, found '" + found() + "'");
            }
            if (rules.put(name, rule) != null) {
                at = begun;
                throw wrong("rule '" + name + "' is there twice");
            }
            skipSpace(true);
        }
        return rules;
    }

    private String name() {
        int from = at;
        while (at < text.length() && isName(text.charAt(at))) {
            at++;
        }
        if (from == at) {
            throw wrong("expected the name of a rule, found '" + found() + "'");
        }
        return text.substring(from, at);
    }

    private static boolean isName(char c) {
        return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_';
    }

    private Expression choice(boolean nested) {
        if (++depth > MAX_DEPTH) {
            throw wrong("groups are nested deeper than " + MAX_DEPTH);
        }
        List<Expression> options = new ArrayList<>();
        options.add(sequence(nested));
        while (at < text.length() && text.charAt(at) == '|') {
            at++;
            skipSpace(true);
            options.add(sequence(nested));
        }
        depth--;
        return options.size() == 1 ? options.getFirst() : new Expression.Choice(options);
    }

    private Expression sequence(boolean nested) {
        List<Expression> parts = new ArrayList<>();
        while (at < text.length()) {
            char c = text.charAt(at);
            Expression part;
            if (c == '"') {
                part = literal();
            } else if (c == '[') {
                part = characterClass();
            } else if (c == '.') {
                at++;
                part = new Expression.Characters(CodePoints.ALL);
            } else if (c == '(') {
                at++;
                skipSpace(true);
                part = choice(true);
                if (at == text.length() || text.charAt(at) != ')') {
                    throw wrong("expected ), found '" + found() + "'");
                }
                at++;
            } else if (c == '<' || c == '!') {
                part = token();
            } else if (isName(c)) {
                int line = line();
                part = new Expression.Reference(name(), line);
            } else {
                break;
            }
            skipSpace(nested);
            part = repeated(part);
            skipSpace(nested);
            parts.add(part);
        }
        return parts.size() == 1 ? parts.getFirst() : new Expression.Sequence(parts);
    }

    private Expression repeated(Expression part) {
        Expression result = part;
        while (at < text.length()) {
            int min;
            int max;
            switch (text.charAt(at)) {
                case '*' -> {
                    at++;
                    min = 0;
                    max = -1;
                }
                case '+' -> {
                    at++;
                    min = 1;
                    max = -1;
                }
                case '?' -> {
                    at++;
                    min = 0;
                    max = 1;
                }
                case '{' -> {
                    at++;
                    skipSpace(false);
                    min = number();
                    max = min;
                    skipSpace(false);
                    if (at < text.length() && text.charAt(at) == ',') {
                        at++;
                        skipSpace(false);
                        max = at < text.length() && text.charAt(at) == '}' ? -1 : number();
                        skipSpace(false);
                    }
                    if (at == text.length() || text.charAt(at) != '}') {
                        throw wrong("expected }, found '" + found() + "'");
                    }
                    at++;
                    if (max >= 0 && max < min) {
                        throw wrong("a repetition from " + min + " to " + max + " times");
                    }
                }
                default -> {
                    return result;
                }
            }
            result = new Expression.Repeat(result, min, max);
            if (++depth > MAX_DEPTH) {
                throw wrong("repetitions are nested deeper than " + MAX_DEPTH);
            }
            skipSpace(false);
        }
        return result;
    }

    private int number() {
        int from = at;
        int value = 0;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            value = 10 * value + text.charAt(at++) - '0';
            if (value > MAX_REPEAT) {
                throw wrong("a repetition of " + value + " times or more, allowed 0.." + MAX_REPEAT);
            }
        }
        if (from == at) {
            throw wrong("expected a number, found '" + found() + "'");
        }
        return value;
    }

    private Expression literal() {
        at++;
        List<Expression> characters = new ArrayList<>();
        while (true) {
            if (at >= text.length()) {
                throw wrong("a literal has no end; \" is missing");
            }
            if (text.charAt(at) == '"') {
                at++;
                return characters.size() == 1 ? characters.getFirst() : new Expression.Sequence(characters);
            }
            characters.add(new Expression.Characters(CodePoints.of(character())));
        }
    }

    private Expression characterClass() {
        at++;
        boolean negated = at < text.length() && text.charAt(at) == '^';
        if (negated) {
            at++;
        }
        List<CodePoints.Range> ranges = new ArrayList<>();
        while (true) {
            if (at >= text.length()) {
                throw wrong("a character class has no end; ] is missing");
            }
            if (text.charAt(at) == ']') {
                at++;
                break;
            }
            int first = character();
            int last = first;
            if (at + 1 < text.length() && text.charAt(at) == '-' && text.charAt(at + 1) != ']') {
                at++;
                last = character();
                if (last < first) {
                    throw wrong("a range of characters that runs backwards");
                }
            }
            ranges.add(new CodePoints.Range(first, last));
        }
        CodePoints set = CodePoints.of(ranges);
        return new Expression.Characters(negated ? set.complement() : set);
    }

    /** One, perhaps escaped. */
    private int character() {
        int c = text.codePointAt(at);
        at += Character.charCount(c);
        if (c >= 0xD800 && c <= 0xDFFF) {
            throw wrong("half a surrogate pair");
        }
        if (c != '\\') {
            return c;
        }
        if (at >= text.length()) {
            throw wrong("nothing behind a backslash");
        }
        char escape = text.charAt(at++);
        return switch (escape) {
            case 'x' -> hex(2);
            case 'u' -> hex(4);
            case 'U' -> hex(8);
            case 't' -> '\t';
            case 'r' -> '\r';
            case 'n' -> '\n';
            case '\\', '"', '[', ']', '-', '^' -> escape;
            default -> throw wrong("unknown escape \\" + escape);
        };
    }

    private int hex(int digits) {
        long value = 0;
        for (int i = 0; i < digits; i++) {
            int digit = at < text.length() ? Character.digit(text.charAt(at), 16) : -1;
            if (digit < 0) {
                throw wrong("expected " + digits + " hexadecimal digits, found '" + found() + "'");
            }
            value = 16 * value + digit;
            at++;
        }
        if (value > CodePoints.MAX || value >= 0xD800 && value <= 0xDFFF) {
            throw wrong("U+" + Long.toHexString(value) + " is no character");
        }
        return (int) value;
    }

    private Expression token() {
        boolean negated = text.charAt(at) == '!';
        if (negated) {
            at++;
        }
        if (at >= text.length() || text.charAt(at) != '<') {
            throw wrong("expected < behind !");
        }
        int end = text.indexOf('>', at);
        if (end < 0) {
            throw wrong("a token has no end; > is missing");
        }
        if (tokenizer == null) {
            throw wrong("a grammar that names tokens needs the model's vocabulary");
        }
        String name = text.substring(at, end + 1);
        int id;
        if (name.startsWith("<[") && name.endsWith("]>")) {
            try {
                id = Integer.parseInt(name.substring(2, name.length() - 2));
            } catch (NumberFormatException notANumber) {
                throw wrong("expected the number of a token in '" + shortened(name) + "'");
            }
            if (id < 0 || id >= tokenizer.size()) {
                throw wrong("token " + id + " is not in the vocabulary, allowed 0.." + (tokenizer.size() - 1));
            }
        } else {
            int[] ids = tokenizer.encode(name, false, true);
            if (ids.length != 1) {
                throw wrong("'" + shortened(name) + "' is " + ids.length + " tokens in this vocabulary, not one");
            }
            id = ids[0];
        }
        at = end + 1;
        return new Expression.Token(id, negated);
    }

    private void skipSpace(boolean newlines) {
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c == '#') {
                while (at < text.length() && !isNewline()) {
                    at++;
                }
            } else if (c == ' ' || c == '\t' || newlines && isNewline()) {
                at++;
            } else {
                return;
            }
        }
    }

    private boolean isNewline() {
        return text.charAt(at) == '\n' || text.charAt(at) == '\r';
    }

    private String found() {
        return at >= text.length() ? "the end" : shortened(text.substring(at, Math.min(text.length(), at + 40)));
    }

    private static String shortened(String piece) {
        String line = piece.lines().findFirst().orElse("a new line");
        return line.length() > 20 ? line.substring(0, 20) + "…" : line;
    }

    private int line() {
        return 1
                + (int) text.substring(0, Math.min(at, text.length()))
                        .chars()
                        .filter(c -> c == '\n')
                        .count();
    }

    private MalformedException wrong(String what) {
        return new MalformedException("grammar line " + line() + ": " + what);
    }
}
