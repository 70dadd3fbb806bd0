package shoal.bridge.model.arch;

import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.model.MetadataKeys;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.MalformedException;

/** How positions become angles: base, linear scaling, factors per pair, YaRN. */
final class Ropes {
    private Ropes() {}

    /** As the metadata says; factors of Llama 3.1 or LongRoPE where the file has them as tensors. */
    static RopeTable scaled(ModelConfig config, Weights weights, int contextLength, RopeTable.Pairing pairing) {
        MetadataKeys keys = MetadataKeys.of(weights.header());
        int pairs = config.ropeDimensions() / 2;
        double[] frequencies = frequencies(config, config.ropeBase());
        int originalContext = keys.bounded(
                "rope.scaling.original_context_length", config.contextLength(), 1, ModelConfig.MAX_CONTEXT);
        float[] factors = pairs == 0 ? null : factors(weights, pairs, contextLength > originalContext);
        for (int i = 0; factors != null && i < pairs; i++) {
            if (!(factors[i] > 0)) {
                throw new MalformedException(
                        "rope factor " + i + " is " + factors[i] + ", allowed are positive numbers");
            }
            frequencies[i] /= factors[i];
        }
        double magnitude = keys.positive("rope.scaling.attn_factor", 1f);
        float factor = keys.positive("rope.scaling.factor", keys.positive("rope.scale_linear", 1f));
        String type = keys.text("rope.scaling.type");
        switch (type) {
            case "none" -> {}
            case "yarn" -> {
                interpolate(keys, config, originalContext, factor, frequencies);
                magnitude *= 1 + 0.1 * StrictMath.log(factor);
            }
            case null -> scale(frequencies, factor);
            case "linear", "longrope" -> scale(frequencies, factor);
            default ->
                throw new MalformedException(keys.name("rope.scaling.type") + " is " + type
                        + ", which is not supported; supported are none, linear, yarn and longrope");
        }
        return new RopeTable(frequencies, (float) magnitude, pairing);
    }

    /** base^(-2i / dimensions), nothing else. */
    static RopeTable plain(ModelConfig config, float base, RopeTable.Pairing pairing) {
        return new RopeTable(frequencies(config, base), 1f, pairing);
    }

    private static double[] frequencies(ModelConfig config, float base) {
        double[] frequencies = new double[config.ropeDimensions() / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = StrictMath.pow(base, -2.0 * i / config.ropeDimensions());
        }
        return frequencies;
    }

    private static float @Nullable [] factors(Weights weights, int pairs, boolean beyondOriginal) {
        float[] fixed = weights.optionalVector("rope_freqs.weight", pairs);
        return fixed != null
                ? fixed
                : weights.optionalVector(
                        beyondOriginal ? "rope_factors_long.weight" : "rope_factors_short.weight", pairs);
    }

    private static void scale(double[] frequencies, float factor) {
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] /= factor;
        }
    }

    /** YaRN (Peng et al. 2023, section 3.2): slow pairs are interpolated, fast ones left alone, those between mixed. */
    private static void interpolate(
            MetadataKeys keys, ModelConfig config, int originalContext, float factor, double[] frequencies) {
        double fast = keys.positive("rope.scaling.yarn_beta_fast", 32f);
        double slow = keys.positive("rope.scaling.yarn_beta_slow", 1f);
        double low = Math.max(0, Math.floor(pairOfTurns(config, originalContext, fast)));
        double high = Math.min(config.ropeDimensions() - 1.0, Math.ceil(pairOfTurns(config, originalContext, slow)));
        for (int i = 0; i < frequencies.length; i++) {
            double ramp = Math.clamp((i - low) / Math.max(0.001, high - low), 0.0, 1.0);
            frequencies[i] = frequencies[i] / factor * ramp + frequencies[i] * (1 - ramp);
        }
    }

    /** The pair, as a real number, that turns so many times over the original context. */
    private static double pairOfTurns(ModelConfig config, int originalContext, double turns) {
        return config.ropeDimensions()
                * StrictMath.log(originalContext / (turns * 2 * Math.PI))
                / (2 * StrictMath.log(config.ropeBase()));
    }
}
