package shoal.bridge.model.text.jinja;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.jinja.Node.CallArguments;
import shoal.bridge.model.text.jinja.Node.Expression;
import shoal.bridge.model.text.jinja.Node.Statement;
import shoal.bridge.model.text.jinja.Node.Target;
import shoal.bridge.model.text.jinja.Token.Type;

/** Tokens to a tree, by the grammar of Jinja 3.1 with loop controls, and blocks "generation" read as their body. */
final class Parser {
    /** Expressions and blocks within each other. */
    static final int MAX_DEPTH = 120;

    static final int MAX_TEMPLATE_LENGTH = 4 << 20;

    /** The name under which the text of a block stands for its filters; no template can write it. */
    static final String CAPTURED = " captured";

    private static final Set<String> ENDS_OF_TEST = Set.of("else", "or", "and");
    private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");

    private final List<Token> tokens;
    private int at;
    private int depth;
    private final List<String> namesUsed = new ArrayList<>();

    private Parser(List<Token> tokens) {
        this.tokens = tokens;
    }

    /** @throws TemplateException with the line of what is no template */
    static List<Statement> parse(String template) {
        if (template.length() > MAX_TEMPLATE_LENGTH) {
            throw new TemplateException(
                    "the template has " + template.length() + " characters, allowed are " + MAX_TEMPLATE_LENGTH);
        }
        Parser parser = new Parser(Lexer.tokens(template));
        try {
            List<Statement> statements = parser.statements();
            if (parser.now().type() != Type.END) {
                throw parser.unexpected();
            }
            return statements;
        } catch (TemplateException failure) {
            throw failure.at(parser.now().line());
        }
    }

    private Token now() {
        return tokens.get(Math.min(at, tokens.size() - 1));
    }

    private Token take() {
        Token token = now();
        at++;
        return token;
    }

    private TemplateException unexpected() {
        Token token = now();
        return new TemplateException(
                "unexpected " + (token.text().isEmpty() ? token.type() : "'" + token.text() + "'"));
    }

    private boolean isOperator(String text) {
        return now().type() == Type.OPERATOR && now().text().equals(text);
    }

    private boolean isName(String text) {
        return now().type() == Type.NAME && now().text().equals(text);
    }

    private boolean skipOperator(String text) {
        boolean is = isOperator(text);
        at += is ? 1 : 0;
        return is;
    }

    private boolean skipName(String text) {
        boolean is = isName(text);
        at += is ? 1 : 0;
        return is;
    }

    private void expectOperator(String text) {
        if (!skipOperator(text)) {
            throw new TemplateException("'" + text + "' expected, found '" + now().text() + "'");
        }
    }

    private String expectName() {
        if (now().type() != Type.NAME) {
            throw unexpected();
        }
        return take().text();
    }

    private void expect(Type type) {
        if (take().type() != type) {
            at--;
            throw unexpected();
        }
    }

    private void enter() {
        if (++depth > MAX_DEPTH) {
            throw new TemplateException("nested deeper than " + MAX_DEPTH + " levels");
        }
    }

    // statements

    /** Up to the end or a block that begins with one of those words, which is left at its name. */
    private List<Statement> statements(String... ends) {
        enter();
        List<Statement> statements = new ArrayList<>();
        while (now().type() != Type.END) {
            Token token = take();
            switch (token.type()) {
                case DATA -> statements.add(new Node.Data(token.line(), token.text()));
                case VARIABLE_BEGIN -> {
                    statements.add(new Node.Output(token.line(), tuple(true)));
                    expect(Type.VARIABLE_END);
                }
                case BLOCK_BEGIN -> {
                    if (now().type() == Type.NAME && List.of(ends).contains(now().text())) {
                        depth--;
                        return statements;
                    }
                    statement(token.line(), statements);
                }
                case BLOCK_END, VARIABLE_END, NAME, TEXT, INTEGER, FLOAT, OPERATOR, END -> {
                    at--;
                    throw unexpected();
                }
            }
        }
        depth--;
        if (ends.length > 0) {
            throw new TemplateException("the template ends before " + String.join(" or ", ends));
        }
        return statements;
    }

    /** The body of a block up to its end tag, which is taken. */
    private List<Statement> body(String end) {
        expect(Type.BLOCK_END);
        List<Statement> body = statements(end);
        expectName();
        return body;
    }

