package shoal.bridge.model.text.jinja;

import java.math.BigInteger;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.jinja.Node.CallArguments;
import shoal.bridge.model.text.jinja.Node.Expression;
import shoal.bridge.model.text.jinja.Node.Statement;
import shoal.bridge.model.text.jinja.Node.Target;
import shoal.bridge.model.text.jinja.Value.Kind;

/** One rendering of a template. */
final class Interpreter {
    /** As in Jinja's sandbox. */
    private static final int MAX_RANGE = 100_000;

    private final Budget budget = new Budget();
    private final Operators operators = new Operators(budget);
    private final Tests tests = new Tests(operators);
    final Methods methods = new Methods(budget, operators);
    private final Filters filters = new Filters(this, operators, tests, budget);
    private final LocalDateTime now;
    private StringBuilder out = new StringBuilder();
    private int line;

    Interpreter(LocalDateTime now) {
        this.now = now;
    }

    /** Names and what they stand for; those of the scopes around it show through. */
    private static final class Scope {
        final @Nullable Scope around;
        final Map<String, Value> names = new HashMap<>();

        Scope(@Nullable Scope around) {
            this.around = around;
        }

        @Nullable Value find(String name) {
            for (Scope scope = this; scope != null; scope = scope.around) {
                Value value = scope.names.get(name);
                if (value != null) {
                    return value;
                }
            }
            return null;
        }
    }

    /** How a statement ended. */
    private enum Flow {
        ON,
        BREAK,
        CONTINUE
    }

    /** @throws TemplateException with the line */
    String render(List<Statement> template, Map<String, Value> variables) {
        Scope environment = new Scope(null);
        define(environment, "range", this::range);
        define(environment, "namespace", arguments -> {
            Value.Namespace namespace = new Value.Namespace();
            for (Value from : arguments.positional()) {
                if (from instanceof Value.Dict(var entries)) {
                    entries.forEach((key, value) -> namespace.attributes.put(PythonText.of(key), value));
                }
            }
            namespace.attributes.putAll(arguments.named());
            return namespace;
        });
        define(environment, "dict", arguments -> {
            LinkedHashMap<Value, Value> entries = new LinkedHashMap<>();
            for (Value from : arguments.positional()) {
                if (from instanceof Value.Dict(var others)) {
                    entries.putAll(others);
                } else {
                    for (Value pair : operators.iterate(from)) {
                        List<Value> both = operators.iterate(pair);
                        if (both.size() != 2) {
                            throw new TemplateException("dict needs pairs");
                        }
                        entries.put(hashable(both.get(0)), both.get(1));
                    }
                }
            }
            arguments.named().forEach((name, value) -> entries.put(Value.text(name), value));
            return new Value.Dict(entries);
        });
        define(environment, "raise_exception", arguments -> {
            throw TemplateException.raised(PythonText.of(arguments.get(0, "message", Value.text(""))));
        });
        define(
                environment,
                "strftime_now",
                arguments -> operators.text(Formats.date(arguments.text(0, "format"), now), false));
        define(environment, "joiner", arguments -> {
            String separator = arguments.find(0, "sep") == null ? ", " : arguments.text(0, "sep");
            boolean[] used = {false};
            return new Value.Function("joiner", _ -> {
                Value text = Value.text(used[0] ? separator : "");
                used[0] = true;
                return text;
            });
        });
        Scope scope = new Scope(environment);
        scope.names.putAll(variables);
        try {
            run(template, scope);
            return out.toString();
        } catch (TemplateException failure) {
            throw failure.at(line);
        } catch (StackOverflowError tooDeep) { // values built within each other without end; no state outlives the call
            throw new TemplateException("the template nests values too deep").at(line);
        }
    }

    private static void define(Scope scope, String name, Value.Function.Body body) {
        scope.names.put(name, new Value.Function(name, body));
    }

    private Value range(Arguments arguments) {
        int count = arguments.positional().size();
        long start = count > 1 ? arguments.integer(0, "start", 0) : 0;
        long stop = arguments.integer(count > 1 ? 1 : 0, "stop", 0);
        long step = arguments.integer(2, "step", 1);
        if (count == 0 || step == 0) {
            throw new TemplateException("range needs a stop, and a step that is not 0");
        }
        long length = Math.max(0, step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step);
        if (length > MAX_RANGE) {
            throw new TemplateException("a range of " + length + " numbers, allowed are " + MAX_RANGE);
        }
        List<Value> numbers = new ArrayList<>();
        for (long i = 0; i < length; i++) {
            numbers.add(Value.integer(start + i * step));
        }
        return operators.list(numbers, Kind.RANGE);
    }

