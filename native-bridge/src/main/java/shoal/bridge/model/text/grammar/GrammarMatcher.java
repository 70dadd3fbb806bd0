package shoal.bridge.model.text.grammar;

import java.nio.IntBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.bridge.model.text.Tokenizer;

/**
 * Which tokens may come next. A state is a set of stacks, as of a pushdown automaton; equal stacks and equal states are one object, so
 * that the automaton is built once where generation passes, and looked up from then on. One thread at a time.
 */
public final class GrammarMatcher {
    /** Above it, what was built is forgotten when the next token is asked for. */
    private static final int MANY_STATES = 16_384;

    private static final int MAX_STATES = 131_072;
    private static final int MAX_STACKS = 16_384;

    /** Of one look at the whole vocabulary. */
    private static final long MAX_STEPS = 50_000_000;

    private final Grammar grammar;
    private final Tokenizer tokenizer;
    private final Map<Long, Stack> stacks = new HashMap<>();
    private final Map<IntBuffer, State> states = new HashMap<>();
    private int stackNumber;
    private long steps;

    /** Accepted tokens, and the state before the first and behind each. */
    private int[] accepted = new int[0];

    private final List<@Nullable State> path = new ArrayList<>();

    /** Where a rule goes on when what is above it is done. @param at an element; in a state, one that reads bytes or a token */
    private record Stack(int number, int at, @Nullable Stack below) {}

    private static final class State {
        private final Stack[] tops;
        private final boolean mayEnd;
        private @Nullable State @Nullable [] next;
        private boolean[] known = new boolean[0];
        private @Nullable BitSet allowed;

        State(Stack[] tops, boolean mayEnd) {
            this.tops = tops;
            this.mayEnd = mayEnd;
        }
    }

    public GrammarMatcher(Grammar grammar, Tokenizer tokenizer) {
        this.grammar = grammar;
        this.tokenizer = tokenizer;
    }

    /**
     * Looks at the tokens behind the first ones, from the beginning of the grammar. Quick where it was before.
     *
     * @throws IllegalStateException if the grammar is too ambiguous to follow
     */
    public void goTo(int[] tokens, int from) {
        int start = Math.min(from, tokens.length);
        int[] wanted = Arrays.copyOfRange(tokens, start, tokens.length);
        if (states.size() > MANY_STATES) {
            stacks.clear();
            states.clear();
            path.clear();
            accepted = new int[0];
        }
        steps = 0;
        if (path.isEmpty()) {
            path.add(close(List.of(stack(Grammar.START, null))));
        }
        int same = Arrays.mismatch(accepted, wanted);
        same = same < 0 ? wanted.length : same;
        while (path.size() > same + 1) {
            path.removeLast();
        }
        for (int i = same; i < wanted.length; i++) {
            State state = path.getLast();
            path.add(state == null ? null : accept(state, wanted[i]));
        }
        accepted = wanted;
    }

    /** Whether a token may come next. */
    public boolean allows(int token) {
        State state = path.getLast();
        if (state == null || token < 0 || token >= tokenizer.size()) {
            return false;
        }
        steps = 0;
        if (tokenizer.endOfGeneration().contains(token)) {
            return state.mayEnd || namesToken(state, token);
        }
        return state.allowed != null ? state.allowed.get(token) : accept(state, token) != null;
    }

    /** Whether the text may end here. */
    public boolean mayEnd() {
        State state = path.getLast();
        return state != null && state.mayEnd;
    }

    /** All tokens that may come next; not to be changed. */
    public BitSet allowed() {
        State state = path.getLast();
        if (state == null) {
            return new BitSet();
        }
        BitSet known = state.allowed;
        if (known == null) {
            steps = 0;
            known = walk(state);
            state.allowed = known;
        }
        return known;
    }

    private BitSet walk(State start) {
        TokenOrder order = TokenOrder.of(tokenizer);
        BitSet allowed = new BitSet(tokenizer.size());
        State[] at = new State[order.longest + 1];
        at[0] = start;
        int reached = 0;
        int dead = Integer.MAX_VALUE; // length of the prefix that fits nothing
        for (int i = 0; i < order.ids.length; i++) {
            if (order.common[i] >= dead) {
                continue;
            }
            dead = Integer.MAX_VALUE;
            byte[] bytes = order.bytes[i];
            int depth = Math.min(order.common[i], reached);
            while (depth < bytes.length) {
                State next = next(at[depth], bytes[depth] & 0xFF);
                if (next == null) {
                    dead = depth + 1;
                    break;
                }
                at[++depth] = next;
            }
            reached = depth;
            if (dead == Integer.MAX_VALUE) {
                allowed.set(order.ids[i]);
            }
        }
        for (Stack top : start.tops) {
            int element = grammar.element(top.at);
            if ((element & 3) == Grammar.TOKEN) {
                Expression.Token token = grammar.token(element >> 2);
                if (token.negated()) {
                    boolean had = allowed.get(token.id());
                    allowed.set(0, tokenizer.size());
                    allowed.set(token.id(), had);
                    tokenizer.endOfGeneration().forEach(allowed::clear);
                } else {
                    allowed.set(token.id());
                }
            }
        }
        if (start.mayEnd) {
            tokenizer.endOfGeneration().forEach(allowed::set);
        }
        return allowed;
    }

