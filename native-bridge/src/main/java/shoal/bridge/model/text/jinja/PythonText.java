package shoal.bridge.model.text.jinja;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Texts as Python writes and cuts them. */
final class PythonText {
    private PythonText() {}

    /** What str.isspace, strip and split take for white space. */
    static boolean isSpace(int c) {
        return c >= 0x09 && c <= 0x0d
                || c >= 0x1c && c <= 0x20
                || c == 0x85
                || c == 0xa0
                || c == 0x1680
                || c >= 0x2000 && c <= 0x200a
                || c == 0x2028
                || c == 0x2029
                || c == 0x202f
                || c == 0x205f
                || c == 0x3000;
    }

    /** @param characters which to take off; null for white space */
    static String strip(String text, @Nullable String characters, boolean left, boolean right) {
        int from = 0;
        int to = text.length();
        while (left && from < to && strips(text.codePointAt(from), characters)) {
            from += Character.charCount(text.codePointAt(from));
        }
        while (right && from < to && strips(text.codePointBefore(to), characters)) {
            to -= Character.charCount(text.codePointBefore(to));
        }
        return text.substring(from, to);
    }

    private static boolean strips(int c, @Nullable String characters) {
        return characters == null ? isSpace(c) : characters.indexOf(c) >= 0;
    }

    /** @param limit splits at most, or below 0 for all */
    static List<String> split(String text, @Nullable String separator, int limit) {
        List<String> parts = new ArrayList<>();
        int from = 0;
        if (separator == null) {
            while (true) {
                while (from < text.length() && isSpace(text.charAt(from))) {
                    from++;
                }
                if (from == text.length()) {
                    return parts;
                }
                if (limit >= 0 && parts.size() == limit) {
                    parts.add(strip(text.substring(from), null, false, true));
                    return parts;
                }
                int to = from;
                while (to < text.length() && !isSpace(text.charAt(to))) {
                    to++;
                }
                parts.add(text.substring(from, to));
                from = to;
            }
        }
        if (separator.isEmpty()) {
            throw new TemplateException("split needs a separator that is not empty");
        }
        for (int to = text.indexOf(separator);
                to >= 0 && (limit < 0 || parts.size() < limit);
                to = text.indexOf(separator, from)) {
            parts.add(text.substring(from, to));
            from = to + separator.length();
        }
        parts.add(text.substring(from));
        return parts;
    }

    static List<String> splitFromRight(String text, @Nullable String separator, int limit) {
        if (limit < 0) {
            return split(text, separator, -1);
        }
        if (separator == null) {
            List<String> reversed = split(new StringBuilder(text).reverse().toString(), null, limit);
            return reversed.reversed().stream()
                    .map(part -> new StringBuilder(part).reverse().toString())
                    .toList();
        }
        if (separator.isEmpty()) {
            throw new TemplateException("rsplit needs a separator that is not empty");
        }
        List<String> parts = new ArrayList<>();
        int to = text.length();
        while (parts.size() < limit) {
            int at = to < separator.length() ? -1 : text.lastIndexOf(separator, to - separator.length());
            if (at < 0) {
                break;
            }
            parts.addFirst(text.substring(at + separator.length(), to));
            to = at;
        }
        parts.addFirst(text.substring(0, to));
        return parts;
    }

