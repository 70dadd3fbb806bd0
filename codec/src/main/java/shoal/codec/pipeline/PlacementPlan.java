package shoal.codec.pipeline;

import java.util.List;
import shoal.codec.base.NodeId;

/**
 * A placement, and what it is expected to give.
 *
 * @param runs what each node computes, in the order in which a token passes; a node may stand first and last
 * @param tokenNanos from a token to the next one of the same sequence: all runs and the ways between them, and to and from the
 *     coordinator
 * @param slowestNanos what the busiest node computes for one token: with many sequences under way, one token comes in each such time
 * @param sequences for how many sequences at once it was planned; {@link PlacementPlanner#MANY} if only the slowest node counts
 * @param notes of each node that computes, or was left out: what the swarm would be with or without it
 * @param exact whether no other placement is better under these costs; else it is the best of those that were tried
 */
public record PlacementPlan(
        Placement placement,
        List<Run> runs,
        long tokenNanos,
        long slowestNanos,
        int sequences,
        List<Note> notes,
        boolean exact) {
    public PlacementPlan {
        runs = List.copyOf(runs);
        notes = List.copyOf(notes);
    }

    /**
     * Consecutive parts of the model on one node.
     *
     * @param nanos for one token
     * @param wayNanos from the node, or coordinator, before it
     */
    public record Run(NodeId node, int firstPart, int lastPart, long nanos, long wayNanos) {}

    /**
     * What a node is worth.
     *
     * @param computes whether it is one of the placement's runs
     * @param withoutTokenNanos as {@link #tokenNanos} of the best placement without it; -1 if there is none
     * @param withTokenNanos as {@link #tokenNanos} of the best placement in which it computes; -1 if there is none
     */
    public record Note(
            NodeId node,
            boolean computes,
            long withTokenNanos,
            long withSlowestNanos,
            long withoutTokenNanos,
            long withoutSlowestNanos) {}

    /** Tokens that one sequence gets in a second. */
    public double tokensPerSecond() {
        return tokenNanos == 0 ? 0 : 1e9 / tokenNanos;
    }

    /** Tokens that all sequences together get in a second, when there are enough of them. */
    public double tokensPerSecondOfMany() {
        return slowestNanos == 0 ? 0 : 1e9 / slowestNanos;
    }

    /** Whether the slowest node decides how many tokens come in all; else the way of one token through all of them. */
    public boolean slowestDecides() {
        return sequences == PlacementPlanner.MANY || sequences * (double) slowestNanos >= tokenNanos;
    }
}
