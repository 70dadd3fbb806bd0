package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import shoal.codec.base.NodeId;
import shoal.codec.pipeline.PlacementPlanner.Candidate;
import shoal.codec.pipeline.PlacementPlanner.NoPlacementException;

class PlacementPlannerTest {
    /** Pictures: shards separated by |, nodes by number, the computing one first. */
    @ParameterizedTest
    @CsvSource({"4,4,0|1|2|3", "4,2,0|0|1|1", "4,1,0|0|0|0", "4,3,02|02|12|12", "2,5,02 4|13", "1,2,01"})
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

    /** Where a stage was lost and people wait, nobody fetches what another has. */
    @Test
    void ofSeveralPinnedNodesTheOneThatHasItsShardComputes() {
        List<Candidate> nodes =
                List.of(node(0, 1000, Set.of(), 1), node(1, 1000, Set.of(1), 1), node(2, 1000, Set.of(), 0));
        assertEquals(
                List.of(id(2), id(1)),
                PlacementPlanner.planKeeping(List.of(100L, 100L), nodes).nodesByShard().stream()
                        .map(List::getFirst)
                        .toList());
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

    @Test
    void aFasterNodeGetsMoreAndASlowOneNothing() {
        var question = question(
                LinkTimes.LOCAL,
                PlacementPlanner.MANY,
                timed(0, List.of(10_000_000L, 10_000_000L, 10_000_000L, 10_000_000L)),
                timed(1, List.of(30_000_000L, 30_000_000L, 30_000_000L, 30_000_000L)),
                timed(2, List.of(99_000_000L, 99_000_000L, 99_000_000L, 99_000_000L)));
        var plan = PlacementPlanner.explain(question);
        assertEquals("12|02|02|02", draw(plan.placement()));
        assertEquals(30_000_000, plan.slowestNanos());
        assertEquals(60_000_000 + 3 * LinkTimes.LOCAL_NANOS, plan.tokenNanos());
        assertTrue(plan.exact() && plan.slowestDecides());
        var slow = plan.notes().get(2);
        assertTrue(!slow.computes() && slow.withSlowestNanos() > slow.withoutSlowestNanos(), slow.toString());
        var second = plan.notes().get(1);
        assertTrue(second.computes() && second.withoutSlowestNanos() == 40_000_000, second.toString());
    }

    /** With one sequence a way costs more than it brings; with many the slowest node counts. */
    @Test
    void howManySequencesThereAreDecides() {
        LinkTimes far = (from, to) -> from.equals(to) ? 0 : 50_000_000;
        var nodes = new Candidate[] {
            timed(0, List.of(10_000_000L, 10_000_000L, 10_000_000L, 10_000_000L)),
            timed(1, List.of(10_000_000L, 10_000_000L, 10_000_000L, 10_000_000L))
        };
        var one = PlacementPlanner.place(question(far, 1, nodes));
        assertEquals("01|01|01|01", draw(one.placement()));
        assertTrue(!one.slowestDecides() && one.tokenNanos() == 140_000_000, one.toString());
        var many = PlacementPlanner.place(question(far, 32, nodes));
        assertEquals("0|0|1|1", draw(many.placement()));
        assertTrue(many.slowestDecides() && many.tokenNanos() == 190_000_000, many.toString());
    }

    /** The last way is long for all but the first node, so the first computes the last part too. */
    @Test
    void theFirstNodeAlsoEndsWhereThatSavesTime() {
        LinkTimes links = (from, to) -> from.equals(to) ? 0 : Set.of(from, to).equals(Set.of(id(1), id(9))) ? 500 : 1;
        var nodes = List.of(node(0, 2, Set.of(), null), node(1, 2, Set.of(), null));
        var plan = PlacementPlanner.place(new PlacementPlanner.Question(
                List.of(1L, 1L, 1L),
                nodes.stream()
                        .map(each -> new Candidate(each.id(), 2, Set.of(), null, List.of(100L, 100L, 100L)))
                        .toList(),
                id(9),
                links,
                PlacementPlanner.MANY,
                false));
        assertTrue(plan.placement().first(2).equals(id(0)), draw(plan.placement()));
        assertEquals(
                2,
                new HashSet<>(plan.runs().stream().map(PlacementPlan.Run::node).toList()).size());
    }

    @Test
    void whatIsHeldStaysWhenPeopleWait() {
        var fast = new Candidate(id(0), 1000, Set.of(), null, List.of(1L, 1L));
        var slow = new Candidate(id(1), 1000, Set.of(0, 1), null, List.of(50L, 50L));
        for (boolean keep : new boolean[] {false, true}) {
            var plan = PlacementPlanner.place(new PlacementPlanner.Question(
                    List.of(10L, 10L), List.of(fast, slow), id(9), LinkTimes.LOCAL, PlacementPlanner.MANY, keep));
            assertEquals(keep ? id(1) : id(0), plan.placement().first(0));
        }
    }

    @Test
    void copiesGoWhereNoneAre() {
        var bytes = List.of(10L, 10L, 10L);
        var placement = PlacementPlanner.plan(
                bytes,
                List.of(
                        node(0, 10, Set.of(), null),
                        node(1, 10, Set.of(), null),
                        node(2, 10, Set.of(), null),
                        node(3, 30, Set.of(), null),
                        node(4, 10, Set.of(2), null)));
        for (List<NodeId> nodes : placement.nodesByShard()) {
            assertTrue(nodes.size() >= 2, draw(placement));
        }
    }

    @Test
    void aNodeThatWasNotMeasuredIsTakenForOneInTheMiddle() {
        var plan = PlacementPlanner.place(question(
                LinkTimes.LOCAL,
                PlacementPlanner.MANY,
                timed(0, List.of(10_000_000L, 10_000_000L, 10_000_000L, 10_000_000L)),
                node(1, 1000, Set.of(), null)));
        assertEquals("0|0|1|1", draw(plan.placement()));
        assertEquals(20_000_000, plan.slowestNanos());
    }

    private static PlacementPlanner.Question question(LinkTimes links, int sequences, Candidate... nodes) {
        return new PlacementPlanner.Question(
                List.of(100L, 100L, 100L, 100L), List.of(nodes), id(9), links, sequences, false);
    }

    private static Candidate timed(int number, List<Long> nanos) {
        return new Candidate(id(number), 1000, Set.of(), null, nanos);
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
