package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.NodeId;

/**
 * Gives shards to nodes. Neighbouring shards go to one node where there are fewer nodes than shards, cut so that the fullest node
 * has as little as can be (exactly, by dynamic programming); nodes that are left over repeat shards, each the one with the fewest
 * copies. What a node holds already it keeps where that costs nothing.
 */
public final class PlacementPlanner {
    private PlacementPlanner() {}

    /**
     * A node that could run shards.
     *
     * @param memoryBytes what it has for them
     * @param held shards that it has loaded or on disk
     * @param pinned the only shard that it wants to run, or null
     */
    public record Candidate(
            NodeId id,
            long memoryBytes,
            Set<Integer> held,
            @Nullable Integer pinned) {}

    /** No placement exists; the message says why and what would help. */
    public static final class NoPlacementException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        public NoPlacementException(String message) {
            super(message);
        }
    }

    /**
     * @param shardBytes memory that each shard needs, in the model's order
     * @throws NoPlacementException if the nodes can't hold all shards
     */
    public static Placement plan(List<Long> shardBytes, List<Candidate> candidates) {
        if (candidates.isEmpty()) {
            throw new NoPlacementException(
                    "no node is here to run layers. Start one with: shoal node --bootstrap HOST:PORT");
        }
        var nodes =
                candidates.stream().sorted(Comparator.comparing(Candidate::id)).toList();
        int shards = shardBytes.size();
        var placed = new ArrayList<List<NodeId>>();
        for (int shard = 0; shard < shards; shard++) {
            placed.add(new ArrayList<>());
        }
        var free = new ArrayList<Candidate>();
        for (Candidate node : nodes) {
            Integer pin = node.pinned();
            if (pin == null) {
                free.add(node);
            } else if (pin >= 0 && pin < shards && fits(node, shardBytes.get(pin))) {
                placed.get(pin).add(node.id());
            }
        }
        var open = new ArrayList<Integer>();
        for (int shard = 0; shard < shards; shard++) {
            if (placed.get(shard).isEmpty()) {
                open.add(shard);
            }
        }
        if (!open.isEmpty()) {
            if (free.isEmpty()) {
                throw new NoPlacementException("shard " + open.getFirst()
                        + " has no node: every node is pinned to another. Start a node without --shard-id.");
            }
            placeOpen(shardBytes, open, free, placed);
        }
        for (Candidate node : free) {
            repeat(shardBytes, node, placed);
        }
        return new Placement(placed);
    }

    private static boolean fits(Candidate node, long bytes) {
        return bytes <= node.memoryBytes();
    }

    /** Cuts the open shards into groups for as many of the free nodes as can hold them, largest number of nodes first. */
    private static void placeOpen(
            List<Long> shardBytes, List<Integer> open, List<Candidate> free, List<List<NodeId>> placed) {
        for (int groups = Math.min(open.size(), free.size()); groups >= 1; groups--) {
            List<List<Integer>> cut = cut(shardBytes, open, groups);
            Candidate[] owners = match(shardBytes, cut, free);
            if (owners != null) {
                for (int group = 0; group < cut.size(); group++) {
                    Candidate owner = owners[group];
                    cut.get(group).forEach(shard -> placed.get(shard).add(owner.id()));
                    free.remove(owner);
                }
                return;
            }
        }
        int largest = Collections.max(open, Comparator.comparing(shardBytes::get));
        long most = free.stream().mapToLong(Candidate::memoryBytes).max().orElse(0);
        throw new NoPlacementException(String.format(
                "the nodes have too little memory: shard %d needs %,d bytes, the largest node has %,d. Add nodes, or split into more shards.",
                largest, shardBytes.get(largest), most));
    }

    /** The cut into contiguous groups whose largest sum is smallest. */
    static List<List<Integer>> cut(List<Long> shardBytes, List<Integer> open, int groups) {
        int count = open.size();
        long[] sums = new long[count + 1];
        for (int i = 0; i < count; i++) {
            sums[i + 1] = sums[i] + shardBytes.get(open.get(i));
        }
        long[][] best = new long[groups + 1][count + 1];
        int[][] from = new int[groups + 1][count + 1];
        for (long[] row : best) {
            java.util.Arrays.fill(row, Long.MAX_VALUE);
        }
        best[0][0] = 0;
        for (int group = 1; group <= groups; group++) {
            for (int end = group; end <= count; end++) {
                for (int start = group - 1; start < end; start++) {
                    if (best[group - 1][start] == Long.MAX_VALUE) {
                        continue;
                    }
                    long worst = Math.max(best[group - 1][start], sums[end] - sums[start]);
                    if (worst < best[group][end]) {
                        best[group][end] = worst;
                        from[group][end] = start;
                    }
                }
            }
        }
        var cut = new ArrayList<List<Integer>>();
        int end = count;
        for (int group = groups; group >= 1; group--) {
            int start = from[group][end];
            cut.addFirst(List.copyOf(open.subList(start, end)));
            end = start;
        }
        return cut;
    }

    /** A node for each group: who holds most of it already, largest groups first; null if some group fits nowhere. */
    private static Candidate @Nullable [] match(
            List<Long> shardBytes, List<List<Integer>> groups, List<Candidate> free) {
        var owners = new Candidate[groups.size()];
        var left = new ArrayList<>(free);
        var order = new ArrayList<Integer>();
        for (int group = 0; group < groups.size(); group++) {
            order.add(group);
        }
        order.sort(Comparator.comparingLong((Integer group) -> -heldBytes(shardBytes, groups.get(group), left))
                .thenComparingLong(group -> -bytes(shardBytes, groups.get(group)))
                .thenComparingInt(group -> group));
        for (int group : order) {
            List<Integer> shards = groups.get(group);
            long needed = bytes(shardBytes, shards);
            Candidate owner = left.stream()
                    .filter(node -> fits(node, needed))
                    .max(Comparator.comparingLong((Candidate node) -> heldBytes(shardBytes, shards, List.of(node)))
                            .thenComparing(Comparator.comparingInt((Candidate node) -> left.indexOf(node))
                                    .reversed()))
                    .orElse(null);
            if (owner == null) {
                return null;
            }
            owners[group] = owner;
            left.remove(owner);
        }
        return owners;
    }

    private static long bytes(List<Long> shardBytes, List<Integer> shards) {
        return shards.stream().mapToLong(shardBytes::get).sum();
    }

    /** The most that any one of the nodes holds of these shards. */
    private static long heldBytes(List<Long> shardBytes, List<Integer> shards, List<Candidate> nodes) {
        return nodes.stream()
                .mapToLong(node -> shards.stream()
                        .filter(node.held()::contains)
                        .mapToLong(shardBytes::get)
                        .sum())
                .max()
                .orElse(0);
    }

    private static void repeat(List<Long> shardBytes, Candidate node, List<List<NodeId>> placed) {
        int chosen = -1;
        for (int shard = 0; shard < placed.size(); shard++) {
            if (!fits(node, shardBytes.get(shard))) {
                continue;
            }
            if (chosen < 0
                    || placed.get(shard).size() < placed.get(chosen).size()
                    || (placed.get(shard).size() == placed.get(chosen).size()
                            && node.held().contains(shard)
                            && !node.held().contains(chosen))) {
                chosen = shard;
            }
        }
        if (chosen >= 0) {
            placed.get(chosen).add(node.id());
        }
    }
}
