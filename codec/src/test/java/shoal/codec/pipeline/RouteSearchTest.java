package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Comparator;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RouteSearchTest {
    private static final int WORLDS = 60;

    /** Costs drawn from a seed. */
    private record World(long[][] nanos, long[][] held, long[] bytes, long[] memory, long[][] links) {
        static World of(Random random, int nodes, int parts, boolean equalNodes) {
            var bytes = random.longs(parts, 1, 5).toArray();
            var memory = random.longs(nodes, 2, 3L * parts).toArray();
            var nanos = new long[nodes][parts];
            var held = new long[nodes][parts];
            var links = new long[nodes + 1][nodes + 1];
            for (int node = 0; node < nodes; node++) {
                long speed = 1 + random.nextInt(4);
                for (int part = 0; part < parts; part++) {
                    nanos[node][part] = bytes[part] * speed + (random.nextInt(4) == 0 ? 7 : 0);
                    held[node][part] = random.nextBoolean() ? bytes[part] : 0;
                }
                if (equalNodes && node > 0 && random.nextBoolean()) {
                    nanos[node] = nanos[0];
                    held[node] = held[0];
                    memory[node] = memory[0];
                }
            }
            for (int from = 0; from <= nodes; from++) {
                for (int to = 0; to < from; to++) {
                    links[from][to] = equalNodes ? 2 : random.nextInt(12);
                    links[to][from] = random.nextInt(5) == 0 ? random.nextInt(12) : links[from][to];
                }
            }
            return new World(nanos, held, bytes, memory, links);
        }

        RouteSearch search() {
            return new RouteSearch(nanos, held, bytes, memory, links);
        }
    }

    /** Every assignment of parts to nodes that is allowed, one after the other. */
    private static final class Trial {
        private final World world;
        private final Comparator<RouteSearch.Route> order;
        private final int must;
        private final int barred;
        private final int[] owners;
        private RouteSearch.Route best;

        Trial(World world, Comparator<RouteSearch.Route> order, int must, int barred) {
            this.world = world;
            this.order = order;
            this.must = must;
            this.barred = barred;
            owners = new int[world.bytes.length];
            go(0);
        }

        private void go(int part) {
            if (part == owners.length) {
                judge();
                return;
            }
            for (int node = 0; node < world.memory.length; node++) {
                if (node != barred) {
                    owners[part] = node;
                    if (isAllowed(part)) {
                        go(part + 1);
                    }
                }
            }
        }

        /** Each node one range, but the first may come again at the end. */
        private boolean isAllowed(int part) {
            int now = owners[part];
            if (part == 0 || owners[part - 1] == now) {
                return true;
            }
            boolean seen = Arrays.stream(owners, 0, part).anyMatch(owner -> owner == now);
            boolean firstCameAgain = part > 1
                    && owners[part - 1] == owners[0]
                    && Arrays.stream(owners, 0, part).anyMatch(owner -> owner != owners[0]);
            return !firstCameAgain && (!seen || now == owners[0]);
        }

        private void judge() {
            int nodes = world.memory.length;
            var busy = new long[nodes];
            var taken = new long[nodes];
            long missing = 0;
            int before = nodes;
            long total = 0;
            for (int part = 0; part < owners.length; part++) {
                int node = owners[part];
                if (node != before) {
                    total += world.links[before][node];
                }
                before = node;
                total += world.nanos[node][part];
                busy[node] += world.nanos[node][part];
                taken[node] += world.bytes[part];
                missing += world.bytes[part] - world.held[node][part];
            }
            total += world.links[before][nodes];
            for (int node = 0; node < nodes; node++) {
                if (taken[node] > world.memory[node] || node == must && taken[node] == 0) {
                    return;
                }
            }
            var route = new RouteSearch.Route(
                    owners.clone(), total, Arrays.stream(busy).max().orElseThrow(), missing);
            if (best == null || order.compare(route, best) < 0) {
                best = route;
            }
        }
    }

    private static Comparator<RouteSearch.Route> order(int sequences, boolean keep) {
        Comparator<RouteSearch.Route> bySpeed = Comparator.comparingLong((RouteSearch.Route route) ->
                        sequences == 0 ? route.slowest() : Math.max(sequences * route.slowest(), route.total()))
                .thenComparingLong(RouteSearch.Route::total);
        return keep
                ? Comparator.comparingLong(RouteSearch.Route::missing).thenComparing(bySpeed)
                : bySpeed.thenComparingLong(RouteSearch.Route::missing);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 8})
    void findsWhatTryingAllFinds(int sequences) {
        for (long seed = 1; seed <= WORLDS; seed++) {
            var random = new Random(seed);
            int nodes = 1 + random.nextInt(5);
            int parts = 1 + random.nextInt(nodes > 3 ? 6 : 8);
            World world = World.of(random, nodes, parts, random.nextBoolean());
            boolean keep = random.nextInt(4) == 0;
            int must = random.nextInt(3) == 0 ? random.nextInt(nodes) : -1;
            int barred = must < 0 && random.nextInt(3) == 0 ? random.nextInt(nodes) : -1;
            var search = world.search();
            if (must >= 0) {
                search.through(must);
            } else if (barred >= 0) {
                search.without(barred);
            }
            RouteSearch.Route found = search.best(sequences, keep);
            var trial = new Trial(world, order(sequences, keep), must, barred);
            String which = "seed " + seed + ", " + nodes + " nodes, " + parts + " parts, " + sequences
                    + " sequences, keep " + keep + ", must " + must + ", barred " + barred;
            assertTrue(search.isExact(), which);
            if (trial.best == null) {
                assertNull(found, which);
                continue;
            }
            assertNotNull(found, which);
            assertEquals(
                    0,
                    order(sequences, keep).compare(trial.best, found),
                    () -> which + ": by trying all " + Arrays.toString(trial.best.owners()) + " " + trial.best
                            + ", found " + Arrays.toString(found.owners()) + " " + found);
        }
    }

    /** What a route says of itself is what its owners cost. */
    @Test
    void aRouteCostsWhatItSays() {
        for (long seed = 1; seed <= WORLDS; seed++) {
            var random = new Random(seed);
            World world = World.of(random, 4, 6, false);
            RouteSearch.Route found = world.search().best(8, false);
            if (found == null) {
                continue;
            }
            var trial = new Trial(world, order(8, false), -1, -1);
            var same = new Trial(
                    world,
                    Comparator.comparing(route -> Arrays.equals(route.owners(), found.owners()) ? 0 : 1),
                    -1,
                    -1);
            assertArrayEquals(same.best.owners(), found.owners(), "seed " + seed + " is no allowed route");
            assertEquals(same.best.total(), found.total(), "seed " + seed);
            assertEquals(same.best.slowest(), found.slowest(), "seed " + seed);
            assertEquals(same.best.missing(), found.missing(), "seed " + seed);
            assertNotNull(trial.best);
        }
    }

    /** With too many nodes to try all sets: never over memory, never worse than on one node alone, better with more nodes. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void manyNodesHoldAndHelp(long seed) {
        var random = new Random(seed);
        int nodes = 20 + random.nextInt(20);
        int parts = 30 + random.nextInt(30);
        World world = World.of(random, nodes, parts, true);
        Arrays.fill(world.memory, 20);
        RouteSearch search = world.search();
        RouteSearch.Route found = search.best(0, false);
        assertNotNull(found, "seed " + seed);
        assertTrue(!search.isExact(), "seed " + seed);
        var taken = new long[nodes];
        for (int part = 0; part < parts; part++) {
            taken[found.owners()[part]] += world.bytes[part];
        }
        assertTrue(Arrays.stream(taken).allMatch(bytes -> bytes <= 20), "seed " + seed + " " + Arrays.toString(taken));
        int used = Arrays.stream(found.owners()).max().orElseThrow();
        RouteSearch.Route without = world.search().without(used).best(0, false);
        assertTrue(without == null || without.slowest() >= found.slowest(), "seed " + seed);
        RouteSearch.Route one = world.search().best(1, false);
        assertNotNull(one);
        assertTrue(one.total() <= found.total(), "seed " + seed + ": one sequence looks at the total");
    }
}
