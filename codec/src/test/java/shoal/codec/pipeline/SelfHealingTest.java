package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.SimMachine;
import shoal.codec.sim.Simulation;

/** Ten machines in virtual time, of which one dies every few seconds: the real machines notice it and decide who takes over. */
final class SelfHealingTest {
    private static final int NODES = 10;
    private static final int SHARDS = 4;
    private static final int COPIES = 2;
    private static final List<Long> SIZES = Collections.nCopies(SHARDS, 100L);
    private static final long NODE_MEMORY = 250;
    private static final Duration RECOVERY = Duration.ofSeconds(5);
    private static final Duration RETRY = Duration.ofSeconds(1);
    private static final Duration LOOK = Duration.ofMillis(50);

    /** A machine: what it really has loaded, and how it is watched. */
    private static final class Node {
        private final NodeId id;
        private final Set<Integer> loaded = new HashSet<>();
        private boolean alive = true;
        private SimMachine<Liveness.Input, Liveness.Effect> watch;

        Node(int number) {
            id = new NodeId(Hash256.sha256(("node " + number).getBytes(StandardCharsets.UTF_8)));
        }
    }

    /** Does what a coordinator does, with loading and canaries that take their time. */
    private static final class World {
        private final Simulation simulation;
        private final RandomGenerator random;
        private final Map<NodeId, Node> members = new LinkedHashMap<>();
        private final Set<Standing.Spare> making = new HashSet<>();
        private Standing standing = Standing.none(SHARDS);
        private boolean stands;
        private boolean healing;
        private int born;
        private int recoveries;
        private long brokenSince = -1;
        private Duration longest = Duration.ZERO;

        World(long seed) {
            simulation = Simulation.of(seed);
            random = simulation.random("world", 0);
        }

        Duration millis(int least, int most) {
            return Duration.ofMillis(random.nextInt(least, most));
        }

        void join() {
            var node = new Node(born++);
            members.put(node.id, node);
            node.watch = simulation.drive(
                    new Liveness(Liveness.Bounds.CLOSE, Liveness.Bounds.LOOSE),
                    new Liveness.Input.Tick(),
                    effect -> watched(node, effect));
            node.watch.feed(new Liveness.Input.Reached());
            tend();
        }

        private void watched(Node node, Liveness.Effect effect) {
            switch (effect) {
                case Liveness.Effect.Beat(int number) ->
                    simulation.after(millis(1, 20), () -> {
                        if (node.alive) {
                            node.watch.feed(new Liveness.Input.Heard(number));
                        }
                    });
                case Liveness.Effect.Lost(String _) -> lost(node);
                case Liveness.Effect.Back() -> throw new AssertionError("the dead do not answer");
            }
        }

        /** A process ends, which its wire tells; or a machine that others wait for falls silent. */
        void drop() {
            var all = List.copyOf(members.values()).stream()
                    .filter(node -> node.alive)
                    .toList();
            Node node = all.get(random.nextInt(all.size()));
            boolean computes = standing.isWhole() && standing.computing().contains(node.id);
            node.alive = false;
            brokenSince = simulation.nowNanos();
            if (!computes || random.nextBoolean()) {
                simulation.after(millis(1, 30), () -> node.watch.feed(new Liveness.Input.Ended()));
            }
            simulation.after(millis(500, 3000), this::join);
        }

        private void lost(Node node) {
            boolean computed = standing.isWhole() && standing.computing().contains(node.id);
            node.watch.stop();
            members.remove(node.id);
            making.removeIf(spare -> spare.node().equals(node.id));
            standing = standing.without(node.id);
            stands &= !computed;
            tend();
        }

        private List<PlacementPlanner.Candidate> candidates() {
            return members.values().stream()
                    .map(node -> new PlacementPlanner.Candidate(node.id, NODE_MEMORY, node.loaded, null))
                    .toList();
        }

        private void tend() {
            if (standing.isWhole()) {
                makeSpares();
            }
            if (!stands && !healing) {
                heal();
            }
        }

