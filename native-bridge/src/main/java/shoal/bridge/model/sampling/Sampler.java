package shoal.bridge.model.sampling;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.TopLogits;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.grammar.Grammar;
import shoal.bridge.model.text.grammar.GrammarMatcher;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.TokenLogprob;

/**
 * Draws tokens. {@link #sample} is a pure function of logits, parameters, seed, position, the tokens before and the carried state, with
 * the same result on every machine: any stage can go on where another stopped. Definitions and order are llama.cpp's (its
 * llama-sampling.cpp, and common/sampling.cpp for the order), in doubles. A sampler keeps caches, so one thread at a time.
 */
public final class Sampler {
    private static final long GOLDEN_GAMMA = 0x9e3779b97f4a7c15L;

    /** What a random number is for, so that none is used twice. */
    private enum Draw {
        TOKEN,
        XTC,
        TOKEN_IN_GRAMMAR,
        XTC_IN_GRAMMAR
    }

    private final Sampling sampling;
    private final @Nullable DryPenalty dry;
    private final @Nullable GrammarMatcher grammar;

    private Sampler(Sampling sampling, @Nullable DryPenalty dry, @Nullable GrammarMatcher grammar) {
        this.sampling = sampling;
        this.dry = dry;
        this.grammar = grammar;
    }

    /**
     * For one sequence.
     *
     * @throws shoal.codec.base.MalformedException if there is a grammar that cannot be read
     */
    public static Sampler of(Sampling sampling, Tokenizer tokenizer) {
        return new Sampler(
                sampling,
                sampling.mirostat() == null && sampling.dry().isOn() ? new DryPenalty(sampling.dry(), tokenizer) : null,
                sampling.grammar().isEmpty()
                        ? null
                        : new GrammarMatcher(Grammar.parse(sampling.grammar(), tokenizer), tokenizer));
    }

    /**
     * Without a vocabulary.
     *
     * @throws IllegalArgumentException if the parameters need one
     */
    public static Sampler of(Sampling sampling) {
        if (sampling.needsVocabulary()) {
            throw new IllegalArgumentException("DRY and grammars need to know what tokens stand for");
        }
        return new Sampler(sampling, null, null);
    }

    /** With the whole sequence known. */
    public SampledToken sample(float[] logits, TokenHistory history, SamplingState state) {
        return sample(logits, history.size(), history, state);
    }

    /**
     * @param logits one per token id; not changed
     * @param position of the token that is drawn, in its sequence
     * @param history all tokens before, if the parameters {@link Sampling#needsHistory() look back}; else it may be empty
     * @throws IllegalArgumentException if there are no logits, one is not a number, or the history is too short
     * @throws IllegalStateException if the grammar leaves no token of this vocabulary
     */
    public SampledToken sample(float[] logits, int position, TokenHistory history, SamplingState state) {
        if (logits.length == 0) {
            throw new IllegalArgumentException("there are no logits");
        }
        if (sampling.needsHistory() && history.size() != position) {
            throw new IllegalArgumentException("sampling at position " + position + " needs all tokens before it, only "
                    + history.size() + " are known");
        }
        int best = best(logits);
        float[] changed = changed(logits, history);
        Choice choice = choose(changed, position, state, Draw.TOKEN, Draw.XTC);
        if (grammar != null) {
            grammar.goTo(history.toArray(), history.promptSize());
            if (choice.id() < 0 || !grammar.allows(choice.id())) {
                BitSet allowed = grammar.allowed();
                boolean any = false;
                for (int id = 0; id < changed.length; id++) {
                    if (!allowed.get(id)) {
                        changed[id] = Float.NEGATIVE_INFINITY;
                    } else if (changed[id] != Float.NEGATIVE_INFINITY) {
                        any = true;
                    }
                }
                if (!any) {
                    throw new IllegalStateException(
                            "no token of this vocabulary fits the grammar behind the text so far; change the grammar");
                }
                choice = choose(changed, position, state, Draw.TOKEN_IN_GRAMMAR, Draw.XTC_IN_GRAMMAR);
            }
        }
        if (choice.id() < 0) {
            throw new IllegalStateException("the logit biases leave no token to choose");
        }
        double logSum = logSum(logits, best);
        return new SampledToken(
                choice.id(),
                (float) ((double) logits[choice.id()] - logits[best] - logSum),
                top(logits, best, logSum),
                choice.next());
    }

    /** How many of the highest logits decide alone, so that {@link #sample(TopLogits, int, SamplingState)} may be asked; 0 if all may. */
    public int deciding() {
        boolean changes =
                !sampling.logitBias().isEmpty() || sampling.penalties().isOn() || dry != null || grammar != null;
        if (changes || sampling.mirostat() != null || sampling.logprobs() > 0) {
            return 0;
        }
        boolean mayDropTheBest = sampling.xtc().isOn() || sampling.typicalP() < 1;
        return sampling.temperature() == 0 && !mayDropTheBest ? 1 : sampling.topK();
    }

