package shoal.bridge.model.text.jinja;

import java.math.BigInteger;
import java.util.List;
import java.util.Locale;

/** Jinja's tests: {@code value is name(arguments)}. */
final class Tests {
    private final Operators operators;

    Tests(Operators operators) {
        this.operators = operators;
    }

    /** @throws TemplateException if there is no such test or the value does not fit it */
    boolean holds(String name, Value of, Arguments arguments) {
        return switch (name) {
            case "defined" -> !(of instanceof Value.Undefined);
            case "undefined" -> of instanceof Value.Undefined;
            case "none" -> of instanceof Value.None;
            case "boolean" -> of instanceof Value.Bool;
            case "true" -> of instanceof Value.Bool(boolean is) && is;
            case "false" -> of instanceof Value.Bool(boolean is) && !is;
            case "integer" -> of instanceof Value.Int;
            case "float" -> of instanceof Value.Real;
            case "number" -> of instanceof Value.Numeric;
            case "string" -> of instanceof Value.Text;
            case "mapping" -> of instanceof Value.Dict;
            case "sequence" ->
                switch (of) {
                    case Value.Text _, Value.Dict _, Value.Undefined _ -> true;
                    case Value.Sequence(List<Value> _, Value.Kind kind) -> kind != Value.Kind.VIEW;
                    case Value.None _,
                            Value.Numeric _,
                            Value.Generator _,
                            Value.Namespace _,
                            Value.Function _,
                            Value.Loop _ -> false;
                };
            case "iterable" ->
                switch (of) {
                    case Value.Text _,
                            Value.Dict _,
                            Value.Undefined _,
                            Value.Sequence _,
                            Value.Generator _,
                            Value.Loop _ -> true;
                    case Value.None _, Value.Numeric _, Value.Namespace _, Value.Function _ -> false;
                };
            case "callable" -> of instanceof Value.Function;
            case "odd" -> remainder(of, 2) == 1;
            case "even" -> remainder(of, 2) == 0;
            case "divisibleby" -> remainder(of, arguments.integer(0, "num", 0)) == 0;
            case "in" -> operators.contains(arguments.required(0, "seq"), of);
            case "eq", "equalto", "==" -> operators.equal(of, arguments.required(0, "other"));
            case "ne", "!=" -> !operators.equal(of, arguments.required(0, "other"));
            case "lt", "lessthan", "<" -> operators.order(of, arguments.required(0, "other")) < 0;
            case "le", "<=" -> operators.order(of, arguments.required(0, "other")) <= 0;
            case "gt", "greaterthan", ">" -> operators.order(of, arguments.required(0, "other")) > 0;
            case "ge", ">=" -> operators.order(of, arguments.required(0, "other")) >= 0;
            case "lower" -> cased(of, false);
            case "upper" -> cased(of, true);
            case "sameas" -> same(of, arguments.required(0, "other"));
            case "escaped" -> of instanceof Value.Text(String _, boolean safe) && safe;
            case "filter" -> of instanceof Value.Text(String filter, boolean _) && Filters.NAMES.contains(filter);
            default -> throw new TemplateException("there is no test named " + name);
        };
    }

    private static boolean same(Value a, Value b) {
        return a == b
                || a.getClass() == b.getClass()
                        && !(a instanceof Value.Sequence)
                        && !(a instanceof Value.Dict)
                        && a.equals(b);
    }

    private static boolean cased(Value of, boolean upper) {
        String text = PythonText.of(of);
        String same = upper ? text.toUpperCase(Locale.ROOT) : text.toLowerCase(Locale.ROOT);
        return text.equals(same) && text.codePoints().anyMatch(Character::isLetter);
    }

    private long remainder(Value of, int by) {
        Value rest = operators.arithmetic("%", of, Value.integer(by));
        return rest instanceof Value.Int(BigInteger number) ? number.longValue() : -1;
    }
}
