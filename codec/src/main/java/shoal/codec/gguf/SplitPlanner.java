package shoal.codec.gguf;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;

/**
 * Decides which tensors go to which shard: each shard gets consecutive layers, the first also the embedding, the last the
 * output head (the embedding again where the head is tied to it), and every shard what all stages need, such as rope_freqs. In no
 * other split has a token to pass fewer bytes in the shard where it passes most, which is all of them but the embedding, of which it takes
 * one row; among those, the shards are made as even as going from front to back allows.
 */
public final class SplitPlanner {
    private SplitPlanner() {}

    /** As {@link #plan(SplitSet, Hash256, String, long, int)} for a model in one file, of which modelSize is the size. */
    public static SplitPlan plan(Gguf model, Hash256 modelRoot, String modelName, long modelSize, int shardCount) {
        return plan(SplitSet.of(List.of(model)), modelRoot, modelName, modelSize, shardCount);
    }

    /**
     * Plans shardCount shards that take about the same time for a token.
     *
     * @param modelRoot pieces root of the model as one file (for a set: of {@link SplitSet#layout()})
     * @param modelSize of that file in bytes
     * @param shardCount 1 up to the number of layers
     * @throws MalformedException if the model can't be split so, with the reason
     */
    public static SplitPlan plan(SplitSet model, Hash256 modelRoot, String modelName, long modelSize, int shardCount) {
        Weighed weighed = weigh(model);
        int layerCount = weighed.layerBytes.length;
        if (shardCount < 1 || shardCount > layerCount) {
            throw new MalformedException("shard count is " + shardCount + ", allowed 1.." + layerCount
                    + ": the model has " + layerCount + " layers and a shard holds at least one");
        }
        var weights = weighed.layerBytes.clone();
        weights[layerCount - 1] += weighed.lastBytes;
        return plan(model, modelRoot, modelName, modelSize, weighed.layerBytes, balance(weights, shardCount));
    }

    /**
     * Plans shards with these layers.
     *
     * @param ranges in order, one behind the other, all layers
     * @throws MalformedException if they don't cover the model's layers so
     */
    public static SplitPlan plan(
            Gguf model, Hash256 modelRoot, String modelName, long modelSize, List<LayerRange> ranges) {
        SplitSet set = SplitSet.of(List.of(model));
        long[] layerBytes = weigh(set).layerBytes;
        int next = 0;
        for (LayerRange range : ranges) {
            if (range.first() != next) {
                throw new MalformedException("a shard begins with layer " + range.first() + ", expected " + next);
            }
            next = range.last() + 1;
        }
        if (next != layerBytes.length) {
            throw new MalformedException("shards cover " + next + " layers of " + layerBytes.length);
        }
        return plan(set, modelRoot, modelName, modelSize, layerBytes, ranges);
    }

    /** Bytes of tensors: of each layer, and of those that only a last shard needs. */
    private record Weighed(long[] layerBytes, long lastBytes) {}

    private static Weighed weigh(SplitSet model) {
        Gguf whole = model.whole();
        for (String key : whole.metadata().keySet()) {
            if (key.startsWith(ShardKeys.PREFIX)) {
                throw new MalformedException("this is a shard or a vocabulary file already (metadata key " + key
                        + "). Split the whole model, or join its shards first");
            }
        }
        int layerCount = layerCount(whole);
        var layerBytes = new long[layerCount];
        long lastBytes = 0;
        boolean tied = whole.tensor("output.weight") == null;
        for (TensorInfo tensor : whole.tensors()) {
            int layer = layerOf(tensor.name(), layerCount);
            if (layer >= 0) {
                layerBytes[layer] += tensor.sizeBytes();
                continue;
            }
            lastBytes += belongs(tensor.name(), false, true, tied) ? tensor.sizeBytes() : 0;
        }
        return new Weighed(layerBytes, lastBytes);
    }

