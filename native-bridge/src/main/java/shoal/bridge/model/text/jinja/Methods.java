package shoal.bridge.model.text.jinja;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.jinja.Value.Kind;

/** The methods of Python's texts, lists and mappings that change nothing. */
final class Methods {
    /** Methods that would change a list or mapping: the sandbox that templates are written for refuses them too. */
    private static final Set<String> CHANGES_LIST =
            Set.of("append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort");

    private static final Set<String> CHANGES_MAPPING = Set.of("clear", "pop", "popitem", "setdefault", "update");

    private final Budget budget;
    private final Operators operators;

    Methods(Budget budget, Operators operators) {
        this.budget = budget;
        this.operators = operators;
    }

    /** The method of that name; null if the value has none. One that would change the value is undefined. */
    @Nullable Value find(Value of, String name) {
        return switch (of) {
            case Value.Text text -> {
                Value.Function.Body body = ofText(text, name);
                yield body == null ? null : new Value.Function(name, body);
            }
            case Value.Dict(var entries) -> {
                if (CHANGES_MAPPING.contains(name)) {
                    yield new Value.Undefined(
                            "the method " + name + " of a mapping would change it, which is not allowed");
                }
                Value.Function.Body body = ofDict(entries, name);
                yield body == null ? null : new Value.Function(name, body);
            }
            case Value.Sequence(List<Value> items, Kind kind) -> {
                if (kind == Kind.LIST && CHANGES_LIST.contains(name)) {
                    yield new Value.Undefined(
                            "the method " + name + " of a list would change it, which is not allowed");
                }
                Value.Function.Body body = kind == Kind.VIEW ? null : ofList(of, items, name);
                yield body == null ? null : new Value.Function(name, body);
            }
            case Value.None _,
                    Value.Undefined _,
                    Value.Numeric _,
                    Value.Generator _,
                    Value.Namespace _,
                    Value.Function _,
                    Value.Loop _ -> null;
        };
    }

    private Value.Function.@Nullable Body ofDict(Map<Value, Value> entries, String name) {
        return switch (name) {
            case "get" ->
                arguments -> {
                    Value found = entries.get(Interpreter.hashable(arguments.required(0, "key")));
                    return found == null ? arguments.get(1, "default", Value.NONE) : found;
                };
            case "items" -> _ -> operators.list(pairs(entries), Kind.VIEW);
            case "keys" -> _ -> operators.list(List.copyOf(entries.keySet()), Kind.VIEW);
            case "values" -> _ -> operators.list(List.copyOf(entries.values()), Kind.VIEW);
            case "copy" -> _ -> new Value.Dict(new java.util.LinkedHashMap<>(entries));
            default -> null;
        };
    }

    static List<Value> pairs(Map<Value, Value> entries) {
        List<Value> pairs = new ArrayList<>(entries.size());
        entries.forEach((key, value) -> pairs.add(Value.tuple(key, value)));
        return pairs;
    }

    private Value.Function.@Nullable Body ofList(Value list, List<Value> items, String name) {
        return switch (name) {
            case "count" ->
                arguments -> Value.integer(items.stream()
                        .filter(item -> operators.equal(item, arguments.required(0, "value")))
                        .count());
            case "index" ->
                arguments -> {
                    for (int i = 0; i < items.size(); i++) {
                        if (operators.equal(items.get(i), arguments.required(0, "value"))) {
                            return Value.integer(i);
                        }
                    }
                    throw new TemplateException("the value is not in the list");
                };
            case "copy" -> _ -> list;
            default -> null;
        };
    }