    /**
     * As {@link #sample(float[], int, TokenHistory, SamplingState)}, which gives the same token; its log probability may differ in the
     * last bits, since the sum over the vocabulary came in F32.
     *
     * @param top as many as {@link #deciding} says, or the whole vocabulary if that has fewer
     */
    public SampledToken sample(TopLogits top, int position, SamplingState state) {
        Choice choice = choose(top.logits(), position, state, Draw.TOKEN, Draw.XTC);
        float logit = top.logits()[choice.id()];
        double logprob = (double) logit - top.logits()[0] - StrictMath.log(top.sum());
        return new SampledToken(top.ids()[choice.id()], (float) logprob, List.of(), choice.next());
    }

    /** @param id -1 if no token is left */
    private record Choice(int id, SamplingState next) {}

    // ------------------------------------------------------------------------------------- logits that change

    /** A copy with biases and penalties; the given array if there are none and no grammar. */
    private float[] changed(float[] logits, TokenHistory history) {
        boolean penalises = sampling.mirostat() == null && (sampling.penalties().isOn() || dry != null);
        if (sampling.logitBias().isEmpty() && !penalises && grammar == null) {
            return logits;
        }
        float[] changed = logits.clone();
        for (Sampling.Bias bias : sampling.logitBias()) {
            if (bias.token() < changed.length) {
                changed[bias.token()] += bias.bias();
            }
        }
        if (penalises && sampling.penalties().isOn()) {
            penalise(changed, history);
        }
        if (penalises && dry != null) {
            dry.apply(changed, history);
        }
        return changed;
    }

    private void penalise(float[] logits, TokenHistory history) {
        Sampling.Penalties penalties = sampling.penalties();
        int first = penalties.lastN() < 0 ? 0 : Math.max(0, history.size() - penalties.lastN());
        Map<Integer, Integer> counts = new HashMap<>();
        for (int i = first; i < history.size(); i++) {
            counts.merge(history.get(i), 1, Integer::sum);
        }
        counts.forEach((token, count) -> {
            if (token >= 0 && token < logits.length) {
                float logit = logits[token];
                logit = logit <= 0 ? logit * penalties.repeat() : logit / penalties.repeat();
                logits[token] = logit - (count * penalties.frequency() + penalties.presence());
            }
        });
    }

    // ---------------------------------------------------------------------------------------------- the chain

    private Choice choose(float[] logits, int position, SamplingState state, Draw token, Draw xtc) {
        Sampling.Mirostat mirostat = sampling.mirostat();
        boolean mayDropTheBest = mirostat == null && (sampling.xtc().isOn() || sampling.typicalP() < 1);
        if (sampling.temperature() == 0 && !mayDropTheBest) {
            return greedy(logits, state);
        }
        var candidates = new Candidates(logits);
        if (candidates.count() == 0) {
            return new Choice(-1, state);
        }
        if (Float.isInfinite(candidates.logit(0))) {
            return new Choice(candidates.id(0), state);
        }
        if (mirostat != null) {
            return surprise(candidates, mirostat, position, state, token);
        }
        if (sampling.topK() > 0) {
            candidates.keepFirst(sampling.topK());
        }
        typical(candidates);
        topP(candidates);
        if (sampling.minP() > 0) {
            candidates.keepAbove(candidates.logit(0) + StrictMath.log(sampling.minP()));
        }
        excludeTop(candidates, position, xtc);
        if (sampling.temperature() == 0) {
            return new Choice(candidates.id(0), state);
        }
        return new Choice(candidates.idOf(draw(candidates, position, token)), state);
    }

    private Choice greedy(float[] logits, SamplingState state) {
        int best = -1;
        for (int id = 0; id < logits.length; id++) {
            if (logits[id] != Float.NEGATIVE_INFINITY && (best < 0 || logits[id] > logits[best])) {
                best = id;
            }
        }
        Sampling.Mirostat mirostat = sampling.mirostat();
        if (mirostat == null) {
            return new Choice(best, state);
        }
        float mu = mu(mirostat, state);
        return new Choice(best, new SamplingState(mu + mirostat.eta() * mirostat.tau())); // no surprise at all
    }

