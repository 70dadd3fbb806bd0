package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.List;
import shoal.codec.base.NodeId;

/**
 * Gives nodes that compute nothing copies of what others compute: all parts of one node where they fit, so that it can be replaced as a
 * whole, each time of the one with the fewest copies. Then, as far as memory goes, of those that still have none.
 */
final class Copies {
    private final List<Long> partBytes;
    private final List<List<NodeId>> placed;

    /** Neighbouring parts of one node. */
    private final List<List<Integer>> groups = new ArrayList<>();

    /** @param placed for each part the node that computes it; copies are added behind it */
    Copies(List<Long> partBytes, List<List<NodeId>> placed) {
        this.partBytes = partBytes;
        this.placed = placed;
        for (int part = 0; part < placed.size(); part++) {
            boolean goesOn = part > 0
                    && placed.get(part).getFirst().equals(placed.get(part - 1).getFirst());
            if (!goesOn) {
                groups.add(new ArrayList<>());
            }
            groups.getLast().add(part);
        }
    }

    void give(List<PlacementPlanner.Candidate> idle) {
        var unpinned = idle.stream().filter(node -> node.pinned() == null).toList();
        var left = new long[unpinned.size()];
        for (int i = 0; i < left.length; i++) {
            left[i] = unpinned.get(i).memoryBytes();
            left[i] -= give(unpinned.get(i), left[i], Integer.MAX_VALUE);
        }
        for (int i = 0; i < left.length; i++) {
            for (long given = 1; given > 0; left[i] -= given) {
                given = give(unpinned.get(i), left[i], 0);
            }
        }
    }

    /**
     * One group to one node; returns what it takes, 0 if there is none for it.
     *
     * @param mostCopies of groups with more copies than that none is given
     */
    private long give(PlacementPlanner.Candidate node, long memory, int mostCopies) {
        List<Integer> chosen = List.of();
        int fewest = Integer.MAX_VALUE;
        long mostHeld = -1;
        for (List<Integer> group : groups) {
            List<Integer> fitting = fitting(node, group, memory);
            if (fitting.isEmpty()) {
                continue;
            }
            int copies = fitting.stream()
                    .mapToInt(part -> placed.get(part).size() - 1)
                    .min()
                    .orElseThrow();
            long held = fitting.stream()
                    .filter(node.held()::contains)
                    .mapToLong(partBytes::get)
                    .sum();
            if (copies <= mostCopies && (copies < fewest || copies == fewest && held > mostHeld)) {
                chosen = fitting;
                fewest = copies;
                mostHeld = held;
            }
        }
        chosen.forEach(part -> placed.get(part).add(node.id()));
        return chosen.stream().mapToLong(partBytes::get).sum();
    }

    /** The whole group if it fits, else as many of its parts, those with the fewest copies first. */
    private List<Integer> fitting(PlacementPlanner.Candidate node, List<Integer> group, long memory) {
        var fitting = new ArrayList<Integer>();
        long left = memory;
        var byCopies = group.stream()
                .filter(part -> !placed.get(part).contains(node.id()))
                .sorted(java.util.Comparator.comparingInt(
                        (Integer part) -> placed.get(part).size()))
                .toList();
        for (int part : byCopies) {
            if (partBytes.get(part) <= left) {
                fitting.add(part);
                left -= partBytes.get(part);
            }
        }
        return fitting;
    }
}
