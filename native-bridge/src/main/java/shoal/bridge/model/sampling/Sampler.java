package shoal.bridge.model.sampling;

/**
 * Draws tokens. A pure function of logits, parameters, seed and position, with the same result on every machine: any stage can
 * go on where another stopped.
 */
public final class Sampler {
    private static final long GOLDEN_GAMMA = 0x9e3779b97f4a7c15L;

    private Sampler() {}

    /**
     * @param logits one per token id
     * @param position of the token that is drawn, in its sequence
     * @throws IllegalArgumentException if there are no logits or one is not a number
     */
    public static SampledToken sample(float[] logits, SamplingParameters parameters, long seed, int position) {
        if (logits.length == 0) {
            throw new IllegalArgumentException("there are no logits");
        }
        int best = best(logits);
        if (parameters.temperature() == 0 || Float.isInfinite(logits[best])) {
            return new SampledToken(best, logprob(logits, best, best));
        }
        int[] candidates = highestFirst(logits, parameters.topK());
        int count = candidates.length;
        count = topP(logits, candidates, count, parameters.topP());
        count = minP(logits, candidates, count, parameters.minP());
        double[] weights = new double[count];
        double sum = 0;
        for (int i = 0; i < count; i++) {
            double distance = (double) logits[candidates[i]] - logits[candidates[0]];
            weights[i] = StrictMath.exp(distance / parameters.temperature());
            sum += weights[i];
        }
        double left = uniform(seed, position) * sum;
        int chosen = 0;
        while (chosen < count - 1 && left >= weights[chosen]) {
            left -= weights[chosen++];
        }
        return new SampledToken(candidates[chosen], logprob(logits, candidates[chosen], best));
    }

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

    /** Ids by falling logit, lower id first among equals; the first topK of them, or all for 0. */
    private static int[] highestFirst(float[] logits, int topK) {
        long[] keys = new long[logits.length];
        for (int id = 0; id < keys.length; id++) {
            int bits = Float.floatToIntBits(logits[id] + 0f); // -0 and 0 are equal
            int rising = bits < 0 ? ~bits : bits ^ 0x8000_0000;
            keys[id] = (~rising & 0xffff_ffffL) << 31 | id;
        }
        java.util.Arrays.sort(keys);
        int[] ids = new int[topK == 0 ? keys.length : Math.min(topK, keys.length)];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (int) keys[i] & 0x7fff_ffff;
        }
        return ids;
    }

    private static int topP(float[] logits, int[] candidates, int count, float topP) {
        if (topP >= 1) {
            return count;
        }
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += StrictMath.exp((double) logits[candidates[i]] - logits[candidates[0]]);
        }
        double reached = 0;
        for (int i = 0; i < count; i++) {
            reached += StrictMath.exp((double) logits[candidates[i]] - logits[candidates[0]]) / sum;
            if (reached >= topP) {
                return i + 1;
            }
        }
        return count;
    }

    private static int minP(float[] logits, int[] candidates, int count, float minP) {
        int kept = count;
        while (kept > 1 && StrictMath.exp((double) logits[candidates[kept - 1]] - logits[candidates[0]]) < minP) {
            kept--;
        }
        return kept;
    }

    private static float logprob(float[] logits, int id, int best) {
        double sum = 0;
        for (float logit : logits) {
            sum += StrictMath.exp((double) logit - logits[best]);
        }
        return (float) ((double) logits[id] - logits[best] - StrictMath.log(sum));
    }

    /** 0..1, one excluded: SplitMix64 (Steele, Lea, Flood 2014) at a place that seed and position choose. */
    static double uniform(long seed, int position) {
        long mixed = mix(mix(seed + GOLDEN_GAMMA) + (position + 1L) * GOLDEN_GAMMA);
        return (mixed >>> 11) * 0x1.0p-53;
    }

    private static long mix(long z) {
        long a = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        long b = (a ^ (a >>> 27)) * 0x94d049bb133111ebL;
        return b ^ (b >>> 31);
    }
}
