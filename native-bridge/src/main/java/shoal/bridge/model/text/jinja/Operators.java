package shoal.bridge.model.text.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.jinja.Value.Kind;

/** Python's operators on {@link Value}s. */
final class Operators {
    /** Larger integers are refused. */
    private static final int MAX_BITS = 4096;

    private final Budget budget;

    Operators(Budget budget) {
        this.budget = budget;
    }

    static boolean equalNumbers(Value.Numeric left, @Nullable Object other) {
        if (!(other instanceof Value.Numeric right)) {
            return false;
        }
        if (left instanceof Value.Real || right instanceof Value.Real) {
            return left.asDouble() == right.asDouble();
        }
        return whole(left).equals(whole(right));
    }

    private static BigInteger whole(Value.Numeric number) {
        return switch (number) {
            case Value.Bool(boolean is) -> is ? BigInteger.ONE : BigInteger.ZERO;
            case Value.Int(BigInteger value) -> value;
            case Value.Real(double value) -> new BigDecimal(value).toBigInteger();
        };
    }

    static boolean isTrue(Value value) {
        return switch (value) {
            case Value.None _, Value.Undefined _ -> false;
            case Value.Bool(boolean is) -> is;
            case Value.Int(BigInteger number) -> number.signum() != 0;
            case Value.Real(double number) -> number != 0;
            case Value.Text(String text, boolean _) -> !text.isEmpty();
            case Value.Sequence(List<Value> items, Kind _) -> !items.isEmpty();
            case Value.Dict(var entries) -> !entries.isEmpty();
            case Value.Generator _, Value.Namespace _, Value.Function _, Value.Loop _ -> true;
        };
    }

    /** Python's name of the type, for errors. */
    static String type(Value value) {
        return switch (value) {
            case Value.None _ -> "none";
            case Value.Undefined(String why) -> "something undefined (" + why + ")";
            case Value.Bool _ -> "a truth value";
            case Value.Int _ -> "an integer";
            case Value.Real _ -> "a number";
            case Value.Text _ -> "a text";
            case Value.Sequence(List<Value> _, Kind kind) ->
                switch (kind) {
                    case LIST -> "a list";
                    case TUPLE -> "a tuple";
                    case RANGE -> "a range";
                    case VIEW -> "a view of a mapping";
                };
            case Value.Dict _ -> "a mapping";
            case Value.Generator _ -> "a generator";
            case Value.Namespace _ -> "a namespace";
            case Value.Function function -> "the function " + function.name;
            case Value.Loop _ -> "the loop";
        };
    }

    static TemplateException wrongType(String what, Value value) {
        return new TemplateException(value instanceof Value.Undefined(String why) ? why : what + " is " + type(value));
    }

    static String requireText(Value value, String what) {
        if (value instanceof Value.Text(String text, boolean _)) {
            return text;
        }
        throw wrongType(what + " must be a text and", value);
    }

    static int requireInt(Value value, String what) {
        if (value instanceof Value.Int || value instanceof Value.Bool) {
            BigInteger number = whole((Value.Numeric) value);
            if (number.bitLength() < 32) {
                return number.intValue();
            }
            return number.signum() < 0 ? Integer.MIN_VALUE : Integer.MAX_VALUE;
        }
        throw wrongType(what + " must be an integer and", value);
    }

    /** Goes through it once, as a for does. A generator is used up. */
    List<Value> iterate(Value value) {
        List<Value> items = switch (value) {
            case Value.Sequence(List<Value> list, Kind _) -> list;
            case Value.Generator generator -> generator.take();
            case Value.Dict(var entries) -> List.copyOf(entries.sequencedKeySet());
            case Value.Text(String text, boolean safe) ->
                text.codePoints()
                        .mapToObj(c -> (Value) new Value.Text(Character.toString(c), safe))
                        .toList();
            case Value.Undefined _ -> List.of();
            case Value.Loop loop -> loop.items.subList(loop.index, loop.items.size());
            case Value.None _, Value.Numeric _, Value.Namespace _, Value.Function _ ->
                throw wrongType("what is gone through", value);
        };
        budget.spend(items.size());
        return items;
    }

