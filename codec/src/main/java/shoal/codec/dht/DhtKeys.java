package shoal.codec.dht;

import java.nio.charset.StandardCharsets;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;

/** Under which keys things are announced. One key a shard, never one a piece. */
public final class DhtKeys {
    private static final byte[] CLUSTER_PREFIX = "shoal:cluster:".getBytes(StandardCharsets.UTF_8);

    private DhtKeys() {}

    /** A file by its content: the pieces root itself (BEP 52). */
    public static Hash256 file(Hash256 piecesRoot) {
        return piecesRoot;
    }

    /** Layers of a model: SHA-256(model root ‖ first layer ‖ last layer), numbers as u32 big-endian. */
    public static Hash256 layers(Hash256 modelRoot, LayerRange layers) {
        return Hash256.sha256(
                modelRoot.toBytes(),
                new ByteWriter().putInt(layers.first()).putInt(layers.last()).toBytes());
    }

    /** The nodes of a cluster: SHA-256("shoal:cluster:" ‖ name in UTF-8). */
    public static Hash256 cluster(String name) {
        return Hash256.sha256(CLUSTER_PREFIX, name.getBytes(StandardCharsets.UTF_8));
    }
}
