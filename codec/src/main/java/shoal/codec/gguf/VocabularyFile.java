package shoal.codec.gguf;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SequencedMap;
import java.util.stream.Stream;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.ModelManifest;

/** The file of a split model that has its metadata and no tensors, and says which shards there are. */
public final class VocabularyFile {
    private VocabularyFile() {}

    /** Whether this is one. */
    public static boolean isOne(Gguf gguf) {
        return gguf.metadata().containsKey(ShardKeys.MANIFEST_NAMES);
    }

    /** Reads the manifest. @throws MalformedException naming the key that is missing or wrong */
    public static ModelManifest manifest(Gguf vocabulary) {
        String[] names = vocabulary.requiredTexts(ShardKeys.MANIFEST_NAMES);
        int count = names.length;
        String[] roots = vocabulary.requiredTexts(ShardKeys.MANIFEST_PIECES_ROOTS);
        String[] infoHashes = vocabulary.requiredTexts(ShardKeys.MANIFEST_INFO_HASHES);
        long[] sizes = vocabulary.requiredLongs(ShardKeys.MANIFEST_SIZES);
        int[] first = vocabulary.requiredInts(ShardKeys.MANIFEST_FIRST_LAYERS);
        int[] last = vocabulary.requiredInts(ShardKeys.MANIFEST_LAST_LAYERS);
        int layerCount = vocabulary.requiredInt(ShardKeys.MANIFEST_TOTAL_LAYERS);
        long[] layerBytes = vocabulary.requiredLongs(ShardKeys.MANIFEST_LAYER_BYTES);
        checkCount(ShardKeys.MANIFEST_PIECES_ROOTS, roots.length, count);
        checkCount(ShardKeys.MANIFEST_INFO_HASHES, infoHashes.length, count);
        checkCount(ShardKeys.MANIFEST_SIZES, sizes.length, count);
        checkCount(ShardKeys.MANIFEST_FIRST_LAYERS, first.length, count);
        checkCount(ShardKeys.MANIFEST_LAST_LAYERS, last.length, count);
        checkCount(ShardKeys.MANIFEST_LAYER_BYTES, layerBytes.length, layerCount);
        try {
            var shards = new ArrayList<ModelManifest.Shard>();
            for (int i = 0; i < count; i++) {
                shards.add(new ModelManifest.Shard(
                        i,
                        names[i],
                        new LayerRange(first[i], last[i]),
                        Hash256.parse(roots[i]),
                        InfoHash.parse(infoHashes[i]),
                        sizes[i]));
            }
            return new ModelManifest(
                    Hash256.parse(vocabulary.requiredText(ShardKeys.MODEL_ROOT)),
                    vocabulary.requiredText(ShardKeys.MODEL_NAME),
                    vocabulary.requiredLong(ShardKeys.MODEL_SIZE),
                    Arrays.stream(layerBytes).boxed().toList(),
                    shards);
        } catch (IllegalArgumentException refused) {
            throw new MalformedException("the vocabulary file's manifest is wrong: " + refused.getMessage(), refused);
        }
    }

    static void putManifest(SequencedMap<String, MetadataValue> metadata, ModelManifest manifest) {
        List<ModelManifest.Shard> shards = manifest.shards();
        metadata.put(ShardKeys.MANIFEST_NAMES, texts(shards.stream().map(ModelManifest.Shard::name)));
        metadata.put(
                ShardKeys.MANIFEST_PIECES_ROOTS,
                texts(shards.stream().map(shard -> shard.piecesRoot().toHex())));
        metadata.put(
                ShardKeys.MANIFEST_INFO_HASHES,
                texts(shards.stream().map(shard -> shard.infoHash().toHex())));
        metadata.put(
                ShardKeys.MANIFEST_SIZES,
                MetadataValue.Array.ofUnsignedLongs(
                        shards.stream().mapToLong(ModelManifest.Shard::size).toArray()));
        metadata.put(
                ShardKeys.MANIFEST_FIRST_LAYERS,
                MetadataValue.Array.ofUnsignedInts(shards.stream()
                        .mapToInt(shard -> shard.layers().first())
                        .toArray()));
        metadata.put(
                ShardKeys.MANIFEST_LAST_LAYERS,
                MetadataValue.Array.ofUnsignedInts(
                        shards.stream().mapToInt(shard -> shard.layers().last()).toArray()));
        metadata.put(
                ShardKeys.MANIFEST_LAYER_BYTES,
                MetadataValue.Array.ofUnsignedLongs(manifest.layerBytes().stream()
                        .mapToLong(Long::longValue)
                        .toArray()));
        metadata.put(ShardKeys.MANIFEST_TOTAL_LAYERS, new MetadataValue.UInt32(manifest.layerCount()));
    }

    private static MetadataValue.Array texts(Stream<String> texts) {
        return MetadataValue.Array.ofTexts(texts.toList());
    }

    private static void checkCount(String key, int found, int expected) {
        if (found != expected) {
            throw new MalformedException("metadata key " + key + " has " + found + " entries, expected " + expected);
        }
    }
}
