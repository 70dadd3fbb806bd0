package shoal.codec.pipeline;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import shoal.codec.base.NodeId;

/**
 * Whether layers that run should move. Moving costs time and traffic, and what was measured is never exact: a plan must be expected to
 * give clearly more, and, unless it only adds nodes, more even if those who compute now are as fast as they may be and those who are to
 * compute are as slow as they were seen.
 */
public final class Moving {
    /** A plan's time must be below so much of that of what stands. */
    static final double WORTH = 0.8;

    private Moving() {}

    /** @param now who computes; all of them candidates, or it is not worth asking */
    public static boolean isWorth(PlacementPlanner.Question question, PlacementPlan plan, Placement now) {
        Set<NodeId> present = computing(now);
        Set<NodeId> planned = computing(plan.placement());
        var known = new HashSet<NodeId>();
        question.candidates().forEach(candidate -> known.add(candidate.id()));
        if (!known.containsAll(present)
                || leavesOutOneNotSlower(question, present, planned)
                || score(plan) >= WORTH * score(PlacementPlanner.predict(question, now))) {
            return false;
        }
        return planned.size() > present.size() && planned.containsAll(present)
                || score(PlacementPlanner.predict(question.at(PlacementPlanner.Candidate::slowest), plan.placement()))
                        < score(PlacementPlanner.predict(question.at(PlacementPlanner.Candidate::fastest), now));
    }

    /** On fewer nodes there are fewer ways, but also less memory and fewer cores: only a node that is slower for sure is worth leaving out. */
    private static boolean leavesOutOneNotSlower(
            PlacementPlanner.Question question, Set<NodeId> present, Set<NodeId> planned) {
        if (planned.size() >= present.size()) {
            return false;
        }
        double slowestKept = question.candidates().stream()
                .filter(candidate -> planned.contains(candidate.id()))
                .mapToLong(candidate -> nanos(candidate.slowest()))
                .max()
                .orElse(0);
        return question.candidates().stream()
                .filter(candidate -> present.contains(candidate.id()) && !planned.contains(candidate.id()))
                .anyMatch(candidate -> nanos(candidate.fastest()) <= slowestKept);
    }

    private static long nanos(PlacementPlanner.Candidate candidate) {
        return candidate.partNanos().stream().mapToLong(Long::longValue).sum();
    }

    private static Set<NodeId> computing(Placement placement) {
        var nodes = new HashSet<NodeId>();
        for (List<NodeId> holders : placement.nodesByShard()) {
            nodes.add(holders.getFirst());
        }
        return nodes;
    }

    private static double score(PlacementPlan plan) {
        return plan.sequences() == PlacementPlanner.MANY
                ? plan.slowestNanos()
                : Math.max((double) plan.sequences() * plan.slowestNanos(), plan.tokenNanos());
    }
}
