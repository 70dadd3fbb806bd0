package shoal.bridge.make;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.Set;
import java.util.stream.Stream;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.MetadataValue;
import shoal.codec.gguf.TensorInfo;

/**
 * The measures of a model that can be made of random weights: those of a model that people use, or tiny ones of its family.
 *
 * @param name such as {@code llama-1b}
 * @param headSize of queries, keys and values
 * @param feedForward of one expert if there are experts
 * @param experts 0 for none
 * @param sharedFeedForward of the expert that every token goes through, 0 for none
 * @param tied the embedding is the output matrix too
 */
public record Recipe(
        String name,
        Family family,
        int layers,
        int hidden,
        int heads,
        int kvHeads,
        int headSize,
        int feedForward,
        int vocabulary,
        int context,
        float ropeBase,
        int experts,
        int expertsUsed,
        int sharedFeedForward,
        boolean tied) {

    /** What sets one family apart in its file. */
    private enum Trait {
        QUERY_KEY_VALUE_BIAS,
        OUTPUT_BIAS,
        FUSED,
        HEAD_NORMS,
        WIDE_NORMS,
        POST_NORMS,
        SINKS,
        LAYER_NORM,
        UNGATED,
        EXPERT_BIAS,
        NORM_BEHIND_ATTENTION,
        HEAD_SIZE_KEYS,
        EXPERT_FEED_FORWARD_KEY
    }

    /** Families by {@code general.architecture}. */
    public enum Family {
        LLAMA("llama", null),
        SMOLLM3("smollm3", "smaug-bpe"),
        QWEN2("qwen2", "qwen2", Trait.QUERY_KEY_VALUE_BIAS),
        QWEN2MOE("qwen2moe", "qwen2", Trait.QUERY_KEY_VALUE_BIAS, Trait.EXPERT_FEED_FORWARD_KEY),
        QWEN3("qwen3", "qwen2", Trait.HEAD_NORMS, Trait.HEAD_SIZE_KEYS),
        QWEN3MOE("qwen3moe", "qwen2", Trait.HEAD_NORMS, Trait.HEAD_SIZE_KEYS, Trait.EXPERT_FEED_FORWARD_KEY),
        GEMMA2("gemma2", null, Trait.POST_NORMS, Trait.HEAD_SIZE_KEYS),
        GEMMA3("gemma3", null, Trait.POST_NORMS, Trait.HEAD_NORMS, Trait.HEAD_SIZE_KEYS),
        PHI3("phi3", null, Trait.FUSED),
        GPT_OSS(
                "gpt-oss",
                "gpt-4o",
                Trait.QUERY_KEY_VALUE_BIAS,
                Trait.OUTPUT_BIAS,
                Trait.SINKS,
                Trait.EXPERT_BIAS,
                Trait.NORM_BEHIND_ATTENTION,
                Trait.HEAD_SIZE_KEYS,
                Trait.EXPERT_FEED_FORWARD_KEY),
        OLMOE("olmoe", "olmo", Trait.WIDE_NORMS),
        GRANITE("granite", "refact"),
        STARCODER2(
                "starcoder2",
                "starcoder",
                Trait.QUERY_KEY_VALUE_BIAS,
                Trait.OUTPUT_BIAS,
                Trait.LAYER_NORM,
                Trait.UNGATED),
        STABLELM("stablelm", "stablelm2", Trait.QUERY_KEY_VALUE_BIAS, Trait.LAYER_NORM);

        private final String architecture;
        private final @org.jspecify.annotations.Nullable String words;
        private final Set<Trait> traits;

        /** @param words the pattern of its byte pairs, null for SentencePiece */
        Family(String architecture, @org.jspecify.annotations.Nullable String words, Trait... traits) {
            this.architecture = architecture;
            this.words = words;
            this.traits = traits.length == 0 ? EnumSet.noneOf(Trait.class) : EnumSet.copyOf(List.of(traits));
        }

        /** As {@code general.architecture} has it. */
        public String architecture() {
            return architecture;
        }

        private boolean has(Trait trait) {
            return traits.contains(trait);
        }
    }

    private static final List<Recipe> NAMED = List.of(
            dense("llama-1b", Family.LLAMA, 22, 2048, 32, 4, 64, 5632, 32_000, 2048, 10_000, false),
            dense("llama-7b", Family.LLAMA, 32, 4096, 32, 32, 128, 11_008, 32_000, 4096, 10_000, false),
            dense("llama-100m", Family.LLAMA, 12, 768, 12, 4, 64, 2048, 32_000, 2048, 10_000, false),
            new Recipe(
                    "mixtral-8x7b", Family.LLAMA, 32, 4096, 32, 8, 128, 14_336, 32_000, 32_768, 1e6f, 8, 2, 0, false),
            dense("smollm3-3b", Family.SMOLLM3, 36, 2048, 16, 4, 128, 11_008, 128_256, 65_536, 5e6f, true),
            dense("qwen2-0.5b", Family.QWEN2, 24, 896, 14, 2, 64, 4864, 151_936, 32_768, 1e6f, true),
            new Recipe(
                    "qwen2moe-14b",
                    Family.QWEN2MOE,
                    24,
                    2048,
                    16,
                    16,
                    128,
                    1408,
                    151_936,
                    8192,
                    1e6f,
                    60,
                    4,
                    5632,
                    false),
            dense("qwen3-0.6b", Family.QWEN3, 28, 1024, 16, 8, 128, 3072, 151_936, 40_960, 1e6f, true),
            new Recipe(
                    "qwen3moe-30b",
                    Family.QWEN3MOE,
                    48,
                    2048,
                    32,
                    4,
                    128,
                    768,
                    151_936,
                    40_960,
                    1e6f,
                    128,
                    8,
                    0,
                    false),
            dense("gemma2-2b", Family.GEMMA2, 26, 2304, 8, 4, 256, 9216, 256_000, 8192, 10_000, true),
            dense("gemma3-1b", Family.GEMMA3, 26, 1152, 4, 1, 256, 6912, 262_144, 32_768, 1e6f, true),
            dense("phi3-mini", Family.PHI3, 32, 3072, 32, 32, 96, 8192, 32_064, 4096, 10_000, false),
            new Recipe(
                    "gpt-oss-20b",
                    Family.GPT_OSS,
                    24,
                    2880,
                    64,
                    8,
                    64,
                    2880,
                    201_088,
                    131_072,
                    150_000,
                    32,
                    4,
                    0,
                    false),
            new Recipe("olmoe-7b", Family.OLMOE, 16, 2048, 16, 16, 128, 1024, 50_304, 4096, 10_000, 64, 8, 0, false),
            dense("granite-2b", Family.GRANITE, 40, 2048, 32, 8, 64, 8192, 49_152, 131_072, 5e6f, true),
            dense("starcoder2-3b", Family.STARCODER2, 30, 3072, 24, 2, 128, 12_288, 49_152, 16_384, 1e5f, true),
            dense("stablelm-1.6b", Family.STABLELM, 24, 2048, 32, 32, 64, 5632, 100_352, 4096, 10_000, false));

    /** All: those named after models, then a tiny one of each family. */
    public static List<Recipe> all() {
        Stream<Recipe> tiny = Arrays.stream(Family.values()).flatMap(Recipe::tiny);
        return Stream.concat(NAMED.stream(), tiny).toList();
    }

    /** @throws IllegalArgumentException naming those there are */
    public static Recipe of(String name) {
        return all().stream()
                .filter(recipe -> recipe.name.equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("there is no model like '" + name + "'; there are "
                        + String.join(", ", all().stream().map(Recipe::name).toList())));
    }

    private static Recipe dense(
            String name,
            Family family,
            int layers,
            int hidden,
            int heads,
            int kvHeads,
            int headSize,
            int feedForward,
            int vocabulary,
            int context,
            float ropeBase,
            boolean tied) {
        return new Recipe(
                name,
                family,
                layers,
                hidden,
                heads,
                kvHeads,
                headSize,
                feedForward,
                vocabulary,
                context,
                ropeBase,
                0,
                0,
                0,
                tied);
    }

    /** Rows of 256, so that every type fits. */
    private static Stream<Recipe> tiny(Family family) {
        int layers = family == Family.GEMMA3 ? 7 : 3; // one that sees all among the windowed ones
        boolean mixed = switch (family) {
            case QWEN2MOE, QWEN3MOE, GPT_OSS, OLMOE -> true;
            default -> false;
        };
        int shared = family == Family.QWEN2MOE ? 512 : 0;
        var recipe = new Recipe(
                family.architecture + "-tiny",
                family,
                layers,
                256,
                4,
                2,
                64,
                256,
                512,
                2048,
                10_000,
                mixed ? 4 : 0,
                mixed ? 2 : 0,
                shared,
                family == Family.GEMMA2 || family == Family.GEMMA3);
        return family == Family.LLAMA
                ? Stream.of(
                        recipe,
                        new Recipe("mixtral-tiny", family, layers, 256, 4, 2, 64, 256, 512, 2048, 1e6f, 4, 2, 0, false))
                : Stream.of(recipe);
    }

    /** All keys of the file but those of its types. */
    SequencedMap<String, MetadataValue> metadata(String title) {
        var keys = new LinkedHashMap<String, MetadataValue>();
        keys.put("general.architecture", new MetadataValue.Text(family.architecture));
        keys.put("general.type", new MetadataValue.Text("model"));
        keys.put("general.name", new MetadataValue.Text(title));
        number(keys, "context_length", context);
        number(keys, "embedding_length", hidden);
        number(keys, "block_count", layers);
        number(keys, "feed_forward_length", feedForward);
        number(keys, "attention.head_count", heads);
        number(keys, "attention.head_count_kv", kvHeads);
        if (family.has(Trait.HEAD_SIZE_KEYS) || headSize * heads != hidden) {
            number(keys, "attention.key_length", headSize);
            number(keys, "attention.value_length", headSize);
        }
        real(
                keys,
                family.has(Trait.LAYER_NORM) ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
                1e-5f);
        real(keys, "rope.freq_base", ropeBase);
        number(keys, "rope.dimension_count", family == Family.STABLELM ? headSize / 4 : headSize);
        if (experts > 0) {
            number(keys, "expert_count", experts);
            number(keys, "expert_used_count", expertsUsed);
            if (family.has(Trait.EXPERT_FEED_FORWARD_KEY)) {
                number(keys, "expert_feed_forward_length", feedForward);
            }
        }
        if (sharedFeedForward > 0) {
            number(keys, "expert_shared_feed_forward_length", sharedFeedForward);
        }
        switch (family) {
            case GEMMA2 -> {
                real(keys, "attn_logit_softcapping", 50);
                real(keys, "final_logit_softcapping", 30);
                number(keys, "attention.sliding_window", 4096);
            }
            case GEMMA3 -> number(keys, "attention.sliding_window", 512);
            case GPT_OSS -> {
                number(keys, "attention.sliding_window", 128);
                keys.put(key("rope.scaling.type"), new MetadataValue.Text("yarn"));
                real(keys, "rope.scaling.factor", 32);
                number(keys, "rope.scaling.original_context_length", 4096);
            }
            case GRANITE -> {
                real(keys, "logit_scale", 8);
                real(keys, "residual_scale", 0.22f);
                real(keys, "embedding_scale", 12);
                real(keys, "attention.scale", 1f / headSize);
            }
            case STABLELM -> keys.put(key("use_parallel_residual"), new MetadataValue.Bool(false));
            case LLAMA, SMOLLM3, QWEN2, QWEN2MOE, QWEN3, QWEN3MOE, PHI3, OLMOE, STARCODER2 -> {}
        }
        number(keys, "vocab_size", vocabulary);
        keys.putAll(RandomVocabulary.metadata(vocabulary, family.words));
        return keys;
    }

    /** All tensors in F32, embedding first, then layer by layer, then the output. */
    List<TensorInfo> tensors() {
        var all = new ArrayList<TensorInfo>();
        add(all, "token_embd.weight", hidden, vocabulary);
        norm(all, "output_norm", hidden);
        if (!tied) {
            add(all, "output.weight", hidden, vocabulary);
        }
        int queries = heads * headSize;
        int keys = kvHeads * headSize;
        for (int layer = 0; layer < layers; layer++) {
            String block = "blk." + layer + ".";
            norm(all, block + "attn_norm", hidden);
            if (family.has(Trait.FUSED)) {
                add(all, block + "attn_qkv.weight", hidden, queries + 2 * keys);
            } else {
                boolean bias = family.has(Trait.QUERY_KEY_VALUE_BIAS);
                linear(all, block + "attn_q", hidden, queries, bias);
                linear(all, block + "attn_k", hidden, keys, bias);
                linear(all, block + "attn_v", hidden, keys, bias);
            }
            if (family.has(Trait.HEAD_NORMS) || family.has(Trait.WIDE_NORMS)) {
                boolean wide = family.has(Trait.WIDE_NORMS);
                add(all, block + "attn_q_norm.weight", wide ? queries : headSize);
                add(all, block + "attn_k_norm.weight", wide ? keys : headSize);
            }
            linear(all, block + "attn_output", queries, hidden, family.has(Trait.OUTPUT_BIAS));
            if (family.has(Trait.SINKS)) {
                add(all, block + "attn_sinks.weight", heads);
            }
            if (family.has(Trait.POST_NORMS)) {
                add(all, block + "post_attention_norm.weight", hidden);
                add(all, block + "post_ffw_norm.weight", hidden);
            }
            norm(all, block + (family.has(Trait.NORM_BEHIND_ATTENTION) ? "post_attention_norm" : "ffn_norm"), hidden);
            feedForward(all, block);
        }
        return all;
    }

    private void feedForward(List<TensorInfo> all, String block) {
        if (experts > 0) {
            boolean bias = family.has(Trait.EXPERT_BIAS);
            linear(all, block + "ffn_gate_inp", hidden, experts, bias);
            stacked(all, block + "ffn_gate_exps", hidden, feedForward, bias);
            stacked(all, block + "ffn_up_exps", hidden, feedForward, bias);
            stacked(all, block + "ffn_down_exps", feedForward, hidden, bias);
            if (sharedFeedForward > 0) {
                add(all, block + "ffn_gate_inp_shexp.weight", hidden);
                add(all, block + "ffn_gate_shexp.weight", hidden, sharedFeedForward);
                add(all, block + "ffn_up_shexp.weight", hidden, sharedFeedForward);
                add(all, block + "ffn_down_shexp.weight", sharedFeedForward, hidden);
            }
        } else if (family.has(Trait.UNGATED)) {
            linear(all, block + "ffn_up", hidden, feedForward, true);
            linear(all, block + "ffn_down", feedForward, hidden, true);
        } else if (family.has(Trait.FUSED)) {
            add(all, block + "ffn_up.weight", hidden, 2 * feedForward);
            add(all, block + "ffn_down.weight", feedForward, hidden);
        } else {
            add(all, block + "ffn_gate.weight", hidden, feedForward);
            add(all, block + "ffn_up.weight", hidden, feedForward);
            add(all, block + "ffn_down.weight", feedForward, hidden);
        }
    }

    private void norm(List<TensorInfo> all, String name, int size) {
        add(all, name + ".weight", size);
        if (family.has(Trait.LAYER_NORM)) {
            add(all, name + ".bias", size);
        }
    }

    private static void linear(List<TensorInfo> all, String name, int columns, int rows, boolean bias) {
        add(all, name + ".weight", columns, rows);
        if (bias) {
            add(all, name + ".bias", rows);
        }
    }

    private void stacked(List<TensorInfo> all, String name, int columns, int rows, boolean bias) {
        add(all, name + ".weight", columns, rows, experts);
        if (bias) {
            add(all, name + ".bias", rows, experts);
        }
    }

    private static void add(List<TensorInfo> all, String name, long... dimensions) {
        all.add(new TensorInfo(name, Arrays.stream(dimensions).boxed().toList(), GgmlType.F32, 0));
    }

    private String key(String name) {
        return family.architecture + "." + name;
    }

    private void number(SequencedMap<String, MetadataValue> keys, String name, int value) {
        keys.put(key(name), new MetadataValue.UInt32(value));
    }

    private void real(SequencedMap<String, MetadataValue> keys, String name, float value) {
        keys.put(key(name), new MetadataValue.Float32(value));
    }
}
