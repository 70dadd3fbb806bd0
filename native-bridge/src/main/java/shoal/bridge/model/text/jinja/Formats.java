package shoal.bridge.model.text.jinja;

import java.math.BigInteger;
import java.time.LocalDateTime;
import java.time.format.TextStyle;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Values written by a pattern: JSON, % and format, dates. */
final class Formats {
    private static final int MAX_WIDTH = 10_000;
    private static final Pattern PERCENT =
            Pattern.compile("%(?:\\(([^)]*)\\))?([-+ 0#]*)(\\d*)(?:\\.(\\d+))?([a-zA-Z%])");
    private static final Pattern SPECIFICATION =
            Pattern.compile("(?:(.)?([<>=^]))?([-+ ]?)(0?)(\\d*)(,?)(?:\\.(\\d+))?([a-zA-Z%]?)");

    private Formats() {}

    /** json.dumps. */
    static String json(
            Value value,
            boolean ascii,
            @Nullable String indent,
            String itemSeparator,
            String keySeparator,
            boolean sorted) {
        StringBuilder out = new StringBuilder();
        new Json(out, ascii, indent, itemSeparator, keySeparator, sorted).write(value, 0);
        return out.toString();
    }

    private record Json(
            StringBuilder out,
            boolean ascii,
            @Nullable String indent,
            String itemSeparator,
            String keySeparator,
            boolean sorted) {
        void write(Value value, int depth) {
            if (depth > 2 * Value.MAX_DEPTH) {
                throw new TemplateException("JSON nested deeper than " + 2 * Value.MAX_DEPTH + " levels");
            }
            if (out.length() > Budget.MAX_TEXT) {
                throw Budget.tooLong(out.length());
            }
            switch (value) {
                case Value.None _ -> out.append("null");
                case Value.Bool(boolean is) -> out.append(is);
                case Value.Int(BigInteger number) -> out.append(number);
                case Value.Real(double number) -> out.append(number(number));
                case Value.Text(String text, boolean _) -> quote(text);
                case Value.Sequence(List<Value> items, Value.Kind kind)
                when kind == Value.Kind.LIST || kind == Value.Kind.TUPLE -> {
                    out.append('[');
                    for (int i = 0; i < items.size(); i++) {
                        separate(i, depth + 1);
                        write(items.get(i), depth + 1);
                    }
                    end(items.isEmpty(), depth, ']');
                }
                case Value.Dict(var entries) -> {
                    List<Map.Entry<Value, Value>> members = new ArrayList<>(entries.entrySet());
                    if (sorted) {
                        members.sort(Comparator.comparing(member -> PythonText.of(member.getKey())));
                    }
                    out.append('{');
                    for (int i = 0; i < members.size(); i++) {
                        separate(i, depth + 1);
                        quote(key(members.get(i).getKey()));
                        out.append(keySeparator);
                        write(members.get(i).getValue(), depth + 1);
                    }
                    end(members.isEmpty(), depth, '}');
                }
                case Value.Sequence _,
                        Value.Undefined _,
                        Value.Generator _,
                        Value.Namespace _,
                        Value.Function _,
                        Value.Loop _ ->
                    throw new TemplateException(Operators.type(value) + " cannot be written as JSON");
            }
        }

        private void separate(int index, int depth) {
            if (index > 0) {
                out.append(itemSeparator);
            }
            if (indent != null) {
                out.append('\n').append(indent.repeat(depth));
            }
        }

        private void end(boolean empty, int depth, char close) {
            if (!empty && indent != null) {
                out.append('\n').append(indent.repeat(depth));
            }
            out.append(close);
        }

        private static String number(double number) {
            return Double.isNaN(number)
                    ? "NaN"
                    : Double.isInfinite(number) ? number > 0 ? "Infinity" : "-Infinity" : PythonText.real(number);
        }

        private static String key(Value key) {
            return switch (key) {
                case Value.Text(String text, boolean _) -> text;
                case Value.None _ -> "null";
                case Value.Bool(boolean is) -> String.valueOf(is);
                case Value.Int(BigInteger number) -> number.toString();
                case Value.Real(double number) -> number(number);
                default -> throw new TemplateException("a key in JSON is " + Operators.type(key));
            };
        }

        private void quote(String text) {
            out.append('"');
            for (int i = 0; i < text.length(); i++) {
                char c = text.charAt(i);
                switch (c) {
                    case '"' -> out.append("\\\"");
                    case '\\' -> out.append("\\\\");
                    case '\n' -> out.append("\\n");
                    case '\r' -> out.append("\\r");
                    case '\t' -> out.append("\\t");
                    case '\b' -> out.append("\\b");
                    case '\f' -> out.append("\\f");
                    default -> {
                        if (c < 0x20 || ascii && c > 0x7e) {
                            out.append(String.format(Locale.ROOT, "\\u%04x", (int) c));
                        } else {
                            out.append(c);
                        }
                    }
                }
            }
            out.append('"');
        }
    }