        private void heal() {
            healing = true;
            if (standing.isWhole()) {
                fly(standing.ways().getFirst());
                return;
            }
            List<NodeId> way;
            try {
                way = PlacementPlanner.planKeeping(SIZES, candidates()).nodesByShard().stream()
                        .map(List::getFirst)
                        .toList();
            } catch (PlacementPlanner.NoPlacementException tooFew) {
                healing = false;
                simulation.after(RETRY, this::tend);
                return;
            }
            var left = new int[] {1};
            for (int shard = 0; shard < SHARDS; shard++) {
                left[0]++;
                load(shard, way.get(shard), () -> arrived(left, way));
            }
            arrived(left, way);
        }

        private void arrived(int[] left, List<NodeId> way) {
            if (--left[0] == 0) {
                fly(way);
            }
        }

        /** A canary token passes where all are alive. */
        private void fly(List<NodeId> way) {
            simulation.after(millis(10, 100), () -> {
                healing = false;
                if (way.stream().allMatch(id -> members.containsKey(id) && members.get(id).alive)) {
                    standing = standing.computedBy(way);
                    stands = true;
                    recoveries++;
                    members.values().forEach(node -> node.watch.feed(new Liveness.Input.Serves(way.contains(node.id))));
                    tend();
                } else {
                    simulation.after(RETRY, this::tend);
                }
            });
        }

        private void load(int shard, NodeId id, Runnable done) {
            Node node = members.get(id);
            Duration takes = node.loaded.contains(shard) ? Duration.ofMillis(1) : millis(200, 1500);
            simulation.after(takes, () -> {
                if (members.get(id) == node) {
                    node.loaded.add(shard);
                    standing = standing.with(shard, id);
                }
                done.run();
            });
        }

        private void makeSpares() {
            Standing planned = standing;
            for (Standing.Spare spare : making) {
                planned = planned.with(spare.shard(), spare.node());
            }
            for (Standing.Spare next = planned.nextSpare(SIZES, candidates(), Set.of());
                    next != null;
                    next = planned.nextSpare(SIZES, candidates(), Set.of())) {
                planned = planned.with(next.shard(), next.node());
                Standing.Spare spare = next;
                making.add(spare);
                load(spare.shard(), spare.node(), () -> {
                    making.remove(spare);
                    tend();
                });
            }
        }

        /** Whether the answers go on, and each shard is loaded often enough, by those who are really alive. */
        private boolean isWell() {
            return stands
                    && standing.computing().stream().allMatch(id -> members.containsKey(id) && members.get(id).alive)
                    && IntStream.range(0, SHARDS)
                            .allMatch(shard -> members.values().stream()
                                            .filter(node -> node.alive && node.loaded.contains(shard))
                                            .count()
                                    >= COPIES);
        }

        void look() {
            if (brokenSince >= 0 && isWell()) {
                Duration took = Duration.ofNanos(simulation.nowNanos() - brokenSince);
                longest = took.compareTo(longest) > 0 ? took : longest;
                brokenSince = -1;
            }
            simulation.after(LOOK, this::look);
        }

        void keepDropping() {
            simulation.after(millis(3000, 6000), () -> {
                drop();
                keepDropping();
            });
        }
    }

    @ParameterizedTest
    @SeedSource(30)
    void everyShardKeepsItsCopiesThoughMachinesDie(long seed) {
        var world = new World(seed);
        IntStream.range(0, NODES).forEach(_ -> world.join());
        world.brokenSince = 0;
        world.look();
        world.simulation.runFor(Duration.ofSeconds(10));
        assertTrue(world.isWell(), "seed " + seed);
        world.keepDropping();
        var late = new ArrayList<Duration>();
        for (int second = 0; second < 300; second++) {
            world.simulation.runFor(Duration.ofSeconds(1));
            long broken = world.brokenSince < 0 ? 0 : world.simulation.nowNanos() - world.brokenSince;
            if (broken > RECOVERY.toNanos()) {
                late.add(Duration.ofNanos(broken));
            }
        }
        assertTrue(world.born > NODES + 40, "machines were dropped, seed " + seed);
        assertTrue(world.recoveries > 10, "some of them computed, seed " + seed);
        assertTrue(late.isEmpty() && world.longest.compareTo(RECOVERY) < 0, world.longest + ", seed " + seed);
    }
}
