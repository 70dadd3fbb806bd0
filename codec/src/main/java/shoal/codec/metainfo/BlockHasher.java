package shoal.codec.metainfo;

import java.nio.ByteBuffer;
import java.security.DigestException;
import java.security.MessageDigest;
import java.util.List;
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

    /**
     * The same for several runs of blocks, one behind the other in hashes: of each run, the last block may be shorter. Hashers
     * that work on many blocks at once are fastest with 64 of them, wherever they lie.
     */
    default int hash(List<ByteBuffer> runs, byte[] hashes, int offset) {
        int count = 0;
        for (ByteBuffer run : runs) {
            count += hash(run, hashes, offset + count * Hash256.SIZE_BYTES);
        }
        return count;
    }

    /**
     * One level up in many trees: node i becomes the SHA-256 of nodes 2 i and 2 i + 1.
     *
     * @param nodes 32 bytes each, at least 2 count of them; the first count are overwritten
     */
    default void parents(byte[] nodes, int count) {
        MessageDigest digest = Hash256.sha256Digest();
        try {
            for (int i = 0; i < count; i++) {
                digest.update(nodes, 2 * Hash256.SIZE_BYTES * i, 2 * Hash256.SIZE_BYTES);
                digest.digest(nodes, Hash256.SIZE_BYTES * i, Hash256.SIZE_BYTES);
            }
        } catch (DigestException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** What computes, for logs and {@code shoal doctor}. */
    String name();

    /** The JDK's SHA-256, one block after the other, on the caller's thread. */
    static BlockHasher plain() {
        return JdkBlockHasher.INSTANCE;
    }
}
