package shoal.verticles.store;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;

/**
 * One file of a store. Guarded by itself, but for the data, which is written and read at positions. Whoever waits for pieces waits
 * on it, and is woken when some are verified, when the file becomes whole, and when it is let go of.
 */
final class StoreEntry {
    final Metainfo metainfo;
    final BitSet verified = new BitSet();
    Path path;
    FileChannel channel;

    private @Nullable MemorySegment mapping;

    @Nullable PieceMap map; // of partial files

    @Nullable Fingerprint fingerprint; // of whole files

    long unsyncedBytes;
    boolean syncing;
    boolean closed;

    StoreEntry(Metainfo metainfo, Path path, FileChannel channel) {
        this.metainfo = metainfo;
        this.path = path;
        this.channel = channel;
    }

    /** A whole file, as it looked when it was hashed. */
    static StoreEntry whole(Metainfo metainfo, Path path, FileChannel channel, Fingerprint fingerprint) {
        var entry = new StoreEntry(metainfo, path, channel);
        entry.verified.set(0, metainfo.pieces().count());
        entry.fingerprint = fingerprint;
        return entry;
    }

    Hash256 root() {
        return metainfo.piecesRoot();
    }

    Bitfield pieces() {
        return Bitfield.of(verified, metainfo.pieces().count());
    }

    synchronized StoredFile view() {
        return new StoredFile(path, metainfo, pieces());
    }

    long heldBytes() {
        return view().heldBytes();
    }

    /** Bytes of these blocks. @throws IOException if they are not in the file, or not all here */
    long requireReadable(long firstBlock, int blockCount) throws IOException {
        Pieces pieces = metainfo.pieces();
        if (firstBlock < 0 || blockCount < 1 || firstBlock > pieces.blockCount() - blockCount) {
            throw new IOException("blocks " + firstBlock + " to " + (firstBlock + blockCount - 1) + " of "
                    + metainfo.name() + ", which has " + pieces.blockCount());
        }
        int last = pieces.pieceOfBlock(firstBlock + blockCount - 1);
        int missing = verified.nextClearBit(pieces.pieceOfBlock(firstBlock));
        if (missing <= last) {
            throw new IOException("piece " + missing + " of " + metainfo.name() + " is not here");
        }
        return Math.min(metainfo.length(), (firstBlock + blockCount) * Pieces.BLOCK_SIZE)
                - firstBlock * Pieces.BLOCK_SIZE;
    }

    /** All of it, mapped once; the mapping lives as long as somebody holds it. */
    MemorySegment mapped() throws IOException {
        MemorySegment known = mapping;
        if (known == null) {
            known = channel.map(FileChannel.MapMode.READ_ONLY, 0, metainfo.length(), Arena.ofAuto());
            mapping = known;
        }
        return known;
    }

    /** Forces to disk what is written, and proves it. */
    void sync() throws IOException {
        PieceMap journal = map;
        if (journal != null && unsyncedBytes > 0) {
            channel.force(false);
            journal.prove(pieces(), Bitfield.none(metainfo.pieces().count()));
            unsyncedBytes = 0;
        }
    }

    /** Forces to disk what is written by now; what is written meanwhile is noted again, as the log begins anew. */
    void syncWhileOthersWrite() throws IOException {
        Bitfield written;
        synchronized (this) {
            written = pieces();
        }
        try {
            channel.force(false);
        } finally {
            synchronized (this) {
                syncing = false;
            }
        }
        synchronized (this) {
            PieceMap journal = map;
            if (journal != null && !closed) {
                journal.prove(written, pieces().minus(written));
            }
        }
    }

    synchronized void close() throws IOException {
        closed = true;
        notifyAll();
        channel.close();
        if (map != null) {
            map.close();
        }
    }
}
