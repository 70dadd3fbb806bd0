package shoal.verticles.pieces;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static shoal.verticles.pieces.Peer.await;

import io.vertx.core.Future;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.Local;

/** Whole transfers between endpoints on loopback, each with its own store. */
class PieceTransferTest {
    private static final int PIECE = 65_536;

    @TempDir
    Path directory;

    private final List<Peer> peers = new ArrayList<>();
    private final List<ScriptedSeeder> seeders = new ArrayList<>();

    @AfterEach
    void close() {
        peers.forEach(Peer::close);
        seeders.forEach(ScriptedSeeder::close);
    }

    @Test
    void aFileOfOddSizeTravelsAndTheStepsAreTold() throws IOException {
        byte[] bytes = random(3 * 1024 * 1024 + 17);
        Metainfo file = metainfo("shard-0.gguf", bytes);
        Peer.write(directory.resolve("seeds/shard-0.gguf"), bytes);
        Peer rendezvous = peer("rendezvous", Role.RENDEZVOUS, "store.seedDirectory=" + directory.resolve("seeds"));
        Peer node = peer("node", Role.NODE, List.of(rendezvous.endpoint.bound()));
        Local.FileFetched fetched = await(node.fetch(file.infoHash().hash(), "shard-0.gguf"));
        assertEquals(file.piecesRoot(), fetched.piecesRoot());
        assertEquals(directory.resolve("node/shards/shard-0.gguf").toRealPath(), fetched.path());
        assertArrayEquals(bytes, Files.readAllBytes(fetched.path()));
        assertEquals(
                Map.of(
                        Local.Source.LOCAL, 0L,
                        Local.Source.RENDEZVOUS, (long) bytes.length,
                        Local.Source.PEERS, 0L,
                        Local.Source.HTTP, 0L),
                fetched.bytesBySource());
        var steps = node.news.stream()
                .filter(Local.Step.class::isInstance)
                .map(step -> ((Local.Step) step).number())
                .toList();
        assertEquals(IntStream.rangeClosed(7, 15).boxed().toList(), steps);
        Local.FileFetched again = await(node.fetch(file.piecesRoot(), "shard-0.gguf"));
        assertEquals(Map.of(Local.Source.LOCAL, (long) bytes.length), again.bytesBySource());
    }

    @Test
    void somebodyWhoStillDownloadsServesWhatItHas() throws IOException {
        byte[] bytes = random(40 * PIECE + 1);
        Metainfo file = metainfo("shard-1.gguf", bytes);
        ScriptedSeeder slow = seeder(Role.RENDEZVOUS, file, bytes, 80);
        Peer second = peer("second", Role.NODE);
        Peer third = peer("third", Role.NODE);
        Future<Local.FileFetched> toSecond = second.fetch(file.piecesRoot(), "shard-1.gguf", slow.contact());
        second.awaitNews(Local.PiecesVerified.class, _ -> true);
        Future<Local.FileFetched> toThird = third.fetch(file.piecesRoot(), "shard-1.gguf", second.contact());
        for (int piece = 0; piece < 10; piece++) {
            third.awaitNews(Local.PiecesVerified.class, _ -> true);
        }
        assertFalse(toSecond.isComplete(), "the second cannot have all of it yet");
        slow.open();
        assertArrayEquals(bytes, Files.readAllBytes(await(toThird).path()));
        assertArrayEquals(bytes, Files.readAllBytes(await(toSecond).path()));
        assertEquals(bytes.length, await(toThird).bytesBySource().get(Local.Source.PEERS));
        assertEquals(bytes.length, await(toSecond).bytesBySource().get(Local.Source.RENDEZVOUS));
    }

