package shoal.bridge.model.text.jinja;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import shoal.bridge.model.text.jinja.Token.Type;

/**
 * Cuts a template into tokens as Jinja does with trim_blocks and lstrip_blocks on and keep_trailing_newline off: the first newline
 * behind a block or comment goes, and so does the white space in front of one that begins its line.
 */
final class Lexer {
    private static final Pattern NAME = Pattern.compile("[\\p{L}_][\\p{L}\\p{N}\\p{M}_]*");
    private static final Pattern FLOAT = Pattern.compile(
            "\\d(?:_?\\d)*(?:\\.\\d(?:_?\\d)*[eE][+-]?\\d(?:_?\\d)*|[eE][+-]?\\d(?:_?\\d)*|\\.\\d(?:_?\\d)*)");
    private static final Pattern INTEGER =
            Pattern.compile("0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[0-9a-fA-F])+|[1-9](?:_?\\d)*|0(?:_?0)*");
    private static final List<String> OPERATORS = List.of(
            "**", "//", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "(", ")", "[", "]", "{", "}", ">", "<",
            "=", ".", ":", "|", ",", ";");
    private static final Pattern RAW_BEGIN = Pattern.compile("\\{%[-+]?\\s*raw\\s*(-%\\}\\s*|%\\})");
    private static final Pattern RAW_END = Pattern.compile("\\{%([-+]?)\\s*endraw\\s*(?:\\+%\\}|-%\\}\\s*|%\\}\\n?)");

    private final String source;
    private final List<Token> tokens = new ArrayList<>();
    private int at;
    private int line = 1;
    private boolean lineStarts = true;

    private Lexer(String source) {
        this.source = source;
    }

    /** @throws TemplateException with the line of what cannot be read */
    static List<Token> tokens(String template) {
        String source = template.replace("\r\n", "\n").replace('\r', '\n');
        if (source.endsWith("\n")) {
            source = source.substring(0, source.length() - 1);
        }
        Lexer lexer = new Lexer(source);
        try {
            lexer.run();
        } catch (TemplateException failure) {
            throw failure.at(lexer.line);
        }
        return lexer.tokens;
    }

    private void run() {
        while (at < source.length()) {
            int begin = nextBegin(at);
            if (begin < 0) {
                add(Type.DATA, source.substring(at));
                break;
            }
            char kind = source.charAt(begin + 1);
            char sign = begin + 2 < source.length() ? source.charAt(begin + 2) : ' ';
            data(source.substring(at, begin), sign, kind != '{');
            count(at, begin);
            at = begin;
            if (kind == '#') {
                comment();
            } else if (kind == '%' && rawBlock()) {
                continue;
            } else {
                add(kind == '%' ? Type.BLOCK_BEGIN : Type.VARIABLE_BEGIN, "");
                at += sign == '-' || sign == '+' ? 3 : 2;
                inside(kind == '%');
            }
        }
        add(Type.END, "");
    }

    private int nextBegin(int from) {
        for (int i = source.indexOf('{', from); i >= 0 && i + 1 < source.length(); i = source.indexOf('{', i + 1)) {
            char next = source.charAt(i + 1);
            if (next == '{' || next == '%' || next == '#') {
                return i;
            }
        }
        return -1;
    }

    private void data(String text, char sign, boolean strips) {
        String kept = text;
        if (sign == '-') {
            kept = PythonText.strip(text, null, false, true);
        } else if (sign != '+' && strips) {
            int lineStart = text.lastIndexOf('\n') + 1;
            if ((lineStart > 0 || lineStarts)
                    && text.substring(lineStart).chars().allMatch(c -> c == ' ' || c == '\t')) {
                kept = text.substring(0, lineStart);
            }
        }
        if (!kept.isEmpty()) {
            add(Type.DATA, kept);
        }
    }

    private void comment() {
        int end = source.indexOf("#}", at + 2);
        if (end < 0) {
            throw new TemplateException("a comment has no end #}");
        }
        moveBehind(end, source.charAt(end - 1), true);
    }

    /** Goes on behind the two characters at {@code end}, with the white space that the sign before them takes along. */
    private void moveBehind(int end, char sign, boolean trims) {
        int next = end + 2;
        if (sign == '-') {
            while (next < source.length() && PythonText.isSpace(source.charAt(next))) {
                next++;
            }
        } else if (trims && sign != '+' && next < source.length() && source.charAt(next) == '\n') {
            next++;
        }
        count(at, next);
        lineStarts = source.charAt(next - 1) == '\n';
        at = next;
    }