    private void statement(int line, List<Statement> out) {
        String word = expectName();
        switch (word) {
            case "if" -> {
                out.add(ifChain(line));
            }
            case "for" -> out.add(loop(line));
            case "set" -> out.add(assignment(line));
            case "macro" -> {
                String name = expectName();
                out.add(macro(line, name, "endmacro"));
            }
            case "call" -> {
                int start = at;
                List<String> parameters = new ArrayList<>();
                List<Expression> defaults = new ArrayList<>();
                if (isOperator("(")) {
                    signature(parameters, defaults);
                }
                Expression call = expression();
                if (!(call instanceof Node.Call)) {
                    at = start;
                    throw new TemplateException("call needs a macro to call");
                }
                int used = namesUsed.size();
                List<Statement> body = body("endcall");
                out.add(new Node.CallBlock(line, macro(line, "caller", parameters, defaults, body, used), call));
            }
            case "filter" -> {
                Expression filtered = filters(new Node.Name(CAPTURED), true);
                out.add(new Node.FilterBlock(line, filtered, body("endfilter")));
            }
            case "with" -> {
                List<Target> targets = new ArrayList<>();
                List<Expression> values = new ArrayList<>();
                while (now().type() != Type.BLOCK_END) {
                    if (!targets.isEmpty()) {
                        expectOperator(",");
                    }
                    targets.add(target());
                    expectOperator("=");
                    values.add(expression());
                }
                out.add(new Node.With(line, targets, values, body("endwith")));
            }
            case "generation" -> out.add(new Node.With(line, List.of(), List.of(), body("endgeneration")));
            case "break" -> out.add(new Node.Break(line));
            case "continue" -> out.add(new Node.Continue(line));
            default -> throw new TemplateException("the block '" + word + "' is not supported");
        }
        expect(Type.BLOCK_END);
    }

    private Node.If ifChain(int line) {
        Expression condition = tuple(false);
        expect(Type.BLOCK_END);
        List<Statement> then = statements("elif", "else", "endif");
        int elseLine = now().line();
        List<Statement> otherwise = switch (expectName()) {
            case "elif" -> List.of(ifTail(elseLine));
            case "else" -> body("endif");
            default -> List.of();
        };
        return new Node.If(line, condition, then, otherwise);
    }

    /** A chain of elif may be long; each counts as one level. */
    private Node.If ifTail(int line) {
        enter();
        Node.If tail = ifChain(line);
        depth--;
        return tail;
    }

    private Node.For loop(int line) {
        Target target = target();
        if (!skipName("in")) {
            throw unexpected();
        }
        Expression items = tuple(false);
        Expression condition = skipName("if") ? expression() : null;
        boolean recursive = skipName("recursive");
        expect(Type.BLOCK_END);
        List<Statement> body = statements("else", "endfor");
        List<Statement> otherwise = expectName().equals("else") ? body("endfor") : List.of();
        return new Node.For(line, target, items, condition, body, otherwise, recursive);
    }

    private Statement assignment(int line) {
        Target target = target();
        if (skipOperator("=")) {
            return new Node.Assign(line, target, tuple(true));
        }
        Expression filtered = filters(new Node.Name(CAPTURED), false);
        return new Node.AssignBlock(line, target, filtered, body("endset"));
    }

    private Target target() {
        Target first = singleTarget();
        if (!isOperator(",")) {
            return first;
        }
        List<Target> targets = new ArrayList<>(List.of(first));
        while (skipOperator(",")) {
            if (now().type() != Type.NAME && !isOperator("(")) {
                break;
            }
            targets.add(singleTarget());
        }
        return new Target.Several(targets);
    }

    private Target singleTarget() {
        if (skipOperator("(")) {
            enter();
            Target inner = target();
            depth--;
            expectOperator(")");
            return inner;
        }
        String name = expectName();
        return skipOperator(".") ? new Target.Member(name, expectName()) : new Target.Variable(name);
    }

    private Node.Macro macro(int line, String name, String end) {
        List<String> parameters = new ArrayList<>();
        List<Expression> defaults = new ArrayList<>();
        signature(parameters, defaults);
        int used = namesUsed.size();
        return macro(line, name, parameters, defaults, body(end), used);
    }

    private Node.Macro macro(
            int line,
            String name,
            List<String> parameters,
            List<Expression> defaults,
            List<Statement> body,
            int usedBefore) {
        List<String> used = namesUsed.subList(usedBefore, namesUsed.size());
        return new Node.Macro(
                line,
                name,
                parameters,
                defaults,
                body,
                used.contains("varargs"),
                used.contains("kwargs"),
                used.contains("caller"));
    }

    private void signature(List<String> parameters, List<Expression> defaults) {
        expectOperator("(");
        while (!skipOperator(")")) {
            if (!parameters.isEmpty()) {
                expectOperator(",");
            }
            parameters.add(expectName());
            if (skipOperator("=")) {
                defaults.add(expression());
            } else if (!defaults.isEmpty()) {
                throw new TemplateException("a parameter without default follows one with default");
            }
        }
    }

    // expressions, from the loosest to the tightest