    int length(Value value) {
        return switch (value) {
            case Value.Text(String text, boolean _) -> text.codePointCount(0, text.length());
            case Value.Sequence(List<Value> items, Kind _) -> items.size();
            case Value.Dict(var entries) -> entries.size();
            case Value.Undefined _ -> 0;
            case Value.Loop loop -> loop.items.size();
            case Value.None _, Value.Numeric _, Value.Generator _, Value.Namespace _, Value.Function _ ->
                throw wrongType("what has no length", value);
        };
    }

    Value text(String text, boolean safe) {
        budget.text(text.length());
        return new Value.Text(text, safe);
    }

    Value list(List<Value> items, Kind kind) {
        budget.spend(items.size());
        return new Value.Sequence(items, kind);
    }

    boolean equal(Value left, Value right) {
        budget.enter();
        try {
            if (left instanceof Value.Sequence(List<Value> a, Kind kindA)
                    && right instanceof Value.Sequence(List<Value> b, Kind kindB)) {
                if (kindA != kindB || a.size() != b.size()) {
                    return false;
                }
                for (int i = 0; i < a.size(); i++) {
                    if (!equal(a.get(i), b.get(i))) {
                        return false;
                    }
                }
                return true;
            }
            if (left instanceof Value.Dict(var a) && right instanceof Value.Dict(var b)) {
                if (a.size() != b.size()) {
                    return false;
                }
                for (var entry : a.entrySet()) {
                    Value other = b.get(entry.getKey());
                    if (other == null || !equal(entry.getValue(), other)) {
                        return false;
                    }
                }
                return true;
            }
            return left.equals(right);
        } finally {
            budget.leave();
        }
    }

    /** Below 0, 0 or above it. @throws TemplateException if the two have no order */
    int order(Value left, Value right) {
        if (left instanceof Value.Numeric a && right instanceof Value.Numeric b) {
            return a instanceof Value.Real || b instanceof Value.Real
                    ? Double.compare(a.asDouble() + 0.0, b.asDouble() + 0.0)
                    : whole(a).compareTo(whole(b));
        }
        if (left instanceof Value.Text(String a, boolean _) && right instanceof Value.Text(String b, boolean _)) {
            budget.spend(Math.min(a.length(), b.length()));
            return compareCodePoints(a, b);
        }
        if (left instanceof Value.Sequence(List<Value> a, Kind kindA)
                && right instanceof Value.Sequence(List<Value> b, Kind kindB)
                && kindA == kindB) {
            budget.enter();
            for (int i = 0; i < a.size() && i < b.size(); i++) {
                if (!equal(a.get(i), b.get(i))) {
                    int order = order(a.get(i), b.get(i));
                    budget.leave();
                    return order;
                }
            }
            budget.leave();
            return Integer.compare(a.size(), b.size());
        }
        if (left instanceof Value.Undefined) {
            throw wrongType("what is compared", left);
        }
        throw new TemplateException(type(left) + " and " + type(right) + " have no order");
    }

    private static int compareCodePoints(String a, String b) {
        for (int i = 0; i < a.length() && i < b.length(); i++) {
            char x = a.charAt(i);
            char y = b.charAt(i);
            if (x != y) {
                boolean surrogates = Character.isSurrogate(x) != Character.isSurrogate(y);
                return surrogates ? Character.isSurrogate(x) ? 1 : -1 : Character.compare(x, y);
            }
        }
        return Integer.compare(a.length(), b.length());
    }

