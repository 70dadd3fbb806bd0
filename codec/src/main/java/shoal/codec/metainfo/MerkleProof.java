package shoal.codec.metainfo;

import java.util.ArrayList;
import java.util.List;
import shoal.codec.base.Bounds;
import shoal.codec.base.Hash256;

/**
 * Shows that neighbouring nodes of one layer of a {@link MerkleTree} belong under a root (BEP 52, "hash request" and
 * "hashes").
 *
 * @param index of the first node in its layer; a multiple of the number of nodes
 * @param nodes 1..{@link #MAX_NODES}, a power of two
 * @param uncles the siblings on the way up, the lowest first
 */
public record MerkleProof(long index, List<Hash256> nodes, List<Hash256> uncles) {
    /** BEP 52's bound on one request. */
    public static final int MAX_NODES = 8_192;

    public static final int MAX_UNCLES = 40;

    public MerkleProof {
        nodes = List.copyOf(nodes);
        uncles = List.copyOf(uncles);
        Bounds.requireRange("node count", nodes.size(), 1, MAX_NODES);
        Bounds.requireRange("uncle count", uncles.size(), 0, MAX_UNCLES);
        if (Integer.bitCount(nodes.size()) != 1 || index % nodes.size() != 0) {
            throw new IllegalArgumentException(nodes.size() + " nodes from " + index
                    + ": their number must be a power of two, the first a multiple of it");
        }
        Bounds.requireRange("index", index, 0, ((long) nodes.size() << uncles.size()) - nodes.size());
    }

    /**
     * Makes the proof for count nodes of a layer from index on.
     *
     * @param layer what there is of it; the rest up to a power of two is padding
     * @param padding zero for leaves, the hash of a subtree of zero leaves above them
     */
    public static MerkleProof of(List<Hash256> layer, Hash256 padding, long index, int count) {
        int width = Math.max(count, layer.size() <= 1 ? 1 : Integer.highestOneBit(layer.size() - 1) << 1);
        Bounds.requireRange("index", index, 0, width - count);
        var level = new ArrayList<>(layer);
        while (level.size() < width) {
            level.add(padding);
        }
        List<Hash256> nodes = List.copyOf(level.subList((int) index, (int) index + count));
        var uncles = new ArrayList<Hash256>();
        int at = (int) index;
        for (int size = 1; level.size() > 1; size *= 2) {
            if (size >= count) {
                uncles.add(level.get(at ^ 1));
            }
            level = parents(level);
            at /= 2;
        }
        return new MerkleProof(index, nodes, uncles);
    }

    /** The root that these nodes lead to. */
    public Hash256 root() {
        var level = new ArrayList<>(nodes);
        while (level.size() > 1) {
            level = parents(level);
        }
        Hash256 node = level.getFirst();
        long at = index / nodes.size();
        for (Hash256 uncle : uncles) {
            node = at % 2 == 0 ? parent(node, uncle) : parent(uncle, node);
            at /= 2;
        }
        return node;
    }

    public boolean proves(Hash256 root) {
        return root().equals(root);
    }

    private static ArrayList<Hash256> parents(List<Hash256> level) {
        var parents = new ArrayList<Hash256>(level.size() / 2);
        for (int i = 0; i < level.size(); i += 2) {
            parents.add(parent(level.get(i), level.get(i + 1)));
        }
        return parents;
    }

    private static Hash256 parent(Hash256 left, Hash256 right) {
        return Hash256.sha256(left.toBytes(), right.toBytes());
    }
}
