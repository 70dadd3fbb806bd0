package shoal.codec.gguf;

import java.util.ArrayList;
import java.util.List;
import shoal.codec.base.LayerRange;
import shoal.codec.metainfo.ModelManifest;

/** What the parts of a model weigh: to keep, and for one token to pass through. */
public final class LayerWeights {
    private LayerWeights() {}

    /**
     * Some layers, with the embedding where they are the first and the output head where they are the last.
     *
     * @param memoryBytes of all its tensors
     * @param tokenBytes of those that each token passes: all but the embedding, of which it takes one row
     */
    public record Part(LayerRange layers, long memoryBytes, long tokenBytes) {}

    /** Each layer of an unsplit model, cut as finely as it can be. @throws shoal.codec.base.MalformedException if its layers make no sense */
    public static List<Part> ofLayers(Gguf model) {
        int count = SplitPlanner.layerCount(model);
        var memory = new long[count];
        var token = new long[count];
        boolean tied = model.tensor("output.weight") == null;
        for (TensorInfo tensor : model.tensors()) {
            int layer = SplitPlanner.layerOf(tensor.name(), count);
            if (layer >= 0) {
                memory[layer] += tensor.sizeBytes();
                token[layer] += tensor.sizeBytes();
                continue;
            }
            boolean first = SplitPlanner.belongs(tensor.name(), true, false, tied);
            boolean last = SplitPlanner.belongs(tensor.name(), false, true, tied);
            memory[0] += first ? tensor.sizeBytes() : 0;
            memory[count - 1] += last && (count > 1 || !first) ? tensor.sizeBytes() : 0;
            token[count - 1] += last ? tensor.sizeBytes() : 0;
        }
        var parts = new ArrayList<Part>();
        for (int layer = 0; layer < count; layer++) {
            parts.add(new Part(new LayerRange(layer, layer), memory[layer], token[layer]));
        }
        return parts;
    }

    /**
     * The shards of a split model.
     *
     * @param metadataBytes what each shard has beside tensors: about the size of the vocabulary file
     */
    public static List<Part> ofShards(ModelManifest manifest, long metadataBytes) {
        var parts = new ArrayList<Part>();
        for (ModelManifest.Shard shard : manifest.shards()) {
            long layers = 0;
            for (int layer = shard.layers().first(); layer <= shard.layers().last(); layer++) {
                layers += manifest.layerBytes().get(layer);
            }
            boolean last = shard.index() == manifest.shards().size() - 1;
            boolean only = manifest.shards().size() == 1;
            long beside = Math.max(0, shard.size() - metadataBytes - layers);
            long head = !last ? 0 : only ? beside / 2 : beside; // of an only shard half of that is the embedding
            parts.add(new Part(shard.layers(), shard.size(), layers + head));
        }
        return parts;
    }

    /** Bytes that a token passes in these layers of a model or a shard, as {@link Part#tokenBytes}. */
    public static long tokenBytes(Gguf file, LayerRange layers) {
        return passed(file, layers).stream().mapToLong(TensorInfo::sizeBytes).sum();
    }

    /** The tensors of these layers of a model or a shard that each token passes. */
    public static List<TensorInfo> passed(Gguf file, LayerRange layers) {
        int count = SplitPlanner.layerCount(file);
        boolean last = layers.last() == count - 1;
        boolean tied = file.tensor("output.weight") == null;
        return file.tensors().stream()
                .filter(tensor -> {
                    int layer = SplitPlanner.layerOf(tensor.name(), count);
                    return layer >= 0
                            ? layers.contains(layer)
                            : last && SplitPlanner.belongs(tensor.name(), false, true, tied);
                })
                .toList();
    }

    /**
     * What kind of weights a model has, as far as speed goes: the type of most of them, and how many experts a token sees. The same for
     * a model, its shards and its vocabulary file. At most 32 bytes.
     */
    public static String kind(Gguf file) {
        String type = nameOf(file.intValue("general.file_type", -1));
        int experts = file.intValue(file.architecture() + ".expert_count", 0);
        return experts == 0
                ? type
                : type + "/" + file.intValue(file.architecture() + ".expert_used_count", 0) + ":" + experts;
    }

    /** llama.cpp's enum llama_ftype, without its mixtures. */
    private static String nameOf(int fileType) {
        return switch (fileType) {
            case 0 -> "F32";
            case 1 -> "F16";
            case 32 -> "BF16";
            case 7 -> "Q8_0";
            case 2 -> "Q4_0";
            case 3 -> "Q4_1";
            case 8 -> "Q5_0";
            case 9 -> "Q5_1";
            case 10 -> "Q2_K";
            case 11, 12, 13 -> "Q3_K";
            case 14, 15 -> "Q4_K";
            case 16, 17 -> "Q5_K";
            case 18 -> "Q6_K";
            case 25 -> "IQ4_NL";
            case 30 -> "IQ4_XS";
            case 38 -> "MXFP4";
            default -> "type " + fileType;
        };
    }
}
