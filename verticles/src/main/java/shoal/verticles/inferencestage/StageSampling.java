package shoal.verticles.inferencestage;

import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.TopLogits;
import shoal.bridge.model.sampling.SampledToken;
import shoal.bridge.model.sampling.Sampler;
import shoal.bridge.model.sampling.TokenHistory;
import shoal.bridge.model.text.Tokenizer;
import shoal.codec.base.Bounds;
import shoal.codec.wire.Frame;
import shoal.codec.wire.SamplingState;

/**
 * How one sequence's tokens are chosen on its last stage: the tokens before, where sampling looks back at them, and the state that goes
 * from token to token. On the computing thread alone.
 */
final class StageSampling {
    private final Sampler sampler;
    private final boolean looksBack;
    private final TokenHistory history;
    private SamplingState state;

    /** @param tokenizer may be null where sampling needs none */
    StageSampling(Frame.OpenSequence open, @Nullable Tokenizer tokenizer) {
        sampler = tokenizer == null ? Sampler.of(open.sampling()) : Sampler.of(open.sampling(), tokenizer);
        looksBack = open.sampling().needsHistory();
        history = new TokenHistory(open.promptSize());
        state = open.state();
    }

    /**
     * Tokens of the sequence, told by the coordinator.
     *
     * @throws IllegalArgumentException if tokens before them are missing, or the sequence is longer than it may be
     */
    void learn(Frame.SequenceTokens told, int contextLength) {
        Bounds.requireRange("first position of the tokens", told.firstPosition(), 0, history.size());
        Bounds.requireRange(
                "tokens of the sequence",
                (long) told.firstPosition() + told.tokens().size(),
                1,
                contextLength);
        history.truncate(told.firstPosition());
        told.tokens().forEach(history::add);
    }

    /** Whether all tokens before a position are known, as far as they need to be. */
    boolean knows(int position) {
        return !looksBack || history.size() >= position;
    }

    /** As {@link Sampler#deciding}. */
    int deciding() {
        return sampler.deciding();
    }

    /** The token at a position, by the highest logits, which are as many as {@link #deciding} says. */
    Frame.SampledToken sample(long session, TopLogits top, int position) {
        return told(session, position, sampler.sample(top, position, state));
    }

    /** The token at a position, behind these logits, which may be changed. */
    Frame.SampledToken sample(long session, float[] logits, int position) {
        if (looksBack) {
            history.truncate(position);
        }
        return told(session, position, sampler.sample(logits, position, history, state));
    }

    private Frame.SampledToken told(long session, int position, SampledToken chosen) {
        state = chosen.next();
        if (looksBack) {
            history.add(chosen.id());
        }
        return new Frame.SampledToken(session, position, chosen.id(), chosen.logprob(), chosen.top(), state);
    }
}
