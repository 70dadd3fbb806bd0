package shoal.codec.wire;

import static shoal.codec.base.Bounds.requireBetween;
import static shoal.codec.base.Bounds.requireRange;
import static shoal.codec.base.Bounds.requireText;

import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * How the next token is chosen. The steps are taken in the order that llama.cpp takes them: logit bias, penalties, DRY, top-k,
 * typical, top-p, min-p, XTC, temperature, one draw; with mirostat: logit bias, temperature, mirostat. Where a grammar refuses the
 * token, the steps are taken once more over the tokens that it allows.
 *
 * @param temperature 0 takes the likeliest token; else logits are divided by it
 * @param topK how many tokens are kept, 0 for all
 * @param topP the smallest set whose probabilities reach this, 1 for all
 * @param minP what is kept must be this share of the likeliest, 0 for all
 * @param typicalP the smallest set of the most typical tokens whose probabilities reach this, 1 for all (Meister et al. 2022)
 * @param mirostat null for none; else it replaces penalties, DRY and all the filters
 * @param logitBias added to the logits of these tokens, each at most once
 * @param grammar in GBNF, what may be generated; empty for anything
 * @param logprobs of how many of the likeliest tokens the log probabilities are told beside the chosen one's
 * @param seed of the counter-based generator: the same seed and position give the same choice
 */
