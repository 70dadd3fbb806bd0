package shoal.verticles.inferencestage;

import org.jspecify.annotations.Nullable;
import shoal.bridge.model.sampling.SampledToken;
import shoal.bridge.model.sampling.Sampler;
import shoal.bridge.model.sampling.TokenHistory;
import shoal.bridge.model.text.Tokenizer;
import shoal.codec.base.Bounds;
import shoal.codec.command.Command;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;

/**
 * How one session's tokens are chosen on its last stage: the tokens before, where sampling looks back at them, and the state that goes
 * from token to token. On the computing thread alone.
 */
final class StageSampling {
    private final Sampler sampler;
    private final boolean looksBack;
    private TokenHistory history = new TokenHistory(0);
    private SamplingState state = SamplingState.START;
    private float @Nullable [] waiting;
    private int position;

    /** @param tokenizer may be null where sampling needs none */
    StageSampling(Sampling sampling, @Nullable Tokenizer tokenizer) {
        sampler = tokenizer == null ? Sampler.of(sampling) : Sampler.of(sampling, tokenizer);
        looksBack = sampling.needsHistory();
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
        if (history.promptSize() != told.promptSize()) {
            var other = new TokenHistory(told.promptSize());
            for (int i = 0; i < told.firstPosition(); i++) {
                other.add(history.get(i));
            }
            history = other;
        }
        history.truncate(told.firstPosition());
        told.tokens().forEach(history::add);
        state = told.state();
    }

    /** Logits behind which a token is to be chosen. @param at position of that token */
    void take(float[] logits, int at) {
        waiting = logits;
        position = at;
    }

    /** The token behind the logits that were taken, or null while tokens before it are not known yet. */
    Frame.@Nullable TokenSampled sampleIfKnown(Command.ExecuteTask task) {
        float[] logits = waiting;
        if (logits == null || looksBack && history.size() < position) {
            return null;
        }
        waiting = null;
        if (looksBack) {
            history.truncate(position);
        }
        SampledToken chosen = sampler.sample(logits, position, history, state);
        state = chosen.next();
        if (looksBack) {
            history.add(chosen.id());
        }
        return new Frame.TokenSampled(
                task.session(), task.epoch(), position, chosen.id(), chosen.logprob(), chosen.top(), state);
    }
}
