package shoal.bridge.model.text.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.jinja.Value.Kind;

/** Jinja's filters, and tojson as chat templates have it (json.dumps, no escaping of HTML). */
final class Filters {
    /** Every filter there is. */
    static final Set<String> NAMES = Set.of(
            "tojson",
            "length",
            "count",
            "trim",
            "default",
            "d",
            "string",
            "join",
            "lower",
            "upper",
            "capitalize",
            "title",
            "items",
            "dictsort",
            "safe",
            "escape",
            "e",
            "forceescape",
            "list",
            "replace",
            "selectattr",
            "rejectattr",
            "select",
            "reject",
            "map",
            "unique",
            "indent",
            "int",
            "float",
            "abs",
            "min",
            "max",
            "sum",
            "first",
            "last",
            "reverse",
            "sort",
            "round",
            "batch",
            "slice",
            "groupby",
            "attr",
            "format",
            "wordcount",
            "center",
            "truncate");

    private final Interpreter interpreter;
    private final Operators operators;
    private final Tests tests;
    private final Budget budget;

    Filters(Interpreter interpreter, Operators operators, Tests tests, Budget budget) {
        this.interpreter = interpreter;
        this.operators = operators;
        this.tests = tests;
        this.budget = budget;
    }

    /** @throws TemplateException if there is no such filter or the value does not fit it */
    Value apply(String name, Value of, Arguments arguments) {
        return switch (name) {
            case "tojson" -> json(of, arguments);
            case "length", "count" -> Value.integer(operators.length(of));
            case "trim" -> {
                Value characters = arguments.get(0, "chars", Value.NONE);
                yield operators.text(
                        PythonText.strip(
                                PythonText.of(of),
                                characters instanceof Value.None ? null : Operators.requireText(characters, "chars"),
                                true,
                                true),
                        safe(of));
            }
            case "default", "d" ->
                of instanceof Value.Undefined || arguments.flag(1, "boolean", false) && !Operators.isTrue(of)
                        ? arguments.get(0, "default_value", Value.text(""))
                        : of;
            case "string" -> of instanceof Value.Text ? of : operators.text(PythonText.of(of), false);
            case "join" -> join(of, arguments);
            case "lower" -> operators.text(PythonText.of(of).toLowerCase(Locale.ROOT), safe(of));
            case "upper" -> operators.text(PythonText.of(of).toUpperCase(Locale.ROOT), safe(of));
            case "capitalize" -> operators.text(PythonText.capitalize(PythonText.of(of)), safe(of));
            case "title" -> operators.text(title(PythonText.of(of)), safe(of));
            case "items" ->
                switch (of) {
                    case Value.Undefined _ -> new Value.Generator(List.of());
                    case Value.Dict(var entries) -> new Value.Generator(Methods.pairs(entries));
                    default -> throw Operators.wrongType("items needs a mapping, this", of);
                };
            case "dictsort" -> sortedPairs(of, arguments);
            case "safe" -> new Value.Text(PythonText.of(of), true);
            case "escape", "e" -> safe(of) ? of : operators.text(PythonText.escapeHtml(PythonText.of(of)), true);
            case "forceescape" -> operators.text(PythonText.escapeHtml(PythonText.of(of)), true);
            case "list" -> Value.list(List.copyOf(operators.iterate(of)));
            case "replace" ->
                interpreter.methods.replace(
                        PythonText.of(of),
                        PythonText.of(arguments.required(0, "old")),
                        PythonText.of(arguments.required(1, "new")),
                        arguments.integer(2, "count", -1),
                        false);
            case "selectattr" -> select(of, arguments, true, true);
            case "rejectattr" -> select(of, arguments, true, false);
            case "select" -> select(of, arguments, false, true);
            case "reject" -> select(of, arguments, false, false);
            case "map" -> map(of, arguments);
            case "unique" -> {
                Function<Value, Value> key =
                        key(arguments.find(1, "attribute"), arguments.flag(0, "case_sensitive", false));
                Set<Value> seen = new java.util.LinkedHashSet<>();
                List<Value> kept = new ArrayList<>();
                for (Value item : operators.iterate(of)) {
                    if (seen.add(Interpreter.hashable(key.apply(item)))) {
                        kept.add(item);
                    }
                }
                yield new Value.Generator(kept);
            }
            case "indent" -> indent(of, arguments);
            case "int" -> toInt(of, arguments);
            case "float" -> toFloat(of, arguments);
            case "abs" ->
                switch (of) {
                    case Value.Int(BigInteger number) -> new Value.Int(number.abs());
                    case Value.Real(double number) -> new Value.Real(Math.abs(number));
                    case Value.Bool(boolean is) -> Value.integer(is ? 1 : 0);
                    default -> throw Operators.wrongType("abs needs a number, this", of);
                };
            case "min" -> extreme(of, arguments, -1);
            case "max" -> extreme(of, arguments, 1);
            case "sum" -> {
                Function<Value, Value> attribute = attribute(arguments.find(0, "attribute"), Value.NONE);
                Value total = arguments.get(1, "start", Value.integer(0));
                for (Value item : operators.iterate(of)) {
                    total = operators.arithmetic("+", total, attribute.apply(item));
                }
                yield total;
            }
            case "first" -> {
                List<Value> items = operators.iterate(of);
                yield items.isEmpty() ? new Value.Undefined("there is no first item") : items.getFirst();
            }
            case "last" -> {
                if (of instanceof Value.Generator) {
                    throw Operators.wrongType("last needs a list, this", of);
                }
                List<Value> items = operators.iterate(of);
                yield items.isEmpty() ? new Value.Undefined("there is no last item") : items.getLast();
            }
            case "reverse" -> {
                if (of instanceof Value.Text(String text, boolean safe)) {
                    yield operators.text(new StringBuilder(text).reverse().toString(), safe);
                }
                List<Value> reversed = new ArrayList<>(operators.iterate(of));
                Collections.reverse(reversed);
                yield new Value.Generator(reversed);
            }
            case "sort" -> {
                Function<Value, Value> key =
                        key(arguments.find(2, "attribute"), arguments.flag(1, "case_sensitive", false));
                yield Value.list(sorted(operators.iterate(of), key, arguments.flag(0, "reverse", false)));
            }
            case "round" -> round(of, arguments);
            case "batch" -> batches(of, arguments);
            case "slice" -> slices(of, arguments);
            case "groupby" -> groups(of, arguments);
            case "attr" -> interpreter.ownAttribute(of, arguments.text(0, "name"));
            case "format" ->
                operators.text(
                        Formats.percent(
                                PythonText.of(of),
                                arguments.named().isEmpty()
                                        ? new Value.Sequence(arguments.positional(), Kind.TUPLE)
                                        : named(arguments),
                                safe(of),
                                budget),
                        safe(of));
            case "wordcount" ->
                Value.integer(PythonText.split(PythonText.of(of).replaceAll("[^\\p{L}\\p{N}_]", " "), null, -1)
                        .size());
            case "center" ->
                interpreter.call(
                        interpreter.attribute(Value.text(PythonText.of(of)), "center"),
                        new Arguments(List.of(arguments.get(0, "width", Value.integer(80))), Map.of()));
            case "truncate" -> truncate(of, arguments);
            default -> throw new TemplateException("there is no filter named " + name);
        };
    }

