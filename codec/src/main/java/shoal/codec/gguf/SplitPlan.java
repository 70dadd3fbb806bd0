package shoal.codec.gguf;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import shoal.codec.base.Bounds;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.ModelManifest;

/** How a model is split: its shards, and the vocabulary file that names them. Made by {@link SplitPlanner}. */
public final class SplitPlan {
    /**
     * One shard.
     *
     * @param tensors numbers in the whole model, rising
     */
    public record Shard(int index, LayerRange layers, List<Integer> tensors) {
        public Shard {
            tensors = List.copyOf(tensors);
        }
    }

    /** A shard as it was written and hashed. */
    public record ShardFile(String name, Hash256 piecesRoot, InfoHash infoHash, long size) {}

    private final SplitSet model;
    private final Hash256 modelRoot;
    private final String modelName;
    private final long modelSize;
    private final long[] layerBytes;
    private final List<Shard> shards;

    SplitPlan(
            SplitSet model,
            Hash256 modelRoot,
            String modelName,
            long modelSize,
            long[] layerBytes,
            List<Shard> shards) {
        this.model = model;
        this.modelRoot = modelRoot;
        this.modelName = Bounds.requireText("model name", modelName, ModelManifest.MAX_NAME_BYTES);
        this.modelSize = Bounds.requireRange("model size", modelSize, 0, Long.MAX_VALUE);
        this.layerBytes = layerBytes;
        this.shards = List.copyOf(shards);
    }

    public List<Shard> shards() {
        return shards;
    }

    public int layerCount() {
        return layerBytes.length;
    }

    /** Bytes of the tensors of one shard. */
    public long tensorBytes(Shard shard) {
        long sum = 0;
        for (int tensor : shard.tensors()) {
            sum += model.whole().tensors().get(tensor).sizeBytes();
        }
        return sum;
    }

    /** What to write for one shard. Made anew at each call: it holds all of the model's metadata. */
    public FileLayout layout(Shard shard) {
        SequencedMap<String, MetadataValue> metadata = modelMetadata();
        metadata.put(ShardKeys.SHARD_INDEX, new MetadataValue.UInt32(shard.index()));
        metadata.put(ShardKeys.SHARD_COUNT, new MetadataValue.UInt32(shards.size()));
        metadata.put(
                ShardKeys.LAYERS_FIRST, new MetadataValue.UInt32(shard.layers().first()));
        metadata.put(
                ShardKeys.LAYERS_LAST, new MetadataValue.UInt32(shard.layers().last()));
        int[] order = shard.tensors().stream().mapToInt(Integer::intValue).toArray();
        metadata.put(ShardKeys.TENSOR_ORDER, MetadataValue.Array.ofUnsignedInts(order));
        var tensors = new ArrayList<TensorInfo>();
        var sources = new ArrayList<FileLayout.Source>();
        for (int tensor : shard.tensors()) {
            tensors.add(model.whole().tensors().get(tensor));
            sources.add(new FileLayout.Source(model.fileOf(tensor), model.offsetOf(tensor)));
        }
        var written = GgufWriter.write(model.whole().version(), metadata, tensors);
        return FileLayout.of(written, sources, written.fileSize());
    }

    /** The manifest, once every shard has been written and hashed; files in the order of {@link #shards()}. */
    public ModelManifest manifest(List<ShardFile> files) {
        if (files.size() != shards.size()) {
            throw new IllegalArgumentException(files.size() + " files for " + shards.size() + " shards");
        }
        var entries = new ArrayList<ModelManifest.Shard>();
        for (Shard shard : shards) {
            ShardFile file = files.get(shard.index());
            entries.add(new ModelManifest.Shard(
                    shard.index(), file.name(), shard.layers(), file.piecesRoot(), file.infoHash(), file.size()));
        }
        var bytes = new ArrayList<Long>();
        for (long layer : layerBytes) {
            bytes.add(layer);
        }
        return new ModelManifest(modelRoot, modelName, modelSize, bytes, entries);
    }

    /**
     * The bytes of the vocabulary file: a GGUF with all metadata of the model and the manifest, without tensors. {@link
     * VocabularyFile#manifest} reads it back.
     */
    public byte[] vocabulary(List<ShardFile> files) {
        SequencedMap<String, MetadataValue> metadata = modelMetadata();
        VocabularyFile.putManifest(metadata, manifest(files));
        return GgufWriter.write(model.whole().version(), metadata, List.of()).header();
    }

    private SequencedMap<String, MetadataValue> modelMetadata() {
        var metadata = new LinkedHashMap<>(model.whole().metadata());
        metadata.put(ShardKeys.MODEL_ROOT, new MetadataValue.Text(modelRoot.toHex()));
        metadata.put(ShardKeys.MODEL_NAME, new MetadataValue.Text(modelName));
        metadata.put(ShardKeys.MODEL_SIZE, new MetadataValue.UInt64(modelSize));
        metadata.put(
                ShardKeys.MODEL_TENSORS,
                new MetadataValue.UInt32(model.whole().tensors().size()));
        return metadata;
    }
}