    boolean contains(Value container, Value item) {
        return switch (container) {
            case Value.Text(String text, boolean _) -> {
                budget.spend(text.length() / 16);
                yield text.contains(requireText(item, "what is looked for in a text"));
            }
            case Value.Dict(var entries) -> entries.containsKey(Interpreter.hashable(item));
            case Value.Sequence _, Value.Generator _, Value.Undefined _, Value.Loop _ ->
                iterate(container).stream().anyMatch(other -> equal(other, item));
            case Value.None _, Value.Numeric _, Value.Namespace _, Value.Function _ ->
                throw wrongType("what is looked into", container);
        };
    }

    Value arithmetic(String operator, Value left, Value right) {
        if (left instanceof Value.Undefined) {
            throw wrongType("", left);
        }
        if (right instanceof Value.Undefined && !(operator.equals("%") && left instanceof Value.Text)) {
            throw wrongType("", right);
        }
        if (left instanceof Value.Numeric a && right instanceof Value.Numeric b) {
            return a instanceof Value.Real || b instanceof Value.Real || operator.equals("/")
                    ? new Value.Real(real(operator, a.asDouble(), b.asDouble()))
                    : whole(operator, whole(a), whole(b));
        }
        return switch (operator) {
            case "+" -> plus(left, right);
            case "*" -> {
                if (left instanceof Value.Int || left instanceof Value.Bool) {
                    yield times(right, left);
                }
                yield times(left, right);
            }
            case "%" -> {
                if (left instanceof Value.Text(String format, boolean safe)) {
                    yield text(Formats.percent(format, right, safe, budget), safe);
                }
                throw unsupported(operator, left, right);
            }
            default -> throw unsupported(operator, left, right);
        };
    }

    private static TemplateException unsupported(String operator, Value left, Value right) {
        return new TemplateException(operator + " does not work on " + type(left) + " and " + type(right));
    }

    private Value plus(Value left, Value right) {
        if (left instanceof Value.Text(String a, boolean safeA)
                && right instanceof Value.Text(String b, boolean safeB)) {
            String first = safeB && !safeA ? PythonText.escapeHtml(a) : a;
            String second = safeA && !safeB ? PythonText.escapeHtml(b) : b;
            budget.text((long) first.length() + second.length());
            return new Value.Text(first + second, safeA || safeB);
        }
        if (left instanceof Value.Sequence(List<Value> a, Kind kindA)
                && right instanceof Value.Sequence(List<Value> b, Kind kindB)
                && kindA == kindB
                && (kindA == Kind.LIST || kindA == Kind.TUPLE)) {
            budget.spend((long) a.size() + b.size());
            List<Value> joined = new ArrayList<>(a);
            joined.addAll(b);
            return new Value.Sequence(joined, kindA);
        }
        throw unsupported("+", left, right);
    }

    private Value times(Value what, Value count) {
        if (!(count instanceof Value.Int || count instanceof Value.Bool)) {
            throw unsupported("*", what, count);
        }
        int n = Math.max(0, requireInt(count, "the count"));
        if (what instanceof Value.Text(String text, boolean safe)) {
            budget.text((long) text.length() * n);
            return new Value.Text(text.repeat(n), safe);
        }
        if (what instanceof Value.Sequence(List<Value> items, Kind kind) && (kind == Kind.LIST || kind == Kind.TUPLE)) {
            budget.spend((long) items.size() * n);
            List<Value> all = new ArrayList<>();
            for (int i = 0; i < n && !items.isEmpty(); i++) {
                all.addAll(items);
            }
            return new Value.Sequence(all, kind);
        }
        throw unsupported("*", what, count);
    }

    private static double real(String operator, double a, double b) {
        if (b == 0 && (operator.equals("/") || operator.equals("//") || operator.equals("%"))) {
            throw new TemplateException("division by zero");
        }
        return switch (operator) {
            case "+" -> a + b;
            case "-" -> a - b;
            case "*" -> a * b;
            case "/" -> a / b;
            case "//" -> Math.floor(a / b);
            case "%" -> {
                double rest = a % b;
                yield rest != 0 && rest < 0 != b < 0 ? rest + b : rest;
            }
            default -> Math.pow(a, b);
        };
    }

