package shoal.codec.metainfo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;

class ModelManifestTest {
    private static ModelManifest.Shard shard(int index, int first, int last) {
        return shard(index, "shard-" + index + ".gguf", first, last);
    }

    private static ModelManifest.Shard shard(int index, String name, int first, int last) {
        byte[] seed = {(byte) index};
        return new ModelManifest.Shard(
                index, name, new LayerRange(first, last), Hash256.sha256(seed), InfoHash.ofInfo(seed), 100);
    }

    private static ModelManifest manifest(ModelManifest.Shard... shards) {
        return new ModelManifest(Hash256.ZERO, "model", 1_000, List.of(1L, 2L, 3L, 4L), List.of(shards));
    }

    @Test
    void shardsCoverTheModelInOrder() {
        ModelManifest good = manifest(shard(0, 0, 1), shard(1, 2, 2), shard(2, 3, 3));
        assertEquals(4, good.layerCount());
        assertEquals(0, good.shardOfLayer(1).index());
        assertEquals(2, good.shardOfLayer(3).index());
        assertThrows(IllegalArgumentException.class, () -> good.shardOfLayer(4));
        refused("names no shard");
        refused("covers 3 layers of 4", shard(0, 0, 2));
        refused("covers 5 layers of 4", shard(0, 0, 4));
        refused("shard 1 begins with layer 3, expected 2", shard(0, 0, 1), shard(1, 3, 3));
        refused("shard 1 begins with layer 1, expected 2", shard(0, 0, 1), shard(1, 1, 3));
        refused("shard 0 begins with layer 1, expected 0", shard(0, 1, 3));
        refused("has shard 1 in place 0", shard(1, 0, 3));
        refused("names a.gguf twice", shard(0, "a.gguf", 0, 1), shard(1, "a.gguf", 2, 3));
    }

    /** Names from a manifest become files: none may leave its folder. */
    @Test
    void namesAreFileNames() {
        for (String name : List.of("", "..", "../a", "a/b", "C:\\a", "a\0")) {
            assertThrows(MalformedException.class, () -> shard(0, name, 0, 3), name);
        }
    }

    private static void refused(String message, ModelManifest.Shard... shards) {
        var refused = assertThrows(MalformedException.class, () -> manifest(shards), message);
        assertTrue(String.valueOf(refused.getMessage()).contains(message), refused.getMessage());
    }
}