    /** format % values. */
    static String percent(String format, Value values, boolean safe, Budget budget) {
        List<Value> items =
                values instanceof Value.Sequence(List<Value> list, Value.Kind kind) && kind == Value.Kind.TUPLE
                        ? list
                        : List.of(values);
        StringBuilder out = new StringBuilder();
        Matcher matcher = PERCENT.matcher(format);
        int from = 0;
        int next = 0;
        while (matcher.find(from)) {
            plain(format.substring(from, matcher.start()), out);
            from = matcher.end();
            char kind = matcher.group(5).charAt(0);
            if (kind == '%') {
                out.append('%');
                continue;
            }
            Value value;
            String name = matcher.group(1);
            if (name != null) {
                value = values instanceof Value.Dict(var entries) ? entries.get(Value.text(name)) : null;
            } else {
                value = next < items.size() ? items.get(next) : null;
                next++;
            }
            if (value == null) {
                throw new TemplateException("not enough values for the format");
            }
            String flags = matcher.group(2);
            String align = flags.contains("-") ? "<" : ">";
            String sign = flags.contains("+") ? "+" : flags.contains(" ") ? " " : "";
            String zero = flags.contains("0") && !flags.contains("-") ? "0" : "";
            String precision = matcher.group(4);
            Value shown = switch (kind) {
                case 's' ->
                    safe && !(value instanceof Value.Text(String _, boolean isSafe) && isSafe)
                            ? Value.text(PythonText.escapeHtml(PythonText.of(value)))
                            : Value.text(PythonText.of(value));
                case 'r' -> Value.text(PythonText.repr(value));
                case 'd', 'i', 'u' -> value instanceof Value.Real(double number) ? Value.integer((long) number) : value;
                default -> value;
            };
            char type = kind == 'i' || kind == 'u' ? 'd' : kind == 'r' ? 's' : kind;
            if (type == 'd' && !(shown instanceof Value.Numeric)) {
                throw Operators.wrongType("a value for %d", shown);
            }
            out.append(format(
                    shown,
                    align
                            + (type == 's' ? "" : sign + zero)
                            + matcher.group(3)
                            + (precision == null ? "" : "." + precision)
                            + type));
            budget.text(out.length());
        }
        plain(format.substring(from), out);
        if (next < items.size() && !(values instanceof Value.Dict)) {
            throw new TemplateException("more values than the format takes");
        }
        return out.toString();
    }

    private static void plain(String text, StringBuilder out) {
        if (text.indexOf('%') >= 0) {
            throw new TemplateException("unfinished % in a format");
        }
        out.append(text);
    }

