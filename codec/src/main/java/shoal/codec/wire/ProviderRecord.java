package shoal.codec.wire;

import static shoal.codec.base.Bounds.requireRange;

import java.util.Arrays;
import shoal.codec.base.ByteCursor;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;

/**
 * "I have what this key stands for, and here I am reached."
 *
 * @param payload what belongs to the key's own meaning, such as a role; at most {@link #MAX_PAYLOAD_BYTES}
 * @param issuedAtSeconds since 1970, when it was said
 * @param expiresAtSeconds since 1970, until when it holds; at most {@link #MAX_LIFETIME_SECONDS} later
 */
public record ProviderRecord(
        Hash256 key, Contact provider, byte[] payload, long issuedAtSeconds, long expiresAtSeconds) {
    public static final int MAX_PAYLOAD_BYTES = 256;
    public static final long MAX_LIFETIME_SECONDS = 24 * 3600;

    private static final long MAX_SECONDS = 1L << 40;

    public ProviderRecord {
        requireRange("payload size", payload.length, 0, MAX_PAYLOAD_BYTES);
        requireRange("issued at", issuedAtSeconds, 0, MAX_SECONDS);
        requireRange("expires at", expiresAtSeconds, issuedAtSeconds, issuedAtSeconds + MAX_LIFETIME_SECONDS);
        payload = payload.clone();
    }

    /** A copy. */
    @Override
    public byte[] payload() {
        return payload.clone();
    }

    /** What is signed and sent: key, contact, payload, both times. */
    public byte[] toBytes() {
        var writer = new ByteWriter();
        writer.putHash(key);
        FrameEncoder.putContact(writer, provider);
        return writer.putSizedBytes(payload)
                .putVarint(issuedAtSeconds)
                .putVarint(expiresAtSeconds)
                .toBytes();
    }

    static ProviderRecord parse(byte[] bytes) {
        var cursor = new ByteCursor(bytes);
        Hash256 key = cursor.readHash("record key");
        Contact provider = FrameDecoder.readContact(cursor);
        byte[] payload = cursor.readSizedBytes("record payload", MAX_PAYLOAD_BYTES);
        long issued = cursor.readVarint("issued at", 0, MAX_SECONDS);
        long expires = cursor.readVarint("expires at", issued, issued + MAX_LIFETIME_SECONDS);
        cursor.expectEnd("provider record");
        return new ProviderRecord(key, provider, payload, issued, expires);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ProviderRecord record && Arrays.equals(toBytes(), record.toBytes());
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(toBytes());
    }
}
