package shoal.verticles.store;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import shoal.codec.base.ByteRange;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;

/**
 * A file as the store had it when asked.
 *
 * @param path where its bytes lie; of a partial file the sparse data file
 * @param verified pieces whose hash was right when they were written or read
 */
public record StoredFile(Path path, Metainfo metainfo, Bitfield verified) {
    public boolean isWhole() {
        return verified.isFull();
    }

    /** Whether these bytes are all in verified pieces. */
    public boolean holds(long offset, long size) {
        if (size == 0) {
            return true;
        }
        Pieces pieces = metainfo.pieces();
        if (offset < 0 || size < 0 || offset > pieces.length() - size) {
            return false;
        }
        int last = (int) ((offset + size - 1) / pieces.pieceLength());
        int missing = verified.nextClear((int) (offset / pieces.pieceLength()));
        return missing < 0 || missing > last;
    }

    /** The bytes in verified pieces; ranges that touch are one. */
    public List<ByteRange> heldRanges() {
        var ranges = new ArrayList<ByteRange>();
        Pieces pieces = metainfo.pieces();
        for (int first = verified.nextSet(0); first >= 0; ) {
            int end = verified.nextClear(first);
            int last = end < 0 ? pieces.count() - 1 : end - 1;
            long offset = pieces.offsetOf(first);
            ranges.add(new ByteRange(offset, pieces.offsetOf(last) + pieces.sizeOf(last) - offset));
            first = end < 0 ? -1 : verified.nextSet(end);
        }
        return List.copyOf(ranges);
    }

    /** The pieces that cover these bytes, here or not. @throws IllegalArgumentException for bytes past the end */
    public static Bitfield covering(Pieces pieces, List<ByteRange> ranges) {
        var covering = new BitSet();
        for (ByteRange range : ranges) {
            if (range.size() > 0) {
                int first = (int) (range.offset() / pieces.pieceLength());
                covering.set(first, (int) ((range.end() - 1) / pieces.pieceLength()) + 1);
            }
        }
        return Bitfield.of(covering, pieces.count());
    }

    /** Bytes in verified pieces. */
    public long heldBytes() {
        int last = metainfo.pieces().count() - 1;
        long bytes = (long) verified.count() * metainfo.pieceLength();
        return verified.get(last)
                ? bytes - metainfo.pieceLength() + metainfo.pieces().sizeOf(last)
                : bytes;
    }

    public Hash256 piecesRoot() {
        return metainfo.piecesRoot();
    }
}
