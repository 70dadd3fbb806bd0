package shoal.verticles.pieces;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static shoal.verticles.pieces.Peer.await;

import io.vertx.core.Future;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import shoal.codec.base.Endpoint;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Local;
import shoal.verticles.path.UdpPath;

/** What a network, a disk and other people do: transfers by real QUIC that have to survive it. */
class FaultsTest {
    private static final int PIECE = 65_536;
    private static final int MIB = 1 << 20;

    @TempDir
    Path directory;

    private final List<AutoCloseable> opened = new ArrayList<>();

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable one : opened.reversed()) {
            one.close();
        }
    }

    @ParameterizedTest
    @EnumSource
    void aBadSeederHoldsNobodyUp(BadSeeder.Fault fault) throws Exception {
        byte[] bytes = random(24 * PIECE + 5);
        Metainfo file = metainfo("shard-0.gguf", bytes);
        BadSeeder bad = open(new BadSeeder(fault, file, bytes));
        Peer.write(directory.resolve("honest/shards/shard-0.gguf"), bytes);
        Peer honest = peer("honest", Role.NODE, List.of());
        Peer node = peer("node", Role.NODE, List.of());
        Future<Local.FileFetched> fetching = node.fetch(file.piecesRoot(), "shard-0.gguf", bad.contact());
        assertTrue(bad.asked.await(20, TimeUnit.SECONDS));
        if (fault == BadSeeder.Fault.CORRUPT || fault == BadSeeder.Fault.ENDLESS) {
            assertTrue(bad.dropped.await(20, TimeUnit.SECONDS), "it is still listened to");
        }
        assertFalse(fetching.isComplete());
        node.hint(honest.contact());
        Local.FileFetched fetched = await(fetching);
        assertArrayEquals(bytes, Files.readAllBytes(fetched.path()));
    }

    /** Round trips of 100 ms, and one datagram in twenty lost each way. */
    @Test
    void aFileComesOverAPathThatLosesAndDelays() throws IOException {
        byte[] bytes = random(10 * PIECE + 77);
        Metainfo file = metainfo("shard-0.gguf", bytes);
        Peer.write(directory.resolve("seeds/shard-0.gguf"), bytes);
        Peer seeder = peer("seeder", Role.RENDEZVOUS, List.of(), "store.seedDirectory=" + directory.resolve("seeds"));
        UdpPath path = open(new UdpPath(seeder.endpoint.bound(), UdpPath.Conditions.of(0.05, 50), 11));
        Peer node = peer("node", Role.NODE, List.of(path.entrance()));
        Local.FileFetched fetched = await(node.fetch(file.piecesRoot(), "shard-0.gguf"));
        assertArrayEquals(bytes, Files.readAllBytes(fetched.path()));
        assertTrue(path.lostDatagrams() > 0, "nothing was lost");
        assertTrue(path.passedBytes() > bytes.length);
    }

    /** All bytes that leave the origin pass the path, and so do all questions. */
    @Test
    void sixColdNodesCostTheOriginLittleMoreThanOneCopy() throws IOException {
        byte[] bytes = random(12 * MIB + 3);
        Metainfo file = metainfo("shard-0.gguf", bytes);
        Peer.write(directory.resolve("seeds/shard-0.gguf"), bytes);
        Peer origin = peer("origin", Role.RENDEZVOUS, List.of(), "store.seedDirectory=" + directory.resolve("seeds"));
        UdpPath path =
                open(new UdpPath(origin.endpoint.bound(), new UdpPath.Conditions(0, 5 * 1_000_000, 8 * MIB, MIB), 3));
        var nodes = new ArrayList<Peer>();
        for (int i = 0; i < 6; i++) {
            nodes.add(peer("node" + i, Role.NODE, List.of(path.entrance())));
        }
        var fetching = nodes.stream()
                .map(node -> node.fetch(file.piecesRoot(), "shard-0.gguf"))
                .toList();
        for (Future<Local.FileFetched> one : fetching) {
            assertArrayEquals(bytes, Files.readAllBytes(await(one).path()));
        }
        double copies = path.passedBytes() / (double) bytes.length;
        assertTrue(copies <= 1.2, "six nodes cost " + copies + " copies");
    }

    @Test
    void tenFetchWhileOneOfThemLeavesEverySecond() throws Exception {
        byte[] bytes = random(8 * MIB + 1);
        Metainfo file = metainfo("shard-0.gguf", bytes);
        Peer.write(directory.resolve("seeds/shard-0.gguf"), bytes);
        Peer origin = peer("origin", Role.RENDEZVOUS, List.of(), "store.seedDirectory=" + directory.resolve("seeds"));
        UdpPath path =
                open(new UdpPath(origin.endpoint.bound(), new UdpPath.Conditions(0, 1_000_000, 2 * MIB, MIB), 3));
        var nodes = new ArrayList<Peer>();
        for (int i = 0; i < 10; i++) {
            nodes.add(peer("node" + i, Role.NODE, List.of(path.entrance())));
        }
        var fetching = nodes.stream()
                .map(node -> node.fetch(file.piecesRoot(), "shard-0.gguf"))
                .toList();
        nodes.getLast().awaitNews(Local.PiecesVerified.class, _ -> true);
        var leaving = new ArrayList<>(nodes.subList(0, 4));
        try (ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor()) {
            clock.scheduleAtFixedRate(
                    () -> {
                        if (leaving.isEmpty()) {
                            clock.shutdown();
                        } else {
                            leaving.removeLast().close();
                        }
                    },
                    0,
                    1,
                    TimeUnit.SECONDS);
            for (Future<Local.FileFetched> one : fetching.subList(4, 10)) {
                assertArrayEquals(bytes, Files.readAllBytes(await(one).path()));
            }
        }
    }

    @Test
    void aFullDiskFailsTheFetchWithItsReasonAndKeepsTheProcess() throws Exception {
        Path disk = Files.createDirectories(directory.resolve("small"));
        assumeTrue(run("mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk.toString()), "no tmpfs can be mounted");
        try {
            byte[] bytes = random(4 * MIB);
            Metainfo file = metainfo("shard-0.gguf", bytes);
            ScriptedSeeder seeder = open(new ScriptedSeeder(Role.NODE, file, bytes, 16));
            Peer node = peer("small", Role.NODE, List.of());
            var fetch = node.fetch(file.piecesRoot(), "shard-0.gguf", seeder.contact());
            node.awaitNews(Local.PiecesVerified.class, _ -> true);
            byte[] filling = random(MIB / 8);
            int written = 0;
            try {
                for (; written < 64; written++) {
                    Files.write(disk.resolve("filling" + written), filling);
                }
            } catch (IOException full) {
                // as it should be
            }
            assertTrue(written < 64);
            seeder.open();
            String line = String.valueOf(assertThrows(CompletionException.class, () -> await(fetch))
                    .getCause()
                    .getMessage());
            assertTrue(line.startsWith("shard-0.gguf: "), line);
            assertTrue(line.toLowerCase(java.util.Locale.ROOT).matches(".*(space|full|free).*"), line);
            for (int i = 0; i <= written; i++) {
                Files.deleteIfExists(disk.resolve("filling" + i));
            }
            Local.FileFetched fetched = await(node.fetch(file.piecesRoot(), "shard-0.gguf", seeder.contact()));
            assertArrayEquals(bytes, Files.readAllBytes(fetched.path()));
        } finally {
            close();
            opened.clear();
            run("umount", "-l", disk.toString());
        }
    }

    @Test
    void aFileChangedUnderTheSeederIsNotServedAndComesFromAnother() throws Exception {
        byte[] bytes = random(20 * PIECE);
        Metainfo file = metainfo("shard-0.gguf", bytes);
        Peer.write(directory.resolve("one/shards/shard-0.gguf"), bytes);
        Peer.write(directory.resolve("two/shards/shard-0.gguf"), bytes);
        Peer one = peer("one", Role.NODE, List.of());
        byte[] other = bytes.clone();
        for (int at = 0; at < other.length; at += PIECE) {
            other[at] ^= 1;
        }
        Files.write(directory.resolve("one/shards/shard-0.gguf"), other);
        Peer node = peer("node", Role.NODE, List.of());
        var fetching = node.fetch(file.piecesRoot(), "shard-0.gguf", one.contact());
        Peer two = peer("two", Role.NODE, List.of());
        node.hint(two.contact());
        Local.FileFetched fetched = await(fetching);
        assertArrayEquals(bytes, Files.readAllBytes(fetched.path()));
        assertEquals(bytes.length, fetched.bytesBySource().get(Local.Source.PEERS));
    }

    private static boolean run(String... command) throws Exception {
        try {
            Process process =
                    new ProcessBuilder(command).redirectErrorStream(true).start();
            process.getInputStream().readAllBytes();
            return process.waitFor() == 0;
        } catch (IOException noSuchCommand) {
            return false;
        }
    }

    private <T extends AutoCloseable> T open(T one) {
        opened.add(one);
        return one;
    }

    private Peer peer(String name, Role role, List<Endpoint> origins, String... settings) {
        return open(new Peer(directory.resolve(name), role, origins, settings));
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
