package shoal.bridge.make;

import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import shoal.codec.gguf.GgmlType;
import shoal.codec.gguf.TensorInfo;

/**
 * Which tensor gets which type in a file of a {@link FileType}: llama.cpp's rule for files quantised without an importance matrix
 * (src/llama-quant.cpp, llama_tensor_get_type, v0.5.0). What matters most to quality gets more bits: the output matrix, and in the
 * types _M and _L values and feed-forward outputs of some layers. Vectors, norms and the experts' gates stay as they are.
 *
 * <p>Counts layers as it goes: ask once per tensor, in the order of {@link #ordered}.
 */
final class Mixture {
    private static final Pattern LAYER = Pattern.compile("blk\\.([0-9]{1,9})\\..*");
    private static final int EXPERTS_OF_MIXTRAL = 8;
    private static final int LAYERS_OF_LLAMA_70B = 80;

    private final FileType type;
    private final boolean pure;
    private final int experts;
    private final int queriesPerKey;
    private final boolean llama70b;
    private final boolean tied;
    private int valuesSeen;
    private int downsSeen;
    private final int valuesCount;
    private final int downsCount;

    /**
     * @param pure every matrix has the file's main type
     * @param queriesPerKey query heads per head of keys
     */
    Mixture(
            FileType type,
            boolean pure,
            List<TensorInfo> tensors,
            String architecture,
            int layers,
            int experts,
            int heads,
            int kvHeads) {
        this.type = type;
        this.pure = pure;
        this.experts = experts;
        queriesPerKey = heads / Math.max(1, kvHeads);
        llama70b = architecture.equals("llama") && layers == LAYERS_OF_LLAMA_70B && heads != kvHeads;
        tied = tensors.stream().noneMatch(tensor -> tensor.name().equals("output.weight"));
        valuesCount = count(tensors, "attn_v.weight", "attn_qkv.weight");
        downsCount = layers;
    }

    /** In the order that llama.cpp writes them: what is outside of the layers first, then layer by layer, each by name. */
    static List<TensorInfo> ordered(List<TensorInfo> tensors) {
        return tensors.stream()
                .sorted((a, b) -> {
                    int difference = Integer.compare(layer(a.name()), layer(b.name()));
                    return difference != 0 ? difference : a.name().compareTo(b.name());
                })
                .toList();
    }

    /** Whether the tensor is a matrix that gets a type of the mixture at all. */
    static boolean isMatrix(TensorInfo tensor) {
        String name = tensor.name();
        return name.endsWith("weight")
                && dimensionCount(tensor) >= 2
                && !name.endsWith("_norm.weight")
                && !name.contains("ffn_gate_inp.weight");
    }

    /** The type that this tensor gets; its own if it is no matrix. */
    GgmlType typeOf(TensorInfo tensor) {
        if (!isMatrix(tensor)) {
            return tensor.type();
        }
        GgmlType wanted = type.most();
        if (!pure && wanted.blockValues() > 1) {
            wanted = rule(tensor, wanted);
        }
        return fitting(wanted, tensor.dimensions().getFirst());
    }

    /** Rows that are no multiple of a block get a type of smaller blocks. */
    private static GgmlType fitting(GgmlType wanted, long columns) {
        if (columns % wanted.blockValues() == 0) {
            return wanted;
        }
        GgmlType smaller = switch (wanted) {
            case Q2_K, Q3_K, IQ4_XS -> GgmlType.IQ4_NL;
            case Q4_K -> GgmlType.Q5_0;
            case Q5_K -> GgmlType.Q5_1;
            case Q6_K -> GgmlType.Q8_0;
            default -> GgmlType.F16;
        };
        return columns % smaller.blockValues() == 0 ? smaller : GgmlType.F16;
    }

