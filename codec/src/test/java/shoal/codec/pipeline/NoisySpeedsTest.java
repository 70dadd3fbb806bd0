package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.Simulation;

/** Speeds, plans and moves in a swarm whose machines are measured while they are busy with other things. */
final class NoisySpeedsTest {
    private static final double BYTES_PER_SECOND = 1e9;
    private static final long PART = 10_000_000;
    private static final int COMPUTING_SECONDS = 2;
    private static final int IDLE_SECONDS = 10;
    private static final int LOOK_SECONDS = 10;

    /** Like machines; which of them compute what is looked at every ten seconds, as a coordinator does. */
    private static final class World {
        private final RandomGenerator random;
        private final double noise;
        private final int parts;
        private final double[] slowness;
        private final SpeedWindow[] windows;
        private Placement now;
        private int moves;

        World(RandomGenerator random, int nodes, int parts, double noise) {
            this.random = random;
            this.noise = noise;
            this.parts = parts;
            slowness = new double[nodes];
            windows = new SpeedWindow[nodes];
            for (int node = 0; node < nodes; node++) {
                slowness[node] = 1;
                windows[node] = new SpeedWindow();
            }
            now = plan().placement();
        }

        PlacementPlanner.Question question() {
            var told = new ArrayList<LikeSpeeds.Told>();
            for (int node = 0; node < windows.length; node++) {
                told.add(new LikeSpeeds.Told(id(node), "a kind", windows[node].estimate()));
            }
            Map<NodeId, LikeSpeeds.Settled> settled = LikeSpeeds.of(told);
            var candidates = IntStream.range(0, windows.length)
                    .mapToObj(node -> candidate(node, settled.get(id(node))))
                    .toList();
            return new PlacementPlanner.Question(
                    IntStream.range(0, parts).mapToObj(_ -> PART).toList(),
                    candidates,
                    id(-1),
                    LinkTimes.LOCAL,
                    PlacementPlanner.MANY,
                    false);
        }

        private PlacementPlanner.Candidate candidate(int node, LikeSpeeds.@Nullable Settled speed) {
            return new PlacementPlanner.Candidate(
                    id(node),
                    1L << 40,
                    Set.of(),
                    null,
                    speed == null
                            ? List.of()
                            : speed.nanos(IntStream.range(0, parts).mapToLong(_ -> PART)),
                    speed == null ? PlacementPlanner.Doubt.NONE : speed.doubt());
        }

        PlacementPlan plan() {
            return PlacementPlanner.place(question());
        }

        boolean computes(int node) {
            return now.nodesByShard().stream()
                    .anyMatch(nodes -> nodes.getFirst().equals(id(node)));
        }

        void run(int fromSecond, int toSecond, Runnable looked) {
            for (int second = fromSecond; second < toSecond; second++) {
                for (int node = 0; node < windows.length; node++) {
                    if (second % (computes(node) ? COMPUTING_SECONDS : IDLE_SECONDS) == 0) {
                        double held = slowness[node] * (1 + random.nextDouble() * (noise - 1));
                        windows[node].add(BYTES_PER_SECOND / held, second * 1_000_000_000L);
                    }
                }
                if (second % LOOK_SECONDS == 0) {
                    PlacementPlanner.Question question = question();
                    PlacementPlan plan = PlacementPlanner.place(question);
                    if (Moving.isWorth(question, plan, now)) {
                        now = plan.placement();
                        moves++;
                    }
                    looked.run();
                }
            }
        }
    }

    private static NodeId id(int number) {
        return new NodeId(Hash256.sha256(("node " + number).getBytes(StandardCharsets.UTF_8)));
    }

    private static long computing(PlacementPlan plan) {
        return plan.runs().stream().map(PlacementPlan.Run::node).distinct().count();
    }

    @ParameterizedTest
    @SeedSource(100)
    void noiseLeavesNoLikeNodeOutAndMovesNothing(long seed) {
        RandomGenerator random = Simulation.of(seed).random("noise", 0);
        int nodes = random.nextInt(2, 6);
        var world = new World(random, nodes, random.nextInt(2, 9), 3);
        long computing = computing(world.plan());
        world.run(0, 300, () -> assertEquals(computing, computing(world.plan()), "seed " + seed));
        assertEquals(0, world.moves, "seed " + seed);
    }

