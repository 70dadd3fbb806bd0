package shoal.codec.pipeline;

import java.util.Map;

/**
 * Keys and values that a stage which takes over was sent before, by the one that is lost.
 *
 * @param positions of each session, from its first position on
 * @param nanosPerPosition what taking one up was measured to take
 */
public record CopiedPages(Map<Long, Integer> positions, long nanosPerPosition) {
    public static final CopiedPages NONE = new CopiedPages(Map.of(), 0);

    public CopiedPages {
        positions = Map.copyOf(positions);
    }

    /** Positions of a session that are better taken up than computed once more, in whole pages: all, or none where that takes longer. */
    int worthTaking(long session, CostModel cost) {
        int held = positions.getOrDefault(session, 0) / PagePool.PAGE_POSITIONS * PagePool.PAGE_POSITIONS;
        boolean slower = cost.isKnown() && nanosPerPosition > 1000 * cost.perTokenMicros();
        return slower ? 0 : held;
    }
}
