package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.SimpleFileServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Endpoint;
import shoal.codec.metainfo.Metainfo;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.Local;
import shoal.verticles.client.Blocking;
import shoal.verticles.fileserver.FileServerVerticle;
import shoal.verticles.identity.Identity;
import shoal.verticles.pieceserver.PieceServerVerticle;
import shoal.verticles.push.PushVerticle;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Fetching from web servers and from this machine, pushing, and looking into a store, as a user does it. */
class SwarmCommandsTest {
    @TempDir
    Path directory;

    private final PrintStream outBefore = System.out;
    private final PrintStream errBefore = System.err;
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();
    private final byte[] bytes = new byte[700_001];
    private Path file;
    private Metainfo metainfo;

    @BeforeEach
    void capture() throws IOException {
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        new Random(11).nextBytes(bytes);
        System.arraycopy("GGUF".getBytes(StandardCharsets.US_ASCII), 0, bytes, 0, 4);
        file = Files.write(Files.createDirectory(directory.resolve("www")).resolve("model.gguf"), bytes);
        metainfo = TorrentCommand.hash(file);
    }

    @AfterEach
    void release() {
        System.setOut(outBefore);
        System.setErr(errBefore);
    }

    private CommandPeer seeder(String... settings) throws IOException {
        CommandPeer peer =
                CommandPeer.open(directory.resolve("seeder"), new Endpoint("127.0.0.1", 0), null, List.of(settings));
        peer.store.adopt(file);
        Blocking.await(
                peer.vertx.deployVerticle(new PieceServerVerticle(peer.endpoint, peer.store, peer.bus, peer.profile)));
        return peer;
    }

    private static FileServerVerticle httpServer(CommandPeer peer) {
        return new FileServerVerticle(peer.store, peer.bus, peer.profile.upload(), "127.0.0.1", 0);
    }

    private JsonNode run(String... arguments) {
        out.reset();
        err.reset();
        assertEquals(0, Main.run(arguments), () -> err.toString(StandardCharsets.UTF_8));
        return JsonMapper.shared()
                .readTree(out.toString(StandardCharsets.UTF_8).lines().toList().getLast());
    }

    private JsonNode fetch(String to, String... arguments) {
        var all = new ArrayList<>(List.of("fetch"));
        all.addAll(List.of(arguments));
        all.addAll(List.of("--json", "--out", directory.resolve(to).toString()));
        return run(all.toArray(String[]::new));
    }

    private void refused(String text, String... arguments) {
        err.reset();
        assertTrue(Main.run(arguments) > 0);
        List<String> lines = err.toString(StandardCharsets.UTF_8)
                .lines()
                .filter(line -> line.startsWith("shoal: "))
                .toList();
        assertEquals(1, lines.size(), () -> err.toString(StandardCharsets.UTF_8));
        assertTrue(lines.getFirst().contains(text), lines.getFirst());
    }

    private static long bytes(JsonNode fetched, String source) {
        return fetched.path("bytes").path(source).asLong();
    }

    @Test
    void aNodesHttpServerIsASourceByItself() throws Exception {
        try (CommandPeer seeder = seeder()) {
            var server = httpServer(seeder);
            Blocking.await(seeder.vertx.deployVerticle(server));
            String folder = "http://127.0.0.1:" + server.port() + "/files/";
            String hash = metainfo.infoHash().toHex();
            JsonNode fetched = fetch("a", hash, "--web-seed", folder + "model.gguf");
            assertEquals(bytes.length, bytes(fetched, "http"));
            assertArrayEquals(bytes, Files.readAllBytes(directory.resolve("a/model.gguf")));

            run(
                    "torrent",
                    file.toString(),
                    "--out",
                    directory.resolve("m.torrent").toString(),
                    "--json");
            JsonNode mixed = fetch(
                    "b",
                    "model.gguf",
                    "--web-seed",
                    folder,
                    "--torrent",
                    directory.resolve("m.torrent").toString());
            assertEquals(bytes.length, bytes(mixed, "http"));

            JsonNode both = fetch(
                    "c",
                    hash,
                    "--web-seed",
                    folder,
                    "--from",
                    seeder.endpoint.bound().toString());
            assertEquals(bytes.length, bytes(both, "http") + bytes(both, "peers"));
            assertEquals(bytes.length, bytes(both, "peers"), "peers come before web servers");
            assertArrayEquals(bytes, Files.readAllBytes(directory.resolve("c/model.gguf")));
        }
    }

