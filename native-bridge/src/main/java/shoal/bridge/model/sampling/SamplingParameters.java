package shoal.bridge.model.sampling;

import shoal.codec.base.Bounds;

/**
 * How a token is drawn: the topK best, of those the fewest whose probabilities reach topP, of those the ones at least minP times as
 * probable as the best; then temperature, then one draw.
 *
 * @param temperature 0 takes the best token always
 * @param topK 0 for all
 * @param topP 1 for all
 * @param minP 0 for all
 */
public record SamplingParameters(float temperature, int topK, float topP, float minP) {
    public static final float MAX_TEMPERATURE = 100;
    public static final SamplingParameters GREEDY = new SamplingParameters(0, 0, 1, 0);

    public SamplingParameters {
        requireRange("temperature", temperature, 0, MAX_TEMPERATURE);
        Bounds.requireRange("top_k", topK, 0, Integer.MAX_VALUE);
        requireRange("top_p", topP, 0, 1);
        requireRange("min_p", minP, 0, 1);
    }

    private static void requireRange(String name, float value, float min, float max) {
        if (!(value >= min && value <= max)) {
            throw new IllegalArgumentException(name + " is " + value + ", allowed " + min + ".." + max);
        }
    }
}
