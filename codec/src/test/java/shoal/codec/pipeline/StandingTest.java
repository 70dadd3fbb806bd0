package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.pipeline.PlacementPlanner.Candidate;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.Simulation;

final class StandingTest {
    private static final NodeId A = node("a");
    private static final NodeId B = node("b");
    private static final NodeId C = node("c");
    private static final NodeId D = node("d");

    @Test
    void whoStandsByComputesWhenTheFirstIsGone() {
        Standing all = Standing.none(2).with(0, A).with(1, B).with(1, C);
        assertEquals(List.of(A, B), all.computing());
        assertEquals(List.of(List.of(A, B), List.of(A, C)), all.ways());
        assertEquals(List.of(A, C), all.without(B).computing());
        assertFalse(all.without(A).isWhole());
        assertEquals(List.of(), all.without(A).ways());
        assertThrows(IllegalStateException.class, () -> all.without(A).computing());
    }

    @Test
    void whoComputesComesBeforeWhoStandsBy() {
        Standing all =
                Standing.none(3).with(0, A).with(0, B).with(1, C).with(2, D).with(2, A);
        assertEquals(List.of(A, D, B), all.besides(1));
        assertEquals(List.of(C), all.besides(0));
        assertEquals(List.of(), Standing.none(1).with(0, A).besides(0));
    }

    @Test
    void aMoveKeepsWhoComputedAsASpare() {
        Standing all = Standing.none(2).with(0, A).with(1, B).with(1, C);
        assertEquals(List.of(A, C), all.computingWithout(Set.of(B)));
        assertNull(all.computingWithout(Set.of(A)));
        Standing moved = all.computedBy(List.of(A, C));
        assertEquals(List.of(A, C), moved.computing());
        assertTrue(moved.holds(1, B));
    }

    @Test
    void aPinnedNodeStandsByForItsShardAlone() {
        Standing all = Standing.none(2).with(0, A).with(1, B);
        var pinned = new Candidate(C, 100, Set.of(), 1);
        assertEquals(new Standing.Spare(C, 1), all.nextSpare(List.of(10L, 10L), List.of(pinned), Set.of()));
        assertNull(all.with(1, C).nextSpare(List.of(10L, 10L), List.of(pinned), Set.of()));
    }

    /** However many nodes there are: making spare after spare ends, keeps to each memory, and leaves no shard bare that need not be. */
    @ParameterizedTest
    @SeedSource(200)
    void makingSparesEnds(long seed) {
        RandomGenerator random = Simulation.of(seed).random("spares", 0);
        int shards = random.nextInt(1, 6);
        var bytes = new ArrayList<Long>();
        for (int shard = 0; shard < shards; shard++) {
            bytes.add(random.nextLong(1, 100));
        }
        Standing standing = Standing.none(shards);
        for (int shard = 0; shard < shards; shard++) {
            standing = standing.with(shard, node("computes " + shard % 3));
        }
        var candidates = new ArrayList<Candidate>();
        for (int i = 0; i < random.nextInt(0, 6); i++) {
            candidates.add(new Candidate(node("spare " + i), random.nextLong(0, 400), Set.of(), null));
        }
        var failed = new HashSet<Standing.Spare>();
        int steps = 0;
        for (Standing.Spare next = standing.nextSpare(bytes, candidates, failed);
                next != null;
                next = standing.nextSpare(bytes, candidates, failed)) {
            if (random.nextInt(10) == 0) {
                failed.add(next);
            } else {
                standing = standing.with(next.shard(), next.node());
            }
            assertTrue(++steps <= shards * candidates.size(), "seed " + seed);
        }
        for (Candidate node : candidates) {
            long taken = 0;
            for (int shard = 0; shard < shards; shard++) {
                taken += standing.holds(shard, node.id()) ? bytes.get(shard) : 0;
            }
            assertTrue(taken <= node.memoryBytes(), "seed " + seed);
            for (int shard = 0; shard < shards; shard++) {
                boolean bare = standing.holders().get(shard).size() == 1;
                boolean could = bytes.get(shard) <= node.memoryBytes() - taken
                        && !failed.contains(new Standing.Spare(node.id(), shard));
                assertFalse(bare && could, "shard " + shard + " has no spare, seed " + seed);
            }
        }
    }

    private static NodeId node(String name) {
        return new NodeId(Hash256.sha256(name.getBytes(java.nio.charset.StandardCharsets.UTF_8)));
    }
}