    private boolean namesToken(State state, int id) {
        for (Stack top : state.tops) {
            int element = grammar.element(top.at);
            if ((element & 3) == Grammar.TOKEN) {
                Expression.Token token = grammar.token(element >> 2);
                if (!token.negated() && token.id() == id) {
                    return true;
                }
            }
        }
        return false;
    }

    /** Behind a token, or null if it does not fit. */
    private @Nullable State accept(State state, int token) {
        if (token < 0 || token >= tokenizer.size()) {
            return null;
        }
        boolean ends = tokenizer.endOfGeneration().contains(token);
        List<Stack> behind = new ArrayList<>();
        for (Stack top : state.tops) {
            int element = grammar.element(top.at);
            if ((element & 3) == Grammar.TOKEN) {
                Expression.Token wanted = grammar.token(element >> 2);
                if (wanted.negated() ? wanted.id() != token && !ends : wanted.id() == token) {
                    behind.add(stack(top.at + 1, top.below));
                }
            }
        }
        byte[] bytes = ends ? new byte[0] : tokenizer.bytes(token, false);
        State byBytes = bytes.length == 0 ? null : state;
        for (int i = 0; i < bytes.length && byBytes != null; i++) {
            byBytes = next(byBytes, bytes[i] & 0xFF);
        }
        if (behind.isEmpty()) {
            return byBytes;
        }
        if (byBytes != null) {
            behind.addAll(Arrays.asList(byBytes.tops));
            if (byBytes.mayEnd) {
                return merged(behind);
            }
        }
        return close(behind);
    }

    private State merged(List<Stack> tops) {
        State closed = close(tops);
        return closed == null ? new State(new Stack[0], true) : new State(closed.tops, true);
    }

    private @Nullable State next(State state, int value) {
        @Nullable State[] next = state.next;
        if (next == null) {
            next = new State[256];
            state.next = next;
            state.known = new boolean[256];
        }
        if (!state.known[value]) {
            List<Stack> behind = new ArrayList<>();
            for (Stack top : state.tops) {
                int element = grammar.element(top.at);
                if ((element & 3) == Grammar.BYTES
                        && grammar.bytes(element >> 2).get(value)) {
                    behind.add(stack(top.at + 1, top.below));
                }
            }
            count(state.tops.length);
            next[value] = behind.isEmpty() ? null : close(behind);
            state.known[value] = true;
        }
        return next[value];
    }

    private void count(long more) {
        steps += more;
        if (steps > MAX_STEPS) {
            throw tooComplex();
        }
    }

    private static IllegalStateException tooComplex() {
        return new IllegalStateException(
                "the grammar is too ambiguous to be followed; give it fewer ways to read a text");
    }

    private Stack stack(int at, @Nullable Stack below) {
        long key = (long) at << 32 | (below == null ? 0 : below.number);
        Stack known = stacks.get(key);
        if (known == null) {
            known = new Stack(++stackNumber, at, below);
            stacks.put(key, known);
        }
        return known;
    }

    /** Goes on from stacks until each has an element that reads on top; null if none can, and the text can't end. */
    private @Nullable State close(List<Stack> from) {
        Set<Stack> seen = java.util.Collections.newSetFromMap(new java.util.IdentityHashMap<>());
        var queue = new ArrayDeque<>(from);
        seen.addAll(from);
        List<Stack> tops = new ArrayList<>();
        boolean mayEnd = false;
        while (!queue.isEmpty()) {
            Stack stack = queue.remove();
            count(1);
            int element = grammar.element(stack.at);
            switch (element & 3) {
                case Grammar.END -> {
                    Stack below = stack.below;
                    if (below == null) {
                        mayEnd = true;
                    } else if (seen.add(below)) {
                        queue.add(below);
                    }
                }
                case Grammar.RULE -> {
                    // a rule that stands last needs no way back: repetitions don't grow the stack
                    Stack back = grammar.element(stack.at + 1) == Grammar.END
                            ? stack.below
                            : stack(stack.at + 1, stack.below);
                    for (int start : grammar.alternatives(element >> 2)) {
                        Stack begun = stack(start, back);
                        if (seen.add(begun)) {
                            queue.add(begun);
                        }
                    }
                }
                default -> {
                    tops.add(stack);
                    if (tops.size() > MAX_STACKS) {
                        throw tooComplex();
                    }
                }
            }
        }
        if (tops.isEmpty() && !mayEnd) {
            return null;
        }
        tops.sort(java.util.Comparator.comparingInt(Stack::number));
        int[] key = new int[tops.size() + 1];
        for (int i = 0; i < tops.size(); i++) {
            key[i] = tops.get(i).number;
        }
        key[tops.size()] = mayEnd ? -1 : 0;
        State known = states.get(IntBuffer.wrap(key));
        if (known == null) {
            if (states.size() >= MAX_STATES) {
                throw tooComplex();
            }
            known = new State(tops.toArray(Stack[]::new), mayEnd);
            states.put(IntBuffer.wrap(key), known);
        }
        return known;
    }
}
