package shoal.codec.metainfo;

import java.nio.ByteBuffer;
import java.security.DigestException;
import java.security.MessageDigest;
import java.util.Objects;
import shoal.codec.base.Hash256;

/** See {@link BlockHasher#plain}. */
final class JdkBlockHasher implements BlockHasher {
    static final JdkBlockHasher INSTANCE = new JdkBlockHasher();

    private JdkBlockHasher() {}

    @Override
    public int hash(ByteBuffer data, byte[] hashes, int offset) {
        int count = Math.ceilDiv(data.remaining(), Pieces.BLOCK_SIZE);
        Objects.checkFromIndexSize(offset, count * Hash256.SIZE_BYTES, hashes.length);
        MessageDigest digest = Hash256.sha256Digest();
        int end = data.limit();
        try {
            for (int i = 0; i < count; i++) {
                data.limit(Math.min(end, data.position() + Pieces.BLOCK_SIZE));
                digest.update(data);
                digest.digest(hashes, offset + i * Hash256.SIZE_BYTES, Hash256.SIZE_BYTES);
            }
        } catch (DigestException impossible) {
            throw new IllegalStateException(impossible);
        } finally {
            data.limit(end);
        }
        return count;
    }

    @Override
    public String name() {
        return "jdk";
    }

    @Override
    public String toString() {
        return name();
    }
}
