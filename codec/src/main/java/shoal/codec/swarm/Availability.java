package shoal.codec.swarm;

import java.util.Arrays;
import java.util.BitSet;

/**
 * How many sources have each piece, and the pieces in order of that number, kept in constant time per change: a counting
 * sort in which a piece moves over one border at a time. Whoever has everything is one number for all pieces.
 */
public final class Availability {
    private final int[] counts;
    private final int[] order; // pieces, rarest first
    private final int[] places; // where in order each piece stands
    private int[] starts =
            new int[8]; // where in order the pieces of each count begin; one more entry than counts in use
    private int wholes;

    public Availability(int pieceCount) {
        order = new int[pieceCount];
        counts = new int[pieceCount];
        places = new int[pieceCount];
        for (int i = 0; i < pieceCount; i++) {
            order[i] = i;
            places[i] = i;
        }
        Arrays.fill(starts, 1, starts.length, order.length);
    }

    /** A source appears that has these pieces. */
    public void add(BitSet pieces) {
        if (pieces.cardinality() == order.length) {
            wholes++;
            return;
        }
        for (int p = pieces.nextSetBit(0); p >= 0; p = pieces.nextSetBit(p + 1)) {
            raise(p);
        }
    }

    /** A source goes that has these pieces. */
    public void remove(BitSet pieces) {
        if (pieces.cardinality() == order.length && wholes > 0) {
            wholes--;
            return;
        }
        for (int p = pieces.nextSetBit(0); p >= 0; p = pieces.nextSetBit(p + 1)) {
            lower(p);
        }
    }

    /** A source gets a piece. */
    public void add(int piece) {
        raise(piece);
    }

    /** A source has a piece no longer. */
    public void remove(int piece) {
        lower(piece);
    }

    /** Sources that have the piece. */
    public int count(int piece) {
        return counts[piece] + wholes;
    }

    /** The piece at a place 0..pieces − 1 in the order from rarest to most common. */
    public int pieceAt(int place) {
        return order[place];
    }

    private void raise(int piece) {
        int count = counts[piece]++;
        if (count + 2 >= starts.length) {
            int used = starts.length;
            starts = Arrays.copyOf(starts, 2 * used);
            Arrays.fill(starts, used, starts.length, order.length);
        }
        swap(places[piece], --starts[count + 1]);
    }

    private void lower(int piece) {
        if (counts[piece] == 0) {
            if (wholes == 0) {
                throw new IllegalStateException("piece " + piece + " is given back more often than it was had");
            }
            wholes--; // one of those who had everything is counted piece by piece from now on
            for (int p = 0; p < counts.length; p++) {
                raise(p);
            }
        }
        int count = counts[piece]--;
        swap(places[piece], starts[count]++);
    }

    private void swap(int a, int b) {
        int atA = order[a];
        int atB = order[b];
        order[a] = atB;
        order[b] = atA;
        places[atB] = a;
        places[atA] = b;
    }
}
