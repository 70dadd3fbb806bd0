package shoal.bridge.hash;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.security.DigestException;
import java.security.MessageDigest;
import java.util.List;
import java.util.Objects;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.Pieces;

/** Collects whole blocks, wherever they lie, so that they can be hashed side by side. A shorter last block goes to the JDK. */
abstract sealed class LaneBlockHasher implements BlockHasher permits NativeBlockHasher, VectorBlockHasher {
    /** Collected at most; a multiple of every number of lanes. */
    static final int MAX_BLOCKS = 64;

    /** Whole blocks that are collected, and where their hashes go. */
    static final class Blocks {
        final MemorySegment[] data = new MemorySegment[MAX_BLOCKS];
        final long[] offset = new long[MAX_BLOCKS];
        final int[] target = new int[MAX_BLOCKS];
        int count;
    }

    /** Hashes them all, 1..{@link #MAX_BLOCKS} blocks of {@link Pieces#BLOCK_SIZE}. */
    abstract void hash(Blocks blocks, byte[] hashes);

    @Override
    public final int hash(ByteBuffer data, byte[] hashes, int offset) {
        return hash(List.of(data), hashes, offset);
    }

    @Override
    public final int hash(List<ByteBuffer> runs, byte[] hashes, int offset) {
        long count = 0;
        for (ByteBuffer run : runs) {
            count += Math.ceilDiv(run.remaining(), Pieces.BLOCK_SIZE);
        }
        Objects.checkFromIndexSize(offset, Math.multiplyExact(count, Hash256.SIZE_BYTES), (long) hashes.length);
        var blocks = new Blocks();
        int target = offset;
        for (ByteBuffer run : runs) {
            MemorySegment data = MemorySegment.ofBuffer(run);
            long at = 0;
            for (; data.byteSize() - at >= Pieces.BLOCK_SIZE; at += Pieces.BLOCK_SIZE) {
                blocks.data[blocks.count] = data;
                blocks.offset[blocks.count] = at;
                blocks.target[blocks.count++] = target;
                target += Hash256.SIZE_BYTES;
                if (blocks.count == MAX_BLOCKS) {
                    hash(blocks, hashes);
                    blocks.count = 0;
                }
            }
            if (at < data.byteSize()) {
                hashAlone(data.asSlice(at), hashes, target);
                target += Hash256.SIZE_BYTES;
            }
            run.position(run.limit());
        }
        if (blocks.count > 0) {
            hash(blocks, hashes);
        }
        return (int) count;
    }

    static void hashAlone(MemorySegment data, byte[] hashes, int target) {
        MessageDigest digest = Hash256.sha256Digest();
        digest.update(data.asByteBuffer());
        try {
            digest.digest(hashes, target, Hash256.SIZE_BYTES);
        } catch (DigestException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    @Override
    public final String toString() {
        return name();
    }
}
