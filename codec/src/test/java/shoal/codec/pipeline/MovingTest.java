package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;

/** A model so small that the ways between machines take longer than its layers. */
class MovingTest {
    private static final int NODES = 4;
    private static final Placement SPREAD = new Placement(
            IntStream.range(0, NODES).mapToObj(part -> List.of(id(part))).toList());

    @Test
    void staysOnLikeNodesThoughOneAloneHadNoWays() throws Exception {
        var question = question(1);
        PlacementPlan plan = PlacementPlanner.place(question);
        assertEquals(
                1, plan.runs().stream().map(PlacementPlan.Run::node).distinct().count(), plan::toString);
        assertFalse(Moving.isWorth(question, plan, SPREAD));
    }

    @Test
    void leavesOutNodesThatAreSlower() throws Exception {
        var question = question(30);
        assertTrue(Moving.isWorth(question, PlacementPlanner.place(question), SPREAD));
    }

    /** @param slower how many times longer than the first node the others take */
    private static PlacementPlanner.Question question(int slower) {
        var candidates = IntStream.range(0, NODES)
                .mapToObj(node -> new PlacementPlanner.Candidate(
                        id(node),
                        1L << 40,
                        Set.of(),
                        null,
                        IntStream.range(0, NODES)
                                .mapToObj(_ -> node == 0 ? 10_000L : slower * 10_000L)
                                .toList()))
                .toList();
        return new PlacementPlanner.Question(
                IntStream.range(0, NODES).mapToObj(_ -> 1L << 20).toList(),
                candidates,
                id(-1),
                LinkTimes.LOCAL,
                1,
                false);
    }

    private static NodeId id(int number) {
        return new NodeId(Hash256.sha256(new byte[] {(byte) number}));
    }
}
