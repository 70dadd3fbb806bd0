package shoal.bridge.model.text.grammar;

import java.util.List;

/** What stands on the right side of a rule. */
sealed interface Expression {
    /** One after the other; none is the empty text. */
    record Sequence(List<Expression> parts) implements Expression {}

    /** One of them. */
    record Choice(List<Expression> options) implements Expression {}

    /** One character. */
    record Characters(CodePoints allowed) implements Expression {}

    /** @param max -1 for any number */
    record Repeat(Expression repeated, int min, int max) implements Expression {}

    /** @param line where it stands, for errors */
    record Reference(String rule, int line) implements Expression {}

    /** One token of the vocabulary, or any other one. */
    record Token(int id, boolean negated) implements Expression {}
}