    private GgmlType rule(TensorInfo tensor, GgmlType usual) {
        String name = tensor.name();
        if (name.equals("output.weight") || tied && name.equals("token_embd.weight")) {
            return type == FileType.MXFP4
                            || usual == GgmlType.Q8_0
                            || tensor.dimensions().getFirst() % usual.blockValues() != 0
                    ? GgmlType.Q8_0
                    : GgmlType.Q6_K;
        }
        if (type == FileType.MXFP4) {
            return tensor.dimension(2) > 1 ? GgmlType.MXFP4 : GgmlType.Q8_0;
        }
        if (name.equals("token_embd.weight")) {
            return usual;
        }
        if (name.contains("attn_v.weight") || name.contains("attn_qkv.weight")) {
            return values(usual);
        }
        if (name.contains("attn_k.weight")) {
            return experts == EXPERTS_OF_MIXTRAL ? GgmlType.Q8_0 : usual;
        }
        if (name.contains("ffn_down")) {
            return down(name, usual);
        }
        if (name.contains("attn_output.weight")) {
            return attentionOutput(usual);
        }
        return usual;
    }

    private GgmlType values(GgmlType usual) {
        int index = valuesSeen++;
        GgmlType found = switch (type) {
            case Q2_K -> queriesPerKey >= 4 ? GgmlType.Q4_K : GgmlType.Q3_K;
            case Q3_K_M -> index < 2 ? GgmlType.Q5_K : GgmlType.Q4_K;
            case Q3_K_L -> GgmlType.Q5_K;
            case IQ4_NL, IQ4_XS -> queriesPerKey >= 4 ? GgmlType.Q5_K : usual;
            case Q4_K_M, Q5_K_M -> getsMore(index, valuesCount) ? GgmlType.Q6_K : usual;
            case Q4_K_S -> index < 4 ? GgmlType.Q5_K : usual;
            default -> usual;
        };
        if (llama70b && (found == GgmlType.Q3_K || found == GgmlType.Q4_K)) {
            found = GgmlType.Q5_K; // shared by eight query heads there
        }
        return experts == EXPERTS_OF_MIXTRAL ? GgmlType.Q8_0 : found;
    }

    private GgmlType down(String name, GgmlType usual) {
        int index = experts > 1 ? Math.max(0, layer(name)) : downsSeen;
        downsSeen++;
        return switch (type) {
            case Q2_K -> GgmlType.Q3_K;
            case Q3_K_M -> index < downsCount / 16 ? GgmlType.Q5_K : GgmlType.Q4_K;
            case Q3_K_L -> GgmlType.Q5_K;
            case Q4_K_M, Q5_K_M -> getsMore(index, downsCount) ? GgmlType.Q6_K : usual;
            case IQ4_NL, IQ4_XS, Q4_K_S -> index < downsCount / 8 ? GgmlType.Q5_K : usual;
            default -> usual;
        };
    }

    private GgmlType attentionOutput(GgmlType usual) {
        if (experts == EXPERTS_OF_MIXTRAL) {
            return switch (type) {
                case Q2_K, Q3_K_S, Q3_K_M, Q4_K_S, Q4_K_M, IQ4_NL, IQ4_XS -> GgmlType.Q5_K;
                default -> usual;
            };
        }
        return switch (type) {
            case Q2_K -> GgmlType.Q3_K;
            case Q3_K_M -> GgmlType.Q4_K;
            case Q3_K_L -> GgmlType.Q5_K;
            default -> usual;
        };
    }

    /** The first and the last eighth, and every third between. */
    private static boolean getsMore(int index, int count) {
        return index < count / 8 || index >= 7 * count / 8 || (index - count / 8) % 3 == 2;
    }

    private static int count(List<TensorInfo> tensors, String... names) {
        return (int) tensors.stream()
                .filter(tensor -> List.of(names).stream().anyMatch(tensor.name()::contains))
                .count();
    }

    private static int dimensionCount(TensorInfo tensor) {
        int count = tensor.dimensions().size();
        while (count > 1 && tensor.dimension(count - 1) == 1) {
            count--;
        }
        return count;
    }

    private static int layer(String name) {
        Matcher matcher = LAYER.matcher(name);
        return matcher.matches() ? Integer.parseInt(matcher.group(1)) : -1;
    }
}