    private static Value whole(String operator, BigInteger a, BigInteger b) {
        if (b.signum() == 0 && (operator.equals("//") || operator.equals("%"))) {
            throw new TemplateException("division by zero");
        }
        BigInteger result = switch (operator) {
            case "+" -> a.add(b);
            case "-" -> a.subtract(b);
            case "*" -> a.multiply(b);
            case "//" -> floorDivide(a, b);
            case "%" -> a.subtract(floorDivide(a, b).multiply(b));
            default -> {
                if (b.signum() < 0) {
                    yield null;
                }
                if (b.bitLength() > 20 || (long) a.bitLength() * b.intValue() > MAX_BITS && a.bitLength() > 1) {
                    throw new TemplateException("an integer has more than " + MAX_BITS + " bits");
                }
                yield a.pow(b.intValue());
            }
        };
        if (result == null) {
            return new Value.Real(Math.pow(a.doubleValue(), b.doubleValue()));
        }
        if (result.bitLength() > MAX_BITS) {
            throw new TemplateException("an integer has more than " + MAX_BITS + " bits");
        }
        return new Value.Int(result);
    }

    private static BigInteger floorDivide(BigInteger a, BigInteger b) {
        BigInteger[] parts = a.divideAndRemainder(b);
        return parts[1].signum() != 0 && parts[1].signum() != b.signum() ? parts[0].subtract(BigInteger.ONE) : parts[0];
    }

    static Value negative(Value value) {
        return switch (value) {
            case Value.Real(double number) -> new Value.Real(-number);
            case Value.Int(BigInteger number) -> new Value.Int(number.negate());
            case Value.Bool(boolean is) -> Value.integer(is ? -1 : 0);
            default -> throw wrongType("what gets a sign", value);
        };
    }

    /** of[start:stop:step]; bounds are none or integers. */
    Value slice(Value of, @Nullable BigInteger start, @Nullable BigInteger stop, @Nullable BigInteger step) {
        int by = step == null ? 1 : step.intValue();
        if (by == 0) {
            throw new TemplateException("the step of a slice is 0");
        }
        if (of instanceof Value.Text(String text, boolean safe)) {
            int[] points = text.codePoints().toArray();
            StringBuilder cut = new StringBuilder();
            for (int index : indices(points.length, start, stop, by)) {
                cut.appendCodePoint(points[index]);
            }
            budget.spend(points.length);
            return text(cut.toString(), safe);
        }
        if (of instanceof Value.Sequence(List<Value> items, Kind kind) && kind != Kind.VIEW) {
            List<Value> cut = new ArrayList<>();
            for (int index : indices(items.size(), start, stop, by)) {
                cut.add(items.get(index));
            }
            return list(cut, kind);
        }
        if (of instanceof Value.Undefined(String why)) {
            throw new TemplateException(why);
        }
        return new Value.Undefined(type(of) + " has no slices");
    }

    private static int[] indices(int length, @Nullable BigInteger start, @Nullable BigInteger stop, int step) {
        int from = bound(start, length, step > 0 ? 0 : length - 1, step);
        int to = bound(stop, length, step > 0 ? length : -1, step);
        long count = step > 0 ? ((long) to - from + step - 1) / step : ((long) from - to - step - 1) / -step;
        int[] indices = new int[(int) Math.max(0, count)];
        for (int i = 0; i < indices.length; i++) {
            indices[i] = from + i * step;
        }
        return indices;
    }

    private static int bound(@Nullable BigInteger bound, int length, int absent, int step) {
        if (bound == null) {
            return absent;
        }
        long at = bound.longValue() < 0 ? bound.longValue() + length : bound.longValue();
        return Math.clamp(at, step > 0 ? 0 : -1, step > 0 ? length : length - 1);
    }
}