    /** format(value, specification), of the mini-language what texts and numbers have. */
    static String format(Value value, String specification) {
        Matcher matcher = SPECIFICATION.matcher(specification);
        if (!matcher.matches()) {
            throw new TemplateException("the format '" + specification + "' is not supported");
        }
        int width = bounded(matcher.group(5));
        String precisionText = matcher.group(7);
        int precision = precisionText == null ? -1 : bounded(precisionText);
        String type = matcher.group(8);
        String sign = "";
        String body;
        boolean number =
                value instanceof Value.Numeric && !type.equals("s") && !(value instanceof Value.Bool && type.isEmpty());
        if (number) {
            Value.Numeric numeric = (Value.Numeric) value;
            boolean negative = numeric.asDouble() < 0;
            sign = negative ? "-" : matcher.group(3).equals("-") ? "" : matcher.group(3);
            body = number(numeric, type, precision, !matcher.group(6).isEmpty());
        } else {
            if (!type.isEmpty() && !type.equals("s")) {
                throw new TemplateException("the format '" + specification + "' does not fit " + Operators.type(value));
            }
            String text = PythonText.of(value);
            body = precision >= 0 && precision < text.codePointCount(0, text.length())
                    ? text.substring(0, text.offsetByCodePoints(0, precision))
                    : text;
        }
        int missing = Math.max(0, width - sign.length() - body.codePointCount(0, body.length()));
        String align = matcher.group(2);
        boolean zero = !matcher.group(4).isEmpty();
        String fill = matcher.group(1) != null ? matcher.group(1) : zero && align == null ? "0" : " ";
        String where = align != null ? align : number ? zero ? "=" : ">" : "<";
        return switch (where) {
            case "<" -> sign + body + fill.repeat(missing);
            case "^" -> fill.repeat(missing / 2) + sign + body + fill.repeat(missing - missing / 2);
            case "=" -> sign + fill.repeat(missing) + body;
            default ->
                (zero && number && align != null && matcher.group(1) == null)
                        ? sign + "0".repeat(missing) + body
                        : fill.repeat(missing) + sign + body;
        };
    }

    private static int bounded(String digits) {
        if (digits.isEmpty()) {
            return 0;
        }
        int value = digits.length() > 6 ? Integer.MAX_VALUE : Integer.parseInt(digits);
        if (value > MAX_WIDTH) {
            throw new TemplateException("a width of " + digits + ", allowed are " + MAX_WIDTH);
        }
        return value;
    }

    private static String number(Value.Numeric value, String type, int precision, boolean grouped) {
        double magnitude = Math.abs(value.asDouble());
        String comma = grouped ? "," : "";
        if (!(value instanceof Value.Real)) {
            BigInteger whole =
                    value instanceof Value.Int(BigInteger n) ? n.abs() : BigInteger.valueOf((long) magnitude);
            switch (type) {
                case "", "d", "n" -> {
                    return String.format(Locale.ROOT, "%" + comma + "d", whole);
                }
                case "x" -> {
                    return whole.toString(16);
                }
                case "X" -> {
                    return whole.toString(16).toUpperCase(Locale.ROOT);
                }
                case "o" -> {
                    return whole.toString(8);
                }
                case "b" -> {
                    return whole.toString(2);
                }
                case "c" -> {
                    return Character.toString(whole.intValueExact());
                }
                default -> {}
            }
        }
        return switch (type) {
            case "f", "F" ->
                String.format(
                        Locale.ROOT,
                        "%" + comma + "." + (precision < 0 ? 6 : precision) + "f",
                        new java.math.BigDecimal(magnitude)
                                .setScale(precision < 0 ? 6 : precision, java.math.RoundingMode.HALF_EVEN));
            case "e" -> String.format(Locale.ROOT, "%." + (precision < 0 ? 6 : precision) + "e", magnitude);
            case "%" -> String.format(Locale.ROOT, "%." + (precision < 0 ? 6 : precision) + "f", magnitude * 100) + "%";
            case "" ->
                precision < 0
                        ? PythonText.real(magnitude)
                        : PythonText.real(new java.math.BigDecimal(magnitude)
                                .round(new java.math.MathContext(Math.max(1, precision)))
                                .doubleValue());
            case "g" -> {
                String text = PythonText.real(new java.math.BigDecimal(magnitude)
                        .round(new java.math.MathContext(precision < 0 ? 6 : Math.max(1, precision)))
                        .doubleValue());
                yield text.endsWith(".0") ? text.substring(0, text.length() - 2) : text;
            }
            default -> throw new TemplateException("the format type '" + type + "' is not supported");
        };
    }

