package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Endpoint;
import shoal.codec.metainfo.Metainfo;
import shoal.verticles.client.Blocking;
import shoal.verticles.pieceserver.PieceServerVerticle;

/** The commands that move files, as a user calls them. */
class TransferCommandsTest {
    @TempDir
    Path directory;

    private final PrintStream outBefore = System.out;
    private final PrintStream errBefore = System.err;
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @BeforeEach
    void capture() {
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void release() {
        System.setOut(outBefore);
        System.setErr(errBefore);
    }

    /** Hashes by libtorrent 2.0.8, for byte i = (i * 131 + (i >> 9)) & 255; the piece length there is 64 KiB. */
    @Test
    void torrentGivesTheHashesThatLibtorrentGives() throws IOException {
        byte[] bytes = new byte[196_609];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (i * 131 + (i >> 9));
        }
        Path file = Files.write(directory.resolve("model-196609.gguf"), bytes);
        assertEquals(0, Main.run(new String[] {"torrent", file.toString()}));
        assertTrue(printed().contains("84be5a25763c177a66ce94c96b6e0dd42208f87b220ac1997bcb9bc531452db1"), printed());
        assertTrue(printed().contains("03b3cd8977b2b72ba5d54e16713dbd418857686ba2a8e928e93386619aa8f171"), printed());
        assertTrue(
                printed()
                        .contains(
                                "magnet:?xt=urn:btmh:122084be5a25763c177a66ce94c96b6e0dd42208f87b220ac1997bcb9bc531452db1&dn=model-196609.gguf"),
                printed());
        Metainfo written = Metainfo.parse(Files.readAllBytes(directory.resolve("model-196609.gguf.torrent")));
        assertEquals(
                "84be5a25763c177a66ce94c96b6e0dd42208f87b220ac1997bcb9bc531452db1",
                written.infoHash().toHex());
    }

    @Test
    void torrentOfWhatIsNoFileIsRefusedInOneLine() throws IOException {
        refused(
                "missing.gguf does not exist.",
                "torrent",
                directory.resolve("missing.gguf").toString());
        refused(" is no file.", "torrent", directory.toString());
        refused(
                " is empty;",
                "torrent",
                Files.createFile(directory.resolve("empty")).toString());
        assertFalse(Files.exists(directory.resolve("empty.torrent")));
    }

    @Test
    void fetchTakesANameAnInfoHashAndAMagnetLink() throws Exception {
        byte[] bytes = new byte[200_001];
        new Random(3).nextBytes(bytes);
        System.arraycopy("GGUF".getBytes(StandardCharsets.US_ASCII), 0, bytes, 0, 4);
        Path file = Files.write(directory.resolve("shard-0.gguf"), bytes);
        Path elsewhere = Files.createDirectory(directory.resolve("elsewhere"));
        Files.write(elsewhere.resolve("another name.gguf"), bytes);
        try (CommandPeer seeder =
                CommandPeer.open(directory.resolve("store"), new Endpoint("127.0.0.1", 0), null, List.of())) {
            Metainfo metainfo = seeder.store.adopt(file).metainfo();
            Blocking.await(seeder.vertx.deployVerticle(
                    new PieceServerVerticle(seeder.endpoint, seeder.store, seeder.bus, seeder.profile)));
            String address = seeder.endpoint.bound().toString();
            String magnet = metainfo.magnetLink() + "&x.pe=" + address;
            fetched(bytes, "a", 0, "fetch", "shard-0.gguf", "--from", address);
            fetched(bytes, "b", 0, "fetch", metainfo.infoHash().toHex(), "--from", address);
            fetched(bytes, "c", 0, "fetch", metainfo.piecesRoot().toHex().toUpperCase(), "--from", address);
            fetched(bytes, "d", 0, "fetch", magnet);
            fetched(bytes, "d", bytes.length, "fetch", magnet);
            String infoHash = metainfo.infoHash().toHex();
            fetched(bytes, "h", bytes.length, "fetch", infoHash, "--from", address, "--look-in", elsewhere.toString());
            assertTrue(Files.exists(directory.resolve("h/shard-0.gguf")), "it has the name that it was asked for");
            refused(
                    "nobody who was asked has a file named 'other.gguf'. There are [shard-0.gguf].",
                    "fetch",
                    "other.gguf",
                    "--from",
                    address,
                    "--out",
                    directory.resolve("e").toString());
            Files.write(Files.createDirectory(directory.resolve("f")).resolve("shard-0.gguf"), new byte[5]);
            refused(
                    " exists with other content",
                    "fetch",
                    "shard-0.gguf",
                    "--from",
                    address,
                    "--out",
                    directory.resolve("f").toString());
        }
        refused("Pass --from HOST:PORT.", "fetch", "shard-0.gguf");
        refused("is no address", "fetch", "shard-0.gguf", "--from", "nowhere");
        refused(
                "--stall-seconds: torrent.stallSeconds is 0, allowed is a whole number 1..86400.",
                "fetch",
                "shard-0.gguf",
                "--from",
                "127.0.0.1:1",
                "--stall-seconds",
                "0",
                "--out",
                directory.resolve("g").toString());
        refused("--rate: upload.bytesPerSecond is -1", "seed", file.toString(), "--rate", "-1");
        refused(
                "shard-0.gguf exists already, and is not what is needed there.",
                "fetch",
                "shard-0.gguf",
                "--from",
                "127.0.0.1:1",
                "--out",
                file.toString());
        refused("does not exist.", "seed", directory.resolve("missing.gguf").toString());
    }

    private void fetched(byte[] bytes, String to, long local, String... arguments) throws IOException {
        out.reset();
        var all = new java.util.ArrayList<>(List.of(arguments));
        all.addAll(List.of("--json", "--out", directory.resolve(to).toString()));
        assertEquals(0, Main.run(all.toArray(String[]::new)), err.toString(StandardCharsets.UTF_8));
        String last = printed().lines().toList().getLast();
        String expected = "{\"bytes\":{\"rendezvous\":0,\"peers\":" + (bytes.length - local) + ",\"http\":0,\"local\":"
                + local + "},\"seconds\":";
        assertTrue(last.startsWith(expected), last);
        List<Path> found;
        try (var files = Files.list(directory.resolve(to))) {
            found = files.filter(path -> !path.endsWith(".shoal")).toList();
        }
        assertEquals(1, found.size(), found.toString());
        assertArrayEquals(bytes, Files.readAllBytes(found.getFirst()));
    }

    private void refused(String text, String... arguments) {
        err.reset();
        assertTrue(Main.run(arguments) > 0);
        String said = err.toString(StandardCharsets.UTF_8);
        List<String> lines =
                said.lines().filter(line -> line.startsWith("shoal: ")).toList();
        assertEquals(1, lines.size(), said);
        assertTrue(lines.getFirst().contains(text), said);
    }

    private String printed() {
        return out.toString(StandardCharsets.UTF_8);
    }
}
