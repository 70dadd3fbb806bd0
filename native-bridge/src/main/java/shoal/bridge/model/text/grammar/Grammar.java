package shoal.bridge.model.text.grammar;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.Tokenizer;
import shoal.codec.base.MalformedException;

/**
 * A grammar over bytes, compiled from GBNF: each rule has alternatives, each alternative is a run of elements that ends with {@link
 * #END}. Left recursion is refused, so that what may come next is always found in finitely many steps. Immutable.
 */
public final class Grammar {
    /** Bounds for what comes from strangers. */
    private static final int MAX_ELEMENTS = 1 << 20;

    private static final int MAX_RULES = 1 << 18;

    /** Kinds of elements, in their two low bits; the rest is an index. */
    static final int END = 0;

    static final int BYTES = 1;
    static final int RULE = 2;
    static final int TOKEN = 3;

    /** Where the root rule is called, followed by the end. */
    static final int START = 0;

    private int[] elements = new int[256];
    private int size;
    private final List<int[]> alternatives = new ArrayList<>();
    private final List<BitSet> byteSets = new ArrayList<>();
    private final List<Expression.Token> tokens = new ArrayList<>();

    private final Map<String, Integer> named = new HashMap<>();
    private final List<String> names = new ArrayList<>();
    private final Map<BitSet, Integer> byteSetNumbers = new HashMap<>();
    private final Map<CodePoints, Integer> characterRules = new HashMap<>();

    private Grammar(Map<String, Expression> rules) {
        Integer root = null;
        for (String name : rules.keySet()) {
            int number = newRule(name);
            named.put(name, number);
            if (name.equals("root")) {
                root = number;
            }
        }
        if (root == null) {
            throw new MalformedException("the grammar has no rule 'root'");
        }
        append(List.of(root << 2 | RULE));
        rules.forEach((name, rule) -> define(ruleOf(name, 0), rule));
        refuseLeftRecursion();
    }

    /**
     * Reads GBNF. @param tokenizer knows the tokens that the grammar names; null if it may name none
     * @throws MalformedException with the line, if it is no grammar, too large, or recurses to the left
     */
    public static Grammar parse(String gbnf, @Nullable Tokenizer tokenizer) {
        return new Grammar(GbnfParser.parse(gbnf, tokenizer));
    }

    // --------------------------------------------------------------------------------------------- as read

    int element(int at) {
        return elements[at];
    }

    /** Places where a rule's alternatives begin. */
    int[] alternatives(int rule) {
        return alternatives.get(rule);
    }

    BitSet bytes(int index) {
        return byteSets.get(index);
    }

    Expression.Token token(int index) {
        return tokens.get(index);
    }

    // --------------------------------------------------------------------------------------------- compiling

    private int newRule(String name) {
        if (alternatives.size() == MAX_RULES) {
            throw new MalformedException("the grammar is too large: more than " + MAX_RULES + " rules");
        }
        alternatives.add(new int[0]);
        names.add(name);
        return alternatives.size() - 1;
    }

    private int append(List<Integer> run) {
        if (size + run.size() + 1 > MAX_ELEMENTS) {
            throw new MalformedException("the grammar is too large: more than " + MAX_ELEMENTS + " elements");
        }
        while (size + run.size() + 1 > elements.length) {
            elements = Arrays.copyOf(elements, 2 * elements.length);
        }
        int start = size;
        for (int element : run) {
            elements[size++] = element;
        }
        elements[size++] = END;
        return start;
    }

    private void define(int rule, Expression expression) {
        List<Expression> options =
                expression instanceof Expression.Choice(List<Expression> several) ? several : List.of(expression);
        int[] starts = new int[options.size()];
        for (int i = 0; i < starts.length; i++) {
            List<Integer> run = new ArrayList<>();
            lower(options.get(i), run, names.get(rule));
            starts[i] = append(run);
        }
        alternatives.set(rule, starts);
    }

    private void define(int rule, List<List<Integer>> runs) {
        int[] starts = new int[runs.size()];
        for (int i = 0; i < starts.length; i++) {
            starts[i] = append(runs.get(i));
        }
        alternatives.set(rule, starts);
    }

    /** Appends what an expression stands for to a run. */
    private void lower(Expression expression, List<Integer> run, String within) {
        if (run.size() > MAX_ELEMENTS) {
            throw new MalformedException("the grammar is too large: more than " + MAX_ELEMENTS + " elements");
        }
        switch (expression) {
            case Expression.Sequence(List<Expression> parts) -> parts.forEach(part -> lower(part, run, within));
            case Expression.Choice choice -> {
                int rule = newRule(within);
                define(rule, choice);
                run.add(rule << 2 | RULE);
            }
            case Expression.Characters(CodePoints allowed) -> run.add(characters(allowed));
            case Expression.Reference(String rule, int line) -> run.add(ruleOf(rule, line) << 2 | RULE);
            case Expression.Token token -> {
                tokens.add(token);
                run.add(tokens.size() - 1 << 2 | TOKEN);
            }
            case Expression.Repeat(Expression repeated, int min, int max) -> repeat(repeated, min, max, run, within);
        }
    }