public record Sampling(
        float temperature,
        int topK,
        float topP,
        float minP,
        float typicalP,
        Penalties penalties,
        Dry dry,
        Xtc xtc,
        @Nullable Mirostat mirostat,
        List<Bias> logitBias,
        String grammar,
        int logprobs,
        long seed) {
    public static final int MAX_TOP_K = 1 << 24;
    public static final int MAX_LAST_N = 1 << 27;
    public static final int MAX_BIASES = 1024;
    public static final int MAX_GRAMMAR_BYTES = 256 * 1024;
    public static final int MAX_LOGPROBS = 20;

    /** More than the encoded form ever has, without the grammar. */
    static final int MAX_OTHER_BYTES = 64 * 1024;

    public static final Sampling GREEDY = new Sampling(0, 0, 1, 0, 0);

    public Sampling {
        requireBetween("temperature", temperature, 0, 100);
        requireRange("top-k", topK, 0, MAX_TOP_K);
        requireBetween("top-p", topP, 0, 1);
        requireBetween("min-p", minP, 0, 1);
        requireBetween("typical-p", typicalP, 0, 1);
        requireRange("logit biases", logitBias.size(), 0, MAX_BIASES);
        requireText("grammar", grammar, MAX_GRAMMAR_BYTES);
        requireRange("logprobs", logprobs, 0, MAX_LOGPROBS);
        logitBias = List.copyOf(logitBias);
    }

    /** Without any of the other steps. */
    public Sampling(float temperature, int topK, float topP, float minP, long seed) {
        this(temperature, topK, topP, minP, 1, Penalties.NONE, Dry.NONE, Xtc.NONE, null, List.of(), "", 0, seed);
    }

    /**
     * Makes tokens of the last ones less likely. llama.cpp's definition: a logit above 0 is divided by repeat, another one is
     * multiplied by it; then presence, and frequency for each occurrence, are taken off.
     *
     * @param lastN how far back, prompt included; -1 for all, 0 for none
     */
    public record Penalties(int lastN, float repeat, float frequency, float presence) {
        public static final Penalties NONE = new Penalties(64, 1, 0, 0);

        public Penalties {
            requireRange("last-n of the penalties", lastN, -1, MAX_LAST_N);
            requireBetween("repeat penalty", repeat, 0.01f, 100);
            requireBetween("frequency penalty", frequency, -100, 100);
            requireBetween("presence penalty", presence, -100, 100);
        }

        public boolean isOn() {
            return lastN != 0 && (repeat != 1 || frequency != 0 || presence != 0);
        }
    }

    /**
     * "Don't repeat yourself": takes multiplier × base^(length − allowedLength) off the logit of a token that would go on with a
     * repetition of that length (p-e-w's proposal for text-generation-webui, as llama.cpp has it).
     *
     * @param multiplier 0 for none
     * @param lastN how far back, prompt included; -1 for all, 0 for none
     * @param breakers texts across which nothing counts as a repetition
     */
    public record Dry(float multiplier, float base, int allowedLength, int lastN, List<String> breakers) {
        public static final int MAX_BREAKERS = 32;
        public static final int MAX_BREAKER_BYTES = 64;
        public static final Dry NONE = new Dry(0, 1.75f, 2, -1, List.of("\n", ":", "\"", "*"));

        public Dry {
            requireBetween("DRY multiplier", multiplier, 0, 100);
            requireBetween("DRY base", base, 1, 100);
            requireRange("DRY allowed length", allowedLength, 1, MAX_LAST_N);
            requireRange("last-n of DRY", lastN, -1, MAX_LAST_N);
            requireRange("DRY sequence breakers", breakers.size(), 0, MAX_BREAKERS);
            breakers = List.copyOf(breakers);
            for (String breaker : breakers) {
                requireText("DRY sequence breaker", breaker, MAX_BREAKER_BYTES);
                if (breaker.isEmpty()) {
                    throw new IllegalArgumentException("a DRY sequence breaker is empty");
                }
            }
        }

        public boolean isOn() {
            return lastN != 0 && multiplier != 0;
        }
    }

    /**
     * "Exclude top choices": with this probability, all but the least likely of the tokens that are at least as likely as the threshold
     * are left out (p-e-w's proposal for text-generation-webui, as llama.cpp has it).
     *
     * @param threshold above 0.5 there is never more than one such token, so nothing happens
     */
    public record Xtc(float probability, float threshold) {
        public static final Xtc NONE = new Xtc(0, 0.1f);

        public Xtc {
            requireBetween("XTC probability", probability, 0, 1);
            requireBetween("XTC threshold", threshold, 0, 1);
        }

        public boolean isOn() {
            return probability > 0 && threshold <= 0.5f;
        }
    }

    /**
     * Mirostat 2 (Basu et al. 2021): keeps the surprise of the chosen tokens near tau.
     *
     * @param tau bits a token
     * @param eta how fast it learns
     */
    public record Mirostat(float tau, float eta) {
        public Mirostat {
            requireBetween("mirostat tau", tau, 0, 100);
            requireBetween("mirostat eta", eta, 0, 1);
        }
    }

    /** @param bias −∞ never takes the token */
    public record Bias(int token, float bias) {
        public Bias {
            requireRange("token of a logit bias", token, 0, Integer.MAX_VALUE);
            if (!(bias < Float.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException(
                        "the logit bias of token " + token + " is " + bias + ", allowed is a number or minus infinity");
            }
        }
    }

    /** Whether the choice depends on tokens before it. */
    public boolean needsHistory() {
        return mirostat == null && (penalties.isOn() || dry.isOn()) || !grammar.isEmpty();
    }

    /** Whether the choice needs to know what tokens stand for. */
    public boolean needsVocabulary() {
        return mirostat == null && dry.isOn() || !grammar.isEmpty();
    }

    public Sampling withGrammar(String gbnf) {
        return with(draft -> draft.grammar = gbnf);
    }

    public Sampling withTypicalP(float share) {
        return with(draft -> draft.typicalP = share);
    }

    public Sampling withPenalties(Penalties other) {
        return with(draft -> draft.penalties = other);
    }

    public Sampling withDry(Dry other) {
        return with(draft -> draft.dry = other);
    }

    public Sampling withXtc(Xtc other) {
        return with(draft -> draft.xtc = other);
    }

    public Sampling withMirostat(@Nullable Mirostat other) {
        return with(draft -> draft.mirostat = other);
    }

    public Sampling withLogitBias(List<Bias> biases) {
        return with(draft -> draft.logitBias = biases);
    }

    public Sampling withSeed(long other) {
        return with(draft -> draft.seed = other);
    }

    public Sampling withLogprobs(int count) {
        return with(draft -> draft.logprobs = count);
    }

    private Sampling with(Consumer<Draft> change) {
        var draft = new Draft(this);
        change.accept(draft);
        return new Sampling(
                temperature,
                topK,
                topP,
                minP,
                draft.typicalP,
                draft.penalties,
                draft.dry,
                draft.xtc,
                draft.mirostat,
                draft.logitBias,
                draft.grammar,
                draft.logprobs,
                draft.seed);
    }

    /** What can be changed one by one. */
    private static final class Draft {
        private float typicalP;
        private Penalties penalties;
        private Dry dry;
        private Xtc xtc;
        private @Nullable Mirostat mirostat;
        private List<Bias> logitBias;
        private String grammar;
        private int logprobs;
        private long seed;

        Draft(Sampling from) {
            typicalP = from.typicalP;
            penalties = from.penalties;
            dry = from.dry;
            xtc = from.xtc;
            mirostat = from.mirostat;
            logitBias = from.logitBias;
            grammar = from.grammar;
            logprobs = from.logprobs;
            seed = from.seed;
        }
    }
}
