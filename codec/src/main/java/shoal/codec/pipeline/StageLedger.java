package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Epoch;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Slice;

/**
 * What one stage of a pipeline remembers of what it was given, so that nothing is computed twice, out of order, or for a pipeline that is
 * no more: the epoch, the numbers of micro-batches, and which positions of which sequence it holds. One thread at a time.
 */
public final class StageLedger {
    /** How many numbers back a micro-batch that came twice is known. */
    private static final int SEEN = 1024;

    private final long[] seen = new long[SEEN];
    private final Map<Long, Held> held = new HashMap<>();
    private @Nullable Epoch epoch;

    private static final class Held {
        private int length;
        private int confirmed;
        private int lastNumber;
    }

    /** The stage belongs to this epoch from now on; what it holds stays. @return false if it belongs to it, or to a newer one, already */
    public boolean join(Epoch newer) {
        if (epoch != null && newer.compareTo(epoch) <= 0) {
            return false;
        }
        epoch = newer;
        return true;
    }

    public boolean isOf(Epoch asked) {
        return asked.equals(epoch);
    }

    /** Whether a micro-batch is of this epoch and was not taken before; from now on it was. */
    public boolean take(BatchHead head) {
        long mark = 1L + Integer.toUnsignedLong(head.number());
        int at = Math.floorMod(head.number(), SEEN);
        if (!isOf(head.epoch()) || seen[at] == mark) {
            return false;
        }
        seen[at] = mark;
        return true;
    }

    /** Sequences of the micro-batch that lack positions before it here. */
    public List<Long> lacking(BatchHead head) {
        List<Long> lacking = List.of();
        for (Slice slice : head.slices()) {
            long source = slice.parent() == 0 ? slice.session() : slice.parent();
            if (length(source) < slice.firstPosition()) {
                lacking = lacking.isEmpty() ? new ArrayList<>() : lacking;
                lacking.add(slice.session());
            }
        }
        return lacking;
    }

    /** Positions held: 0..length-1. */
    public int length(long session) {
        Held known = held.get(session);
        return known == null ? 0 : known.length;
    }

    /** Positions that nothing can replace any more but the whole sequence: it has gone on behind them. */
    public int confirmed(long session) {
        Held known = held.get(session);
        return known == null ? 0 : known.confirmed;
    }

    /** The stage holds so many first positions of a sequence, and has computed none of them. */
    public void takenUp(long session, int positions) {
        Held known = held.computeIfAbsent(session, _ -> new Held());
        known.length = positions;
        known.confirmed = positions;
    }

    public int sequences() {
        return held.size();
    }

    /** The stage holds what the micro-batch has brought. */
    public void computed(BatchHead head) {
        for (Slice slice : head.slices()) {
            Held known = held.computeIfAbsent(slice.session(), _ -> new Held());
            known.length = slice.end();
            known.confirmed = slice.firstPosition();
            known.lastNumber = head.number();
        }
    }

    /** Sequences that may be dropped: they are held, and nothing newer has touched them. They are no longer held. */
    public List<Long> release(Frame.Release release) {
        var dropped = new ArrayList<Long>();
        for (long session : release.sessions()) {
            Held known = held.get(session);
            if (known != null && known.lastNumber - release.beforeMicroBatch() < 0) {
                held.remove(session);
                dropped.add(session);
            }
        }
        return dropped;
    }
}
