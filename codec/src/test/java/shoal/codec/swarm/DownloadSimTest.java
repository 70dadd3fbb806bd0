package shoal.codec.swarm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static shoal.codec.swarm.world.SwarmWorld.MILLI;
import static shoal.codec.swarm.world.SwarmWorld.SECOND;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.sim.SeedSource;
import shoal.codec.swarm.world.Crowd;
import shoal.codec.swarm.world.SwarmWorld;

/** Whole swarms in virtual time. A failing seed is replayed with -Dshoal.seed. */
class DownloadSimTest {
    private static final int PIECE = 64 * 1024;
    private static final long MIB = 1 << 20;

    private static void assertWhole(SwarmWorld.Node node, SwarmWorld world) {
        assertNull(node.failed, () -> "seed " + world.seed);
        assertTrue(
                node.finished(),
                () -> "node " + node.key + " is not done, seed " + world.seed + ", missing " + node.download.missing());
        assertEquals(world.truth, node.blocks, () -> "seed " + world.seed);
    }

    private static double wasted(SwarmWorld.Node node) {
        return node.download.totals().duplicate() / (double) node.receivedBytes;
    }

    @ParameterizedTest
    @SeedSource(40)
    void fillsALongPathWithoutDuplicates(long seed) {
        SwarmWorld world = new SwarmWorld(seed, 32 * MIB + 17, PIECE).delays(50, 50);
        SwarmWorld.Node seeder = world.seeder(10);
        SwarmWorld.Node node = world.downloader(10);
        node.start();
        node.connect(seeder);
        assertTrue(world.runUntil(node::finished, 60 * SECOND), "seed " + seed);
        assertWhole(node, world);
        assertEquals(0, node.download.totals().duplicate());
        double ideal = world.shape.size() / 10e6 * SECOND;
        assertTrue(node.doneNanos < ideal / 0.8, "took " + node.doneNanos / 1e9 + " s of " + ideal / 1e9);
    }

