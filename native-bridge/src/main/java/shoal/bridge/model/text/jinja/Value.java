package shoal.bridge.model.text.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import org.jspecify.annotations.Nullable;

/** What a template can hold: Python's plain values and nothing of Java's. Immutable but for {@link Namespace} and {@link Generator}. */
sealed interface Value {
    /** Input nested deeper is refused. */
    int MAX_DEPTH = 100;

    Value NONE = new None();
    Bool TRUE = new Bool(true);
    Bool FALSE = new Bool(false);

    record None() implements Value {}

    /** What a name or key stands for that is not there. @param why said when it is used as if it were */
    record Undefined(String why) implements Value {
        @Override
        public boolean equals(@Nullable Object other) {
            return other instanceof Undefined;
        }

        @Override
        public int hashCode() {
            return 1;
        }
    }

    /** Numbers and truth values are equal by value, as in Python, where True is 1. */
    sealed interface Numeric extends Value {
        double asDouble();
    }

    record Bool(boolean value) implements Numeric {
        @Override
        public double asDouble() {
            return value ? 1 : 0;
        }

        @Override
        public boolean equals(@Nullable Object other) {
            return Operators.equalNumbers(this, other);
        }

        @Override
        public int hashCode() {
            return Double.hashCode(asDouble());
        }
    }

    record Int(BigInteger value) implements Numeric {
        @Override
        public double asDouble() {
            return value.doubleValue();
        }

        @Override
        public boolean equals(@Nullable Object other) {
            return Operators.equalNumbers(this, other);
        }

        @Override
        public int hashCode() {
            return Double.hashCode(asDouble());
        }
    }

    record Real(double value) implements Numeric {
        @Override
        public double asDouble() {
            return value;
        }

        @Override
        public boolean equals(@Nullable Object other) {
            return Operators.equalNumbers(this, other);
        }

        @Override
        public int hashCode() {
            return Double.hashCode(value + 0.0);
        }
    }

    /** @param safe marked as HTML (markupsafe's Markup): what is added to it is escaped */
    record Text(String value, boolean safe) implements Value {
        @Override
        public boolean equals(@Nullable Object other) {
            return other instanceof Text text && text.value.equals(value);
        }

        @Override
        public int hashCode() {
            return value.hashCode();
        }
    }

    /** Which of Python's types a sequence has; it shows when printed and compared. */
    enum Kind {
        LIST,
        TUPLE,
        RANGE,
        VIEW
    }

    record Sequence(List<Value> items, Kind kind) implements Value {}

    /** The result of a lazy filter: can be gone through once. */
    final class Generator implements Value {
        private List<Value> rest;

        Generator(List<Value> items) {
            rest = items;
        }

        List<Value> take() {
            List<Value> taken = rest;
            rest = List.of();
            return taken;
        }
    }

    record Dict(SequencedMap<Value, Value> entries) implements Value {}

    /** Names that a template may set from inside loops. Equal to itself alone. */
    final class Namespace implements Value {
        final Map<String, Value> attributes = new LinkedHashMap<>();
    }

    /** Something to call: a macro, a method of a value, a function of the environment. Equal to itself alone. */
    final class Function implements Value {
        final String name;
        final Body body;

        Function(String name, Body body) {
            this.name = name;
            this.body = body;
        }

        /** What it does. */
        interface Body {
            Value call(Arguments arguments);
        }
    }

    /** The variable "loop" inside a for. */
    final class Loop implements Value {
        final List<Value> items;
        final int depth;
        int index;

        @Nullable Value changed;

        final @Nullable Function recursion;

        Loop(List<Value> items, int depth, @Nullable Function recursion) {
            this.items = items;
            this.depth = depth;
            this.recursion = recursion;
        }
    }

    static Text text(String value) {
        return new Text(value, false);
    }

    static Int integer(long value) {
        return new Int(BigInteger.valueOf(value));
    }

    static Bool bool(boolean value) {
        return value ? TRUE : FALSE;
    }

    static Sequence list(List<Value> items) {
        return new Sequence(items, Kind.LIST);
    }

    static Sequence tuple(Value... items) {
        return new Sequence(List.of(items), Kind.TUPLE);
    }

    /**
     * @param plain null, a text, a number, a truth value, or a list or map of them with texts as keys
     * @throws TemplateException if it is something else or nested too deep
     */
    static Value of(@Nullable Object plain) {
        return of(plain, 0);
    }

    private static Value of(@Nullable Object plain, int depth) {
        if (depth > MAX_DEPTH) {
            throw new TemplateException("the input is nested deeper than " + MAX_DEPTH + " levels");
        }
        return switch (plain) {
            case null -> NONE;
            case Value value -> value;
            case CharSequence text -> text(text.toString());
            case Boolean value -> bool(value);
            case BigInteger value -> new Int(value);
            case BigDecimal value -> new Real(value.doubleValue());
            case Float value -> new Real(value);
            case Double value -> new Real(value);
            case Number value -> integer(value.longValue());
            case List<?> items -> {
                List<Value> values = new ArrayList<>(items.size());
                for (Object item : items) {
                    values.add(of(item, depth + 1));
                }
                yield list(Collections.unmodifiableList(values));
            }
            case Map<?, ?> entries -> {
                SequencedMap<Value, Value> values = new LinkedHashMap<>();
                for (Map.Entry<?, ?> entry : entries.entrySet()) {
                    values.put(text(String.valueOf(entry.getKey())), of(entry.getValue(), depth + 1));
                }
                yield new Dict(values);
            }
            default ->
                throw new TemplateException("the input holds a "
                        + plain.getClass().getSimpleName() + "; texts, numbers, lists and maps are allowed");
        };
    }
}
