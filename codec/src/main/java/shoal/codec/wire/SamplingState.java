package shoal.codec.wire;

/**
 * What a sampler carries from token to token beside the tokens themselves. With the tokens so far and this, another machine goes on
 * where one stopped.
 *
 * @param mu mirostat's bound on the surprise of the next token, in bits; NaN before the first token, and without mirostat
 */
public record SamplingState(float mu) {
    public static final SamplingState START = new SamplingState(Float.NaN);

    public SamplingState {
        if (Float.isInfinite(mu)) {
            throw new IllegalArgumentException("mirostat's mu is " + mu + ", allowed is a number or none");
        }
    }
}
