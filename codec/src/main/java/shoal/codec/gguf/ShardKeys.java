package shoal.codec.gguf;

/** The metadata keys that a shard and a vocabulary file have beside those of the model. */
public final class ShardKeys {
    public static final String PREFIX = "shoal.";

    /** Text: pieces root of the whole model file, 64 hexadecimal digits. */
    public static final String MODEL_ROOT = "shoal.model.root";

    /** Text. */
    public static final String MODEL_NAME = "shoal.model.name";

    /** UInt64: bytes of the whole model file. */
    public static final String MODEL_SIZE = "shoal.model.size";

    /** UInt32: tensors of the whole model. */
    public static final String MODEL_TENSORS = "shoal.model.tensors";

    /** UInt32, from 0. */
    public static final String SHARD_INDEX = "shoal.shard.index";

    /** UInt32. */
    public static final String SHARD_COUNT = "shoal.shard.count";

    /** UInt32: the first layer of the shard, numbered as in the model. */
    public static final String LAYERS_FIRST = "shoal.layers.first";

    /** UInt32: the last layer of the shard, included. */
    public static final String LAYERS_LAST = "shoal.layers.last";

    /** UInt32[]: for each tensor of the shard, its number in the whole model, from 0 and rising. */
    public static final String TENSOR_ORDER = "shoal.tensors.order";

    /** Text[], one per shard like the five behind it: the file's name. */
    public static final String MANIFEST_NAMES = "shoal.manifest.names";

    /** Text[]: hexadecimal. */
    public static final String MANIFEST_PIECES_ROOTS = "shoal.manifest.pieces_roots";

    /** Text[]: hexadecimal. */
    public static final String MANIFEST_INFO_HASHES = "shoal.manifest.info_hashes";

    /** UInt64[]: bytes of the file. */
    public static final String MANIFEST_SIZES = "shoal.manifest.sizes";

    /** UInt32[]. */
    public static final String MANIFEST_FIRST_LAYERS = "shoal.manifest.first_layers";

    /** UInt32[]: included. */
    public static final String MANIFEST_LAST_LAYERS = "shoal.manifest.last_layers";

    /** UInt64[], one per layer of the model: bytes of its tensors. */
    public static final String MANIFEST_LAYER_BYTES = "shoal.manifest.layer_bytes";

    /** UInt32. */
    public static final String MANIFEST_TOTAL_LAYERS = "shoal.manifest.total_layers";

    private ShardKeys() {}
}
