package shoal.codec.base;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;

/** A SHA-256 value: 32 bytes, compared as an unsigned big-endian number. Immutable. */
public final class Hash256 implements Comparable<Hash256> {
    public static final int SIZE_BYTES = 32;
    public static final Hash256 ZERO = new Hash256(new byte[SIZE_BYTES]);

    private final byte[] bytes;

    private Hash256(byte[] bytes) {
        this.bytes = bytes;
    }

    /** Copies the 32 bytes. */
    public static Hash256 of(byte[] bytes) {
        return of(bytes, 0);
    }

    /** Copies 32 bytes from offset. */
    public static Hash256 of(byte[] bytes, int offset) {
        if (bytes.length - offset < SIZE_BYTES || offset < 0) {
            throw new IllegalArgumentException("a hash needs 32 bytes, found " + (bytes.length - offset));
        }
        return new Hash256(Arrays.copyOfRange(bytes, offset, offset + SIZE_BYTES));
    }

    /** Reads 64 hexadecimal digits. @throws MalformedException otherwise */
    public static Hash256 parse(String hex) {
        if (hex.length() != 2 * SIZE_BYTES) {
            throw new MalformedException("a hash has 64 hexadecimal digits, found " + hex.length() + " characters");
        }
        try {
            return new Hash256(HexFormat.of().parseHex(hex));
        } catch (IllegalArgumentException notHex) {
            throw new MalformedException("a hash has 64 hexadecimal digits, found " + hex, notHex);
        }
    }

    /** SHA-256 of the parts, one after the other. */
    public static Hash256 sha256(byte[]... parts) {
        MessageDigest digest = sha256Digest();
        for (byte[] part : parts) {
            digest.update(part);
        }
        return new Hash256(digest.digest());
    }

    /** SHA-256 of what remains in the buffer; moves its position to its limit. */
    public static Hash256 sha256(ByteBuffer data) {
        MessageDigest digest = sha256Digest();
        digest.update(data);
        return new Hash256(digest.digest());
    }

    /** A new SHA-256 digest; every JDK has one. */
    public static MessageDigest sha256Digest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException missing) {
            throw new IllegalStateException("this JDK has no SHA-256", missing);
        }
    }

    /** A copy of the 32 bytes. */
    public byte[] toBytes() {
        return bytes.clone();
    }

    public void copyTo(byte[] target, int offset) {
        System.arraycopy(bytes, 0, target, offset, SIZE_BYTES);
    }

    /** Byte at index 0..31 as 0..255; index 0 is the most significant. */
    public int byteAt(int index) {
        return bytes[index] & 0xff;
    }

    /** The bitwise difference, Kademlia's distance (paper, section 2.1). */
    public Hash256 xor(Hash256 other) {
        byte[] out = new byte[SIZE_BYTES];
        for (int i = 0; i < SIZE_BYTES; i++) {
            out[i] = (byte) (bytes[i] ^ other.bytes[i]);
        }
        return new Hash256(out);
    }

    /** How many leading bits are zero: 0..256. */
    public int leadingZeroBits() {
        for (int i = 0; i < SIZE_BYTES; i++) {
            if (bytes[i] != 0) {
                return 8 * i + Integer.numberOfLeadingZeros(bytes[i] & 0xff) - 24;
            }
        }
        return 8 * SIZE_BYTES;
    }

    /** 64 lower-case hexadecimal digits. */
    public String toHex() {
        return HexFormat.of().formatHex(bytes);
    }

    /** The first eight digits, for logs. */
    public String toShortHex() {
        return HexFormat.of().formatHex(bytes, 0, 4);
    }

    @Override
    public int compareTo(Hash256 other) {
        return Arrays.compareUnsigned(bytes, other.bytes);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Hash256 hash && Arrays.equals(bytes, hash.bytes);
    }

    @Override
    public int hashCode() {
        return (bytes[0] & 0xff) << 24 | (bytes[1] & 0xff) << 16 | (bytes[2] & 0xff) << 8 | (bytes[3] & 0xff);
    }

    @Override
    public String toString() {
        return toHex();
    }
}
