package shoal.codec.metainfo;

import java.util.HashSet;
import java.util.List;
import shoal.codec.base.Bounds;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;

/**
 * Which shards a model has been split into. It stands in the model's vocabulary file, whose own hashes it therefore can't
 * name. Checked: the shards follow one another and cover every layer.
 *
 * @param modelRoot the pieces root of the whole, unsplit file
 * @param modelName shown to people; at most {@link #MAX_NAME_BYTES} as UTF-8
 * @param modelSize of the whole file in bytes
 * @param layerBytes per layer, what its tensors take
 * @param shards in the order of their layers
 */
public record ModelManifest(
        Hash256 modelRoot, String modelName, long modelSize, List<Long> layerBytes, List<Shard> shards) {
    public static final int MAX_NAME_BYTES = 255;

    /** A file with some of the layers, in bytes and by the hashes under which the swarm knows it. */
    public record Shard(int index, String name, LayerRange layers, Hash256 piecesRoot, InfoHash infoHash, long size) {
        public Shard {
            Bounds.requireRange("shard index", index, 0, LayerRange.MAX_LAYERS - 1);
            Metainfo.checkName(name);
            Bounds.requireRange("shard size", size, 1, Long.MAX_VALUE);
        }
    }

    /** @throws MalformedException if the shards don't fit together */
    public ModelManifest {
        layerBytes = List.copyOf(layerBytes);
        shards = List.copyOf(shards);
        Bounds.requireText("model name", modelName, MAX_NAME_BYTES);
        Bounds.requireRange("model size", modelSize, 0, Long.MAX_VALUE);
        if (shards.isEmpty()) {
            throw new MalformedException("manifest of " + modelName + " names no shard");
        }
        var names = new HashSet<String>();
        int next = 0;
        for (int i = 0; i < shards.size(); i++) {
            Shard shard = shards.get(i);
            if (shard.index() != i) {
                throw new MalformedException(
                        "manifest of " + modelName + " has shard " + shard.index() + " in place " + i);
            }
            if (shard.layers().first() != next) {
                throw new MalformedException("manifest of " + modelName + ": shard " + i + " begins with layer "
                        + shard.layers().first() + ", expected " + next);
            }
            if (!names.add(shard.name())) {
                throw new MalformedException("manifest of " + modelName + " names " + shard.name() + " twice");
            }
            next = shard.layers().last() + 1;
        }
        if (next != layerBytes.size()) {
            throw new MalformedException(
                    "manifest of " + modelName + " covers " + next + " layers of " + layerBytes.size());
        }
    }

    public int layerCount() {
        return layerBytes.size();
    }

    /** The shard that holds this layer. @throws IllegalArgumentException if the model has no such layer */
    public Shard shardOfLayer(int layer) {
        for (Shard shard : shards) {
            if (shard.layers().contains(layer)) {
                return shard;
            }
        }
        throw new IllegalArgumentException("layer is " + layer + ", allowed 0.." + (layerCount() - 1));
    }
}
