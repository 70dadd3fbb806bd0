package shoal.codec.metainfo;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Objects;
import shoal.codec.base.Bounds;
import shoal.codec.base.Hash256;

/**
 * The hash tree of one file (BEP 52, "pieces root"): leaves are SHA-256 of 16 KiB blocks, missing ones are 32 zero bytes, and two
 * nodes hash to their parent. Takes the leaves in order in one pass and keeps those of one piece, and a hash per finished piece.
 */
public final class MerkleTree {
    private static final int SIZE = Hash256.SIZE_BYTES;

    private final Pieces pieces;
    private final MessageDigest digest = Hash256.sha256Digest();
    private final byte[] leaves;
    private final byte[] layer;
    private int leafCount;
    private int pieceCount;

    public MerkleTree(Pieces pieces) {
        this.pieces = pieces;
        leaves = new byte[SIZE * Math.max(1, pieces.blockCountOf(0))];
        layer = new byte[SIZE * pieces.count()];
    }

    /** What the tree comes to. @param pieceLayer 32 bytes a piece, empty for a file of one piece; not a copy, read only */
    public record Result(Pieces pieces, Hash256 piecesRoot, byte[] pieceLayer) {}

    /** Takes the next count leaves, 32 bytes each, from offset on. @throws IllegalArgumentException if the file has fewer */
    public void addLeaves(byte[] hashes, int offset, int count) {
        Objects.checkFromIndexSize(offset, Math.multiplyExact(count, SIZE), hashes.length);
        int from = offset;
        for (int left = count; left > 0; ) {
            if (pieceCount == pieces.count()) {
                throw new IllegalArgumentException(
                        "the file has " + pieces.blockCount() + " blocks, " + left + " more came");
            }
            int wanted = pieces.blockCountOf(pieceCount);
            int taken = Math.min(left, wanted - leafCount);
            System.arraycopy(hashes, from, leaves, leafCount * SIZE, taken * SIZE);
            leafCount += taken;
            from += taken * SIZE;
            left -= taken;
            if (leafCount == wanted) {
                Hash256 root = pieceRoot(digest, pieces, leaves, wanted);
                root.copyTo(layer, pieceCount++ * SIZE);
                leafCount = 0;
            }
        }
    }

    /**
     * Hashes the next bytes of the file and takes their leaves; data's position goes to its limit.
     *
     * @param data whole blocks, but for the end of the file
     */
    public void add(ByteBuffer data, BlockHasher hasher) {
        long expected = Math.min(data.remaining(), pieces.length() - SIZE_OF_BLOCK * blocksSoFar());
        if (data.remaining() != expected
                || data.remaining() % Pieces.BLOCK_SIZE != 0
                        && SIZE_OF_BLOCK * blocksSoFar() + data.remaining() != pieces.length()) {
            throw new IllegalArgumentException(data.remaining() + " bytes came behind block " + blocksSoFar() + " of "
                    + pieces.blockCount() + ": not whole blocks, or more than the file has");
        }
        var hashes = new byte[SIZE * Math.ceilDiv(data.remaining(), Pieces.BLOCK_SIZE)];
        addLeaves(hashes, 0, hasher.hash(data, hashes, 0));
    }

    private static final long SIZE_OF_BLOCK = Pieces.BLOCK_SIZE;

    private long blocksSoFar() {
        return (long) pieceCount * pieces.blocksPerPiece() + leafCount;
    }

    /** The root and the layer. @throws IllegalStateException unless every leaf was added */
    public Result finish() {
        if (pieceCount < pieces.count()) {
            throw new IllegalStateException(blocksSoFar() + " blocks of " + pieces.blockCount() + " were added");
        }
        if (!pieces.hasLayer()) {
            return new Result(pieces, Hash256.of(layer), new byte[0]);
        }
        return new Result(pieces, rootOfLayer(pieces, layer), layer);
    }

    /**
     * The root over a piece layer, which is padded with the hash of a piece of zero leaves.
     *
     * @throws IllegalArgumentException if the layer has not {@link Pieces#layerSize} bytes, or the file has no layer
     */
    public static Hash256 rootOfLayer(Pieces pieces, byte[] layer) {
        return rootOfLayer(pieces, layer, BlockHasher.plain());
    }

    /** The same. @param hasher computes a level at a time */
    public static Hash256 rootOfLayer(Pieces pieces, byte[] layer, BlockHasher hasher) {
        if (!pieces.hasLayer()) {
            throw new IllegalArgumentException("a file of one piece has no layer");
        }
        Bounds.requireRange("layer size", layer.length, pieces.layerSize(), pieces.layerSize());
        MessageDigest digest = Hash256.sha256Digest();
        var padding = new byte[SIZE];
        for (int width = pieces.blocksPerPiece(); width > 1; width /= 2) {
            padding = parent(digest, padding);
        }
        return reduce(digest, hasher, layer, pieces.count(), width(pieces.count()), padding);
    }

    /**
     * What a piece's leaves hash to: its entry in the piece layer, or the file's root if it is the only one.
     *
     * @param leafHashes 32 bytes for each of the piece's blocks
     * @throws IllegalArgumentException if their number is another
     */
    public static Hash256 pieceRoot(Pieces pieces, int piece, byte[] leafHashes) {
        int size = SIZE * pieces.blockCountOf(piece);
        Bounds.requireRange("size of leaf hashes", leafHashes.length, size, size);
        return pieceRoot(Hash256.sha256Digest(), pieces, leafHashes, size / SIZE);
    }

    private static Hash256 pieceRoot(MessageDigest digest, Pieces pieces, byte[] leafHashes, int count) {
        int width = pieces.hasLayer() ? pieces.blocksPerPiece() : width(count);
        return reduce(digest, BlockHasher.plain(), leafHashes, count, width, new byte[SIZE]);
    }

    /** The smallest power of two that is count or more. */
    private static int width(int count) {
        return count <= 1 ? 1 : Integer.highestOneBit(count - 1) << 1;
    }

    /** The root of count nodes, which are padded to width, a power of two. */
    private static Hash256 reduce(
            MessageDigest digest, BlockHasher hasher, byte[] nodes, int count, int width, byte[] padding) {
        byte[] level = Arrays.copyOf(nodes, SIZE * (count + 1));
        byte[] pad = padding;
        for (int left = width; left > 1; left /= 2) {
            if (count % 2 == 1) {
                System.arraycopy(pad, 0, level, SIZE * count, SIZE);
            }
            count = (count + 1) / 2;
            hasher.parents(level, count);
            pad = parent(digest, pad);
        }
        return Hash256.of(level);
    }

    /**
     * What the leaves of several whole pieces hash to, computed side by side.
     *
     * @param leaves 32 bytes for each block of each piece, piece behind piece, each of {@link Pieces#blocksPerPiece}; overwritten: the
     *     result are the first 32 bytes for each piece
     */
    public static void reducePieces(Pieces pieces, byte[] leaves, int pieceCount, BlockHasher hasher) {
        for (int width = pieces.blocksPerPiece() / 2; width >= 1; width /= 2) {
            hasher.parents(leaves, pieceCount * width);
        }
    }

    private static byte[] parent(MessageDigest digest, byte[] twin) {
        digest.update(twin);
        return digest.digest(twin);
    }
}