    /** pattern.format(...). */
    static String braces(String pattern, Arguments arguments, boolean safe, Budget budget) {
        StringBuilder out = new StringBuilder();
        int next = 0;
        int i = 0;
        while (i < pattern.length()) {
            char c = pattern.charAt(i);
            if ((c == '{' || c == '}') && i + 1 < pattern.length() && pattern.charAt(i + 1) == c) {
                out.append(c);
                i += 2;
            } else if (c == '{') {
                int end = pattern.indexOf('}', i);
                if (end < 0) {
                    throw new TemplateException("a format has '{' without '}'");
                }
                String field = pattern.substring(i + 1, end);
                int colon = field.indexOf(':');
                String specification = colon < 0 ? "" : field.substring(colon + 1);
                String name = colon < 0 ? field : field.substring(0, colon);
                int bang = name.indexOf('!');
                boolean repr = bang >= 0 && name.endsWith("r");
                name = bang < 0 ? name : name.substring(0, bang);
                Value value;
                if (name.isEmpty()) {
                    value = arguments.find(next++, "");
                } else if (name.chars().allMatch(d -> d >= '0' && d <= '9')) {
                    value = arguments.find(bounded(name), "");
                } else {
                    value = arguments.named().get(name);
                }
                if (value == null) {
                    throw new TemplateException("the format field {" + field + "} has no value");
                }
                String text = format(repr ? Value.text(PythonText.repr(value)) : value, specification);
                boolean escape = safe && !(value instanceof Value.Text(String _, boolean isSafe) && isSafe);
                out.append(escape ? PythonText.escapeHtml(text) : text);
                budget.text(out.length());
                i = end + 1;
            } else if (c == '}') {
                throw new TemplateException("a format has '}' without '{'");
            } else {
                out.append(c);
                i++;
            }
        }
        return out.toString();
    }

    /** strftime in English; a minus behind the % takes leading zeros off. */
    static String date(String pattern, LocalDateTime now) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < pattern.length(); i++) {
            char c = pattern.charAt(i);
            if (c != '%' || i + 1 == pattern.length()) {
                out.append(c);
                continue;
            }
            char kind = pattern.charAt(++i);
            boolean bare = kind == '-' && i + 1 < pattern.length();
            if (bare) {
                kind = pattern.charAt(++i);
            }
            String text = switch (kind) {
                case 'Y' -> String.valueOf(now.getYear());
                case 'y' -> two(now.getYear() % 100);
                case 'm' -> two(now.getMonthValue());
                case 'd' -> two(now.getDayOfMonth());
                case 'e' -> String.format(Locale.ROOT, "%2d", now.getDayOfMonth());
                case 'H' -> two(now.getHour());
                case 'I' -> two((now.getHour() + 11) % 12 + 1);
                case 'M' -> two(now.getMinute());
                case 'S' -> two(now.getSecond());
                case 'f' -> String.format(Locale.ROOT, "%06d", now.getNano() / 1000);
                case 'j' -> String.format(Locale.ROOT, "%03d", now.getDayOfYear());
                case 'p' -> now.getHour() < 12 ? "AM" : "PM";
                case 'B' -> now.getMonth().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
                case 'b', 'h' -> now.getMonth().getDisplayName(TextStyle.SHORT, Locale.ENGLISH);
                case 'A' -> now.getDayOfWeek().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
                case 'a' -> now.getDayOfWeek().getDisplayName(TextStyle.SHORT, Locale.ENGLISH);
                case 'u' -> String.valueOf(now.getDayOfWeek().getValue());
                case 'w' -> String.valueOf(now.getDayOfWeek().getValue() % 7);
                case 'F' -> date("%Y-%m-%d", now);
                case 'T' -> date("%H:%M:%S", now);
                case 'R' -> date("%H:%M", now);
                case 'D', 'x' -> date("%m/%d/%y", now);
                case 'X' -> date("%H:%M:%S", now);
                case 'c' -> date("%a %b %e %H:%M:%S %Y", now);
                case 'n' -> "\n";
                case 't' -> "\t";
                case 'Z', 'z' -> "";
                case '%' -> "%";
                default -> "%" + kind;
            };
            out.append(bare && text.length() > 1 ? text.replaceFirst("^[0 ]+(?=.)", "") : text);
        }
        return out.toString();
    }

    private static String two(int number) {
        return String.format(Locale.ROOT, "%02d", number);
    }
}