    /** One expression, or a tuple of several. */
    private Expression tuple(boolean conditional) {
        Expression first = conditional ? expression() : or();
        if (!isOperator(",")) {
            return first;
        }
        List<Expression> items = new ArrayList<>(List.of(first));
        while (skipOperator(",")) {
            if (now().type() == Type.BLOCK_END || now().type() == Type.VARIABLE_END || isOperator(")")) {
                break;
            }
            items.add(conditional ? expression() : or());
        }
        return new Node.ListOf(items, true);
    }

    private Expression expression() {
        enter();
        Expression value = or();
        while (skipName("if")) {
            Expression condition = or();
            Expression otherwise = skipName("else") ? expression() : null;
            value = new Node.Conditional(condition, value, otherwise);
        }
        depth--;
        return value;
    }

    private Expression or() {
        Expression left = and();
        while (skipName("or")) {
            left = new Node.Or(left, and());
        }
        return left;
    }

    private Expression and() {
        Expression left = not();
        while (skipName("and")) {
            left = new Node.And(left, not());
        }
        return left;
    }

    private Expression not() {
        if (!skipName("not")) {
            return comparison();
        }
        enter();
        Expression inner = new Node.Not(not());
        depth--;
        return inner;
    }

    private Expression comparison() {
        Expression first = sum();
        List<String> operators = new ArrayList<>();
        List<Expression> others = new ArrayList<>();
        while (true) {
            if (now().type() == Type.OPERATOR && COMPARISONS.contains(now().text())) {
                operators.add(take().text());
            } else if (skipName("in")) {
                operators.add("in");
            } else if (isName("not") && tokens.get(at + 1).text().equals("in")) {
                at += 2;
                operators.add("not in");
            } else {
                return operators.isEmpty() ? first : new Node.Compare(first, operators, others);
            }
            others.add(sum());
        }
    }

    private Expression sum() {
        Expression left = concatenation();
        while (isOperator("+") || isOperator("-")) {
            left = new Node.Arithmetic(take().text(), left, concatenation());
        }
        return left;
    }

    private Expression concatenation() {
        Expression first = product();
        if (!isOperator("~")) {
            return first;
        }
        List<Expression> parts = new ArrayList<>(List.of(first));
        while (skipOperator("~")) {
            parts.add(product());
        }
        return new Node.Concat(parts);
    }

    private Expression product() {
        Expression left = power();
        while (isOperator("*") || isOperator("/") || isOperator("//") || isOperator("%")) {
            left = new Node.Arithmetic(take().text(), left, power());
        }
        return left;
    }

    private Expression power() {
        Expression left = unary(true);
        while (skipOperator("**")) {
            left = new Node.Arithmetic("**", left, unary(true));
        }
        return left;
    }

    private Expression unary(boolean withFilters) {
        enter();
        Expression value;
        if (skipOperator("-")) {
            value = new Node.Negative(unary(false));
        } else if (skipOperator("+")) {
            value = new Node.Positive(unary(false));
        } else {
            value = primary();
        }
        value = postfix(value);
        if (withFilters) {
            value = filtersAndTests(value);
        }
        depth--;
        return value;
    }

    private Expression primary() {
        Token token = take();
        switch (token.type()) {
            case NAME -> {
                return switch (token.text()) {
                    case "true", "True" -> new Node.Literal(Value.TRUE);
                    case "false", "False" -> new Node.Literal(Value.FALSE);
                    case "none", "None" -> new Node.Literal(Value.NONE);
                    default -> {
                        namesUsed.add(token.text());
                        yield new Node.Name(token.text());
                    }
                };
            }
            case TEXT -> {
                StringBuilder text = new StringBuilder(token.text());
                while (now().type() == Type.TEXT) {
                    text.append(take().text());
                }
                return new Node.Literal(Value.text(text.toString()));
            }
            case INTEGER -> {
                return new Node.Literal(new Value.Int(integer(token.text())));
            }
            case FLOAT -> {
                return new Node.Literal(new Value.Real(Double.parseDouble(token.text())));
            }
            case OPERATOR -> {
                switch (token.text()) {
                    case "(" -> {
                        Expression inner = isOperator(")") ? new Node.ListOf(List.of(), true) : tuple(true);
                        expectOperator(")");
                        return inner;
                    }
                    case "[" -> {
                        return new Node.ListOf(items(), false);
                    }
                    case "{" -> {
                        return dict();
                    }
                    default -> {}
                }
            }
            case DATA, BLOCK_BEGIN, BLOCK_END, VARIABLE_BEGIN, VARIABLE_END, END -> {}
        }
        at--;
        throw unexpected();
    }

    private static BigInteger integer(String digits) {
        if (digits.length() > 1000) {
            throw new TemplateException("a number of " + digits.length() + " digits, allowed are 1000");
        }
        String lower = digits.toLowerCase(java.util.Locale.ROOT);
        int radix = lower.startsWith("0x") ? 16 : lower.startsWith("0o") ? 8 : lower.startsWith("0b") ? 2 : 10;
        return new BigInteger(radix == 10 ? digits : digits.substring(2), radix);
    }