    // statements

    private Flow run(List<Statement> statements, Scope scope) {
        for (Statement statement : statements) {
            Flow flow = run(statement, scope);
            if (flow != Flow.ON) {
                return flow;
            }
        }
        return Flow.ON;
    }

    private Flow run(Statement statement, Scope scope) {
        line = statement.line();
        budget.enter();
        Flow flow = Flow.ON;
        switch (statement) {
            case Node.Data(int _, String text) -> write(text);
            case Node.Output(int _, Expression value) -> write(PythonText.of(evaluate(value, scope)));
            case Node.If(int _, Expression condition, var then, var otherwise) ->
                flow = run(Operators.isTrue(evaluate(condition, scope)) ? then : otherwise, scope);
            case Node.For loop -> flow(loop, evaluate(loop.items(), scope), scope, 0);
            case Node.Assign(int _, Target target, Expression value) -> assign(target, evaluate(value, scope), scope);
            case Node.AssignBlock(int _, Target target, Expression filtered, var body) ->
                assign(target, captured(filtered, body, scope), scope);
            case Node.Macro macro -> scope.names.put(macro.name(), macro(macro, scope));
            case Node.CallBlock(int _, Node.Macro caller, Expression call) -> {
                Node.Call plain = (Node.Call) call;
                Arguments given = arguments(plain.arguments(), scope);
                Map<String, Value> named = new LinkedHashMap<>(given.named());
                named.put("caller", macro(caller, scope));
                write(PythonText.of(call(evaluate(plain.function(), scope), new Arguments(given.positional(), named))));
            }
            case Node.FilterBlock(int _, Expression filtered, var body) ->
                write(PythonText.of(captured(filtered, body, scope)));
            case Node.With(int _, var targets, var values, var body) -> {
                Scope inner = new Scope(scope);
                for (int i = 0; i < targets.size(); i++) {
                    assign(targets.get(i), evaluate(values.get(i), scope), inner);
                }
                flow = run(body, inner);
            }
            case Node.Break _ -> flow = Flow.BREAK;
            case Node.Continue _ -> flow = Flow.CONTINUE;
        }
        budget.leave();
        return flow;
    }

    private void write(String text) {
        budget.text((long) out.length() + text.length() > Budget.MAX_TEXT ? Budget.MAX_TEXT + 1L : text.length());
        out.append(text);
    }

    /** What the body writes, as the filters make it. */
    private Value captured(Expression filtered, List<Statement> body, Scope scope) {
        Scope inner = new Scope(scope);
        String text = written(() -> run(body, inner));
        Scope around = new Scope(scope);
        around.names.put(Parser.CAPTURED, Value.text(text));
        return evaluate(filtered, around);
    }

    private String written(Runnable writer) {
        StringBuilder before = out;
        out = new StringBuilder();
        try {
            writer.run();
            return out.toString();
        } finally {
            out = before;
        }
    }

    private void flow(Node.For loop, Value over, Scope scope, int depth) {
        List<Value> items = new ArrayList<>();
        Expression condition = loop.condition();
        if (condition == null) {
            items.addAll(operators.iterate(over));
        } else {
            for (Value item : operators.iterate(over)) {
                Scope inner = new Scope(scope);
                assign(loop.target(), item, inner);
                if (Operators.isTrue(evaluate(condition, inner))) {
                    items.add(item);
                }
            }
        }
        if (items.isEmpty()) {
            run(loop.otherwise(), new Scope(scope));
            return;
        }
        Value.Function recursion = loop.recursive()
                ? new Value.Function("loop", arguments -> {
                    Value inner = arguments.required(0, "iterable");
                    budget.enter();
                    String text = written(() -> flow(loop, inner, scope, depth + 1));
                    budget.leave();
                    return Value.text(text);
                })
                : null;
        Value.Loop state = new Value.Loop(items, depth, recursion);
        for (int i = 0; i < items.size(); i++) {
            budget.spend(1);
            state.index = i;
            Scope inner = new Scope(scope);
            inner.names.put("loop", state);
            assign(loop.target(), items.get(i), inner);
            if (run(loop.body(), inner) == Flow.BREAK) {
                return;
            }
        }
    }