    @ParameterizedTest
    @SeedSource(100)
    void whatIsSlowForLongIsMovedAwayFromOnce(long seed) {
        RandomGenerator random = Simulation.of(seed).random("noise", 0);
        int parts = random.nextInt(2, 5);
        var world = new World(random, parts + 1, parts, 2.5);
        int slow = IntStream.range(0, parts + 1)
                .filter(world::computes)
                .findFirst()
                .orElseThrow();
        world.run(0, 100, () -> {});
        assertEquals(0, world.moves, "seed " + seed);
        world.slowness[slow] = 5;
        world.run(100, 500, () -> {});
        assertFalse(world.computes(slow), "seed " + seed);
        world.slowness[slow] = 1;
        world.run(500, 900, () -> {});
        assertEquals(1, world.moves, "seed " + seed);
    }

    @ParameterizedTest
    @SeedSource(20)
    void aQuietMachineIsToldFromOneHalfAsFast(long seed) {
        RandomGenerator random = Simulation.of(seed).random("noise", 0);
        var world = new World(random, 2, 9, 1.05);
        world.slowness[1] = 2;
        world.run(0, 200, () -> {});
        long given = world.now.shardsOf(id(0)).size();
        assertEquals(6, given, "twice as many layers for who is twice as fast, seed " + seed);
    }

    @Test
    void whoIsUnknownCountsAsItsKind() {
        var fast = SpeedWindow.Estimate.doubtful(90_000);
        var slow = SpeedWindow.Estimate.doubtful(1_000);
        Map<NodeId, LikeSpeeds.Settled> settled = LikeSpeeds.of(List.of(
                new LikeSpeeds.Told(id(0), "old", slow),
                new LikeSpeeds.Told(id(1), "new", fast),
                new LikeSpeeds.Told(id(2), "new", fast),
                new LikeSpeeds.Told(id(3), "old", null),
                new LikeSpeeds.Told(id(4), "other", null)));
        assertEquals(1_000, settled.get(id(0)).bytesPerSecond());
        assertEquals(1_000, settled.get(id(3)).bytesPerSecond(), "as its kind");
        assertEquals(90_000, settled.get(id(4)).bytesPerSecond(), "as the one in the middle");
        assertTrue(
                LikeSpeeds.of(List.of(new LikeSpeeds.Told(id(0), "old", null))).isEmpty());
    }

    /** Two programs that have just started, one of which has waited for its compiler. */
    @Test
    void aFirstMeasurementTellsLikeNodesNotApart() {
        var ahead = new SpeedWindow();
        var behind = new SpeedWindow();
        ahead.add(5_000, 0);
        behind.add(1_000, 0);
        Map<NodeId, LikeSpeeds.Settled> settled = LikeSpeeds.of(List.of(
                new LikeSpeeds.Told(id(0), "one", ahead.estimate()),
                new LikeSpeeds.Told(id(1), "one", behind.estimate())));
        assertEquals(5_000, settled.get(id(1)).bytesPerSecond());
        for (int slice = 1; slice < SpeedWindow.FEW; slice++) {
            ahead.add(5_000, slice * SpeedWindow.SLICE_NANOS);
            behind.add(1_000, slice * SpeedWindow.SLICE_NANOS);
        }
        settled = LikeSpeeds.of(List.of(
                new LikeSpeeds.Told(id(0), "one", ahead.estimate()),
                new LikeSpeeds.Told(id(1), "one", behind.estimate())));
        assertEquals(1_000, settled.get(id(1)).bytesPerSecond(), "it stays so");
    }

    @Test
    void doubtShrinksWithMeasurementsThatAgree() {
        var window = new SpeedWindow();
        double before = Double.MAX_VALUE;
        for (int slice = 0; slice < 2 * SpeedWindow.SLICES; slice++) {
            window.add(1000, slice * SpeedWindow.SLICE_NANOS);
            window.add(10, slice * SpeedWindow.SLICE_NANOS + 1); // busy for a moment
            SpeedWindow.Estimate estimate = window.estimate();
            assertEquals(1000, estimate.bytesPerSecond());
            assertTrue(estimate.mayReach() <= before, () -> window.slices() + " slices");
            before = estimate.mayReach();
        }
        assertEquals(1100, before);
        assertEquals(16_000, SpeedWindow.Estimate.told(1000, 1_000_000).mayReach());
        assertThrows(IllegalArgumentException.class, () -> SpeedWindow.Estimate.told(1000, 999));
    }
}
