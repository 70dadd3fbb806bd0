package shoal.bridge.model;

import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.codec.base.LayerRange;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.TensorInfo;

/**
 * What a stage will take, known before anything is loaded.
 *
 * @param weightsBytes mapped, so shared with the page cache
 * @param cacheBytesPerToken for each position of each sequence
 */
public record StageMemory(long weightsBytes, long cacheBytesPerToken) {
    /** Reads the header of a whole model or of the shard that has the range. */
    public static StageMemory of(Gguf header, ModelConfig config, LayerRange range, CacheType cacheType) {
        long bytes = 0;
        for (TensorInfo tensor : header.tensors()) {
            if (isNeeded(tensor.name(), header, config, range)) {
                bytes += tensor.sizeBytes();
            }
        }
        CacheShape shape = new CacheShape(range.count(), config.kvHeads(), config.headSize(), cacheType);
        return new StageMemory(bytes, shape.bytesPerPosition());
    }

    /** With so many sequences of so many positions each. */
    public long totalBytes(int sequences, int positions) {
        return weightsBytes + cacheBytesPerToken * sequences * positions;
    }

    static boolean isNeeded(String name, Gguf header, ModelConfig config, LayerRange range) {
        boolean first = range.first() == 0;
        boolean last = range.last() == config.layers() - 1;
        if (name.startsWith("blk.")) {
            int dot = name.indexOf('.', 4);
            try {
                return dot > 0 && range.contains(Integer.parseInt(name, 4, dot, 10));
            } catch (NumberFormatException notALayer) {
                return false;
            }
        }
        if (name.startsWith("token_embd")) {
            return first || last && header.tensor("output.weight") == null;
        }
        return !name.startsWith("output") || last;
    }
}
