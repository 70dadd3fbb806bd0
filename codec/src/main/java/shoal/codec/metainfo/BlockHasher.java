package shoal.codec.metainfo;

import java.nio.ByteBuffer;
import java.security.DigestException;
import java.security.MessageDigest;
import java.util.Objects;
import shoal.codec.base.Hash256;

/** SHA-256 of many blocks: the leaves of {@link MerkleTree} (BEP 52). Safe for use by several threads at once. */
public interface BlockHasher {
    /**
     * Hashes what remains in data, in blocks of {@link Pieces#BLOCK_SIZE}, of which the last may be shorter: 32 bytes a block go
     * to hashes from offset on. Moves data's position to its limit.
     *
     * @return how many blocks there were
     * @throws IndexOutOfBoundsException if hashes has no room for them
     */
    int hash(ByteBuffer data, byte[] hashes, int offset);

    /** What computes, for logs and {@code shoal doctor}. */
    String name();

    /** The JDK's SHA-256, one block after the other, on the caller's thread. */
    static BlockHasher plain() {
        return PlainBlockHasher.INSTANCE;
    }

    /** See {@link #plain}. */
    enum PlainBlockHasher implements BlockHasher {
        INSTANCE;

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
        public String toString() {
            return name();
        }
    }
}
