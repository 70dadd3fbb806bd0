package shoal.verticles.pieceserver;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;
import shoal.codec.swarm.FirstCopies;
import shoal.codec.wire.Frame;

/** A file that is handed out, as far as it is here, and who wants to be told of more of it. On the verticle's context. */
final class Seeded {
    private static final int MAX_PLACED_TOLD = 1024;

    final Metainfo metainfo;
    final BitSet verified = new BitSet();
    /** Whom it gave what first; null for what this process fetched itself, which it trades like everybody. */
    @Nullable FirstCopies firstCopies;

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

    /** Takes in who wants to be told of more; all get to know each other. */
    void follow(Session session) {
        if (!followers.add(session)) {
            return;
        }
        Contact contact = session.contact();
        var others = new ArrayList<Contact>();
        for (Session other : followers) {
            if (other.key().equals(session.key())) {
                continue;
            }
            Contact its = other.contact();
            if (its != null && others.size() < Frame.MAX_CONTACTS) {
                others.add(its);
            }
            if (contact != null) {
                other.hint(new Frame.Followers(metainfo.piecesRoot(), List.of(contact)));
            }
        }
        if (!others.isEmpty()) {
            session.hint(new Frame.Followers(metainfo.piecesRoot(), others));
        }
        if (firstCopies != null) {
            firstCopies.placedWithOthers(session.key()).stream()
                    .limit(MAX_PLACED_TOLD)
                    .forEach(range -> tellPlaced(session, range.firstPiece(), range.pieceCount()));
        }
    }

    /** Says whether the requester may have these pieces now; if so they are placed with it, where others can ask it. */
    boolean give(Session to, int firstPiece, int count, long nowNanos) {
        if (firstCopies == null) {
            return true;
        }
        if (!firstCopies.mayGive(to.key(), firstPiece, count, nowNanos)) {
            return false;
        }
        if (to.contact() != null) {
            firstCopies.give(to.key(), firstPiece, count);
            for (Session other : followers) {
                if (!other.key().equals(to.key())) {
                    tellPlaced(other, firstPiece, count);
                }
            }
        }
        return true;
    }

    /** A requester has these pieces now; of no use where nobody can ask it. */
    void told(Session by, int firstPiece, int count) {
        boolean inFile = count > 0 && firstPiece <= metainfo.pieces().count() - count;
        if (firstCopies != null && by.contact() != null && inFile) {
            firstCopies.has(by.key(), firstPiece, count);
        }
    }

    private void tellPlaced(Session session, int firstPiece, int count) {
        session.hint(new Frame.Placed(metainfo.piecesRoot(), firstPiece, count));
    }

    int pieceOf(long block) {
        return metainfo.pieces().pieceOfBlock(block);
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
