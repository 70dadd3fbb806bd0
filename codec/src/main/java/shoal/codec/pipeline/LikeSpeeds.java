package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.NodeId;

/**
 * Speeds of nodes as they are planned with. Nodes that what was measured does not tell apart count as equally fast, so that noise neither
 * moves layers nor leaves a node out; one of which nothing is known counts as its kind, and else as the one in the middle.
 */
public final class LikeSpeeds {
    private LikeSpeeds() {}

    /**
     * What is known of a node.
     *
     * @param kind nodes of one kind have the same processor and kernels
     * @param measured null if nothing is
     */
    public record Told(NodeId node, String kind, SpeedWindow.@Nullable Estimate measured) {}

    /**
     * What a node is taken for, in bytes of weights that a token passes in a second.
     *
     * @param atLeast what was seen of it
     * @param atMost what it may reach
     * @param guessed whether it was not measured itself
     */
    public record Settled(double bytesPerSecond, double atLeast, double atMost, boolean guessed) {
        /** Nanoseconds of one token, for each number of bytes that it passes. */
        public List<Long> nanos(LongStream tokenBytes) {
            return tokenBytes
                    .mapToObj(bytes -> Math.min(Long.MAX_VALUE / 1_000_000, Math.round(bytes / bytesPerSecond * 1e9)))
                    .toList();
        }

        public PlacementPlanner.Doubt doubt() {
            return guessed
                    ? PlacementPlanner.Doubt.GUESS
                    : new PlacementPlanner.Doubt(
                            Math.min(1, bytesPerSecond / atMost), Math.max(1, bytesPerSecond / atLeast));
        }
    }

    /** For each node; empty if nothing is known of any. */
    public static Map<NodeId, Settled> of(List<Told> all) {
        var settled = new TreeMap<NodeId, Settled>();
        var fastestFirst = all.stream()
                .filter(told -> told.measured() != null)
                .sorted(Comparator.comparingLong((Told told) -> -speed(told)).thenComparing(Told::node))
                .toList();
        double group = 0;
        for (Told told : fastestFirst) {
            SpeedWindow.Estimate measured = told.measured();
            if (measured == null) {
                continue;
            }
            if (settled.isEmpty() || measured.mayReach() < group) {
                group = measured.bytesPerSecond(); // as fast as the one before it cannot be
            }
            settled.put(told.node(), new Settled(group, measured.bytesPerSecond(), measured.mayReach(), false));
        }
        if (!settled.isEmpty()) {
            guess(all, settled);
        }
        return settled;
    }

    private static void guess(List<Told> all, Map<NodeId, Settled> settled) {
        var byKind = new HashMap<String, List<Double>>();
        var every = new ArrayList<Double>();
        for (Told told : all) {
            Settled known = settled.get(told.node());
            if (known != null) {
                byKind.computeIfAbsent(told.kind(), _ -> new ArrayList<>()).add(known.bytesPerSecond());
                every.add(known.bytesPerSecond());
            }
        }
        for (Told told : all) {
            if (told.measured() == null) {
                double speed = middle(byKind.getOrDefault(told.kind(), every));
                settled.put(
                        told.node(),
                        new Settled(speed, speed / SpeedWindow.MOST_DOUBT, speed * SpeedWindow.MOST_DOUBT, true));
            }
        }
    }

    private static double middle(List<Double> speeds) {
        return speeds.stream().sorted().skip(speeds.size() / 2).findFirst().orElseThrow();
    }

    private static long speed(Told told) {
        SpeedWindow.Estimate measured = told.measured();
        return measured == null ? 0 : measured.bytesPerSecond();
    }
}
