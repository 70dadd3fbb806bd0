package shoal.bridge.model;

import org.jspecify.annotations.Nullable;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.Gguf;

/**
 * A model's measures, from its metadata alone: a vocabulary file has them too. Checked against each other here, and against the
 * tensors' shapes by {@link Weights}.
 *
 * @param kvHeads heads of keys and values; divides heads
 * @param feedForward width of the feed-forward layers, of one expert if there are experts
 * @param contextLength most positions the model was made for
 * @param ropeDimensions values of a head that are turned, the first ones; even
 * @param ropeScale by which positions are multiplied (1 / factor of linear scaling)
 * @param experts 0 for a dense model
 */
public record ModelConfig(
        String architecture,
        int layers,
        int hidden,
        int heads,
        int kvHeads,
        int headSize,
        int feedForward,
        int vocabulary,
        int contextLength,
        float normEpsilon,
        int ropeDimensions,
        float ropeBase,
        float ropeScale,
        int experts,
        int expertsUsed) {
    public static final int MAX_HIDDEN = 1 << 18;
    public static final int MAX_HEADS = 4_096;
    public static final int MAX_FEED_FORWARD = 1 << 22;
    public static final int MAX_VOCABULARY = 1 << 24;
    public static final int MAX_CONTEXT = 1 << 28;
    public static final int MAX_EXPERTS = 4_096;

    /** All layers. */
    public LayerRange allLayers() {
        return new LayerRange(0, layers - 1);
    }

    /**
     * Reads the keys that most architectures share, {@code <architecture>.…}.
     *
     * @throws MalformedException naming the key, what was found and what is allowed
     */
    public static ModelConfig read(Gguf header) {
        String architecture = header.architecture();
        Keys keys = new Keys(header, architecture);
        int layers = keys.bounded("block_count", null, 1, LayerRange.MAX_LAYERS);
        int hidden = keys.bounded("embedding_length", null, 1, MAX_HIDDEN);
        int heads = keys.bounded("attention.head_count", null, 1, MAX_HEADS);
        int kvHeads = keys.bounded("attention.head_count_kv", heads, 1, heads);
        if (heads % kvHeads != 0) {
            throw new MalformedException(keys.name("attention.head_count") + " is " + heads + ", no multiple of "
                    + keys.name("attention.head_count_kv") + ", which is " + kvHeads);
        }
        int headSize = keys.bounded("attention.key_length", Math.max(1, hidden / heads), 1, MAX_HIDDEN);
        int valueSize = keys.bounded("attention.value_length", headSize, 1, MAX_HIDDEN);
        if (valueSize != headSize) {
            throw new MalformedException("keys of " + headSize + " values with values of " + valueSize
                    + " are not supported; both must be equal");
        }
        if ((long) heads * headSize > MAX_HIDDEN) {
            throw new MalformedException(heads + " heads of " + headSize + " values are " + (long) heads * headSize
                    + ", allowed 1.." + MAX_HIDDEN);
        }
        int ropeDimensions = keys.bounded("rope.dimension_count", headSize, 0, headSize);
        if (ropeDimensions % 2 != 0) {
            throw new MalformedException(
                    keys.name("rope.dimension_count") + " is " + ropeDimensions + ", allowed are even numbers");
        }
        int experts = keys.bounded("expert_count", 0, 0, MAX_EXPERTS);
        return new ModelConfig(
                architecture,
                layers,
                hidden,
                heads,
                kvHeads,
                headSize,
                keys.bounded("feed_forward_length", null, 1, MAX_FEED_FORWARD),
                vocabulary(header, keys),
                keys.bounded("context_length", null, 1, MAX_CONTEXT),
                keys.positive("attention.layer_norm_rms_epsilon", null),
                ropeDimensions,
                keys.positive("rope.freq_base", 10_000f),
                ropeScale(header, keys),
                experts,
                experts == 0 ? 0 : keys.bounded("expert_used_count", null, 1, experts));
    }

    private static int vocabulary(Gguf header, Keys keys) {
        var tokens = header.array("tokenizer.ggml.tokens");
        if (tokens == null) {
            return keys.bounded("vocab_size", null, 1, MAX_VOCABULARY);
        }
        int count = tokens.size();
        if (count < 1 || count > MAX_VOCABULARY) {
            throw new MalformedException(
                    "tokenizer.ggml.tokens has " + count + " entries, allowed 1.." + MAX_VOCABULARY);
        }
        return count;
    }

    private static float ropeScale(Gguf header, Keys keys) {
        float factor = keys.positive("rope.scaling.factor", keys.positive("rope.scale_linear", 1f));
        String type = header.text(keys.name("rope.scaling.type"));
        return switch (type) {
            case null -> 1f / factor;
            case "linear" -> 1f / factor;
            case "none" -> 1f;
            default ->
                throw new MalformedException(keys.name("rope.scaling.type") + " is " + type
                        + ", which is not supported for " + keys.architecture() + "; supported are none and linear");
        };
    }

    /** Reads bounded values of one architecture's keys. */
    private record Keys(Gguf header, String architecture) {
        String name(String key) {
            return architecture + "." + key;
        }

        int bounded(String key, @Nullable Integer absent, int min, int max) {
            int value = absent == null ? header.requiredInt(name(key)) : header.intValue(name(key), absent);
            if (value < min || value > max) {
                throw new MalformedException(name(key) + " is " + value + ", allowed " + min + ".." + max);
            }
            return value;
        }

        float positive(String key, @Nullable Float absent) {
            float value = absent == null ? header.requiredFloat(name(key)) : header.floatValue(name(key), absent);
            if (!(value > 0) || value > 1e12f) {
                throw new MalformedException(name(key) + " is " + value + ", allowed are positive numbers up to 1e12");
            }
            return value;
        }
    }
}