    @ParameterizedTest
    @SeedSource(40)
    void finishesWithOneHonestPeerAmongLiars(long seed) {
        SwarmWorld world = new SwarmWorld(seed, 3 * MIB + 17, PIECE).delays(1, 200);
        SwarmWorld.Node node = world.downloader(10);
        List<SwarmWorld.Node> bad = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            bad.add(world.bad(SwarmWorld.Nature.LIAR, 10));
        }
        bad.add(world.bad(SwarmWorld.Nature.SILENT, 10));
        bad.add(world.bad(SwarmWorld.Nature.FLOODER, 10));
        SwarmWorld.Node honest = world.seeder(2);
        node.start();
        bad.forEach(node::connect);
        node.connect(honest);
        assertTrue(world.runUntil(node::finished, 120 * SECOND), "seed " + seed);
        assertWhole(node, world);
        assertTrue(node.bans >= 3, "bans " + node.bans);
    }

    @ParameterizedTest
    @SeedSource(40)
    void survivesPeersThatComeAndGo(long seed) {
        SwarmWorld world = new SwarmWorld(seed, 8 * MIB + 1, PIECE).delays(5, 60);
        SwarmWorld.Node node = world.downloader(10);
        node.start();
        for (int i = 0; i < 10; i++) {
            SwarmWorld.Node peer = world.seeder(1);
            long comes = world.random.nextLong(3 * SECOND);
            world.at(comes, () -> node.connect(peer));
            if (i < 9) {
                world.at(comes + world.random.nextLong(50 * MILLI, 2 * SECOND), peer::goAway);
            }
        }
        assertTrue(world.runUntil(node::finished, 120 * SECOND), "seed " + seed);
        assertWhole(node, world);
        assertTrue(node.receivedBytes < 1.2 * world.shape.size(), "received " + node.receivedBytes);
    }

    @ParameterizedTest
    @SeedSource(40)
    void asksOnlyForWhatIsMissing(long seed) {
        SwarmWorld world = new SwarmWorld(seed, 8 * MIB - 5, PIECE);
        int pieces = world.shape.pieceCount();
        Bitfield verified = Bitfield.none(pieces);
        Bitfield wanted = Bitfield.none(pieces);
        for (int p = 0; p < pieces; p++) {
            verified = world.random.nextInt(3) == 0 ? verified.with(p) : verified;
            wanted = world.random.nextInt(4) != 0 ? wanted.with(p) : wanted;
        }
        SwarmWorld.Node node = world.downloader(10, verified);
        node.start(wanted, Download.Settings.DEFAULT);
        node.connect(world.seeder(20));
        node.connect(world.seeder(20));
        assertTrue(world.runUntil(node::finished, 60 * SECOND), "seed " + seed);
        assertEquals(wanted.or(verified), node.download.verified());
        long needed = world.shape.bytesOf(wanted.minus(verified));
        assertTrue(
                node.receivedBytes >= needed && node.receivedBytes <= 1.1 * needed + PIECE,
                "received " + node.receivedBytes + " of " + needed + ", seed " + seed);
        Bitfield asked = Bitfield.none(pieces);
        for (Download.Effect.Request request : node.requests) {
            asked = asked.withRange(
                    (int) (request.firstBlock() / world.shape.blocksPerPiece()),
                    (request.blockCount() + world.shape.blocksPerPiece() - 1) / world.shape.blocksPerPiece());
        }
        assertEquals(wanted.minus(verified), asked, "seed " + seed);
    }

    @ParameterizedTest
    @SeedSource(6)
    void coldNodesCostTheOriginLittleMoreThanOneCopy(long seed) {
        for (int nodes : new int[] {3, 6, 10}) {
            for (SourceClass sourceClass : List.of(SourceClass.ORIGIN, SourceClass.PEER)) {
                superSeeds(nodes, sourceClass, 16 * MIB + 3, seed);
            }
        }
    }

    @ParameterizedTest
    @SeedSource(1)
    void thirtyColdNodesCostTheOriginLittleMoreThanOneCopy(long seed) {
        superSeeds(30, SourceClass.ORIGIN, 24 * MIB, seed);
    }

    /** Not all begin at once, and not all lines are alike. */
    private static void superSeeds(int nodes, SourceClass sourceClass, long size, long seed) {
        SwarmWorld world = new SwarmWorld(seed, size, PIECE).delays(1, 30);
        SwarmWorld.Node origin = sourceClass == SourceClass.ORIGIN ? world.origin(10) : world.seeder(10);
        origin.superSeeding();
        List<SwarmWorld.Node> cold = new ArrayList<>();
        for (int i = 0; i < nodes; i++) {
            cold.add(world.downloader(world.random.nextDouble(5, 20)));
        }
        var begun = new ArrayList<SwarmWorld.Node>();
        for (SwarmWorld.Node node : cold) {
            world.at(world.random.nextLong(200 * MILLI), () -> {
                node.start();
                node.connect(origin);
                begun.forEach(node::connect);
                begun.add(node);
            });
        }
        assertTrue(
                world.runUntil(() -> cold.stream().allMatch(SwarmWorld.Node::finished), 120 * SECOND), "seed " + seed);
        long wasted = 0;
        long received = 0;
        for (SwarmWorld.Node node : cold) {
            assertWhole(node, world);
            wasted += node.download.totals().duplicate();
            received += node.receivedBytes;
        }
        assertTrue(wasted < 0.01 * received, "wasted " + wasted + " of " + received + ", seed " + seed);
        double copies = origin.sentBytes / (double) world.shape.size();
        assertTrue(copies <= 1.2, nodes + " nodes cost " + copies + " copies, seed " + seed);
    }

    @ParameterizedTest
    @SeedSource(40)
    void sparesTheOriginWherePeersHaveIt(long seed) {
        SwarmWorld world = new SwarmWorld(seed, 16 * MIB, PIECE);
        SwarmWorld.Node origin = world.origin(50);
        int pieces = world.shape.pieceCount();
        SwarmWorld.Node half = world.downloader(20, Bitfield.none(pieces).withRange(0, pieces / 2));
        SwarmWorld.Node node = world.downloader(10);
        node.start();
        node.connect(origin);
        node.connect(half);
        assertTrue(world.runUntil(node::finished, 60 * SECOND), "seed " + seed);
        assertWhole(node, world);
        assertTrue(origin.sentBytes < 0.55 * world.shape.size(), "origin sent " + origin.sentBytes + ", seed " + seed);
    }

    @Test
    void asksTheOriginWhenPeersAreTooSlow() {
        SwarmWorld world = new SwarmWorld(1, 16 * MIB, PIECE);
        SwarmWorld.Node origin = world.origin(10);
        SwarmWorld.Node slow = world.seeder(0.05);
        SwarmWorld.Node node = world.downloader(10);
        node.start();
        node.connect(origin);
        node.connect(slow);
        assertTrue(world.runUntil(node::finished, 60 * SECOND));
        assertTrue(node.doneNanos < 5 * SECOND, "took " + node.doneNanos / 1e9);
        assertTrue(node.receivedBytes < 1.03 * world.shape.size(), "received " + node.receivedBytes);
    }

    @Test
    void asksTheOriginWhenAPeerFallsSilent() {
        SwarmWorld world = new SwarmWorld(6, 32 * MIB, PIECE);
        SwarmWorld.Node origin = world.origin(20);
        SwarmWorld.Node dead = world.seeder(20);
        SwarmWorld.Node node = world.downloader(10);
        node.start();
        node.connect(origin);
        node.connect(dead);
        long dies = 800 * MILLI;
        world.at(dies, () -> dead.gone = true); // without a word: what tells of its end was lost
        assertTrue(world.runUntil(node::finished, 60 * SECOND));
        assertWhole(node, world);
        assertTrue(origin.sentBytes < 0.7 * world.shape.size(), "it was spared before: " + origin.sentBytes);
        assertTrue(node.doneNanos < dies + 4 * SECOND, "took " + (node.doneNanos - dies) / 1e9 + " s more");
    }

    @Test
    void sharesTheWorkByBandwidth() {
        SwarmWorld world = new SwarmWorld(2, 32 * MIB, PIECE);
        SwarmWorld.Node fast = world.seeder(16);
        SwarmWorld.Node slow = world.seeder(4);
        SwarmWorld.Node node = world.downloader(1);
        node.start();
        node.connect(fast);
        node.connect(slow);
        assertTrue(world.runUntil(node::finished, 60 * SECOND));
        assertTrue(node.doneNanos < 32 * MIB / 20e6 * SECOND / 0.85, "took " + node.doneNanos / 1e9);
        assertTrue(wasted(node) < 0.01, "wasted " + wasted(node));
    }

    @Test
    void waitsForSourcesAndSaysWhatIsMissingAtLast() {
        SwarmWorld world = new SwarmWorld(3, MIB, PIECE);
        SwarmWorld.Node half = world.downloader(10, Bitfield.none(16).withRange(0, 12));
        SwarmWorld.Node node = world.downloader(1);
        node.start(Bitfield.all(16), Download.Settings.DEFAULT.withGiveUpNanos(30 * SECOND));
        node.connect(half);
        assertTrue(world.runUntil(() -> node.failed != null, 60 * SECOND));
        assertTrue(node.doneNanos > 30 * SECOND, "gave up after " + node.doneNanos);
        assertTrue(node.needPeers >= 10, "called " + node.needPeers + " times");
        assertEquals("............####", node.failed.missing().picture());
        assertTrue(node.failed.cause().contains("4 of 16 pieces (12-15)"), node.failed.cause());
    }

    @Test
    void goesOnWhenASourceComesLate() {
        SwarmWorld world = new SwarmWorld(4, MIB, PIECE);
        SwarmWorld.Node node = world.downloader(1);
        SwarmWorld.Node late = world.seeder(10);
        node.start();
        world.at(25 * SECOND, () -> node.connect(late));
        assertTrue(world.runUntil(node::finished, 60 * SECOND));
        assertNotNull(node.finished);
        assertTrue(node.doneNanos < 26 * SECOND);
    }

    @Test
    void keepsItsLimits() {
        for (boolean perPeer : new boolean[] {false, true}) {
            SwarmWorld world = new SwarmWorld(5, 8 * MIB, PIECE);
            SwarmWorld.Node node = world.downloader(10);
            Download.Settings settings =
                    perPeer ? Download.Settings.DEFAULT.withBudget(64 << 20, 8, MIB) : Download.Settings.DEFAULT;
            node.start(
                    Bitfield.all(world.shape.pieceCount()),
                    settings,
                    perPeer ? RateLimit.none() : new RateLimit(2 * MIB, PIECE));
            node.connect(world.seeder(50));
            node.connect(world.seeder(50));
            assertTrue(world.runUntil(node::finished, 60 * SECOND));
            assertWhole(node, world);
            assertTrue(node.doneNanos > 3.6 * SECOND, "2 MiB/s would be kept; took " + node.doneNanos / 1e9);
            assertTrue(node.doneNanos < 4.6 * SECOND, "took " + node.doneNanos / 1e9);
        }
    }

    @Test
    void firstCopiesComeBackWhenTheirHolderLeaves() {
        FirstCopies copies = new FirstCopies(8);
        PeerKey one = new PeerKey(1);
        PeerKey two = new PeerKey(2);
        copies.give(one, 0, 4);
        assertTrue(copies.mayGive(one, 0, 4, 0));
        assertTrue(!copies.mayGive(two, 3, 2, Long.MAX_VALUE / 2)); // it is not even sent
        assertTrue(copies.mayGive(two, 4, 4, 0));
        assertEquals(List.of(new FirstCopies.Range(0, 4)), copies.placedWithOthers(two));
        assertEquals(List.of(), copies.placedWithOthers(one));
        copies.sent(one, 0, 4, 100);
        assertTrue(!copies.mayGive(two, 0, 1, 100 + FirstCopies.FIRST_COPY_PATIENCE_NANOS - 1));
        assertTrue(copies.mayGive(two, 0, 1, 100 + FirstCopies.FIRST_COPY_PATIENCE_NANOS));
        copies.give(two, 4, 4);
        assertTrue(copies.mayGive(two, 0, 1, 100 + FirstCopies.PATIENCE_NANOS)); // nothing is left that nobody has
        copies.takeBack(two, 4, 4);
        assertTrue(copies.mayGive(one, 4, 4, 0));
        copies.left(one);
        assertTrue(copies.mayGive(two, 0, 8, 0));
    }

    @ParameterizedTest
    @SeedSource(3)
    void hundredPeersWithChurnLossAndLiars(long seed) {
        Crowd.Outcome outcome = Crowd.run(seed, 100, 16 * MIB + 77, PIECE);
        System.out.println("100 peers, seed " + seed + ": " + outcome);
        assertTrue(outcome.whole(), "seed " + seed + ": " + outcome);
        assertTrue(outcome.duplicateShare() < 0.01, "seed " + seed + ": " + outcome);
        assertTrue(outcome.originCopies() <= 1.2, "seed " + seed + ": " + outcome);
        assertTrue(outcome.fairness() > 0.7, "seed " + seed + ": " + outcome);
    }

    /** What others say they have is not given again because the first holder left, and not soon in any case. */
    @Test
    void firstCopiesThatHaveSpreadAreNotGivenAgain() {
        FirstCopies copies = new FirstCopies(4);
        PeerKey one = new PeerKey(1);
        PeerKey two = new PeerKey(2);
        PeerKey three = new PeerKey(3);
        copies.give(one, 0, 4);
        copies.sent(one, 0, 4, 0);
        copies.has(two, 1, 2);
        copies.has(two, 1, 1);
        copies.left(one);
        assertTrue(copies.mayGive(three, 0, 1, 1), "nobody has it any more");
        assertTrue(!copies.mayGive(three, 1, 2, FirstCopies.SPREAD_PATIENCE_NANOS - 1));
        assertTrue(copies.mayGive(three, 1, 2, FirstCopies.SPREAD_PATIENCE_NANOS));
        copies.left(two);
        assertTrue(copies.mayGive(three, 1, 2, 1), "the last who had it is gone too");
    }
}
