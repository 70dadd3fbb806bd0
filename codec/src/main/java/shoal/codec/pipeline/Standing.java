package shoal.codec.pipeline;

import static shoal.codec.base.Bounds.requireRange;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.NodeId;

/**
 * Who has which shard's layers ready, now. Of each shard's nodes the first computes, the others stand by; a shard may have none.
 *
 * @param holders for each shard, in the model's order, its nodes
 */
public record Standing(List<List<NodeId>> holders) {
    public Standing {
        requireRange("shards", holders.size(), 1, Integer.MAX_VALUE);
        holders = holders.stream().map(List::copyOf).toList();
    }

    /** Nobody has anything yet. */
    public static Standing none(int shards) {
        return new Standing(java.util.Collections.nCopies(shards, List.of()));
    }

    /** Whether every shard has a node. */
    public boolean isWhole() {
        return holders.stream().noneMatch(List::isEmpty);
    }

    /** Who computes each shard. @throws IllegalStateException if it isn't {@link #isWhole} */
    public List<NodeId> computing() {
        if (!isWhole()) {
            throw new IllegalStateException("a shard has no node");
        }
        return holders.stream().map(List::getFirst).toList();
    }

    public boolean holds(int shard, NodeId node) {
        return holders.get(shard).contains(node);
    }

    /** Whether a node has any shard ready. */
    public boolean holdsAny(NodeId node) {
        return holders.stream().anyMatch(nodes -> nodes.contains(node));
    }

    /** Who may be next to a node that computes a shard: those of the shards before and behind it, who computes now first. */
    public List<NodeId> besides(int shard) {
        var besides = new LinkedHashSet<NodeId>();
        int most = holders.stream().mapToInt(List::size).max().orElse(0);
        for (int rank = 0; rank < most; rank++) {
            for (int next : new int[] {shard - 1, shard + 1}) {
                if (next >= 0
                        && next < holders.size()
                        && rank < holders.get(next).size()) {
                    besides.add(holders.get(next).get(rank));
                }
            }
        }
        return List.copyOf(besides);
    }

    /** One more node has the shard ready; it stands by. */
    public Standing with(int shard, NodeId node) {
        return holds(shard, node) ? this : replaced(shard, appended(holders.get(shard), node));
    }

    /** A node is gone, or takes no work any more. */
    public Standing without(NodeId gone) {
        return new Standing(holders.stream()
                .map(nodes -> nodes.stream().filter(node -> !node.equals(gone)).toList())
                .toList());
    }

    /** These nodes compute from now on, one for each shard; who did so stands by. */
    public Standing computedBy(List<NodeId> computing) {
        requireRange("nodes", computing.size(), holders.size(), holders.size());
        var all = new ArrayList<List<NodeId>>();
        for (int shard = 0; shard < holders.size(); shard++) {
            NodeId first = computing.get(shard);
            var nodes = new ArrayList<NodeId>();
            nodes.add(first);
            holders.get(shard).stream().filter(node -> !node.equals(first)).forEach(nodes::add);
            all.add(nodes);
        }
        return new Standing(all);
    }

    /**
     * Ways to compute with what is ready, best first: as it is, then with another node for one shard, where a way between two machines
     * may be at fault that both are not. Each names one node for each shard; empty if a shard has none.
     */
    public List<List<NodeId>> ways() {
        if (!isWhole()) {
            return List.of();
        }
        List<NodeId> first = computing();
        var ways = new ArrayList<List<NodeId>>();
        ways.add(first);
        for (int shard = 0; shard < holders.size(); shard++) {
            for (NodeId other : holders.get(shard).subList(1, holders.get(shard).size())) {
                var way = new ArrayList<>(first);
                way.set(shard, other);
                ways.add(List.copyOf(way));
            }
        }
        return List.copyOf(ways);
    }

    /** A way on which some nodes compute nothing, staying close to the present one; null if there is none. */
    public @Nullable List<NodeId> computingWithout(Set<NodeId> spared) {
        var way = new ArrayList<NodeId>();
        for (List<NodeId> nodes : holders) {
            NodeId chosen = nodes.stream()
                    .filter(node -> !spared.contains(node))
                    .findFirst()
                    .orElse(null);
            if (chosen == null) {
                return null;
            }
            way.add(chosen);
        }
        return List.copyOf(way);
    }

    /** What a node should load next to stand by. */
    public record Spare(NodeId node, int shard) {}

    /**
     * The next spare to be made, or null when there is nothing more to do: nodes that hold nothing get the shard with the fewest
     * copies; then who computes nothing gets what nobody stands by for yet. What a node holds on disk is preferred.
     *
     * @param shardBytes memory that each shard needs
     * @param nodes who takes work
     * @param failed spares that could not be made
     */
    public @Nullable Spare nextSpare(List<Long> shardBytes, List<PlacementPlanner.Candidate> nodes, Set<Spare> failed) {
        requireRange("shards", shardBytes.size(), holders.size(), holders.size());
        var computing = new HashSet<NodeId>();
        holders.stream().filter(all -> !all.isEmpty()).forEach(all -> computing.add(all.getFirst()));
        Spare best = null;
        for (PlacementPlanner.Candidate node : nodes) {
            if (computing.contains(node.id())) {
                continue;
            }
            boolean idle = !holdsAny(node.id());
            long taken = 0;
            for (int shard = 0; shard < holders.size(); shard++) {
                taken += holds(shard, node.id()) ? shardBytes.get(shard) : 0;
            }
            for (int shard = 0; shard < holders.size(); shard++) {
                var spare = new Spare(node.id(), shard);
                boolean may = (node.pinned() == null || Objects.equals(node.pinned(), shard))
                        && !holds(shard, node.id())
                        && !failed.contains(spare)
                        && shardBytes.get(shard) <= node.memoryBytes() - taken
                        && (idle || holders.get(shard).size() < 2);
                if (may && (best == null || isBetter(spare, best, nodes))) {
                    best = spare;
                }
            }
        }
        return best;
    }

    private boolean isBetter(Spare one, Spare other, List<PlacementPlanner.Candidate> nodes) {
        int byCopies = Integer.compare(
                holders.get(one.shard()).size(), holders.get(other.shard()).size());
        if (byCopies != 0) {
            return byCopies < 0;
        }
        return heldBy(one, nodes) && !heldBy(other, nodes);
    }

    private static boolean heldBy(Spare spare, List<PlacementPlanner.Candidate> nodes) {
        return nodes.stream()
                .anyMatch(node -> node.id().equals(spare.node()) && node.held().contains(spare.shard()));
    }

    private Standing replaced(int shard, List<NodeId> nodes) {
        var all = new ArrayList<>(holders);
        all.set(shard, nodes);
        return new Standing(all);
    }

    private static List<NodeId> appended(List<NodeId> nodes, NodeId node) {
        var more = new ArrayList<>(nodes);
        more.add(node);
        return more;
    }
}
