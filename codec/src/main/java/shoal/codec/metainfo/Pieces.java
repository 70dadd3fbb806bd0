package shoal.codec.metainfo;

import shoal.codec.base.Bounds;

/**
 * How a file is cut: into pieces of pieceLength bytes, and those into blocks of 16 KiB; the last of each may be shorter (BEP
 * 52). Pieces and blocks are numbered from 0 over the whole file.
 *
 * @param length of the file in bytes, 1..{@link #MAX_LENGTH}
 * @param pieceLength a power of two of {@link #BLOCK_SIZE}..{@link #MAX_PIECE_LENGTH}
 */
public record Pieces(long length, int pieceLength) {
    public static final int BLOCK_SIZE = 16_384;

    /** 16 TiB: at 16 KiB a block, 2^30 blocks. */
    public static final long MAX_LENGTH = 1L << 44;

    public static final int MAX_PIECE_LENGTH = 1 << 28;

    /** What a new torrent begins with; at 16 KiB the layer would be larger, above it a bad piece costs more. */
    public static final int PREFERRED_PIECE_LENGTH = 65_536;

    /** The piece length grows where the layer would pass this. */
    public static final int PREFERRED_LAYER_SIZE = 2 << 20;

    public Pieces {
        Bounds.requireRange("file length", length, 1, MAX_LENGTH);
        Bounds.requireRange("piece length", pieceLength, BLOCK_SIZE, MAX_PIECE_LENGTH);
        if (Integer.bitCount(pieceLength) != 1) {
            throw new IllegalArgumentException("piece length is " + pieceLength + ", allowed are powers of two");
        }
        long count = Math.ceilDiv(length, (long) pieceLength);
        Bounds.requireRange("piece count", count, 1, Integer.MAX_VALUE / 32);
    }

    /**
     * The piece length for new torrents: 64 KiB, growing by powers of two only where the piece layer would pass 2 MiB.
     */
    public static Pieces of(long length) {
        Bounds.requireRange("file length", length, 1, MAX_LENGTH);
        int pieceLength = PREFERRED_PIECE_LENGTH;
        while (32 * Math.ceilDiv(length, (long) pieceLength) > PREFERRED_LAYER_SIZE && pieceLength < MAX_PIECE_LENGTH) {
            pieceLength *= 2;
        }
        return new Pieces(length, pieceLength);
    }

    public int count() {
        return Math.toIntExact(Math.ceilDiv(length, (long) pieceLength));
    }

    public long blockCount() {
        return Math.ceilDiv(length, (long) BLOCK_SIZE);
    }

    /** Blocks of a piece that is not the last. */
    public int blocksPerPiece() {
        return pieceLength / BLOCK_SIZE;
    }

    public long firstBlockOf(int piece) {
        return (long) checked(piece) * blocksPerPiece();
    }

    public int blockCountOf(int piece) {
        return Math.toIntExact(Math.ceilDiv((long) sizeOf(piece), (long) BLOCK_SIZE));
    }

    /** The byte of the file where a piece begins. */
    public long offsetOf(int piece) {
        return (long) checked(piece) * pieceLength;
    }

    /** Bytes of a piece. */
    public int sizeOf(int piece) {
        return (int) Math.min(pieceLength, length - offsetOf(piece));
    }

    public int pieceOfBlock(long block) {
        return Math.toIntExact(Bounds.requireRange("block", block, 0, blockCount() - 1) / blocksPerPiece());
    }

    /** Bytes of a block. */
    public int sizeOfBlock(long block) {
        Bounds.requireRange("block", block, 0, blockCount() - 1);
        return (int) Math.min(BLOCK_SIZE, length - block * BLOCK_SIZE);
    }

    /** Whether there is a piece layer: a file of one piece has none, its root says it all. */
    public boolean hasLayer() {
        return length > pieceLength;
    }

    /** Bytes of the piece layer: 32 a piece, 0 where there is none. */
    public int layerSize() {
        return hasLayer() ? 32 * count() : 0;
    }

    private int checked(int piece) {
        return Bounds.requireRange("piece", piece, 0, count() - 1);
    }
}