    /** Two at once and the pieces' way share one limit; a lower bound of time can't fail by a slow machine. */
    @Test
    void httpKeepsTheLimitsOfUploads() throws Exception {
        int rate = 1_000_000;
        try (CommandPeer seeder = seeder("upload.bytesPerSecond=" + rate);
                HttpClient client = HttpClient.newHttpClient()) {
            FileServerVerticle server = httpServer(seeder);
            Blocking.await(seeder.vertx.deployVerticle(server));
            URI address = URI.create("http://127.0.0.1:" + server.port() + "/files/model.gguf");
            HttpRequest whole = HttpRequest.newBuilder(address).build();
            HttpRequest part = HttpRequest.newBuilder(address)
                    .header("Range", "bytes=100001-500000")
                    .build();
            long begun = System.nanoTime();
            var one = client.sendAsync(whole, HttpResponse.BodyHandlers.ofByteArray());
            var other = client.sendAsync(part, HttpResponse.BodyHandlers.ofByteArray());
            assertArrayEquals(bytes, one.get(60, TimeUnit.SECONDS).body());
            assertArrayEquals(
                    Arrays.copyOfRange(bytes, 100_001, 500_001),
                    other.get(60, TimeUnit.SECONDS).body());
            double seconds = (System.nanoTime() - begun) / 1e9;
            double least = (bytes.length + 400_000 - 2 * 262_144) / (double) rate; // a burst, and the last part
            assertTrue(seconds >= least, seconds + " s, the limit allows no less than " + least);
        }
    }

    @Test
    void wrongBytesFromAWebServerAreNotKept() throws Exception {
        byte[] wrong = bytes.clone();
        wrong[300_000] ^= 1;
        try (CommandPeer seeder = seeder();
                Nginx nginx = Nginx.start(directory, "model.gguf", wrong)) {
            JsonNode fetched = fetch(
                    "a",
                    metainfo.infoHash().toHex(),
                    "--web-seed",
                    nginx.address + "model.gguf",
                    "--stall-seconds",
                    "1",
                    "--torrent",
                    torrent());
            assertEquals(bytes.length, bytes(fetched, "http"));
        } catch (AssertionError stalls) {
            assertTrue(
                    stalls.getMessage().contains("does not match its hash")
                            || stalls.getMessage().contains("is kept; start it again"),
                    stalls.getMessage());
            assertFalse(Files.exists(directory.resolve("a/model.gguf")));
            return;
        }
        throw new AssertionError("a file with a wrong byte was taken");
    }

    @Test
    void aSeededFileThatChangesIsSeededUnderItsNewHashAndADeletedOneNoMore() throws Exception {
        try (CommandPeer peer =
                CommandPeer.open(directory.resolve("seeder"), new Endpoint("127.0.0.1", 0), null, List.of())) {
            peer.store.adopt(file);
            var told = new LinkedBlockingQueue<Object>();
            peer.bus.listen(Addresses.FILE_SEEDED, Local.FileStored.class, told::add);
            peer.bus.listen(Addresses.WITHDRAW, Local.Withdraw.class, told::add);
            Blocking.await(peer.vertx.deployVerticle(
                    new PieceServerVerticle(peer.endpoint, peer.store, peer.bus, peer.profile, List.of(file))));
            String address = peer.endpoint.bound().toString();
            byte[] other = Arrays.copyOf(bytes, 300_000);
            other[7] ^= 1;
            Path written = Files.write(directory.resolve("written"), other);
            Files.move(written, file, StandardCopyOption.REPLACE_EXISTING);
            Metainfo now = TorrentCommand.hash(file);
            assertEquals(new Local.Withdraw(metainfo.piecesRoot()), told.poll(20, TimeUnit.SECONDS));
            assertEquals(
                    new Local.FileStored(now.piecesRoot(), now.infoHash().hash(), "model.gguf", other.length),
                    told.poll(20, TimeUnit.SECONDS));
            JsonNode fetched = fetch("a", now.infoHash().toHex(), "--from", address);
            assertEquals(other.length, bytes(fetched, "peers"));
            assertArrayEquals(other, Files.readAllBytes(directory.resolve("a/model.gguf")));
            refused(
                    "nobody who was asked",
                    "fetch",
                    metainfo.infoHash().toHex(),
                    "--from",
                    address,
                    "--stall-seconds",
                    "1",
                    "--out",
                    directory.resolve("b").toString());
            Files.delete(file);
            assertEquals(new Local.Withdraw(now.piecesRoot()), told.poll(20, TimeUnit.SECONDS));
        }
    }