    private static boolean safe(Value value) {
        return value instanceof Value.Text(String _, boolean safe) && safe;
    }

    private static Value named(Arguments arguments) {
        LinkedHashMap<Value, Value> entries = new LinkedHashMap<>();
        arguments.named().forEach((name, value) -> entries.put(Value.text(name), value));
        return new Value.Dict(entries);
    }

    private Value json(Value of, Arguments arguments) {
        Value indent = arguments.get(1, "indent", Value.NONE);
        String step = switch (indent) {
            case Value.None _ -> null;
            case Value.Text(String text, boolean _) -> text;
            default -> " ".repeat(Math.clamp(Operators.requireInt(indent, "indent"), 0, 100));
        };
        Value separators = arguments.get(2, "separators", Value.NONE);
        String items = step == null ? ", " : ",";
        String keys = ": ";
        if (!(separators instanceof Value.None)) {
            List<Value> both = operators.iterate(separators);
            if (both.size() != 2) {
                throw new TemplateException("separators must be two");
            }
            items = Operators.requireText(both.get(0), "a separator");
            keys = Operators.requireText(both.get(1), "a separator");
        }
        return operators.text(
                Formats.json(
                        of,
                        arguments.flag(0, "ensure_ascii", false),
                        step,
                        items,
                        keys,
                        arguments.flag(3, "sort_keys", false)),
                false);
    }

