package shoal.codec.base;

/** Neighbouring bytes of a file. */
public record ByteRange(long offset, long size) {
    public ByteRange {
        Bounds.requireRange("offset", offset, 0, Long.MAX_VALUE);
        Bounds.requireRange("size", size, 0, Long.MAX_VALUE - offset);
    }

    /** The byte behind the last. */
    public long end() {
        return offset + size;
    }
}