    static List<String> lines(String text, boolean keepEnds) {
        List<String> lines = new ArrayList<>();
        int from = 0;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c >= 0x0a && c <= 0x0d || c >= 0x1c && c <= 0x1e || c == 0x85 || c == 0x2028 || c == 0x2029) {
                int end = c == '\r' && i + 1 < text.length() && text.charAt(i + 1) == '\n' ? i + 2 : i + 1;
                lines.add(text.substring(from, keepEnds ? end : i));
                from = end;
                i = end - 1;
            }
        }
        if (from < text.length()) {
            lines.add(text.substring(from));
        }
        return lines;
    }

    static String replace(String text, String old, String by, int limit) {
        if (limit < 0) {
            return text.replace(old, by);
        }
        StringBuilder out = new StringBuilder();
        int from = 0;
        int done = 0;
        for (int at = text.indexOf(old); at >= 0 && done < limit && at <= text.length(); at = text.indexOf(old, from)) {
            if (old.isEmpty()) {
                if (from >= text.length()) {
                    out.append(by);
                    break;
                }
                out.append(by).append(text.charAt(from++));
            } else {
                out.append(text, from, at).append(by);
                from = at + old.length();
            }
            done++;
        }
        return out.append(text, Math.min(from, text.length()), text.length()).toString();
    }

    /** First letters of words large, the others small, as str.title has it. */
    static String title(String text) {
        StringBuilder out = new StringBuilder();
        boolean inWord = false;
        for (int i = 0; i < text.length(); i += Character.charCount(text.codePointAt(i))) {
            int c = text.codePointAt(i);
            out.appendCodePoint(inWord ? Character.toLowerCase(c) : Character.toTitleCase(c));
            inWord = Character.isLetter(c);
        }
        return out.toString();
    }

    static String capitalize(String text) {
        if (text.isEmpty()) {
            return text;
        }
        int first = text.offsetByCodePoints(0, 1);
        return text.substring(0, first).toUpperCase(Locale.ROOT)
                + text.substring(first).toLowerCase(Locale.ROOT);
    }

    static String escapeHtml(String text) {
        return text.replace("&", "&amp;")
                .replace(">", "&gt;")
                .replace("<", "&lt;")
                .replace("'", "&#39;")
                .replace("\"", "&#34;");
    }

    /** str(value). */
    static String of(Value value) {
        return switch (value) {
            case Value.Text(String text, boolean _) -> text;
            case Value.Undefined _ -> "";
            default -> repr(value);
        };
    }

    /** repr(value). */
    static String repr(Value value) {
        StringBuilder out = new StringBuilder();
        repr(value, out);
        return out.toString();
    }

    private static void repr(Value value, StringBuilder out) {
        switch (value) {
            case Value.None _ -> out.append("None");
            case Value.Undefined _ -> out.append("Undefined");
            case Value.Bool(boolean is) -> out.append(is ? "True" : "False");
            case Value.Int(var number) -> out.append(number);
            case Value.Real(double number) -> out.append(real(number));
            case Value.Text(String text, boolean safe) -> {
                out.append(safe ? "Markup(" : "");
                quote(text, out);
                out.append(safe ? ")" : "");
            }
            case Value.Sequence(List<Value> items, Value.Kind kind) -> {
                switch (kind) {
                    case LIST -> join(items, "[", "]", out);
                    case TUPLE -> join(items, "(", items.size() == 1 ? ",)" : ")", out);
                    case VIEW -> join(items, "dict_items([", "])", out);
                    case RANGE -> join(items, "range(", ")", out);
                }
            }
            case Value.Dict(var entries) -> {
                out.append('{');
                String separator = "";
                for (Map.Entry<Value, Value> entry : entries.entrySet()) {
                    out.append(separator);
                    repr(entry.getKey(), out);
                    out.append(": ");
                    repr(entry.getValue(), out);
                    separator = ", ";
                }
                out.append('}');
            }
            case Value.Generator _ -> out.append("<generator object>");
            case Value.Namespace _ -> out.append("<Namespace>");
            case Value.Function function ->
                out.append("<function ").append(function.name).append('>');
            case Value.Loop loop ->
                out.append("<LoopContext ")
                        .append(loop.index + 1)
                        .append('/')
                        .append(loop.items.size())
                        .append('>');
        }
        if (out.length() > Budget.MAX_TEXT) {
            throw Budget.tooLong(out.length());
        }
    }

    private static void join(List<Value> items, String begin, String end, StringBuilder out) {
        out.append(begin);
        String separator = "";
        for (Value item : items) {
            out.append(separator);
            repr(item, out);
            separator = ", ";
        }
        out.append(end);
    }

    private static void quote(String text, StringBuilder out) {
        char quote = text.indexOf('\'') >= 0 && text.indexOf('"') < 0 ? '"' : '\'';
        out.append(quote);
        text.codePoints().forEach(c -> {
            switch (c) {
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                case '\\' -> out.append("\\\\");
                default -> {
                    if (c == quote) {
                        out.append('\\').append(quote);
                    } else if (prints(c)) {
                        out.appendCodePoint(c);
                    } else {
                        out.append(String.format(
                                Locale.ROOT, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c));
                    }
                }
            }
        });
        out.append(quote);
    }

    private static boolean prints(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR -> false;
            case Character.SPACE_SEPARATOR -> c == ' ';
            default -> true;
        };
    }

    /** repr(float): the fewest digits that read back the same, without exponent from 1e-4 to below 1e16. */
    static String real(double number) {
        if (Double.isNaN(number)) {
            return "nan";
        }
        if (Double.isInfinite(number)) {
            return number > 0 ? "inf" : "-inf";
        }
        if (number == 0) {
            return 1 / number < 0 ? "-0.0" : "0.0";
        }
        BigDecimal decimal = new BigDecimal(Double.toString(Math.abs(number))).stripTrailingZeros();
        String digits = decimal.unscaledValue().toString();
        int exponent = digits.length() - 1 - decimal.scale();
        String sign = number < 0 ? "-" : "";
        if (exponent < -4 || exponent >= 16) {
            String fraction = digits.length() > 1 ? "." + digits.substring(1) : "";
            return sign + digits.charAt(0) + fraction + "e" + (exponent < 0 ? "-" : "+")
                    + (Math.abs(exponent) < 10 ? "0" : "") + Math.abs(exponent);
        }
        String plain = decimal.toPlainString();
        return sign + plain + (plain.indexOf('.') < 0 ? ".0" : "");
    }
}
