package shoal.codec.wire;

import static shoal.codec.base.Bounds.requireRange;

/**
 * How the next token is chosen.
 *
 * @param temperature 0 takes the likeliest token; else logits are divided by it
 * @param topK how many tokens are kept, 0 for all
 * @param topP the smallest set whose probabilities reach this, 1 for all
 * @param minP what is kept must be this share of the likeliest, 0 for all
 * @param seed of the counter-based generator: the same seed and position give the same choice
 */
public record Sampling(float temperature, int topK, float topP, float minP, long seed) {
    public static final Sampling GREEDY = new Sampling(0, 0, 1, 0, 0);
    public static final int MAX_TOP_K = 1 << 24;

    public Sampling {
        requireShare("temperature", temperature, 100);
        requireRange("top-k", topK, 0, MAX_TOP_K);
        requireShare("top-p", topP, 1);
        requireShare("min-p", minP, 1);
    }

    private static void requireShare(String name, float value, float max) {
        if (!(value >= 0 && value <= max)) {
            throw new IllegalArgumentException(name + " is " + value + ", allowed 0.." + max);
        }
    }
}