    private void assign(Target target, Value value, Scope scope) {
        switch (target) {
            case Target.Variable(String name) -> scope.names.put(name, value);
            case Target.Member(String name, String attribute) -> {
                if (!(scope.find(name) instanceof Value.Namespace namespace)) {
                    throw new TemplateException("cannot assign to " + name + "." + attribute + ": it is no namespace");
                }
                namespace.attributes.put(attribute, value);
            }
            case Target.Several(List<Target> targets) -> {
                List<Value> values = operators.iterate(value);
                if (values.size() != targets.size()) {
                    throw new TemplateException(values.size() + " values for " + targets.size() + " names");
                }
                for (int i = 0; i < targets.size(); i++) {
                    assign(targets.get(i), values.get(i), scope);
                }
            }
        }
    }

    private Value.Function macro(Node.Macro macro, Scope defined) {
        return new Value.Function(macro.name(), arguments -> {
            Scope scope = new Scope(defined);
            List<String> parameters = macro.parameters();
            Map<String, Value> named = new LinkedHashMap<>(arguments.named());
            int withoutDefault = parameters.size() - macro.defaults().size();
            for (int i = 0; i < parameters.size(); i++) {
                String name = parameters.get(i);
                Value byName = named.remove(name);
                Value value = i < arguments.positional().size()
                        ? arguments.positional().get(i)
                        : byName;
                if (value == null) {
                    value = i >= withoutDefault
                            ? evaluate(macro.defaults().get(i - withoutDefault), scope)
                            : new Value.Undefined("parameter '" + name + "' was not provided");
                }
                scope.names.put(name, value);
            }
            if (macro.takesCaller() || named.containsKey("caller")) {
                Value caller = named.remove("caller");
                scope.names.put("caller", caller == null ? new Value.Undefined("no caller defined") : caller);
            }
            if (!named.isEmpty() && !macro.takesMoreNamed()) {
                throw new TemplateException("macro '" + macro.name() + "' takes no argument named "
                        + named.keySet().iterator().next());
            }
            Arguments more = arguments.from(parameters.size());
            if (!more.positional().isEmpty() && !macro.takesMore()) {
                throw new TemplateException(
                        "macro '" + macro.name() + "' takes no more than " + parameters.size() + " arguments");
            }
            scope.names.put("varargs", new Value.Sequence(more.positional(), Kind.TUPLE));
            LinkedHashMap<Value, Value> rest = new LinkedHashMap<>();
            named.forEach((name, value) -> rest.put(Value.text(name), value));
            scope.names.put("kwargs", new Value.Dict(rest));
            int calledAt = line;
            String text = written(() -> run(macro.body(), scope));
            line = calledAt;
            return operators.text(text, false);
        });
    }

    // expressions

    private Value evaluate(Expression expression, Scope scope) {
        budget.enter();
        Value value = switch (expression) {
            case Node.Literal(Value literal) -> literal;
            case Node.Name(String name) -> {
                Value found = scope.find(name);
                yield found == null ? new Value.Undefined("'" + name + "' is undefined") : found;
            }
            case Node.ListOf(List<Expression> items, boolean tuple) ->
                operators.list(evaluateAll(items, scope), tuple ? Kind.TUPLE : Kind.LIST);
            case Node.DictOf(List<Expression> keys, List<Expression> values) -> {
                LinkedHashMap<Value, Value> entries = new LinkedHashMap<>();
                for (int i = 0; i < keys.size(); i++) {
                    entries.put(hashable(evaluate(keys.get(i), scope)), evaluate(values.get(i), scope));
                }
                yield new Value.Dict(entries);
            }
            case Node.Attribute(Expression of, String name) -> attribute(evaluate(of, scope), name);
            case Node.Item(Expression of, Expression key) -> item(evaluate(of, scope), evaluate(key, scope));
            case Node.Slice(Expression of, var start, var stop, var step) ->
                operators.slice(evaluate(of, scope), bound(start, scope), bound(stop, scope), bound(step, scope));
            case Node.Call(Expression function, CallArguments arguments) ->
                call(evaluate(function, scope), arguments(arguments, scope));
            case Node.Filter(Expression of, String name, CallArguments arguments) ->
                filters.apply(name, evaluate(of, scope), arguments(arguments, scope));
            case Node.Test(Expression of, String name, CallArguments arguments) ->
                Value.bool(tests.holds(name, evaluate(of, scope), arguments(arguments, scope)));
            case Node.Not(Expression of) -> Value.bool(!Operators.isTrue(evaluate(of, scope)));
            case Node.Negative(Expression of) -> Operators.negative(evaluate(of, scope));
            case Node.Positive(Expression of) -> Operators.negative(Operators.negative(evaluate(of, scope)));
            case Node.And(Expression left, Expression right) -> {
                Value first = evaluate(left, scope);
                yield Operators.isTrue(first) ? evaluate(right, scope) : first;
            }
            case Node.Or(Expression left, Expression right) -> {
                Value first = evaluate(left, scope);
                yield Operators.isTrue(first) ? first : evaluate(right, scope);
            }
            case Node.Arithmetic(String operator, Expression left, Expression right) ->
                operators.arithmetic(operator, evaluate(left, scope), evaluate(right, scope));
            case Node.Concat(List<Expression> parts) -> {
                StringBuilder text = new StringBuilder();
                for (Expression part : parts) {
                    text.append(PythonText.of(evaluate(part, scope)));
                    if (text.length() > Budget.MAX_TEXT) {
                        throw Budget.tooLong(text.length());
                    }
                }
                yield operators.text(text.toString(), false);
            }
            case Node.Compare(Expression first, var names, var others) -> compare(first, names, others, scope);
            case Node.Conditional(Expression condition, Expression then, var otherwise) -> {
                if (Operators.isTrue(evaluate(condition, scope))) {
                    yield evaluate(then, scope);
                }
                yield otherwise == null ? new Value.Undefined("the inline if has no else") : evaluate(otherwise, scope);
            }
        };
        budget.leave();
        return value;
    }