    private List<Expression> items() {
        List<Expression> items = new ArrayList<>();
        while (!skipOperator("]")) {
            if (!items.isEmpty()) {
                expectOperator(",");
                if (skipOperator("]")) {
                    break;
                }
            }
            items.add(expression());
        }
        return items;
    }

    private Expression dict() {
        List<Expression> keys = new ArrayList<>();
        List<Expression> values = new ArrayList<>();
        while (!skipOperator("}")) {
            if (!keys.isEmpty()) {
                expectOperator(",");
                if (skipOperator("}")) {
                    break;
                }
            }
            keys.add(expression());
            expectOperator(":");
            values.add(expression());
        }
        return new Node.DictOf(keys, values);
    }

    private Expression postfix(Expression start) {
        Expression value = start;
        while (now().type() == Type.OPERATOR) {
            if (skipOperator(".")) {
                value = switch (now().type()) {
                    case NAME -> new Node.Attribute(value, take().text());
                    case INTEGER -> new Node.Item(value, new Node.Literal(new Value.Int(integer(take().text()))));
                    case DATA, BLOCK_BEGIN, BLOCK_END, VARIABLE_BEGIN, VARIABLE_END, TEXT, FLOAT, OPERATOR, END ->
                        throw unexpected();
                };
            } else if (skipOperator("[")) {
                value = subscript(value);
            } else if (isOperator("(")) {
                value = new Node.Call(value, arguments());
            } else {
                break;
            }
        }
        return value;
    }

    private Expression subscript(Expression of) {
        Expression start = isOperator(":") ? null : expression();
        if (skipOperator(":")) {
            Expression stop = isOperator(":") || isOperator("]") ? null : expression();
            Expression step = skipOperator(":") && !isOperator("]") ? expression() : null;
            expectOperator("]");
            return new Node.Slice(of, start, stop, step);
        }
        if (start == null) {
            throw unexpected();
        }
        expectOperator("]");
        return new Node.Item(of, start);
    }

    private CallArguments arguments() {
        expectOperator("(");
        List<Expression> positional = new ArrayList<>();
        List<String> names = new ArrayList<>();
        List<Expression> named = new ArrayList<>();
        @Nullable Expression spread = null;
        @Nullable Expression spreadNamed = null;
        boolean first = true;
        while (!skipOperator(")")) {
            if (!first) {
                expectOperator(",");
                if (skipOperator(")")) {
                    break;
                }
            }
            first = false;
            if (skipOperator("**")) {
                spreadNamed = expression();
            } else if (skipOperator("*")) {
                spread = expression();
            } else if (now().type() == Type.NAME
                    && tokens.get(at + 1).type() == Type.OPERATOR
                    && tokens.get(at + 1).text().equals("=")) {
                names.add(take().text());
                at++;
                named.add(expression());
            } else if (names.isEmpty()) {
                positional.add(expression());
            } else {
                throw new TemplateException("an argument by position follows one by name");
            }
        }
        return new CallArguments(positional, names, named, spread, spreadNamed);
    }

    private Expression filtersAndTests(Expression start) {
        Expression value = start;
        while (true) {
            if (isOperator("|")) {
                value = filters(value, false);
            } else if (skipName("is")) {
                value = test(value);
            } else if (isOperator("(")) {
                value = new Node.Call(value, arguments());
            } else {
                return value;
            }
        }
    }

    /** @param begun the name of the first filter comes without a bar */
    private Expression filters(Expression start, boolean begun) {
        Expression value = start;
        boolean named = begun;
        while (named || skipOperator("|")) {
            named = false;
            StringBuilder name = new StringBuilder(expectName());
            while (skipOperator(".")) {
                name.append('.').append(expectName());
            }
            value = new Node.Filter(value, name.toString(), isOperator("(") ? arguments() : CallArguments.NONE);
        }
        return value;
    }

    private Expression test(Expression of) {
        boolean negated = skipName("not");
        String name = expectName();
        CallArguments arguments = CallArguments.NONE;
        if (isOperator("(")) {
            arguments = arguments();
        } else if (now().type() == Type.TEXT
                || now().type() == Type.INTEGER
                || now().type() == Type.FLOAT
                || isOperator("[")
                || isOperator("{")
                || now().type() == Type.NAME
                        && !ENDS_OF_TEST.contains(now().text())
                        && !isName("in")
                        && !isName("not")
                        && !isName("is")) {
            arguments = new CallArguments(List.of(postfix(primary())), List.of(), List.of(), null, null);
        }
        Node.Test test = new Node.Test(of, name, arguments);
        return negated ? new Node.Not(test) : test;
    }
}