    private String torrent() {
        String path = directory.resolve("m.torrent").toString();
        run("torrent", file.toString(), "--out", path, "--json");
        return path;
    }

    @Test
    void anyWebServerWillDo() throws Exception {
        try (Nginx nginx = Nginx.start(directory, "model.gguf", bytes)) {
            JsonNode seed =
                    fetch("a", metainfo.infoHash().toHex(), "--web-seed", nginx.address, "--torrent", torrent());
            assertEquals(bytes.length, bytes(seed, "http"));
            JsonNode bare = fetch("b", nginx.address + "model.gguf");
            assertEquals(bytes.length, bytes(bare, "http"));
            assertEquals(-1, Files.mismatch(file, Path.of(bare.path("path").asString())));
            refused(
                    "answers 404",
                    "fetch",
                    nginx.address + "other.gguf",
                    "--out",
                    directory.resolve("c").toString());
        }
    }

    @Test
    void aServerWithoutRangesIsFetchedFromButNotMixedIn() throws Exception {
        HttpServer plain = SimpleFileServer.createFileServer(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                file.getParent().toRealPath(),
                SimpleFileServer.OutputLevel.NONE);
        plain.start();
        try {
            String address = "http://127.0.0.1:" + plain.getAddress().getPort() + "/model.gguf";
            JsonNode bare = fetch("a", address);
            assertEquals(bytes.length, bytes(bare, "http"));
            JsonNode slow = fetch("slow", address, "--rate", "1000000");
            assertTrue(slow.path("seconds").asDouble() >= bytes.length / 1e6, slow.toString());
            refused(
                    "only a server that gives ranges can be used",
                    "fetch",
                    metainfo.infoHash().toHex(),
                    "--torrent",
                    torrent(),
                    "--web-seed",
                    address,
                    "--stall-seconds",
                    "1",
                    "--out",
                    directory.resolve("b").toString());
        } finally {
            plain.stop(0);
        }
    }

    @Test
    void anInterruptedAddressGoesOnWhereItStopped() throws Exception {
        HttpServer breaking = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        var ranges = new ArrayList<String>();
        breaking.createContext("/", exchange -> halfAtATime(exchange, ranges));
        breaking.start();
        try {
            JsonNode fetched =
                    fetch("a", "http://127.0.0.1:" + breaking.getAddress().getPort() + "/dir/model.gguf?x=1");
            assertArrayEquals(bytes, Files.readAllBytes(directory.resolve("a/model.gguf")));
            assertTrue(bytes(fetched, "http") <= bytes.length + 1, fetched.toString());
            assertTrue(ranges.size() > 3, ranges.toString());
        } finally {
            breaking.stop(0);
        }
    }

    /** Sends half of what is left of the file and then breaks the connection, until little is left. */
    private void halfAtATime(HttpExchange exchange, List<String> ranges) throws IOException {
        String range = exchange.getRequestHeaders().getFirst("Range");
        ranges.add(String.valueOf(range));
        int from = range == null ? 0 : Integer.parseInt(range.substring(6, range.length() - 1));
        exchange.getResponseHeaders().set("ETag", "\"v1\"");
        if (range != null) {
            assertEquals("\"v1\"", exchange.getRequestHeaders().getFirst("If-Range"));
            exchange.getResponseHeaders()
                    .set("Content-Range", "bytes " + from + "-" + (bytes.length - 1) + "/" + bytes.length);
        }
        exchange.sendResponseHeaders(range == null ? 200 : 206, bytes.length - from);
        int count = bytes.length - from < 50_000 ? bytes.length - from : (bytes.length - from) / 2;
        exchange.getResponseBody().write(bytes, from, count);
        exchange.getResponseBody().flush();
        exchange.close();
    }

    @Test
    void whatIsHereNeedsNobody() throws Exception {
        String hash = metainfo.infoHash().toHex();
        JsonNode fetched = fetch("a", hash, "--look-in", file.getParent().toString());
        assertEquals(bytes.length, bytes(fetched, "local"));
        Path linked = directory.resolve("a/model.gguf");
        assertArrayEquals(bytes, Files.readAllBytes(linked));
        assertTrue(Files.isSameFile(file, linked), "it is linked, not copied");
    }