    private List<Value> evaluateAll(List<Expression> expressions, Scope scope) {
        List<Value> values = new ArrayList<>(expressions.size());
        for (Expression expression : expressions) {
            values.add(evaluate(expression, scope));
        }
        return values;
    }

    /** The value, if it can be a key: a tuple only of plain values, since one made of tuples can take for ever to hash. */
    static Value hashable(Value key) {
        return switch (key) {
            case Value.None _, Value.Numeric _, Value.Text _, Value.Undefined _, Value.Function _, Value.Namespace _ ->
                key;
            case Value.Sequence(List<Value> items, Kind kind)
            when kind == Kind.TUPLE -> {
                for (Value item : items) {
                    if (item instanceof Value.Sequence) {
                        throw Operators.wrongType("an item of a key", item);
                    }
                    hashable(item);
                }
                yield key;
            }
            case Value.Sequence _, Value.Dict _, Value.Generator _, Value.Loop _ ->
                throw Operators.wrongType("a key", key);
        };
    }

    private @Nullable BigInteger bound(@Nullable Expression expression, Scope scope) {
        return expression == null
                ? null
                : new Arguments(List.of(evaluate(expression, scope)), Map.of()).bound(0, "a bound of a slice");
    }

    private Value compare(Expression first, List<String> names, List<Expression> others, Scope scope) {
        Value left = evaluate(first, scope);
        for (int i = 0; i < names.size(); i++) {
            Value right = evaluate(others.get(i), scope);
            boolean holds = switch (names.get(i)) {
                case "==" -> operators.equal(left, right);
                case "!=" -> !operators.equal(left, right);
                case "<" -> operators.order(left, right) < 0;
                case "<=" -> operators.order(left, right) <= 0;
                case ">" -> operators.order(left, right) > 0;
                case ">=" -> operators.order(left, right) >= 0;
                case "in" -> operators.contains(right, left);
                default -> !operators.contains(right, left);
            };
            if (!holds) {
                return Value.FALSE;
            }
            left = right;
        }
        return Value.TRUE;
    }

    private Arguments arguments(CallArguments given, Scope scope) {
        if (given == CallArguments.NONE) {
            return Arguments.NONE;
        }
        List<Value> positional = evaluateAll(given.positional(), scope);
        Map<String, Value> named = new LinkedHashMap<>();
        for (int i = 0; i < given.names().size(); i++) {
            named.put(given.names().get(i), evaluate(given.named().get(i), scope));
        }
        Expression spread = given.spread();
        if (spread != null) {
            positional.addAll(operators.iterate(evaluate(spread, scope)));
        }
        Expression spreadNamed = given.spreadNamed();
        if (spreadNamed != null) {
            Value more = evaluate(spreadNamed, scope);
            if (!(more instanceof Value.Dict(var entries))) {
                throw Operators.wrongType("what ** unpacks", more);
            }
            entries.forEach((key, value) -> named.put(Operators.requireText(key, "the name of an argument"), value));
        }
        return new Arguments(positional, named);
    }

