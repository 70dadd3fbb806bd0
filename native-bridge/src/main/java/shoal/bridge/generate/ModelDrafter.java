package shoal.bridge.generate;

import java.util.Arrays;
import shoal.bridge.model.sampling.SampledToken;
import shoal.bridge.model.sampling.Sampler;
import shoal.bridge.model.sampling.TokenHistory;
import shoal.bridge.model.text.Tokenizer;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;

/**
 * Lets a smaller model with the same vocabulary guess (speculative decoding: Leviathan et al. 2023). It draws with the same random
 * numbers as the large one, so that its guesses are right as often as can be. The generator stays the caller's.
 */
public final class ModelDrafter implements Drafter {
    /** A token less likely than this is not worth checking. */
    private static final double LEAST_PROBABILITY = 0.3;

    private final LocalGenerator model;
    private final LocalGenerator.Context context;
    private final Sampler sampler;

    /**
     * @param large the vocabulary that the draft is for
     * @param sampling as the large model samples; its grammar and mirostat are left out
     * @throws IllegalArgumentException if the vocabularies differ, saying where
     */
    public ModelDrafter(LocalGenerator model, Tokenizer large, Sampling sampling) {
        requireSame(model.tokenizer(), large);
        this.model = model;
        this.context = model.openContext();
        this.sampler = Sampler.of(sampling.withGrammar("").withMirostat(null).withLogprobs(0), large);
    }

    private static void requireSame(Tokenizer draft, Tokenizer large) {
        if (draft.size() != large.size()) {
            throw new IllegalArgumentException("the draft model's vocabulary has " + draft.size()
                    + " tokens, the model's has " + large.size() + "; a draft model needs the same vocabulary");
        }
        for (int id = 0; id < large.size(); id++) {
            if (!Arrays.equals(draft.bytes(id, true), large.bytes(id, true))) {
                throw new IllegalArgumentException("token " + id + " of the draft model's vocabulary is not that of the"
                        + " model's; a draft model needs the same vocabulary");
            }
        }
        if (!draft.endOfGeneration().equals(large.endOfGeneration())) {
            throw new IllegalArgumentException(
                    "the draft model ends its texts with the tokens " + draft.endOfGeneration() + ", the model with "
                            + large.endOfGeneration() + "; a draft model needs the same vocabulary");
        }
    }

    @Override
    public int[] draft(TokenHistory history, int most) {
        int size = history.size();
        int possible = Math.min(most, model.contextLength() - size);
        int[] draft = new int[Math.max(0, possible)];
        int count = 0;
        try {
            while (count < draft.length) {
                float[] logits = context.logitsBehind(history.toArray());
                SampledToken guess = sampler.sample(logits, history, SamplingState.START);
                if (Math.exp(guess.logprob()) < LEAST_PROBABILITY
                        || model.tokenizer().endOfGeneration().contains(guess.id())) {
                    break;
                }
                draft[count++] = guess.id();
                history.add(guess.id());
            }
        } finally {
            history.truncate(size);
        }
        return Arrays.copyOf(draft, count);
    }

    @Override
    public void close() {
        context.close();
    }
}
