package shoal.codec.wire;

import static shoal.codec.base.Bounds.requireRange;

/** @param logprob natural logarithm of the token's probability by the model, before any sampling parameter */
public record TokenLogprob(int token, float logprob) {
    public TokenLogprob {
        requireRange("token", token, 0, Integer.MAX_VALUE);
    }
}