    private Value.Function.@Nullable Body ofText(Value.Text of, String name) {
        String text = of.value();
        boolean safe = of.safe();
        budget.spend(text.length() / 8);
        return switch (name) {
            case "strip" ->
                arguments -> operators.text(PythonText.strip(text, characters(arguments), true, true), safe);
            case "lstrip" ->
                arguments -> operators.text(PythonText.strip(text, characters(arguments), true, false), safe);
            case "rstrip" ->
                arguments -> operators.text(PythonText.strip(text, characters(arguments), false, true), safe);
            case "split" ->
                arguments -> texts(
                        PythonText.split(text, separator(arguments), arguments.integer(1, "maxsplit", -1)),
                        safe,
                        Kind.LIST);
            case "rsplit" ->
                arguments -> texts(
                        PythonText.splitFromRight(text, separator(arguments), arguments.integer(1, "maxsplit", -1)),
                        safe,
                        Kind.LIST);
            case "splitlines" ->
                arguments -> texts(PythonText.lines(text, arguments.flag(0, "keepends", false)), safe, Kind.LIST);
            case "partition" ->
                arguments -> {
                    String by = arguments.text(0, "sep");
                    int at = text.indexOf(by);
                    return texts(
                            at < 0
                                    ? List.of(text, "", "")
                                    : List.of(text.substring(0, at), by, text.substring(at + by.length())),
                            safe,
                            Kind.TUPLE);
                };
            case "rpartition" ->
                arguments -> {
                    String by = arguments.text(0, "sep");
                    int at = text.lastIndexOf(by);
                    return texts(
                            at < 0
                                    ? List.of("", "", text)
                                    : List.of(text.substring(0, at), by, text.substring(at + by.length())),
                            safe,
                            Kind.TUPLE);
                };
            case "replace" ->
                arguments -> {
                    String by = arguments.text(1, "new");
                    if (safe
                            && !(arguments.required(1, "new") instanceof Value.Text(String _, boolean isSafe)
                                    && isSafe)) {
                        by = PythonText.escapeHtml(by);
                    }
                    return replace(text, arguments.text(0, "old"), by, arguments.integer(2, "count", -1), safe);
                };
            case "upper" -> _ -> operators.text(text.toUpperCase(Locale.ROOT), safe);
            case "lower", "casefold" -> _ -> operators.text(text.toLowerCase(Locale.ROOT), safe);
            case "title" -> _ -> operators.text(PythonText.title(text), safe);
            case "capitalize" -> _ -> operators.text(PythonText.capitalize(text), safe);
            case "swapcase" ->
                _ -> operators.text(
                        text.codePoints()
                                .map(c ->
                                        Character.isUpperCase(c) ? Character.toLowerCase(c) : Character.toUpperCase(c))
                                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                                .toString(),
                        safe);
            case "startswith" -> arguments -> Value.bool(affix(text, arguments, true));
            case "endswith" -> arguments -> Value.bool(affix(text, arguments, false));
            case "removeprefix" ->
                arguments -> {
                    String prefix = arguments.text(0, "prefix");
                    return operators.text(text.startsWith(prefix) ? text.substring(prefix.length()) : text, safe);
                };
            case "removesuffix" ->
                arguments -> {
                    String suffix = arguments.text(0, "suffix");
                    return operators.text(
                            text.endsWith(suffix) ? text.substring(0, text.length() - suffix.length()) : text, safe);
                };
            case "find" ->
                arguments ->
                        Value.integer(points(text, text.indexOf(arguments.text(0, "sub"), start(text, arguments))));
            case "rfind" -> arguments -> Value.integer(points(text, text.lastIndexOf(arguments.text(0, "sub"))));
            case "index" ->
                arguments -> {
                    int at = text.indexOf(arguments.text(0, "sub"), start(text, arguments));
                    if (at < 0) {
                        throw new TemplateException("the text is not in the other");
                    }
                    return Value.integer(points(text, at));
                };
            case "count" -> arguments -> Value.integer(occurrences(text, arguments.text(0, "sub")));
            case "join" -> arguments -> join(of, operators.iterate(arguments.required(0, "iterable")));
            case "format" -> arguments -> operators.text(Formats.braces(text, arguments, safe, budget), safe);
            case "isdigit", "isdecimal", "isnumeric" -> _ -> Value.bool(all(text, Character::isDigit));
            case "isalpha" -> _ -> Value.bool(all(text, Character::isLetter));
            case "isalnum" -> _ -> Value.bool(all(text, Character::isLetterOrDigit));
            case "isspace" -> _ -> Value.bool(all(text, PythonText::isSpace));
            case "isascii" -> _ -> Value.bool(text.chars().allMatch(c -> c < 0x80));
            case "isupper" -> _ -> Value.bool(cased(text, true));
            case "islower" -> _ -> Value.bool(cased(text, false));
            case "zfill" ->
                arguments -> {
                    boolean signed = text.startsWith("-") || text.startsWith("+");
                    String sign = signed ? text.substring(0, 1) : "";
                    return operators.text(sign + padding(text, arguments, "0") + text.substring(sign.length()), safe);
                };
            case "ljust" -> arguments -> operators.text(text + padding(text, arguments, fill(arguments)), safe);
            case "rjust" -> arguments -> operators.text(padding(text, arguments, fill(arguments)) + text, safe);
            case "center" ->
                arguments -> {
                    String all = padding(text, arguments, fill(arguments));
                    int width = text.length() + all.length();
                    int left = all.length() / 2 + (all.length() & width & 1);
                    return operators.text(all.substring(0, left) + text + all.substring(left), safe);
                };
            default -> null;
        };
    }