    private static SplitPlan plan(
            SplitSet model,
            Hash256 modelRoot,
            String modelName,
            long modelSize,
            long[] layerBytes,
            List<LayerRange> ranges) {
        Gguf whole = model.whole();
        int layerCount = layerBytes.length;
        int shardCount = ranges.size();
        boolean tied = whole.tensor("output.weight") == null;
        var shardOfLayer = new int[layerCount];
        var tensors = new ArrayList<List<Integer>>();
        for (int i = 0; i < shardCount; i++) {
            Arrays.fill(shardOfLayer, ranges.get(i).first(), ranges.get(i).last() + 1, i);
            tensors.add(new ArrayList<>());
        }
        for (int number = 0; number < whole.tensors().size(); number++) {
            String name = whole.tensors().get(number).name();
            int layer = layerOf(name, layerCount);
            if (layer >= 0) {
                tensors.get(shardOfLayer[layer]).add(number);
                continue;
            }
            for (int i = 0; i < shardCount; i++) {
                if (belongs(name, i == 0, i == shardCount - 1, tied)) {
                    tensors.get(i).add(number);
                }
            }
        }
        var shards = new ArrayList<SplitPlan.Shard>();
        for (int i = 0; i < shardCount; i++) {
            shards.add(new SplitPlan.Shard(i, ranges.get(i), tensors.get(i)));
        }
        return new SplitPlan(model, modelRoot, modelName, modelSize, layerBytes, shards);
    }

    /** The model's number of layers, {@code <architecture>.block_count}. @throws MalformedException if it makes no sense */
    static int layerCount(Gguf whole) {
        String key = whole.architecture() + ".block_count";
        int count = whole.requiredInt(key);
        if (count < 1 || count > LayerRange.MAX_LAYERS) {
            throw new MalformedException(key + " is " + count + ", allowed 1.." + LayerRange.MAX_LAYERS);
        }
        return count;
    }

    /** N of {@code blk.N.…}, -1 for a tensor outside of the layers. @throws MalformedException if N is past the last layer */
    static int layerOf(String name, int layerCount) {
        if (!name.startsWith("blk.")) {
            return -1;
        }
        int dot = name.indexOf('.', 4);
        String digits = dot < 0 ? name.substring(4) : name.substring(4, dot);
        if (digits.isEmpty() || digits.length() > 6 || !digits.chars().allMatch(c -> c >= '0' && c <= '9')) {
            throw new MalformedException("tensor " + name + " names no layer: '" + digits + "' is no number");
        }
        int layer = Integer.parseInt(digits);
        if (layer >= layerCount) {
            throw new MalformedException(
                    "tensor " + name + " is of layer " + layer + ", the model has layers 0.." + (layerCount - 1));
        }
        return layer;
    }

    /** Whether a tensor outside of the layers belongs to a shard that is the first, the last, both or neither. */
    static boolean belongs(String name, boolean first, boolean last, boolean tied) {
        if (name.equals("token_embd.weight") && tied) {
            return first || last;
        }
        if (name.startsWith("token_embd") || name.startsWith("token_types") || name.startsWith("position_embd")) {
            return first;
        }
        if (name.startsWith("output") || name.startsWith("cls")) {
            return last;
        }
        return true;
    }

    /** Cuts the layers into count ranges, none empty, with the smallest possible heaviest range. */
    static List<LayerRange> balance(long[] weights, int count) {
        long heaviest = smallestHeaviest(weights, count);
        int[] needed = rangesNeeded(weights, heaviest);
        long left = 0;
        for (long weight : weights) {
            left += weight;
        }
        var ranges = new ArrayList<LayerRange>();
        int first = 0;
        for (int remaining = count; remaining > 1; remaining--) {
            long target = left / remaining;
            long sum = 0;
            long chosen = 0;
            int end = -1;
            for (int next = first + 1; weights.length - next >= remaining - 1; next++) {
                sum += weights[next - 1];
                if (sum > heaviest) {
                    break;
                }
                if (needed[next] <= remaining - 1 && (end < 0 || Math.abs(sum - target) <= Math.abs(chosen - target))) {
                    end = next;
                    chosen = sum;
                }
            }
            ranges.add(new LayerRange(first, end - 1));
            left -= chosen;
            first = end;
        }
        ranges.add(new LayerRange(first, weights.length - 1));
        return ranges;
    }

    private static long smallestHeaviest(long[] weights, int count) {
        long low = 0;
        long high = 0;
        for (long weight : weights) {
            low = Math.max(low, weight);
            high = Math.addExact(high, weight);
        }
        while (low < high) {
            long middle = low + (high - low) / 2;
            if (rangesNeeded(weights, middle)[0] <= count) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        return low;
    }

    /** Per layer, how few ranges of at most limit hold it and all behind it; 0 behind the last. No layer weighs more. */
    private static int[] rangesNeeded(long[] weights, long limit) {
        var needed = new int[weights.length + 1];
        int end = weights.length;
        long sum = 0;
        for (int first = weights.length - 1; first >= 0; first--) {
            sum += weights[first];
            while (sum > limit) {
                sum -= weights[--end];
            }
            needed[first] = 1 + needed[end];
        }
        return needed;
    }
}
