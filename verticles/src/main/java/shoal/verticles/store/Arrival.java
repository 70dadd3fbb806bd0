package shoal.verticles.store;

import java.io.IOException;
import java.nio.file.Path;
import shoal.codec.metainfo.Pieces;

/**
 * A file of the store that is still coming: whoever needs some of its bytes waits here until their pieces are verified. What it
 * waits for can be asked for first. Safe for several threads; waiting blocks, so it is for virtual threads.
 */
public final class Arrival {
    /** Asked for ahead of what is waited for: who waits reads on in the file's order. */
    private static final long AHEAD_BYTES = 32L << 20;

    /** Is told which pieces are waited for, on the waiting thread. */
    @FunctionalInterface
    public interface Wish {
        void first(int firstPiece, int pieceCount);
    }

    private final StoreEntry entry;
    private final Wish wish;
    private String failure = "";
    private int wishedFrom;
    private int wishedTo;

    Arrival(StoreEntry entry, Wish wish) {
        this.entry = entry;
        this.wish = wish;
    }

    /** Where its bytes lie now; a file that becomes whole moves, and what is mapped stays. */
    public Path path() {
        return entry.view().path();
    }

    /** Of the whole file, in bytes. */
    public long size() {
        return entry.metainfo.length();
    }

    /** Whether these bytes are here and verified. */
    public boolean holds(long offset, long size) {
        return entry.view().holds(offset, size);
    }

    /** Whether nothing comes into this file any more: it is whole, or another has taken its place. */
    public boolean isOver() {
        synchronized (entry) {
            return entry.closed || entry.map == null;
        }
    }

    /** Nobody brings the rest: all who wait, and will wait, for bytes that are not here get this reason. */
    public void fail(String reason) {
        synchronized (entry) {
            failure = reason;
            entry.notifyAll();
        }
    }

    /**
     * Waits until these bytes are here.
     *
     * @throws IOException in one line if they won't come, or are not in the file
     */
    public void await(long offset, long size) throws IOException, InterruptedException {
        Pieces pieces = entry.metainfo.pieces();
        if (offset < 0 || size < 0 || offset > pieces.length() - size) {
            throw new IOException(size + " bytes from " + offset + " on are not in " + entry.metainfo.name()
                    + ", which has " + pieces.length());
        }
        if (size == 0) {
            return;
        }
        int last = (int) ((offset + size - 1) / pieces.pieceLength());
        int first = (int) (offset / pieces.pieceLength());
        wishFor(first, last);
        synchronized (entry) {
            while (entry.verified.nextClearBit(first) <= last) {
                if (!failure.isEmpty()) {
                    throw new IOException(failure);
                }
                if (entry.closed) {
                    throw new IOException(entry.metainfo.name() + " is not fetched here any more");
                }
                entry.wait();
            }
        }
    }

    private void wishFor(int first, int last) {
        int missing;
        int end;
        synchronized (entry) {
            missing = entry.verified.nextClearBit(first);
            if (missing > last || missing >= wishedFrom && last < wishedTo) {
                return;
            }
            Pieces pieces = entry.metainfo.pieces();
            end = (int) Math.min(pieces.count(), Math.max(last + 1L, missing + AHEAD_BYTES / pieces.pieceLength()));
            wishedFrom = missing;
            wishedTo = end;
        }
        wish.first(missing, end - missing);
    }
}