    @Test
    void anInterruptedFetchGoesOnWhereItStopped() throws IOException {
        byte[] bytes = random(30 * PIECE + 4711);
        Metainfo file = metainfo("shard-2.gguf", bytes);
        ScriptedSeeder slow = seeder(Role.NODE, file, bytes, 44);
        Peer first = peer("node", Role.NODE);
        Future<Local.FileFetched> interrupted = first.fetch(file.infoHash().hash(), "shard-2.gguf", slow.contact());
        for (int piece = 0; piece < 5; piece++) {
            first.awaitNews(Local.PiecesVerified.class, _ -> true);
        }
        first.close();
        assertFalse(interrupted.succeeded());
        slow.open();
        Peer again = peer("node", Role.NODE);
        Local.FileFetched fetched = await(again.fetch(file.infoHash().hash(), "shard-2.gguf", slow.contact()));
        long local = fetched.bytesBySource().get(Local.Source.LOCAL);
        assertTrue(local >= 5L * PIECE, "only " + local + " bytes were kept");
        assertEquals(bytes.length - local, fetched.bytesBySource().get(Local.Source.PEERS));
        assertArrayEquals(bytes, Files.readAllBytes(fetched.path()));
    }

    @Test
    void whoSendsABadPieceIsDroppedAndTheFileComesFromAnother() throws Exception {
        byte[] bytes = random(20 * PIECE);
        Metainfo file = metainfo("shard-3.gguf", bytes);
        ScriptedSeeder liar = seeder(Role.NODE, file, new byte[bytes.length], Long.MAX_VALUE);
        ScriptedSeeder honest = seeder(Role.NODE, file, bytes, 8);
        Peer node = peer("node", Role.NODE);
        try (var log = new CapturedLog()) {
            Future<Local.FileFetched> fetching =
                    node.fetch(file.piecesRoot(), "shard-3.gguf", liar.contact(), honest.contact());
            assertTrue(liar.dropped.await(20, TimeUnit.SECONDS));
            assertFalse(fetching.isComplete());
            honest.open();
            assertArrayEquals(bytes, Files.readAllBytes(await(fetching).path()));
            log.awaitLine("\\[TORRENT\\] dropped node " + liar.contact().id().toShortHex()
                    + " at .*: piece \\d+ does not match its hash");
        }
    }

    @Test
    void aFileMovedIntoTheSeedDirectoryIsSeededWithoutARestartAndAReplacedOneIsNoticed() throws IOException {
        Path seeds = directory.resolve("seeds");
        Files.createDirectories(seeds);
        Peer rendezvous = peer("rendezvous", Role.RENDEZVOUS, "store.seedDirectory=" + seeds);
        Peer node = peer("node", Role.NODE, List.of(rendezvous.endpoint.bound()));
        byte[] one = random(5 * PIECE + 1);
        Peer.write(directory.resolve("elsewhere.gguf"), one);
        Files.move(directory.resolve("elsewhere.gguf"), seeds.resolve("shard-0.gguf"));
        Hash256 first = metainfo("shard-0.gguf", one).infoHash().hash();
        assertArrayEquals(
                one, Files.readAllBytes(await(node.fetch(first, "shard-0.gguf")).path()));

        byte[] two = random(6 * PIECE);
        Peer.write(seeds.resolve("shard-0.gguf"), two);
        Peer other = peer("other", Role.NODE, List.of(rendezvous.endpoint.bound()));
        Hash256 second = metainfo("shard-0.gguf", two).infoHash().hash();
        assertArrayEquals(
                two,
                Files.readAllBytes(await(other.fetch(second, "shard-0.gguf")).path()));

        Files.delete(seeds.resolve("shard-0.gguf"));
        awaitTrue(() -> rendezvous
                .store
                .find(metainfo("shard-0.gguf", two).piecesRoot())
                .isEmpty());
    }

    @Test
    void twoWhoAskForTheSameFileGetOneFetch() throws IOException {
        byte[] bytes = random(12 * PIECE + 5);
        Metainfo file = metainfo("model.gguf", bytes);
        Peer.write(directory.resolve("seeder/shards/model.gguf"), bytes);
        Peer seeder = peer("seeder", Role.NODE);
        Peer node = peer("node", Role.NODE);
        var byHash = node.fetch(file.infoHash().hash(), "model.gguf", seeder.contact());
        var byRoot = node.fetch(file.piecesRoot(), "model.gguf", seeder.contact());
        assertEquals(bytes.length, await(byHash).bytesBySource().get(Local.Source.PEERS));
        assertEquals(await(byHash), await(byRoot));
        assertEquals(
                1, node.news.stream().filter(Local.FileStored.class::isInstance).count());
    }

