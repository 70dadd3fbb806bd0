package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.NodeId;
import shoal.codec.pipeline.PlacementPlanner.Candidate;
import shoal.codec.pipeline.PlacementPlanner.NoPlacementException;

class PlacementPlannerTest {
    /** Pictures: shards separated by |, nodes by number, the computing one first. */
    @ParameterizedTest
    @CsvSource({"4,4,0|1|2|3", "4,2,0|0|1|1", "4,1,0|0|0|0", "4,3,1|2|0|0", "2,5,02 4|13", "1,2,01"})
    void equalShardsAndNodes(int shards, int nodes, String picture) {
        var bytes = new ArrayList<Long>();
        for (int i = 0; i < shards; i++) {
            bytes.add(100L);
        }
        var candidates = new ArrayList<Candidate>();
        for (int i = 0; i < nodes; i++) {
            candidates.add(node(i, 1000, Set.of(), null));
        }
        assertEquals(picture.replace(" ", ""), draw(PlacementPlanner.plan(bytes, candidates)));
    }

    @Test
    void aNodeKeepsWhatItHolds() {
        var placement = PlacementPlanner.plan(
                List.of(100L, 100L, 100L),
                List.of(node(0, 1000, Set.of(2), null), node(1, 1000, Set.of(), null), node(2, 1000, Set.of(0), null)));
        assertEquals("2|1|0", draw(placement));
    }

    @Test
    void aPinnedNodeRunsItsShardAndNoOther() {
        var placement = PlacementPlanner.plan(
                List.of(100L, 100L, 100L), List.of(node(0, 1000, Set.of(), 2), node(1, 1000, Set.of(), null)));
        assertEquals("1|1|0", draw(placement));
        assertThrows(
                NoPlacementException.class,
                () -> PlacementPlanner.plan(List.of(1L, 1L), List.of(node(0, 10, Set.of(), 0))));
    }

    @Test
    void aNodeWithTooLittleMemoryIsPassedOver() {
        var placement = PlacementPlanner.plan(
                List.of(100L, 100L), List.of(node(0, 50, Set.of(), null), node(1, 250, Set.of(), null)));
        assertEquals("1|1", draw(placement));
    }

    @Test
    void tooLittleMemoryEverywhereSaysWhatIsMissing() {
        var failure = assertThrows(
                NoPlacementException.class,
                () -> PlacementPlanner.plan(
                        List.of(1000L, 2000L), List.of(node(0, 1500, Set.of(), null), node(1, 1500, Set.of(), null))));
        assertTrue(
                failure.getMessage().contains("shard 1 needs 2,000 bytes, the largest node has 1,500"),
                failure.getMessage());
    }

    /** Against trying every cut. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void theCutIsTheBestOne(long seed) {
        var random = new Random(seed);
        int count = 1 + random.nextInt(9);
        var bytes = new ArrayList<Long>();
        var open = new ArrayList<Integer>();
        for (int i = 0; i < count; i++) {
            bytes.add(1L + random.nextInt(1000));
            open.add(i);
        }
        int groups = 1 + random.nextInt(count);
        var cut = PlacementPlanner.cut(bytes, open, groups);
        assertEquals(open, cut.stream().flatMap(List::stream).toList(), "seed " + seed);
        long worst = cut.stream()
                .mapToLong(group -> group.stream().mapToLong(bytes::get).sum())
                .max()
                .orElseThrow();
        assertEquals(bestByTryingAll(bytes, 0, groups), worst, "seed " + seed);
    }

    private static long bestByTryingAll(List<Long> bytes, int from, int groups) {
        if (groups == 1) {
            return bytes.subList(from, bytes.size()).stream()
                    .mapToLong(Long::longValue)
                    .sum();
        }
        long best = Long.MAX_VALUE;
        long sum = 0;
        for (int end = from + 1; end <= bytes.size() - groups + 1; end++) {
            sum += bytes.get(end - 1);
            best = Math.min(best, Math.max(sum, bestByTryingAll(bytes, end, groups - 1)));
        }
        return best;
    }

    private static Candidate node(int number, long memory, Set<Integer> held, @Nullable Integer pinned) {
        return new Candidate(id(number), memory, new HashSet<>(held), pinned);
    }

    private static NodeId id(int number) {
        return NodeId.parse(String.format("%064x", number));
    }

    private static String draw(Placement placement) {
        var picture = new StringBuilder();
        for (List<NodeId> nodes : placement.nodesByShard()) {
            if (!picture.isEmpty()) {
                picture.append('|');
            }
            nodes.forEach(node -> picture.append(node.hash().byteAt(31)));
        }
        return picture.toString();
    }
}
