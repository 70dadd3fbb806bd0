package shoal.bridge.kernel;

import shoal.codec.base.Bounds;

/** What one position of a sequence leaves behind in a stage: per layer kvHeads * headSize keys and as many values. */
public record CacheShape(int layers, int kvHeads, int headSize, CacheType type) {
    /** Positions whose keys and values are kept together. */
    public static final int PAGE_POSITIONS = 16;

    public CacheShape {
        Bounds.requireRange("cache layers", layers, 0, 65_536);
        Bounds.requireRange("KV heads", kvHeads, 1, 65_536);
        Bounds.requireRange("head size", headSize, 1, 65_536);
        if (type == CacheType.Q8_0 && headSize % CacheType.BLOCK != 0) {
            throw new IllegalArgumentException("a KV cache of type q8_0 needs heads of whole blocks of "
                    + CacheType.BLOCK + " values, this model's have " + headSize + "; choose f16 or f32");
        }
    }

    /** Kept in F32. */
    public CacheShape(int layers, int kvHeads, int headSize) {
        this(layers, kvHeads, headSize, CacheType.F32);
    }

    public CacheShape withType(CacheType other) {
        return new CacheShape(layers, kvHeads, headSize, other);
    }

    /** Bytes that a position takes, keys and values of all layers. */
    public long bytesPerPosition() {
        return 2L * layers * kvHeads * type.headBytes(headSize);
    }

    /** Bytes of a page in one layer. */
    public long layerPageBytes() {
        return 2L * PAGE_POSITIONS * kvHeads * type.headBytes(headSize);
    }

    /** Bytes of a page in all layers together. */
    public long pageBytes() {
        return PAGE_POSITIONS * bytesPerPosition();
    }
}
