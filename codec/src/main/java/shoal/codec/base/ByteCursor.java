package shoal.codec.base;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/**
 * Checked reads over bytes from outside: whatever is missing or out of bounds is a {@link MalformedException} that names
 * the field and where it stands. Fixed-size integers are big-endian.
 */
public final class ByteCursor {
    private final ByteBuffer buffer;

    /** Reads what remains in the buffer; its position and order stay as they are. */
    public ByteCursor(ByteBuffer buffer) {
        this.buffer = buffer.slice().order(ByteOrder.BIG_ENDIAN);
    }

    public ByteCursor(byte[] bytes) {
        this(ByteBuffer.wrap(bytes));
    }

    /** Bytes read so far. */
    public int position() {
        return buffer.position();
    }

    public int remaining() {
        return buffer.remaining();
    }

    public int readUnsignedByte(String field) {
        need(field, 1);
        return buffer.get() & 0xff;
    }

    public int readUnsignedShort(String field) {
        need(field, 2);
        return buffer.getShort() & 0xffff;
    }

    public int readInt(String field) {
        need(field, 4);
        return buffer.getInt();
    }

    public long readLong(String field) {
        need(field, 8);
        return buffer.getLong();
    }

    /** Reads a {@link Varint} between min and max. */
    public long readVarint(String field, long min, long max) {
        need(field, 1);
        int size = Varint.sizeFromFirstByte(buffer.get(buffer.position()));
        need(field, size);
        long value = buffer.get() & 0x3f;
        for (int i = 1; i < size; i++) {
            value = value << 8 | (buffer.get() & 0xff);
        }
        if (value < min || value > max) {
            throw new MalformedException(field + " is " + value + ", allowed " + min + ".." + max);
        }
        return value;
    }

    /** Reads a count of things of which each takes at least minSizeEach bytes, so that it can't promise more than is there. */
    public int readCount(String field, int max, int minSizeEach) {
        long count = readVarint(field, 0, max);
        if (count * minSizeEach > remaining()) {
            throw new MalformedException(field + " is " + count + ", but only " + remaining() + " bytes follow");
        }
        return (int) count;
    }

    public Hash256 readHash(String field) {
        return Hash256.of(readBytes(field, Hash256.SIZE_BYTES));
    }

    public byte[] readBytes(String field, int size) {
        need(field, size);
        byte[] bytes = new byte[size];
        buffer.get(bytes);
        return bytes;
    }

    /** Reads a length as {@link Varint}, at most maxSize, and that many bytes. */
    public byte[] readSizedBytes(String field, int maxSize) {
        return readBytes(field, (int) readVarint(field + " size", 0, maxSize));
    }

    /** Reads a length as {@link Varint}, at most maxSize, and that many bytes of UTF-8. */
    public String readText(String field, int maxSize) {
        byte[] bytes = readSizedBytes(field, maxSize);
        try {
            CharBuffer text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
            return text.toString();
        } catch (CharacterCodingException notUtf8) {
            throw new MalformedException(field + " is not valid UTF-8", notUtf8);
        }
    }

    /** The next size bytes without a copy. */
    public ByteBuffer readSlice(String field, int size) {
        need(field, size);
        ByteBuffer slice = buffer.slice(buffer.position(), size);
        buffer.position(buffer.position() + size);
        return slice;
    }

    /** Refuses bytes behind the last field. */
    public void expectEnd(String what) {
        if (buffer.hasRemaining()) {
            throw new MalformedException(what + " has " + buffer.remaining() + " bytes behind its last field");
        }
    }

    private void need(String field, int size) {
        if (size < 0 || buffer.remaining() < size) {
            throw new MalformedException(field + " needs " + size + " bytes at offset " + buffer.position() + ", only "
                    + buffer.remaining() + " are left");
        }
    }
}
