package shoal.codec.swarm;

import static shoal.codec.base.Bounds.requireRange;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Super-seeding: what a seeder of a whole file has given to whom, so that nodes that are all cold get different pieces from it and
 * the rest from each other. A piece that somebody was given is *placed* there; for a while others are sent elsewhere for it: a
 * short while in any case, a longer one as long as there are pieces that nobody was given. Who leaves takes its pieces along,
 * and they may be given again.
 *
 * <p>The seeder tells everybody what is placed with others, so that hardly anybody asks in vain. After BitTorrent's BEP 16,
 * which hides pieces instead; here nothing is hidden, so a lone downloader is never slowed.
 */
public final class FirstCopies {
    /** How long a piece that has been sent is not given again: time to verify it and to tell the others. */
    static final long PATIENCE_NANOS = 2_000_000_000L;
    /** The same while there are pieces that nobody was given. */
    static final long FIRST_COPY_PATIENCE_NANOS = 10_000_000_000L;

    /** The same for a piece that others say they have: they hand it on, however slowly at first. */
    static final long SPREAD_PATIENCE_NANOS = 15_000_000_000L;

    private static final long NOBODY = -1;
    private static final long OTHERS = -2; // who had it first is gone, and has handed it on

    /** Neighbouring pieces. */
    public record Range(int firstPiece, int pieceCount) {}

    private final int pieceCount;
    private final long[] holder;
    private final long[] sentNanos; // Long.MAX_VALUE: not yet
    private final BitSet unplaced = new BitSet();
    private final Map<PeerKey, BitSet> known = new HashMap<>();
    private final int[] copies; // with those who are here, as far as they told

    public FirstCopies(int pieceCount) {
        requireRange("pieces", pieceCount, 0, Bitfield.MAX_PIECES);
        this.pieceCount = pieceCount;
        holder = new long[pieceCount];
        Arrays.fill(holder, NOBODY);
        sentNanos = new long[pieceCount];
        copies = new int[pieceCount];
        unplaced.set(0, pieceCount);
    }

    /** Whether these pieces may be given to this requester now; else it is to ask elsewhere. */
    public boolean mayGive(PeerKey to, int firstPiece, int count, long nowNanos) {
        check(firstPiece, count);
        for (int piece = firstPiece; piece < firstPiece + count; piece++) {
            long patience = copies[piece] > 0
                    ? SPREAD_PATIENCE_NANOS
                    : unplaced.isEmpty() ? PATIENCE_NANOS : FIRST_COPY_PATIENCE_NANOS;
            boolean elsewhere = holder[piece] != NOBODY && holder[piece] != to.value();
            if (elsewhere && (sentNanos[piece] == Long.MAX_VALUE || nowNanos - sentNanos[piece] < patience)) {
                return false;
            }
        }
        return true;
    }

    /** These pieces will be sent to somebody whom others can ask for them. */
    public void give(PeerKey to, int firstPiece, int count) {
        check(firstPiece, count);
        Arrays.fill(holder, firstPiece, firstPiece + count, to.value());
        Arrays.fill(sentNanos, firstPiece, firstPiece + count, Long.MAX_VALUE);
        unplaced.clear(firstPiece, firstPiece + count);
    }

    /** They have been handed to the transport. */
    public void sent(PeerKey to, int firstPiece, int count, long nowNanos) {
        check(firstPiece, count);
        for (int piece = firstPiece; piece < firstPiece + count; piece++) {
            if (holder[piece] == to.value() && sentNanos[piece] == Long.MAX_VALUE) {
                sentNanos[piece] = nowNanos;
            }
        }
    }

    /** Somebody whom others can ask says that it has these pieces now. */
    public void has(PeerKey who, int firstPiece, int count) {
        check(firstPiece, count);
        BitSet its = known.computeIfAbsent(who, _ -> new BitSet());
        for (int piece = its.nextClearBit(firstPiece); piece < firstPiece + count; piece = its.nextClearBit(piece)) {
            its.set(piece);
            copies[piece]++;
        }
    }

    /** They will not be sent: the request was withdrawn, or could not be read. */
    public void takeBack(PeerKey from, int firstPiece, int count) {
        check(firstPiece, count);
        for (int piece = firstPiece; piece < firstPiece + count; piece++) {
            if (holder[piece] == from.value() && sentNanos[piece] == Long.MAX_VALUE) {
                free(piece);
            }
        }
    }

    /** Nobody can ask it any more for what it was given. */
    public void left(PeerKey who) {
        BitSet its = known.remove(who);
        if (its != null) {
            its.stream().forEach(piece -> {
                if (--copies[piece] == 0 && holder[piece] == OTHERS) {
                    free(piece);
                }
            });
        }
        for (int piece = 0; piece < pieceCount; piece++) {
            if (holder[piece] == who.value() && copies[piece] > 0 && sentNanos[piece] != Long.MAX_VALUE) {
                holder[piece] = OTHERS;
            } else if (holder[piece] == who.value()) {
                free(piece);
            }
        }
    }

    /** What is placed with others, for somebody who comes. */
    public List<Range> placedWithOthers(PeerKey than) {
        var ranges = new ArrayList<Range>();
        int piece = 0;
        while (piece < pieceCount) {
            int first = piece;
            while (piece < pieceCount && holder[piece] != NOBODY && holder[piece] != than.value()) {
                piece++;
            }
            if (piece > first) {
                ranges.add(new Range(first, piece - first));
            } else {
                piece++;
            }
        }
        return ranges;
    }

    private void free(int piece) {
        holder[piece] = NOBODY;
        unplaced.set(piece);
    }

    private void check(int firstPiece, int count) {
        requireRange("piece count", count, 1, pieceCount);
        requireRange("first piece", firstPiece, 0, pieceCount - count);
    }
}
