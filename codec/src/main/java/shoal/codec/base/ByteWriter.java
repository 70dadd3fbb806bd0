package shoal.codec.base;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Bytes that grow as they are written; the counterpart of {@link ByteCursor}. Fixed-size integers are big-endian. */
public final class ByteWriter {
    private byte[] bytes;
    private int size;

    public ByteWriter() {
        this(256);
    }

    public ByteWriter(int expectedSize) {
        bytes = new byte[Math.max(16, expectedSize)];
    }

    public int size() {
        return size;
    }

    public ByteWriter putByte(int value) {
        grow(1);
        bytes[size++] = (byte) value;
        return this;
    }

    public ByteWriter putShort(int value) {
        return putByte(value >>> 8).putByte(value);
    }

    public ByteWriter putInt(int value) {
        return putShort(value >>> 16).putShort(value);
    }

    public ByteWriter putLong(long value) {
        return putInt((int) (value >>> 32)).putInt((int) value);
    }

    /** Writes the shortest {@link Varint}. */
    public ByteWriter putVarint(long value) {
        int count = Varint.sizeBytes(value);
        long prefix = (long) Integer.numberOfTrailingZeros(count) << (8 * count - 2);
        for (int shift = 8 * count - 8; shift >= 0; shift -= 8) {
            putByte((int) ((value | prefix) >>> shift));
        }
        return this;
    }

    public ByteWriter putHash(Hash256 hash) {
        grow(Hash256.SIZE_BYTES);
        hash.copyTo(bytes, size);
        size += Hash256.SIZE_BYTES;
        return this;
    }

    public ByteWriter putBytes(byte[] source) {
        grow(source.length);
        System.arraycopy(source, 0, bytes, size, source.length);
        size += source.length;
        return this;
    }

    /** Writes what remains in the buffer, whose position stays where it is. */
    public ByteWriter putBytes(ByteBuffer source) {
        int count = source.remaining();
        grow(count);
        source.get(source.position(), bytes, size, count);
        size += count;
        return this;
    }

    /** Writes the length as {@link Varint}, then the bytes. */
    public ByteWriter putSizedBytes(byte[] source) {
        return putVarint(source.length).putBytes(source);
    }

    /** Writes the length of the UTF-8 form as {@link Varint}, then that form. */
    public ByteWriter putText(String text) {
        return putSizedBytes(text.getBytes(StandardCharsets.UTF_8));
    }

    public byte[] toBytes() {
        return Arrays.copyOf(bytes, size);
    }

    /** What was written, without a copy; valid until the next write. */
    public ByteBuffer asBuffer() {
        return ByteBuffer.wrap(bytes, 0, size);
    }

    private void grow(int more) {
        int needed = Math.addExact(size, more);
        if (needed > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(needed, (int) Math.min(2L * bytes.length, Integer.MAX_VALUE - 8L)));
        }
    }
}