    private void typical(Candidates candidates) {
        if (sampling.typicalP() >= 1) {
            return;
        }
        int count = candidates.count();
        double[] logs = new double[count]; // of the probabilities
        double sum = 0;
        for (int i = 0; i < count; i++) {
            logs[i] = (double) candidates.logit(i) - candidates.logit(0);
            sum += Exponential.of(logs[i]);
        }
        double logSum = StrictMath.log(sum);
        double entropy = 0;
        for (int i = 0; i < count; i++) {
            logs[i] -= logSum;
            entropy -= Exponential.of(logs[i]) * logs[i];
        }
        double middle = entropy;
        Integer[] order = new Integer[count];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, java.util.Comparator.comparingDouble(i -> Math.abs(-logs[i] - middle)));
        boolean[] kept = new boolean[count];
        double reached = 0;
        for (int i : order) {
            kept[i] = true;
            reached += Exponential.of(logs[i]);
            if (reached > sampling.typicalP()) {
                break;
            }
        }
        candidates.keep(kept);
    }

    private void topP(Candidates candidates) {
        if (sampling.topP() >= 1) {
            return;
        }
        double sum = sum(candidates, 1);
        double best = candidates.logit(0);
        double reached = 0;
        for (int i = 0; i < candidates.count(); i++) {
            reached += Exponential.of(candidates.logit(i) - best) / sum;
            if (reached >= sampling.topP()) {
                candidates.keepFirst(i + 1);
                return;
            }
        }
    }

    private void excludeTop(Candidates candidates, int position, Draw purpose) {
        Sampling.Xtc xtc = sampling.xtc();
        if (!xtc.isOn()
                || candidates.count() < 2
                || uniform(sampling.seed(), position, purpose.ordinal()) > xtc.probability()) {
            return;
        }
        double sum = sum(candidates, 1);
        double best = candidates.logit(0);
        int last = 0;
        for (int i = 0; i < candidates.count(); i++) {
            if (Exponential.of(candidates.logit(i) - best) / sum < xtc.threshold()) {
                break;
            }
            last = i;
        }
        candidates.dropFirst(last);
    }

    /** Mirostat 2: what would surprise by more than mu bits is left out; mu follows the surprise that was. */
    private Choice surprise(
            Candidates candidates, Sampling.Mirostat mirostat, int position, SamplingState state, Draw token) {
        float mu = mu(mirostat, state);
        double temperature = sampling.temperature();
        double sum = sum(candidates, temperature);
        double best = candidates.logit(0);
        int kept = 1;
        while (kept < candidates.count()
                && -log2(Exponential.of((candidates.logit(kept) - best) / temperature) / sum) <= mu) {
            kept++;
        }
        candidates.keepFirst(kept);
        int place = draw(candidates, position, token);
        double probability =
                Exponential.of((candidates.logitOf(place) - best) / temperature) / sum(candidates, temperature);
        double observed = -log2(probability);
        float next = (float) (mu - mirostat.eta() * (observed - mirostat.tau()));
        return new Choice(candidates.idOf(place), new SamplingState(next));
    }

    private static float mu(Sampling.Mirostat mirostat, SamplingState state) {
        return Float.isNaN(state.mu()) ? 2 * mirostat.tau() : state.mu();
    }

    private static double log2(double value) {
        return StrictMath.log(value) / StrictMath.log(2);
    }

    /** The place of the token that is drawn. */
    private int draw(Candidates candidates, int position, Draw purpose) {
        double temperature = sampling.temperature();
        double best = candidates.logit(0);
        double left = uniform(sampling.seed(), position, purpose.ordinal()) * sum(candidates, temperature);
        int place = 0;
        while (place < candidates.count() - 1) {
            double weight = Exponential.of((candidates.logit(place) - best) / temperature);
            if (left < weight) {
                break;
            }
            left -= weight;
            place++;
        }
        return place;
    }

    private static double sum(Candidates candidates, double temperature) {
        double best = candidates.logit(0);
        double sum = 0;
        for (int i = 0; i < candidates.count(); i++) {
            sum += Exponential.of((candidates.logitOf(i) - best) / temperature);
        }
        return sum;
    }

    // ------------------------------------------------------------------------------------- what the model says

    /** The highest logit's id, the lowest id among equals. */
    private static int best(float[] logits) {
        int best = 0;
        for (int id = 0; id < logits.length; id++) {
            if (Float.isNaN(logits[id])) {
                throw new IllegalArgumentException(
                        "the logit of token " + id + " is not a number; the model's weights are damaged");
            }
            if (logits[id] > logits[best]) {
                best = id;
            }
        }
        return best;
    }

    /** log of the sum of exp(logit − best). */
    private static double logSum(float[] logits, int best) {
        double sum = 0;
        for (float logit : logits) {
            sum += Exponential.of((double) logit - logits[best]);
        }
        return StrictMath.log(sum);
    }

    private List<TokenLogprob> top(float[] logits, int best, double logSum) {
        if (sampling.logprobs() == 0) {
            return List.of();
        }
        var candidates = new Candidates(logits);
        List<TokenLogprob> top = new ArrayList<>();
        for (int i = 0; i < Math.min(sampling.logprobs(), candidates.count()); i++) {
            double logprob = (double) candidates.logit(i) - logits[best] - logSum;
            top.add(new TokenLogprob(candidates.id(i), (float) logprob));
        }
        return top;
    }

    // -------------------------------------------------------------------------------------------------- chance

    /** 0..1, one excluded: SplitMix64 (Steele, Lea, Flood 2014) at a place that seed, position and purpose choose. */
    static double uniform(long seed, int position, int purpose) {
        long mixed = mix(mix(seed + GOLDEN_GAMMA) + (position + 1L + ((long) purpose << 32)) * GOLDEN_GAMMA);
        return (mixed >>> 11) * 0x1.0p-53;
    }

    private static long mix(long z) {
        long a = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        long b = (a ^ (a >>> 27)) * 0x94d049bb133111ebL;
        return b ^ (b >>> 31);
    }
}