    private boolean rawBlock() {
        Matcher begin = RAW_BEGIN.matcher(source).region(at, source.length());
        if (!begin.lookingAt()) {
            return false;
        }
        Matcher end = RAW_END.matcher(source);
        if (!end.find(begin.end())) {
            throw new TemplateException("a raw block has no endraw");
        }
        String text = source.substring(begin.end(), end.start());
        lineStarts = source.charAt(begin.end() - 1) == '\n';
        String sign = end.group(1);
        data(text, sign == null || sign.isEmpty() ? ' ' : sign.charAt(0), true);
        count(at, end.end());
        lineStarts = source.charAt(end.end() - 1) == '\n';
        at = end.end();
        return true;
    }

    private void inside(boolean block) {
        String close = block ? "%}" : "}}";
        int open = 0;
        while (true) {
            int before = at;
            while (at < source.length() && PythonText.isSpace(source.charAt(at))) {
                at++;
            }
            count(before, at);
            if (at >= source.length()) {
                throw new TemplateException("a tag has no end " + close);
            }
            char c = source.charAt(at);
            if (open == 0) {
                boolean signed = (c == '-' || block && c == '+') && source.startsWith(close, at + 1);
                if (signed || source.startsWith(close, at)) {
                    add(block ? Type.BLOCK_END : Type.VARIABLE_END, "");
                    moveBehind(signed ? at + 1 : at, signed ? c : ' ', block);
                    return;
                }
            }
            if (c == '\'' || c == '"') {
                literal(c);
            } else if (!match(FLOAT, Type.FLOAT) && !match(INTEGER, Type.INTEGER) && !match(NAME, Type.NAME)) {
                String operator = OPERATORS.stream()
                        .filter(o -> source.startsWith(o, at))
                        .findFirst()
                        .orElseThrow(() -> new TemplateException("unexpected character '" + c + "'"));
                open += "([{".contains(operator) ? 1 : ")]}".contains(operator) ? -1 : 0;
                if (open < 0) {
                    throw new TemplateException("unexpected '" + operator + "'");
                }
                add(Type.OPERATOR, operator);
                at += operator.length();
            }
        }
    }

    private boolean match(Pattern pattern, Type type) {
        Matcher matcher = pattern.matcher(source).region(at, source.length());
        if (!matcher.lookingAt()) {
            return false;
        }
        add(type, type == Type.NAME ? matcher.group() : matcher.group().replace("_", ""));
        at = matcher.end();
        return true;
    }

    private void literal(char quote) {
        int end = at + 1;
        while (end < source.length() && source.charAt(end) != quote) {
            end += source.charAt(end) == '\\' ? 2 : 1;
        }
        if (end >= source.length()) {
            throw new TemplateException("a text has no closing " + quote);
        }
        add(Type.TEXT, unescape(source.substring(at + 1, end)));
        count(at, end);
        at = end + 1;
    }

    /** Python's escapes; unknown ones stay as they are. */
    private static String unescape(String text) {
        StringBuilder out = new StringBuilder();
        int i = 0;
        while (i < text.length()) {
            char c = text.charAt(i++);
            if (c != '\\' || i == text.length()) {
                out.append(c);
                continue;
            }
            char kind = text.charAt(i++);
            switch (kind) {
                case 'n' -> out.append('\n');
                case 't' -> out.append('\t');
                case 'r' -> out.append('\r');
                case 'b' -> out.append('\b');
                case 'f' -> out.append('\f');
                case 'a' -> out.append('\u0007');
                case 'v' -> out.append('\u000b');
                case '\n' -> {}
                case '\\', '\'', '"' -> out.append(kind);
                case 'x', 'u', 'U' -> {
                    int digits = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
                    out.appendCodePoint(hex(text, i, digits));
                    i += digits;
                }
                case '0', '1', '2', '3', '4', '5', '6', '7' -> {
                    int value = kind - '0';
                    for (int n = 1; n < 3 && i < text.length() && text.charAt(i) >= '0' && text.charAt(i) <= '7'; n++) {
                        value = value * 8 + text.charAt(i++) - '0';
                    }
                    out.append((char) value);
                }
                default -> out.append('\\').append(kind);
            }
        }
        return out.toString();
    }

    private static int hex(String text, int from, int digits) {
        try {
            int value = Integer.parseInt(text, from, Math.min(text.length(), from + digits), 16);
            if (from + digits <= text.length() && Character.isValidCodePoint(value)) {
                return value;
            }
        } catch (NumberFormatException | IndexOutOfBoundsException notHex) {
            throw new TemplateException("a text has a bad escape at " + text.substring(Math.max(0, from - 2)));
        }
        throw new TemplateException("a text has a bad escape at " + text.substring(Math.max(0, from - 2)));
    }

    private void add(Type type, String text) {
        tokens.add(new Token(type, text, line));
    }

    private void count(int from, int to) {
        for (int i = from; i < to; i++) {
            if (source.charAt(i) == '\n') {
                line++;
            }
        }
    }
}