    @Test
    void onlySomeLayersAreFetched() throws Exception {
        try (InputStream in = SwarmCommandsTest.class.getResourceAsStream("/models/stories-q8_0.gguf")) {
            Files.write(file, in.readAllBytes());
        }
        try (CommandPeer seeder = seeder()) {
            String address = seeder.endpoint.bound().toString();
            JsonNode fetched = fetch("a", "model.gguf", "--from", address, "--layers", "2-3");
            Path sparse = Path.of(fetched.path("path").asString());
            assertEquals(Files.size(file), Files.size(sparse));
            assertTrue(bytes(fetched, "peers") < Files.size(file) / 2, fetched.toString());
            JsonNode rest = fetch("a", "model.gguf", "--from", address);
            assertEquals(Files.size(file), bytes(rest, "peers") + bytes(fetched, "peers"));
            assertEquals(-1, Files.mismatch(file, directory.resolve("a/model.gguf")));
            refused(
                    "layers 7-9 are asked for, the model has 0-7",
                    "fetch",
                    "model.gguf",
                    "--from",
                    address,
                    "--layers",
                    "7-9",
                    "--out",
                    directory.resolve("b").toString());
            refused("'x' is no layer range", "fetch", "model.gguf", "--from", address, "--layers", "x");
        }
    }

    @Test
    void aPushIsAllowedByKeyResumedAndRenamed() throws Exception {
        Path key = directory.resolve("me/identity.pem");
        out.reset();
        assertEquals(0, Main.run(new String[] {"push", "--identity", key.toString(), "--show-key"}));
        String id = out.toString(StandardCharsets.UTF_8).strip();
        assertEquals(Identity.loadOrCreate(key).nodeId().toHex(), id);
        Path seeds = directory.resolve("seeds");
        Path shard = Files.write(directory.resolve("shard-v2-3.gguf"), bytes);
        Path second = Files.write(directory.resolve("other.gguf"), Arrays.copyOf(bytes, 70_000));
        try (CommandPeer rendezvous = CommandPeer.open(
                directory.resolve("rendezvous"),
                new Endpoint("127.0.0.1", 0),
                null,
                List.of("store.seedDirectory=" + seeds, "push.allow=" + id))) {
            Blocking.await(rendezvous.vertx.deployVerticle(new PieceServerVerticle(
                    rendezvous.endpoint, rendezvous.store, rendezvous.bus, rendezvous.profile)));
            Blocking.await(rendezvous.vertx.deployVerticle(
                    new PushVerticle(rendezvous.endpoint, rendezvous.store, rendezvous.bus, rendezvous.profile)));
            rendezvous.store.begin(TorrentCommand.hash(
                    Files.copy(shard, directory.resolve("shard-3.gguf")))); // an earlier push has left three pieces
            for (int piece = 2; piece < 5; piece++) {
                rendezvous.store.write(
                        metainfo.piecesRoot(), piece, java.nio.ByteBuffer.wrap(bytes, piece * 65_536, 65_536));
            }
            String to = rendezvous.endpoint.bound().toString();
            run("push", "--to", to, "--identity", key.toString(), "--json", shard.toString(), second.toString());
            List<JsonNode> lines = out.toString(StandardCharsets.UTF_8)
                    .lines()
                    .map(line -> JsonMapper.shared().readTree(line))
                    .filter(line -> line.has("sent"))
                    .toList();
            assertEquals(
                    List.of("shard-3.gguf", "other.gguf"),
                    lines.stream().map(line -> line.path("name").asString()).toList());
            assertEquals(
                    bytes.length - 3 * 65_536, lines.getFirst().path("sent").asInt());
            assertArrayEquals(bytes, Files.readAllBytes(seeds.resolve("shard-3.gguf")));
            JsonNode again = run("push", "--to", to, "--identity", key.toString(), "--json", second.toString());
            assertEquals(0, again.path("sent").asInt());
            JsonNode fetched = fetch("a", "other.gguf", "--from", to);
            assertEquals(70_000, bytes(fetched, "peers"));
            refused(
                    "this key may not push here. Add ",
                    "push",
                    "--to",
                    to,
                    "--identity",
                    directory.resolve("stranger.pem").toString(),
                    second.toString());
            Path noModel = Files.write(directory.resolve("notes.txt"), new byte[5]);
            refused(
                    "'notes.txt' is no name for a file to seed",
                    "push",
                    "--to",
                    to,
                    "--identity",
                    key.toString(),
                    noModel.toString());
        }
    }

