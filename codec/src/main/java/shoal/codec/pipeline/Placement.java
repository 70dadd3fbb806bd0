package shoal.codec.pipeline;

import static shoal.codec.base.Bounds.requireRange;

import java.util.ArrayList;
import java.util.List;
import shoal.codec.base.NodeId;

/**
 * Which nodes run which shard.
 *
 * @param nodesByShard for each shard, in order, its nodes: the first one computes, the others stand by
 */
public record Placement(List<List<NodeId>> nodesByShard) {
    public Placement {
        requireRange("shards", nodesByShard.size(), 1, Integer.MAX_VALUE);
        nodesByShard = nodesByShard.stream().map(List::copyOf).toList();
        for (List<NodeId> nodes : nodesByShard) {
            requireRange("nodes of a shard", nodes.size(), 1, Integer.MAX_VALUE);
        }
    }

    public NodeId first(int shard) {
        return nodesByShard.get(shard).getFirst();
    }

    /** The shards that a node is to hold, in order. */
    public List<Integer> shardsOf(NodeId node) {
        var shards = new ArrayList<Integer>();
        for (int shard = 0; shard < nodesByShard.size(); shard++) {
            if (nodesByShard.get(shard).contains(node)) {
                shards.add(shard);
            }
        }
        return shards;
    }
}