    @Test
    void theDhtIsToldAndAsked() throws IOException {
        byte[] bytes = random(2 * PIECE + 9);
        Metainfo file = metainfo("model.gguf", bytes);
        Peer.write(directory.resolve("seeder/shards/model.gguf"), bytes);
        var announced = new LinkedBlockingQueue<Hash256>();
        Peer seeder = peer("seeder", Role.NODE);
        seeder.bus.answerLocally(Addresses.ANNOUNCE, Local.Announce.class, announce -> {
            announced.add(announce.key());
            return Future.succeededFuture(1);
        });
        awaitTrue(() -> announced.contains(file.piecesRoot()));
        Peer node = peer("node", Role.NODE);
        node.bus.answerLocally(Addresses.FIND_PROVIDERS, Local.FindProviders.class, asked -> {
            var record = new ProviderRecord(asked.key(), seeder.contact(), new byte[0], 1, 2);
            return Future.succeededFuture(
                    new Local.ProvidersFound(List.of(seeder.endpoint.identity().sign(record))));
        });
        assertArrayEquals(
                bytes,
                Files.readAllBytes(
                        await(node.fetch(file.piecesRoot(), "model.gguf")).path()));
    }

    @Test
    void aNodeThatKnowsOnlyTheRendezvousFindsWhoHasTheFileByTheDht() throws IOException {
        byte[] bytes = random(9 * PIECE + 3);
        Metainfo file = metainfo("model.gguf", bytes);
        Peer rendezvous = peer("rendezvous", Role.RENDEZVOUS);
        rendezvous.joinDht(Role.RENDEZVOUS, List.of());
        Peer.write(directory.resolve("seeder/shards/model.gguf"), bytes);
        Peer seeder = peer("seeder", Role.NODE);
        seeder.joinDht(Role.NODE, List.of(rendezvous.endpoint.bound()));
        Peer node = peer("node", Role.NODE, List.of(rendezvous.endpoint.bound()));
        node.joinDht(Role.NODE, List.of(rendezvous.endpoint.bound()));
        Local.FileFetched fetched = await(node.fetch(file.piecesRoot(), "model.gguf"));
        assertArrayEquals(bytes, Files.readAllBytes(fetched.path()));
        assertEquals(bytes.length, fetched.bytesBySource().get(Local.Source.PEERS));
    }

    @Test
    void aPieceThatHasRottedOnTheSeedersDiskComesFromAnother() throws Exception {
        byte[] bytes = random(10 * PIECE);
        Metainfo file = metainfo("shard-0.gguf", bytes);
        Path rotting = directory.resolve("rotten/shards/shard-0.gguf");
        Peer.write(rotting, bytes);
        Peer rotten = peer("rotten", Role.NODE);
        FileTime before = Files.getLastModifiedTime(rotting);
        try (var channel = FileChannel.open(rotting, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(new byte[1]), 3 * PIECE + (bytes[3 * PIECE] == 0 ? 1 : 0));
        }
        Files.setLastModifiedTime(rotting, before); // as a failing disk does
        Peer.write(directory.resolve("sound/shards/shard-0.gguf"), bytes);
        Peer sound = peer("sound", Role.RENDEZVOUS);
        Peer node = peer("node", Role.NODE);
        Local.FileFetched fetched =
                await(node.fetch(file.piecesRoot(), "shard-0.gguf", rotten.contact(), sound.contact()));
        assertArrayEquals(bytes, Files.readAllBytes(fetched.path()));
        assertTrue(fetched.bytesBySource().get(Local.Source.RENDEZVOUS) >= PIECE);
    }

