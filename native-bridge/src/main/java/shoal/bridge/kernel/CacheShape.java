package shoal.bridge.kernel;

import shoal.codec.base.Bounds;

/** What one position of a sequence leaves behind in a stage: per layer kvHeads * headSize keys and as many values. */
public record CacheShape(int layers, int kvHeads, int headSize) {
    public CacheShape {
        Bounds.requireRange("cache layers", layers, 0, 65_536);
        Bounds.requireRange("KV heads", kvHeads, 1, 65_536);
        Bounds.requireRange("head size", headSize, 1, 65_536);
    }

    /** Keys alone, of one layer. */
    public int valuesPerLayer() {
        return kvHeads * headSize;
    }
}
