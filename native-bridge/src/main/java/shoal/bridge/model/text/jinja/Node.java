package shoal.bridge.model.text.jinja;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** A template as a tree. */
sealed interface Node {
    /** Something that has a value. */
    sealed interface Expression extends Node {}

    record Literal(Value value) implements Expression {}

    record Name(String name) implements Expression {}

    record ListOf(List<Expression> items, boolean tuple) implements Expression {}

    record DictOf(List<Expression> keys, List<Expression> values) implements Expression {}

    record Attribute(Expression of, String name) implements Expression {}

    record Item(Expression of, Expression key) implements Expression {}

    record Slice(
            Expression of,
            @Nullable Expression start,
            @Nullable Expression stop,
            @Nullable Expression step) implements Expression {}

    /** @param positional before those unpacked from {@code spread}; named before those unpacked from {@code spreadNamed} */
    record CallArguments(
            List<Expression> positional,
            List<String> names,
            List<Expression> named,
            @Nullable Expression spread,
            @Nullable Expression spreadNamed) {
        static final CallArguments NONE = new CallArguments(List.of(), List.of(), List.of(), null, null);
    }

    record Call(Expression function, CallArguments arguments) implements Expression {}

    record Filter(Expression of, String name, CallArguments arguments) implements Expression {}

    record Test(Expression of, String name, CallArguments arguments) implements Expression {}

    record Not(Expression of) implements Expression {}

    record Negative(Expression of) implements Expression {}

    record Positive(Expression of) implements Expression {}

    record And(Expression left, Expression right) implements Expression {}

    record Or(Expression left, Expression right) implements Expression {}

    /** @param operator one of + - * / // % ** */
    record Arithmetic(String operator, Expression left, Expression right) implements Expression {}

    record Concat(List<Expression> parts) implements Expression {}

    /** a &lt; b &lt; c: each operator compares its neighbours. */
    record Compare(Expression first, List<String> operators, List<Expression> others) implements Expression {}

    record Conditional(
            Expression condition, Expression then, @Nullable Expression otherwise) implements Expression {}

    /** Something that is done. */
    sealed interface Statement extends Node {
        int line();
    }

    record Data(int line, String text) implements Statement {}

    record Output(int line, Expression value) implements Statement {}

    record If(int line, Expression condition, List<Statement> then, List<Statement> otherwise) implements Statement {}

    record For(
            int line,
            Target target,
            Expression items,
            @Nullable Expression condition,
            List<Statement> body,
            List<Statement> otherwise,
            boolean recursive)
            implements Statement {}

    record Assign(int line, Target target, Expression value) implements Statement {}

    /** @param filtered what to make of the body, in which {@link Parser#CAPTURED} names its text */
    record AssignBlock(int line, Target target, Expression filtered, List<Statement> body) implements Statement {}

    /** @param defaults of the last parameters */
    record Macro(
            int line,
            String name,
            List<String> parameters,
            List<Expression> defaults,
            List<Statement> body,
            boolean takesMore,
            boolean takesMoreNamed,
            boolean takesCaller)
            implements Statement {}

    record CallBlock(int line, Macro caller, Expression call) implements Statement {}

    record FilterBlock(int line, Expression filtered, List<Statement> body) implements Statement {}

    record With(int line, List<Target> targets, List<Expression> values, List<Statement> body) implements Statement {}

    record Break(int line) implements Statement {}

    record Continue(int line) implements Statement {}

    /** What can be assigned to. */
    sealed interface Target {
        record Variable(String name) implements Target {}

        record Member(String namespace, String attribute) implements Target {}

        record Several(List<Target> targets) implements Target {}
    }
}