    private static @Nullable String characters(Arguments arguments) {
        Value found = arguments.get(0, "chars", Value.NONE);
        return found instanceof Value.None ? null : Operators.requireText(found, "characters to strip");
    }

    private static @Nullable String separator(Arguments arguments) {
        Value found = arguments.get(0, "sep", Value.NONE);
        return found instanceof Value.None ? null : Operators.requireText(found, "the separator");
    }

    private static String fill(Arguments arguments) {
        String fill = arguments.find(1, "fillchar") == null ? " " : arguments.text(1, "fillchar");
        if (fill.codePointCount(0, fill.length()) != 1) {
            throw new TemplateException("the fill must be one character");
        }
        return fill;
    }

    private String padding(String text, Arguments arguments, String fill) {
        int missing = Math.max(0, arguments.integer(0, "width", 0) - text.codePointCount(0, text.length()));
        budget.text((long) missing * fill.length());
        return fill.repeat(missing);
    }

    private Value texts(List<String> parts, boolean safe, Kind kind) {
        budget.spend(parts.size());
        List<Value> values = new ArrayList<>(parts.size());
        for (String part : parts) {
            values.add(new Value.Text(part, safe));
        }
        return new Value.Sequence(values, kind);
    }

    private static int start(String text, Arguments arguments) {
        int points = Math.max(0, arguments.integer(1, "start", 0));
        return points >= text.codePointCount(0, text.length()) ? text.length() : text.offsetByCodePoints(0, points);
    }

    private static int points(String text, int index) {
        return index < 0 ? -1 : text.codePointCount(0, index);
    }

    private static long occurrences(String text, String part) {
        if (part.isEmpty()) {
            return text.codePointCount(0, text.length()) + 1L;
        }
        long count = 0;
        for (int at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length())) {
            count++;
        }
        return count;
    }

    Value replace(String text, String old, String by, int limit, boolean safe) {
        long times = occurrences(text, old);
        budget.text(text.length() + (limit < 0 ? times : Math.min(limit, times)) * by.length());
        return operators.text(PythonText.replace(text, old, by, limit), safe);
    }

    private static boolean affix(String text, Arguments arguments, boolean prefix) {
        Value affixes = arguments.required(0, "prefix");
        List<Value> all = affixes instanceof Value.Sequence(List<Value> items, Kind kind) && kind == Kind.TUPLE
                ? items
                : List.of(affixes);
        for (Value one : all) {
            String affix = Operators.requireText(one, "a prefix or suffix");
            if (prefix ? text.startsWith(affix) : text.endsWith(affix)) {
                return true;
            }
        }
        return false;
    }

    /** Texts alone, as Python has it. */
    private Value join(Value.Text separator, List<Value> items) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < items.size(); i++) {
            String item = Operators.requireText(items.get(i), "an item to join");
            boolean itemSafe = items.get(i) instanceof Value.Text(String _, boolean isSafe) && isSafe;
            out.append(i == 0 ? "" : separator.value())
                    .append(separator.safe() && !itemSafe ? PythonText.escapeHtml(item) : item);
            budget.text(out.length());
        }
        return new Value.Text(out.toString(), separator.safe());
    }

    private static boolean all(String text, java.util.function.IntPredicate test) {
        return !text.isEmpty() && text.codePoints().allMatch(test);
    }

    private static boolean cased(String text, boolean upper) {
        return text.codePoints().anyMatch(c -> upper ? Character.isUpperCase(c) : Character.isLowerCase(c))
                && text.codePoints().noneMatch(c -> upper ? Character.isLowerCase(c) : Character.isUpperCase(c));
    }
}
