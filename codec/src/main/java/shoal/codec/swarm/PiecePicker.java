package shoal.codec.swarm;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.random.RandomGenerator;

/**
 * Chooses what to ask a source for next: ranges that somebody waits for first, in their order; else the rarest piece, and
 * its neighbours with it, since one long request is cheaper than many short ones. Where all are equally rare each download
 * begins at a place of its own, so that cold nodes fetch different parts and can trade them.
 */
public final class PiecePicker {
    private static final int MAX_RANGES = 64;

    private final BitSet open = new BitSet();
    private final Availability availability;
    private final int pieceCount;
    private final RandomGenerator random;
    private final List<Range> firstRanges = new ArrayList<>();

    private record Range(int first, int end) {}

    /** Neighbouring pieces; none if count is 0. */
    public record Run(int firstPiece, int pieceCount) {
        public static final Run NONE = new Run(0, 0);
    }

    public PiecePicker(Bitfield wanted, RandomGenerator random) {
        this.random = random;
        pieceCount = wanted.size();
        availability = new Availability(pieceCount);
        open.or(wanted.toBitSet());
    }

    /** How many sources of the class that trades (not the origin) have what. */
    public Availability availability() {
        return availability;
    }

    /** Pieces of this range go before all others from now on; a later call goes before earlier ones. */
    public void prioritise(int firstPiece, int count) {
        firstRanges.add(0, new Range(firstPiece, firstPiece + count));
        if (firstRanges.size() > MAX_RANGES) {
            firstRanges.removeLast();
        }
    }

    /** The piece is wanted and nobody is asked for it. */
    public void open(int piece) {
        open.set(piece);
    }

    /** The piece has been asked for. */
    public void close(int piece) {
        open.clear(piece);
    }

    public boolean hasOpen() {
        return !open.isEmpty();
    }

    /** The open pieces; not to be changed. */
    BitSet openPieces() {
        return open;
    }

    /**
     * Open pieces that a source can give.
     *
     * @param has what it has
     * @param not what it must not be asked for
     * @param near the piece behind the source's last run: goes on there among equals; -1 for none
     * @param maxPieces at least 1
     */
    public Run pick(BitSet has, BitSet not, int near, int maxPieces) {
        for (Range range : firstRanges) {
            for (int p = open.nextSetBit(range.first); p >= 0 && p < range.end; p = open.nextSetBit(p + 1)) {
                if (has.get(p) && !not.get(p)) {
                    return extend(p, Math.min(range.end, pieceCount), has, not, maxPieces);
                }
            }
        }
        int rarest = rarest(has, not);
        if (rarest < 0) {
            return Run.NONE;
        }
        int start = rarest;
        if (near >= 0
                && near < pieceCount
                && may(near, has, not)
                && availability.count(near) == availability.count(rarest)) {
            start = near;
        }
        return extend(start, pieceCount, has, not, maxPieces);
    }

    /** A random one of the rarest pieces, or -1: two who follow the same order would ask for the same pieces. */
    private int rarest(BitSet has, BitSet not) {
        BitSet able = (BitSet) open.clone();
        able.and(has);
        able.andNot(not);
        if (able.isEmpty()) {
            return -1;
        }
        int place = 0;
        while (!able.get(availability.pieceAt(place))) {
            place++;
        }
        int rarity = availability.count(availability.pieceAt(place));
        int from = random.nextInt(pieceCount);
        int piece = able.nextSetBit(from);
        while (piece >= 0 && availability.count(piece) != rarity) {
            piece = able.nextSetBit(piece + 1);
        }
        if (piece < 0) {
            piece = able.nextSetBit(0);
            while (availability.count(piece) != rarity) {
                piece = able.nextSetBit(piece + 1);
            }
        }
        return piece;
    }

    private Run extend(int start, int end, BitSet has, BitSet not, int maxPieces) {
        int rarity = availability.count(start);
        int stop = start + 1;
        while (stop < end && stop - start < maxPieces && may(stop, has, not) && availability.count(stop) <= rarity) {
            stop++;
        }
        return new Run(start, stop - start);
    }

    private boolean may(int piece, BitSet has, BitSet not) {
        return open.get(piece) && has.get(piece) && !not.get(piece);
    }
}