    private void repeat(Expression repeated, int min, int max, List<Integer> run, String within) {
        List<Integer> once = new ArrayList<>();
        lower(repeated, once, within);
        if (once.size() > 1 && (min > 1 || max > 1 || max < 0)) {
            int rule = newRule(within);
            define(rule, List.of(once));
            once = List.of(rule << 2 | RULE);
        }
        if ((long) run.size() + (long) min * once.size() > MAX_ELEMENTS) {
            throw new MalformedException("the grammar is too large: more than " + MAX_ELEMENTS + " elements");
        }
        for (int i = 0; i < min; i++) {
            run.addAll(once);
        }
        if (max < 0) {
            int rule = newRule(within);
            List<Integer> again = new ArrayList<>(once);
            again.add(rule << 2 | RULE);
            define(rule, List.of(again, List.of()));
            run.add(rule << 2 | RULE);
            return;
        }
        int rest = -1; // the rule of one more, and then up to so many
        for (int i = min; i < max; i++) {
            List<Integer> more = new ArrayList<>(once);
            if (rest >= 0) {
                more.add(rest << 2 | RULE);
            }
            rest = newRule(within);
            define(rest, List.of(more, List.of()));
        }
        if (rest >= 0) {
            run.add(rest << 2 | RULE);
        }
    }

    private int ruleOf(String name, int line) {
        Integer rule = named.get(name);
        if (rule == null) {
            throw new MalformedException("grammar line " + line + ": there is no rule '" + name + "'");
        }
        return rule;
    }

    /** A byte set, or a rule with one alternative for each kind of UTF-8 sequence. */
    private int characters(CodePoints allowed) {
        Integer known = characterRules.get(allowed);
        if (known != null) {
            return known;
        }
        BitSet single = new BitSet();
        List<List<Integer>> runs = new ArrayList<>();
        for (List<CodePoints.Range> sequence : allowed.utf8()) {
            if (sequence.size() == 1) {
                single.set(sequence.getFirst().first(), sequence.getFirst().last() + 1);
            } else {
                runs.add(sequence.stream()
                        .map(range -> {
                            BitSet set = new BitSet();
                            set.set(range.first(), range.last() + 1);
                            return byteSet(set);
                        })
                        .toList());
            }
        }
        int element;
        if (runs.isEmpty()) {
            element = byteSet(single); // perhaps empty: fits nothing
        } else {
            if (!single.isEmpty()) {
                runs.addFirst(List.of(byteSet(single)));
            }
            int rule = newRule("(characters)");
            define(rule, runs);
            element = rule << 2 | RULE;
        }
        characterRules.put(allowed, element);
        return element;
    }

    private int byteSet(BitSet set) {
        return byteSetNumbers.computeIfAbsent(set, added -> {
                            byteSets.add(added);
                            return byteSets.size() - 1;
                        })
                        << 2
                | BYTES;
    }

    // ---------------------------------------------------------------------------------------- left recursion

    private void refuseLeftRecursion() {
        boolean[] mayBeEmpty = mayBeEmpty();
        int count = alternatives.size();
        int[] state = new int[count]; // 0 not seen, 1 being looked at, 2 done
        for (int root = 0; root < count; root++) {
            if (state[root] != 0) {
                continue;
            }
            List<int[]> path = new ArrayList<>(); // rule, and how many of its left neighbours were looked at
            List<int[]> neighbours = new ArrayList<>();
            path.add(new int[] {root, 0});
            neighbours.add(leftmost(root, mayBeEmpty));
            state[root] = 1;
            while (!path.isEmpty()) {
                int[] top = path.getLast();
                int[] next = neighbours.getLast();
                if (top[1] == next.length) {
                    state[top[0]] = 2;
                    path.removeLast();
                    neighbours.removeLast();
                    continue;
                }
                int rule = next[top[1]++];
                if (state[rule] == 1) {
                    throw new MalformedException(
                            "the grammar's rule '" + names.get(rule)
                                    + "' recurses to the left, or repeats what may be empty; put what it reads first before itself");
                }
                if (state[rule] == 0) {
                    state[rule] = 1;
                    path.add(new int[] {rule, 0});
                    neighbours.add(leftmost(rule, mayBeEmpty));
                }
            }
        }
    }

    /** Rules that a rule may begin with. */
    private int[] leftmost(int rule, boolean[] mayBeEmpty) {
        return Arrays.stream(alternatives.get(rule))
                .flatMap(start -> {
                    var found = java.util.stream.IntStream.builder();
                    for (int at = start; elements[at] != END; at++) {
                        if ((elements[at] & 3) != RULE) {
                            break;
                        }
                        found.add(elements[at] >> 2);
                        if (!mayBeEmpty[elements[at] >> 2]) {
                            break;
                        }
                    }
                    return found.build();
                })
                .toArray();
    }

    /** Each rule is looked at again only when one that it waits for turns out to be empty, so this is linear in the grammar. */
    private boolean[] mayBeEmpty() {
        int count = alternatives.size();
        boolean[] empty = new boolean[count];
        var queue = new java.util.ArrayDeque<int[]>(); // rule, place
        for (int rule = 0; rule < count; rule++) {
            for (int start : alternatives.get(rule)) {
                queue.add(new int[] {rule, start});
            }
        }
        Map<Integer, List<int[]>> halted = new HashMap<>(); // by the rule that they wait for
        while (!queue.isEmpty()) {
            int[] next = queue.remove();
            int rule = next[0];
            int at = next[1];
            while (!empty[rule]) {
                int element = elements[at];
                if (element == END) {
                    empty[rule] = true;
                    List<int[]> freed = halted.remove(rule);
                    if (freed != null) {
                        queue.addAll(freed);
                    }
                } else if ((element & 3) == RULE) {
                    if (!empty[element >> 2]) {
                        halted.computeIfAbsent(element >> 2, _ -> new ArrayList<>())
                                .add(new int[] {rule, at});
                        break;
                    }
                    at++;
                } else {
                    break;
                }
            }
        }
        return empty;
    }
}