    @Test
    void aStoreIsListedPinnedAndCleared() throws Exception {
        Path root = directory.resolve("seeder");
        try (CommandPeer seeder = seeder()) {
            Path shard = seeder.store.shardsDirectory().resolve("shard-0.gguf");
            Files.write(shard, Arrays.copyOf(bytes, 100_000));
            Metainfo own = seeder.store.adopt(shard).metainfo();
            seeder.store.hold(own.piecesRoot(), "layers 0-3");
            JsonNode list = run("ls", "--store", root.toString(), "--json");
            assertEquals(100_000, list.path("bytes").asInt());
            assertEquals(2, list.path("files").size());
            assertEquals(
                    "layers 0-3",
                    list.path("files").get(1).path("used_for").get(0).asString());
            refused("is in use by process", "rm", "--store", root.toString(), "shard-0.gguf");
            seeder.store.release(own.piecesRoot(), "layers 0-3");
            run("pin", "--store", root.toString(), "shard-0.gguf", "--json");
            refused("is pinned. Unpin it first", "rm", "--store", root.toString(), "shard-0.gguf");
            run(
                    "pin",
                    "--off",
                    "--store",
                    root.toString(),
                    own.infoHash().toHex().substring(0, 8),
                    "--json");
            refused("is served by process", "rm", "--store", root.toString(), "model.gguf");
            assertEquals(
                    100_000,
                    run("rm", "--store", root.toString(), "shard-0.gguf", "--json")
                            .path("freed")
                            .asInt());
            assertFalse(Files.exists(shard));
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (seeder.store.find(own.piecesRoot()).isPresent()) { // the running process notices
                assertTrue(System.nanoTime() < end, "the deleted file is still offered");
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
            }
        }
        assertTrue(run("rm", "--store", root.toString(), "model.gguf", "--json")
                        .path("freed")
                        .asInt()
                == 0);
        assertTrue(Files.exists(file), "what lies elsewhere is only forgotten");
        refused("is no directory", "ls", "--store", directory.resolve("none").toString());
    }

    @Test
    void aFileIsComparedWithItsTorrent() throws Exception {
        String torrent = torrent();
        assertTrue(run("verify-file", file.toString(), "--torrent", torrent, "--json")
                .path("ok")
                .asBoolean());
        byte[] wrong = bytes.clone();
        wrong[70_000] ^= 1;
        Path other = Files.write(directory.resolve("wrong.gguf"), Arrays.copyOf(wrong, 690_000));
        refused(
                "2 of 11 pieces are wrong, the first is piece 1. It has 690,000 bytes, expected 700,001.",
                "verify-file",
                other.toString(),
                "--torrent",
                torrent);
        refused("does not exist", "verify-file", file.toString(), "--torrent", "none.torrent");
        refused("wrong.gguf: ", "verify-file", file.toString(), "--torrent", other.toString());
    }

    /** A web server that nobody here wrote, on a port of its own. */
    private record Nginx(Process process, String address) implements AutoCloseable {
        static Nginx start(Path directory, String name, byte[] content) throws Exception {
            Path program = Path.of("/usr/sbin/nginx");
            assumeTrue(Files.isExecutable(program), "nginx is not installed");
            int port;
            try (var probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                port = probe.getLocalPort();
            }
            Path root = Files.createDirectories(directory.resolve("nginx/root"));
            Files.write(root.resolve(name), content);
            Path config = directory.resolve("nginx/nginx.conf");
            Files.writeString(
                    config,
                    "daemon off; worker_processes 1; pid " + directory.resolve("nginx/pid") + "; error_log stderr;\n"
                            + "user " + System.getProperty("user.name") + ";\n"
                            + "events {}\nhttp { access_log off; client_body_temp_path " + directory
                            + "/nginx/t1; proxy_temp_path " + directory + "/nginx/t2; fastcgi_temp_path " + directory
                            + "/nginx/t3; uwsgi_temp_path " + directory + "/nginx/t4; scgi_temp_path " + directory
                            + "/nginx/t5; server { listen 127.0.0.1:" + port + "; root " + root + "; } }\n");
            Process process = new ProcessBuilder(program.toString(), "-c", config.toString())
                    .redirectErrorStream(true)
                    .redirectOutput(directory.resolve("nginx/log").toFile())
                    .start();
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
            while (true) {
                try (var socket = new Socket("127.0.0.1", port)) {
                    return new Nginx(process, "http://127.0.0.1:" + port + "/");
                } catch (IOException notYet) {
                    assertTrue(
                            process.isAlive() && System.nanoTime() < end,
                            () -> "nginx did not start: " + read(directory.resolve("nginx/log")));
                    LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
                }
            }
        }

        private static String read(Path log) {
            try {
                return Files.readString(log);
            } catch (IOException unreadable) {
                return unreadable.toString();
            }
        }

        @Override
        public void close() {
            process.destroy();
        }
    }
}