    @Test
    void theStartIsLoggedAsOperatorsKnowIt() {
        var hashes = new ArrayList<String>();
        for (int shard = 0; shard < 4; shard++) {
            byte[] bytes = random(PIECE + shard);
            String name = "shard-" + shard + ".gguf";
            Peer.write(directory.resolve("node/shards").resolve(name), bytes);
            hashes.add(name + " (hash: " + metainfo(name, bytes).infoHash() + ")");
        }
        try (var log = new CapturedLog()) {
            Peer node = peer("node", Role.NODE);
            node.bus.answerLocally(Addresses.ANNOUNCE, Local.Announce.class, _ -> Future.succeededFuture(1));
            List<String> lines = log.awaitLine(".*auto-propagation enabled");
            var expected = new ArrayList<String>();
            hashes.forEach(hash -> expected.add("[TORRENT] ✓ Seeding primary shard: " + hash));
            expected.add("[TORRENT] Primary shards (0-3): 4/4 seeded");
            expected.add("[TORRENT] Total files available for seeding: 4");
            expected.add("[TORRENT] Registering 4 torrent file(s) in DHT for auto-propagation...");
            hashes.forEach(hash -> expected.add("[TORRENT] ✓ Registered torrent file in DHT: " + hash));
            expected.add("[TORRENT] ✓ All torrent files registered in DHT - auto-propagation enabled");
            lines.removeIf(line -> !line.startsWith("[TORRENT]"));
            assertEquals(expected, lines);
        }
    }

    @Test
    void aFileThatNobodyHasFailsWithOneLine() {
        Peer empty = peer("empty", Role.RENDEZVOUS);
        Peer node = peer("node", Role.NODE, List.of(empty.endpoint.bound()), "torrent.stallSeconds=3");
        Hash256 unknown = Hash256.sha256("nobody".getBytes(StandardCharsets.UTF_8));
        var failure = assertThrows(CompletionException.class, () -> await(node.fetch(unknown, "shard-9.gguf")));
        String line = String.valueOf(failure.getCause().getMessage());
        assertTrue(line.startsWith("shard-9.gguf: nobody who was asked within 3 s gave its metadata"), line);
        assertTrue(line.contains("rendezvous " + empty.endpoint.nodeId().toShortHex()), line);
    }

    @Test
    void aFileWhoseOnlySourceLeavesFailsAndSaysWhatIsMissing() {
        byte[] bytes = random(40 * PIECE);
        Metainfo file = metainfo("shard-4.gguf", bytes);
        ScriptedSeeder slow = seeder(Role.NODE, file, bytes, 8);
        Peer node = peer("node", Role.NODE, "torrent.stallSeconds=1");
        var fetch = node.fetch(file.piecesRoot(), "shard-4.gguf", slow.contact());
        node.awaitNews(Local.PiecesVerified.class, _ -> true);
        slow.close();
        var failure = assertThrows(CompletionException.class, () -> await(fetch));
        String line = String.valueOf(failure.getCause().getMessage());
        assertTrue(line.startsWith("shard-4.gguf: "), line);
        assertTrue(line.matches(".*\\d+ of 40 pieces.*" + slow.contact().id().toShortHex() + ".*"), line);
    }

    @Test
    void aFileAskedForByContentGetsTheNameThatItWasAskedForUnder() throws IOException {
        byte[] bytes = random(3 * PIECE);
        Metainfo file = metainfo("shard-0.gguf", bytes);
        Peer.write(directory.resolve("seeder/shards/shard-0.gguf"), bytes);
        Peer seeder = peer("seeder", Role.NODE);
        Peer node = peer("node", Role.NODE);
        Local.FileFetched fetched = await(node.fetch(file.piecesRoot(), "mine.gguf", seeder.contact()));
        assertEquals("mine.gguf", fetched.path().getFileName().toString());
    }

    /** @param blocksAllowed how many it sends before it is opened */
    private ScriptedSeeder seeder(Role role, Metainfo file, byte[] bytes, long blocksAllowed) {
        var seeder = new ScriptedSeeder(role, file, bytes, blocksAllowed);
        seeders.add(seeder);
        return seeder;
    }

    private static void awaitTrue(BooleanSupplier condition) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < end, "it did not come true in 20 s");
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
        }
    }

    private Peer peer(String name, Role role, String... settings) {
        return peer(name, role, List.of(), settings);
    }

    private Peer peer(String name, Role role, List<Endpoint> origins, String... settings) {
        var peer = new Peer(directory.resolve(name), role, origins, settings);
        peers.add(peer);
        return peer;
    }

    private static byte[] random(int size) {
        byte[] bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        return bytes;
    }

    private static Metainfo metainfo(String name, byte[] bytes) {
        var tree = new MerkleTree(Pieces.of(bytes.length));
        tree.add(ByteBuffer.wrap(bytes), BlockHasher.plain());
        return Metainfo.of(name, tree.finish());
    }
}