    Value call(Value function, Arguments arguments) {
        Value.Function body = switch (function) {
            case Value.Function found -> found;
            case Value.Loop loop -> loop.recursion;
            default -> null;
        };
        if (body == null) {
            throw Operators.wrongType("what is called", function);
        }
        budget.enter();
        Value result = body.body.call(arguments);
        budget.leave();
        return result;
    }

    /** of.name: first what the value itself has, then what it holds. */
    Value attribute(Value of, String name) {
        if (of instanceof Value.Undefined(String why)) {
            throw new TemplateException(why);
        }
        Value own = own(of, name);
        if (own != null) {
            return own;
        }
        Value held = of instanceof Value.Dict(var entries) ? entries.get(Value.text(name)) : null;
        return held != null ? held : new Value.Undefined(Operators.type(of) + " has no attribute '" + name + "'");
    }

    /** What the filter attr finds: never what a dict holds. */
    Value ownAttribute(Value of, String name) {
        Value own = of instanceof Value.Undefined ? null : own(of, name);
        return own != null ? own : new Value.Undefined(Operators.type(of) + " has no attribute '" + name + "'");
    }

    private @Nullable Value own(Value of, String name) {
        return switch (of) {
            case Value.Namespace namespace -> namespace.attributes.get(name);
            case Value.Loop loop -> loop(loop, name);
            case Value.Function function -> name.equals("name") ? Value.text(function.name) : null;
            default -> methods.find(of, name);
        };
    }

    /** of[key]: first what the value holds, then what it has itself. */
    Value item(Value of, Value key) {
        Value found = switch (of) {
            case Value.Undefined(String why) -> throw new TemplateException(why);
            case Value.Dict(var entries) -> entries.get(hashable(key));
            case Value.Sequence(List<Value> items, Kind kind)
            when kind != Kind.VIEW && (key instanceof Value.Int || key instanceof Value.Bool) -> {
                int index = Operators.requireInt(key, "the index");
                int at = index < 0 ? index + items.size() : index;
                yield at >= 0 && at < items.size() ? items.get(at) : null;
            }
            case Value.Text(String text, boolean safe)
            when key instanceof Value.Int || key instanceof Value.Bool -> {
                budget.spend(text.length() / 16);
                int length = text.codePointCount(0, text.length());
                int index = Operators.requireInt(key, "the index");
                int at = index < 0 ? index + length : index;
                if (at < 0 || at >= length) {
                    yield null;
                }
                int from = text.offsetByCodePoints(0, at);
                yield new Value.Text(Character.toString(text.codePointAt(from)), safe);
            }
            default -> null;
        };
        if (found == null && key instanceof Value.Text(String name, boolean _)) {
            found = own(of, name);
        }
        return found != null
                ? found
                : new Value.Undefined(Operators.type(of) + " has no element " + PythonText.repr(key));
    }

    private @Nullable Value loop(Value.Loop loop, String name) {
        int length = loop.items.size();
        int index = loop.index;
        return switch (name) {
            case "index" -> Value.integer(index + 1);
            case "index0" -> Value.integer(index);
            case "revindex" -> Value.integer(length - index);
            case "revindex0" -> Value.integer(length - index - 1);
            case "first" -> Value.bool(index == 0);
            case "last" -> Value.bool(index == length - 1);
            case "length" -> Value.integer(length);
            case "depth" -> Value.integer(loop.depth + 1);
            case "depth0" -> Value.integer(loop.depth);
            case "previtem" -> index > 0 ? loop.items.get(index - 1) : new Value.Undefined("there is no previous item");
            case "nextitem" ->
                index + 1 < length ? loop.items.get(index + 1) : new Value.Undefined("there is no next item");
            case "cycle" ->
                new Value.Function("cycle", arguments -> {
                    if (arguments.positional().isEmpty()) {
                        throw new TemplateException("cycle needs values");
                    }
                    return arguments
                            .positional()
                            .get(index % arguments.positional().size());
                });
            case "changed" ->
                new Value.Function("changed", arguments -> {
                    Value now = new Value.Sequence(arguments.positional(), Kind.TUPLE);
                    Value before = loop.changed;
                    loop.changed = now;
                    return Value.bool(before == null || !operators.equal(before, now));
                });
            default -> null;
        };
    }
}
