package shoal.codec.pipeline;

import static shoal.codec.base.Bounds.requireRange;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import shoal.codec.base.NodeId;

/**
 * Whether a node computes much slower than it used to: the median of its last micro-batches is several times that of those before.
 * Micro-batches are compared with those of about as many tokens. A node that was slow from the beginning is the planner's matter, not
 * this one's.
 */
public final class Pace {
    /** Micro-batches that must all in all be slow before a node is said to be. */
    static final int LATE = 16;

    private static final int EARLY = 128;
    /** A node that takes so many times what it took is slow. */
    public static final int TIMES_SLOWER = 4;

    private static final long LEAST_MICROS = 20_000;
    private static final int MAX_KEYS = 4096;

    private record Key(NodeId node, int sizeClass) {}

    /** What was measured of late, and before that; microseconds. */
    private static final class Measured {
        private final Deque<Long> late = new ArrayDeque<>();
        private final Deque<Long> early = new ArrayDeque<>();
    }

    private final Map<Key, Measured> measured = new HashMap<>();

    /**
     * One micro-batch was computed.
     *
     * @param tokens in it
     * @param micros that the node computed
     * @return whether the node is slow now; it is measured afresh then
     */
    public boolean computed(NodeId node, int tokens, long micros) {
        requireRange("tokens", tokens, 1, Integer.MAX_VALUE);
        if (measured.size() >= MAX_KEYS) {
            measured.clear();
        }
        var key = new Key(node, 32 - Integer.numberOfLeadingZeros(tokens));
        Measured of = measured.computeIfAbsent(key, _ -> new Measured());
        of.late.add(Math.max(0, micros));
        if (of.late.size() > LATE) {
            of.early.add(of.late.remove());
        }
        if (of.early.size() > EARLY) {
            of.early.remove();
        }
        if (of.early.size() < LATE) {
            return false;
        }
        long usual = median(of.early);
        long now = median(of.late);
        boolean slow = now > TIMES_SLOWER * usual && now - usual > LEAST_MICROS;
        if (slow) {
            forget(node);
        }
        return slow;
    }

    /** What was measured says nothing about the future: the node's layers are others now. */
    public void forget(NodeId node) {
        measured.keySet().removeIf(key -> key.node().equals(node));
    }

    private static long median(Deque<Long> values) {
        return values.stream()
                .mapToLong(Long::longValue)
                .sorted()
                .skip(values.size() / 2)
                .findFirst()
                .orElse(0);
    }
}
