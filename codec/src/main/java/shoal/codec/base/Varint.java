package shoal.codec.base;

/** QUIC's variable-length integers: 0..2^62-1 in 1, 2, 4 or 8 bytes, big-endian, size in the two top bits (RFC 9000 §16). */
public final class Varint {
    public static final long MAX = (1L << 62) - 1;
    public static final int MAX_SIZE_BYTES = 8;

    private Varint() {}

    /** The shortest encoding's size: 1, 2, 4 or 8. */
    public static int sizeBytes(long value) {
        Bounds.requireRange("varint", value, 0, MAX);
        return value < 1 << 6 ? 1 : value < 1 << 14 ? 2 : value < 1 << 30 ? 4 : 8;
    }

    /** The size that the first byte announces: 1, 2, 4 or 8. */
    public static int sizeFromFirstByte(int firstByte) {
        return 1 << ((firstByte & 0xff) >>> 6);
    }
}
