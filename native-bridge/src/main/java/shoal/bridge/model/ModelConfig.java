package shoal.bridge.model;

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
        MetadataKeys keys = MetadataKeys.of(header);
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
                feedForward(keys, experts),
                vocabulary(header, keys),
                keys.bounded("context_length", null, 1, MAX_CONTEXT),
                normEpsilon(keys),
                ropeDimensions,
                keys.positive("rope.freq_base", 10_000f),
                experts,
                experts == 0 ? 0 : keys.bounded("expert_used_count", null, 1, experts));
    }

    private static int feedForward(MetadataKeys keys, int experts) {
        String key = experts > 0 && keys.has("expert_feed_forward_length")
                ? "expert_feed_forward_length"
                : "feed_forward_length";
        return keys.bounded(key, null, 1, MAX_FEED_FORWARD);
    }

    /** Of LayerNorm, if the file has no epsilon of RMSNorm. */
    private static float normEpsilon(MetadataKeys keys) {
        String rms = "attention.layer_norm_rms_epsilon";
        String layer = "attention.layer_norm_epsilon";
        return keys.positive(!keys.has(rms) && keys.has(layer) ? layer : rms, null);
    }

    private static int vocabulary(Gguf header, MetadataKeys keys) {
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
}
