package shoal.codec.gguf;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;

/**
 * Plans how shards become one GGUF again: the same tensors in the same order, without the keys of {@link ShardKeys}. For a
 * model laid out as ggml does it, the joined file equals the one that was split, byte by byte.
 */
public final class ShardJoiner {
    private ShardJoiner() {}

    /**
     * Joins shards given in any order; a range's source file is the index in this list.
     *
     * @throws MalformedException naming the shard that is missing, there twice, or of another model
     */
    public static FileLayout plan(List<Gguf> shards) {
        if (shards.isEmpty()) {
            throw new IllegalArgumentException("there is no shard to join");
        }
        Gguf first = shards.getFirst();
        checkSet(shards);
        SequencedMap<String, MetadataValue> metadata = modelMetadata(first);
        int tensorCount = first.requiredInt(ShardKeys.MODEL_TENSORS);
        if (tensorCount < 0 || tensorCount > GgufReader.MAX_TENSORS) {
            throw new MalformedException(
                    ShardKeys.MODEL_TENSORS + " is " + tensorCount + ", allowed 0.." + GgufReader.MAX_TENSORS);
        }
        var tensors = new @Nullable TensorInfo[tensorCount];
        var sources = new FileLayout.@Nullable Source[tensorCount];
        for (int file = 0; file < shards.size(); file++) {
            Gguf shard = shards.get(file);
            String name = name(shard);
            if (!modelMetadata(shard).equals(metadata) || shard.version() != first.version()) {
                throw new MalformedException(name + " has other metadata than " + name(first));
            }
            int[] order = shard.requiredInts(ShardKeys.TENSOR_ORDER);
            if (order.length != shard.tensors().size()) {
                throw new MalformedException(name + ": " + ShardKeys.TENSOR_ORDER + " has " + order.length
                        + " entries for " + shard.tensors().size() + " tensors");
            }
            for (int i = 0; i < order.length; i++) {
                TensorInfo tensor = shard.tensors().get(i);
                int number = order[i];
                if (number < 0 || number >= tensorCount) {
                    throw new MalformedException(name + ": tensor " + tensor.name() + " has number " + number
                            + ", allowed 0.." + (tensorCount - 1));
                }
                TensorInfo known = tensors[number];
                if (known == null) {
                    tensors[number] = tensor;
                    sources[number] = new FileLayout.Source(file, shard.fileOffset(tensor));
                } else if (!known.withOffset(0).equals(tensor.withOffset(0))) {
                    throw new MalformedException(name + ": tensor " + number + " is " + tensor.name() + " "
                            + tensor.dimensions() + ", another shard has " + known.name() + " " + known.dimensions());
                }
            }
        }
        var placed = new ArrayList<TensorInfo>();
        var from = new ArrayList<FileLayout.Source>();
        for (int i = 0; i < tensorCount; i++) {
            TensorInfo tensor = tensors[i];
            FileLayout.Source source = sources[i];
            if (tensor == null || source == null) {
                throw new MalformedException("no shard has tensor " + i + " of " + tensorCount);
            }
            placed.add(tensor);
            from.add(source);
        }
        return laidOut(first, metadata, placed, from);
    }

    private static FileLayout laidOut(
            Gguf first,
            SequencedMap<String, MetadataValue> metadata,
            List<TensorInfo> tensors,
            List<FileLayout.Source> sources) {
        GgufWriter.Written written;
        try {
            written = GgufWriter.write(first.version(), metadata, tensors);
        } catch (IllegalArgumentException | ArithmeticException refused) {
            throw new MalformedException("the shards do not make one model: " + refused.getMessage(), refused);
        }
        long size = first.requiredLong(ShardKeys.MODEL_SIZE);
        boolean asSplit = size >= written.gguf().dataEnd() && size <= written.fileSize();
        return FileLayout.of(written, sources, asSplit ? size : written.fileSize());
    }

    private static void checkSet(List<Gguf> shards) {
        for (int file = 0; file < shards.size(); file++) {
            if (!shards.get(file).metadata().containsKey(ShardKeys.SHARD_INDEX)) {
                throw new MalformedException("file " + (file + 1) + " of " + shards.size()
                        + " is not a shard: it has no " + ShardKeys.SHARD_INDEX);
            }
        }
        Gguf first = shards.getFirst();
        String root = first.requiredText(ShardKeys.MODEL_ROOT);
        int count = first.requiredInt(ShardKeys.SHARD_COUNT);
        if (count < 1 || count > LayerRange.MAX_LAYERS) {
            throw new MalformedException(
                    ShardKeys.SHARD_COUNT + " is " + count + ", allowed 1.." + LayerRange.MAX_LAYERS);
        }
        var seen = new boolean[count];
        for (Gguf shard : shards) {
            if (!shard.requiredText(ShardKeys.MODEL_ROOT).equals(root)
                    || shard.requiredInt(ShardKeys.SHARD_COUNT) != count) {
                throw new MalformedException(name(shard) + " is of another model or split than " + name(first));
            }
            int index = shard.requiredInt(ShardKeys.SHARD_INDEX);
            if (index < 0 || index >= count) {
                throw new MalformedException(ShardKeys.SHARD_INDEX + " is " + index + ", allowed 0.." + (count - 1));
            }
            if (seen[index]) {
                throw new MalformedException(name(shard) + " is there twice");
            }
            seen[index] = true;
        }
        var missing = new ArrayList<String>();
        for (int i = 0; i < count; i++) {
            if (!seen[i]) {
                missing.add(String.valueOf(i));
            }
        }
        if (!missing.isEmpty()) {
            throw new MalformedException("shards " + String.join(", ", missing) + " of "
                    + first.requiredText(ShardKeys.MODEL_NAME) + " are missing: it has " + count + ", numbered from 0");
        }
    }

    private static SequencedMap<String, MetadataValue> modelMetadata(Gguf shard) {
        var metadata = new LinkedHashMap<>(shard.metadata());
        metadata.keySet().removeIf(key -> key.startsWith(ShardKeys.PREFIX));
        return metadata;
    }

    private static String name(Gguf shard) {
        return "shard " + shard.requiredInt(ShardKeys.SHARD_INDEX) + " of " + shard.requiredText(ShardKeys.MODEL_NAME);
    }
}
