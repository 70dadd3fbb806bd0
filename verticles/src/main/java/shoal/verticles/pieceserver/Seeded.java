package shoal.verticles.pieceserver;

import java.nio.ByteBuffer;
import java.util.BitSet;
import java.util.LinkedHashSet;
import java.util.Set;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;
import shoal.codec.wire.Frame;

/** A file that is handed out, as far as it is here, and who wants to be told of more of it. On the verticle's context. */
final class Seeded {
    final Metainfo metainfo;
    final BitSet verified = new BitSet();
    final Set<Session> followers = new LinkedHashSet<>();

    Seeded(Metainfo metainfo) {
        this.metainfo = metainfo;
    }

    boolean isWhole() {
        return verified.nextClearBit(0) >= metainfo.pieces().count();
    }

    /** A piece is here; followers that don't know it yet are told. */
    void add(int piece) {
        if (!verified.get(piece)) {
            verified.set(piece);
            followers.forEach(follower -> follower.tellHave(this, piece));
        }
    }

    /** Whether these blocks are in the file, and here. */
    boolean has(long firstBlock, int blockCount) {
        Pieces pieces = metainfo.pieces();
        if (firstBlock > pieces.blockCount() - blockCount) {
            return false;
        }
        int last = pieces.pieceOfBlock(firstBlock + blockCount - 1);
        return verified.nextClearBit(pieces.pieceOfBlock(firstBlock)) > last;
    }

    long bytesOf(long firstBlock, int blockCount) {
        return Math.min(metainfo.length(), (firstBlock + blockCount) * Pieces.BLOCK_SIZE)
                - firstBlock * Pieces.BLOCK_SIZE;
    }

    Frame.FileEntry entry() {
        return new Frame.FileEntry(
                metainfo.infoHash().hash(), metainfo.piecesRoot(), metainfo.name(), metainfo.length());
    }

    Frame.Metadata metadata() {
        return new Frame.Metadata(ByteBuffer.wrap(metainfo.infoBytes()), ByteBuffer.wrap(metainfo.pieceLayer()));
    }

    Frame.Holding holding() {
        byte[] bits = Bitfield.of(verified, metainfo.pieces().count()).toBytes();
        return new Frame.Holding(metainfo.piecesRoot(), ByteBuffer.wrap(bits));
    }
}
