package shoal.codec.gguf;

import shoal.codec.base.Bounds;

/**
 * Bytes that go unchanged from a source file to a new one.
 *
 * @param sourceFile index of the source among those the plan was made from: 0 if there is one
 * @param size in bytes, at least 1
 */
public record CopyRange(int sourceFile, long sourceOffset, long size, long targetOffset) {
    public CopyRange {
        Bounds.requireRange("source file", sourceFile, 0, Integer.MAX_VALUE);
        Bounds.requireRange("size", size, 1, Long.MAX_VALUE);
        Bounds.requireRange("source offset", sourceOffset, 0, Long.MAX_VALUE - size);
        Bounds.requireRange("target offset", targetOffset, 0, Long.MAX_VALUE - size);
    }

    public long targetEnd() {
        return targetOffset + size;
    }
}