    private Value join(Value of, Arguments arguments) {
        String separator = PythonText.of(arguments.get(0, "d", Value.text("")));
        Function<Value, Value> attribute = attribute(arguments.find(1, "attribute"), Value.NONE);
        StringBuilder out = new StringBuilder();
        boolean first = true;
        for (Value item : operators.iterate(of)) {
            out.append(first ? "" : separator).append(PythonText.of(attribute.apply(item)));
            budget.text(out.length() / 8);
            first = false;
        }
        return operators.text(out.toString(), false);
    }

    private static String title(String text) {
        StringBuilder out = new StringBuilder();
        boolean first = true;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            out.append(first ? Character.toUpperCase(c) : Character.toLowerCase(c));
            first = c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || PythonText.isSpace(c);
        }
        return out.toString();
    }

    private Value sortedPairs(Value of, Arguments arguments) {
        if (!(of instanceof Value.Dict(var entries))) {
            throw Operators.wrongType("dictsort needs a mapping, this", of);
        }
        String by = arguments.find(1, "by") == null ? "key" : arguments.text(1, "by");
        if (!by.equals("key") && !by.equals("value")) {
            throw new TemplateException("dictsort sorts by key or value, not by " + by);
        }
        Function<Value, Value> fold = key(null, arguments.flag(0, "case_sensitive", false));
        int position = by.equals("key") ? 0 : 1;
        return Value.list(sorted(
                Methods.pairs(entries),
                pair -> fold.apply(((Value.Sequence) pair).items().get(position)),
                arguments.flag(2, "reverse", false)));
    }

    private List<Value> sorted(List<Value> items, Function<Value, Value> key, boolean reverse) {
        List<Value> sorted = new ArrayList<>(items);
        Comparator<Value> order = (a, b) -> operators.order(key.apply(a), key.apply(b));
        try {
            sorted.sort(reverse ? order.reversed() : order);
        } catch (IllegalArgumentException noOrder) {
            throw new TemplateException("the items have no consistent order");
        }
        return sorted;
    }

    /** What to compare items by: an attribute, in small letters unless case matters. */
    private Function<Value, Value> key(@Nullable Value attribute, boolean caseSensitive) {
        Function<Value, Value> part = attribute(attribute, Value.NONE);
        return item -> {
            Value value = part.apply(item);
            return !caseSensitive && value instanceof Value.Text(String text, boolean safe)
                    ? new Value.Text(text.toLowerCase(Locale.ROOT), safe)
                    : value;
        };
    }

    /** Follows a path like "function.name" or "0"; absent of NONE means that undefined stays undefined. */
    private Function<Value, Value> attribute(@Nullable Value path, Value absent) {
        if (path == null || path instanceof Value.None) {
            return Function.identity();
        }
        List<Value> steps = new ArrayList<>();
        if (path instanceof Value.Int) {
            steps.add(path);
        } else {
            for (String step : Operators.requireText(path, "attribute").split("\\.", -1)) {
                steps.add(step.matches("\\d{1,9}") ? Value.integer(Integer.parseInt(step)) : Value.text(step));
            }
        }
        return item -> {
            Value value = item;
            for (Value step : steps) {
                value = interpreter.item(value, step);
                if (value instanceof Value.Undefined && !(absent instanceof Value.None)) {
                    return absent;
                }
            }
            return value;
        };
    }

    private Value select(Value of, Arguments arguments, boolean byAttribute, boolean keep) {
        Function<Value, Value> part =
                byAttribute ? attribute(arguments.required(0, "attribute"), Value.NONE) : Function.identity();
        int next = byAttribute ? 1 : 0;
        Value test = arguments.find(next, "test");
        Arguments rest = arguments.from(next + 1);
        List<Value> kept = new ArrayList<>();
        for (Value item : iterateUnlessFalse(of)) {
            Value value = part.apply(item);
            boolean holds = test == null
                    ? Operators.isTrue(value)
                    : tests.holds(Operators.requireText(test, "the name of a test"), value, rest);
            if (holds == keep) {
                kept.add(item);
            }
        }
        return new Value.Generator(kept);
    }

    /** Jinja's lazy filters take none, and all else that is false, for an empty list. */
    private List<Value> iterateUnlessFalse(Value of) {
        return Operators.isTrue(of) ? operators.iterate(of) : List.of();
    }

    private Value map(Value of, Arguments arguments) {
        List<Value> mapped = new ArrayList<>();
        if (arguments.positional().isEmpty()) {
            Value path = arguments.named().get("attribute");
            if (path == null) {
                throw new TemplateException("map needs a filter or an attribute");
            }
            Function<Value, Value> part = attribute(path, arguments.named().getOrDefault("default", Value.NONE));
            for (Value item : iterateUnlessFalse(of)) {
                mapped.add(part.apply(item));
            }
        } else {
            String filter = arguments.text(0, "filter");
            for (Value item : iterateUnlessFalse(of)) {
                budget.enter();
                mapped.add(apply(filter, item, arguments.from(1)));
                budget.leave();
            }
        }
        return new Value.Generator(mapped);
    }

    private Value indent(Value of, Arguments arguments) {
        Value width = arguments.get(0, "width", Value.integer(4));
        String step = width instanceof Value.Text(String text, boolean _)
                ? text
                : " ".repeat(Math.clamp(Operators.requireInt(width, "width"), 0, 1000));
        boolean first = arguments.flag(1, "first", false);
        boolean blank = arguments.flag(2, "blank", false);
        List<String> lines = PythonText.lines(PythonText.of(of) + "\n", false);
        StringBuilder out = new StringBuilder(first ? step : "");
        for (int i = 0; i < lines.size(); i++) {
            out.append(i == 0 ? "" : "\n")
                    .append(i > 0 && (blank || !lines.get(i).isEmpty()) ? step : "")
                    .append(lines.get(i));
            if (out.length() > Budget.MAX_TEXT) {
                throw Budget.tooLong(out.length());
            }
        }
        return operators.text(out.toString(), safe(of));
    }

    private static Value toInt(Value of, Arguments arguments) {
        Value absent = arguments.get(0, "default", Value.integer(0));
        int base = arguments.integer(1, "base", 10);
        try {
            return switch (of) {
                case Value.Int number -> number;
                case Value.Bool(boolean is) -> Value.integer(is ? 1 : 0);
                case Value.Real(double number) -> new Value.Int(new BigDecimal(number).toBigInteger());
                case Value.Text(String text, boolean _) -> {
                    String digits = PythonText.strip(text, null, true, true).replace("_", "");
                    if (digits.length() > 1000) {
                        yield absent;
                    }
                    if (digits.matches("[+-]?[0-9a-zA-Z]+")) {
                        try {
                            yield new Value.Int(new BigInteger(digits, base));
                        } catch (NumberFormatException noInteger) {
                            // perhaps a number with an exponent
                        }
                    }
                    yield new Value.Int(new BigDecimal(Double.parseDouble(digits)).toBigInteger());
                }
                default -> absent;
            };
        } catch (NumberFormatException noNumber) {
            return absent;
        }
    }

    private static Value toFloat(Value of, Arguments arguments) {
        Value absent = arguments.get(0, "default", new Value.Real(0));
        return switch (of) {
            case Value.Numeric number -> new Value.Real(number.asDouble());
            case Value.Text(String text, boolean _) -> {
                try {
                    yield new Value.Real(Double.parseDouble(PythonText.strip(text, null, true, true)));
                } catch (NumberFormatException noNumber) {
                    yield absent;
                }
            }
            default -> absent;
        };
    }

    private Value extreme(Value of, Arguments arguments, int sign) {
        Function<Value, Value> key = key(arguments.find(1, "attribute"), arguments.flag(0, "case_sensitive", false));
        Value best = null;
        for (Value item : operators.iterate(of)) {
            if (best == null || operators.order(key.apply(item), key.apply(best)) * sign > 0) {
                best = item;
            }
        }
        return best == null ? new Value.Undefined("there is no item") : best;
    }

    private static Value round(Value of, Arguments arguments) {
        int precision = Math.clamp(arguments.integer(0, "precision", 0), -300, 300);
        String method = arguments.find(1, "method") == null ? "common" : arguments.text(1, "method");
        if (!(of instanceof Value.Numeric number)) {
            throw Operators.wrongType("round needs a number, this", of);
        }
        if (Double.isNaN(number.asDouble()) || Double.isInfinite(number.asDouble())) {
            return of;
        }
        RoundingMode mode = switch (method) {
            case "common" -> RoundingMode.HALF_EVEN;
            case "ceil" -> RoundingMode.CEILING;
            case "floor" -> RoundingMode.FLOOR;
            default -> throw new TemplateException("round knows common, ceil and floor, not " + method);
        };
        if (of instanceof Value.Int && method.equals("common")) {
            return of;
        }
        return new Value.Real(
                new BigDecimal(number.asDouble()).setScale(precision, mode).doubleValue());
    }

    private Value batches(Value of, Arguments arguments) {
        int size = arguments.integer(0, "linecount", 0);
        if (size < 1) {
            throw new TemplateException("batch needs a size above 0");
        }
        List<Value> items = operators.iterate(of);
        List<Value> batches = new ArrayList<>();
        Value fill = arguments.get(1, "fill_with", Value.NONE);
        for (int from = 0; from < items.size(); from += size) {
            List<Value> batch = new ArrayList<>(items.subList(from, Math.min(items.size(), from + size)));
            while (!(fill instanceof Value.None) && batch.size() < size) {
                budget.spend(1);
                batch.add(fill);
            }
            batches.add(Value.list(batch));
            if (size > items.size() - from) {
                break;
            }
        }
        return new Value.Generator(batches);
    }

    private Value slices(Value of, Arguments arguments) {
        int count = arguments.integer(0, "slices", 0);
        if (count < 1) {
            throw new TemplateException("slice needs a number above 0");
        }
        budget.spend(count);
        List<Value> items = operators.iterate(of);
        Value fill = arguments.get(1, "fill_with", Value.NONE);
        List<Value> slices = new ArrayList<>();
        int more = items.size() % count;
        int from = 0;
        for (int i = 0; i < count; i++) {
            int to = from + items.size() / count + (i < more ? 1 : 0);
            List<Value> slice = new ArrayList<>(items.subList(from, to));
            if (!(fill instanceof Value.None) && i >= more) {
                slice.add(fill);
            }
            slices.add(Value.list(slice));
            from = to;
        }
        return new Value.Generator(slices);
    }

    private Value groups(Value of, Arguments arguments) {
        Value path = arguments.required(0, "attribute");
        Function<Value, Value> part = attribute(path, arguments.get(1, "default", Value.NONE));
        boolean caseSensitive = arguments.flag(2, "case_sensitive", false);
        Function<Value, Value> fold = key(null, caseSensitive);
        List<Value> groups = new ArrayList<>();
        List<Value> members = new ArrayList<>();
        Value current = null;
        for (Value item : sorted(operators.iterate(of), value -> fold.apply(part.apply(value)), false)) {
            Value key = part.apply(item);
            if (current != null && !operators.equal(fold.apply(current), fold.apply(key))) {
                groups.add(Value.tuple(current, Value.list(members)));
                members = new ArrayList<>();
                current = null;
            }
            current = current == null ? key : current;
            members.add(item);
        }
        if (current != null) {
            groups.add(Value.tuple(current, Value.list(members)));
        }
        return Value.list(groups);
    }

    private Value truncate(Value of, Arguments arguments) {
        String text = PythonText.of(of);
        int length = arguments.integer(0, "length", 255);
        boolean killWords = arguments.flag(1, "killwords", false);
        String end = arguments.find(2, "end") == null ? "..." : arguments.text(2, "end");
        int leeway = arguments.integer(3, "leeway", 5);
        if (text.codePointCount(0, text.length()) <= (long) length + leeway) {
            return of;
        }
        int keep = Math.max(0, length - end.length());
        String cut = text.substring(0, text.offsetByCodePoints(0, keep));
        int space = cut.lastIndexOf(' ');
        return operators.text((killWords || space < 0 ? cut : cut.substring(0, space)) + end, safe(of));
    }
}
