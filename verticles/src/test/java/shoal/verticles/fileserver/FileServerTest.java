package shoal.verticles.fileserver;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vertx.core.Vertx;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.Metainfo;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.config.Profile;
import shoal.verticles.store.ShardStore;

class FileServerTest {
    private static final int SIZE = 200_001;

    @TempDir
    Path directory;

    private final Vertx vertx = Vertx.vertx();
    private final HttpClient client = HttpClient.newHttpClient();
    private final byte[] bytes = new byte[SIZE];
    private ShardStore store;
    private Metainfo file;
    private Path path;
    private FileServerVerticle server;

    @BeforeEach
    void start() throws IOException {
        new Random(5).nextBytes(bytes);
        store = ShardStore.open(directory.resolve("store"), BlockHasher.plain());
        path = Files.write(directory.resolve("a b+c.gguf"), bytes);
        file = store.adopt(path).metainfo();
        server = new FileServerVerticle(
                store, CommandBus.install(vertx), new Profile.Upload(0, 0, "127.0.0.1", 0), "127.0.0.1", 0);
        vertx.deployVerticle(server)
                .toCompletionStage()
                .toCompletableFuture()
                .orTimeout(20, TimeUnit.SECONDS)
                .join();
    }

    @AfterEach
    void stop() throws IOException {
        client.close();
        vertx.close()
                .toCompletionStage()
                .toCompletableFuture()
                .orTimeout(20, TimeUnit.SECONDS)
                .join();
        store.close();
    }

    private HttpResponse<byte[]> ask(String method, String what, String... headers)
            throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + server.port() + what))
                .method(method, HttpRequest.BodyPublishers.noBody());
        if (headers.length > 0) {
            request.headers(headers);
        }
        return client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
    }

    /** RFC 9110, sections 14.1.2 and 14.2, with its examples of first, middle, last and suffix bytes. */
    @ParameterizedTest
    @CsvSource({
        "bytes=0-0, 0, 0",
        "bytes=0-499, 0, 499",
        "bytes=500-999, 500, 999",
        "bytes=-1, 200000, 200000",
        "bytes=-500, 199501, 200000",
        "bytes=-999999, 0, 200000",
        "bytes=199501-, 199501, 200000",
        "bytes=65536-999999, 65536, 200000",
    })
    void givesTheRangeThatIsAskedFor(String range, int first, int last) throws Exception {
        HttpResponse<byte[]> answer = ask("GET", "/files/a%20b%2Bc.gguf", "Range", range);
        assertEquals(206, answer.statusCode());
        assertEquals(
                "bytes " + first + "-" + last + "/" + SIZE,
                answer.headers().firstValue("Content-Range").orElse(""));
        assertArrayEquals(Arrays.copyOfRange(bytes, first, last + 1), answer.body());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "bytes=200001-;416",
                "bytes=-0;416",
                "bytes=5-4;200",
                "bytes=0-1,3-4;200",
                "lines=1-2;200",
                "bytes=-;200",
                "bytes=a-b;200"
            })
    void refusesOrPassesOverOtherRanges(String range, int status) throws Exception {
        HttpResponse<byte[]> answer = ask("GET", "/files/" + file.infoHash().toHex(), "Range", range);
        assertEquals(status, answer.statusCode());
        if (status == 200) {
            assertArrayEquals(bytes, answer.body());
        } else {
            assertEquals(
                    "bytes */" + SIZE,
                    answer.headers().firstValue("Content-Range").orElse(""));
        }
    }

    @Test
    void saysWhatThereIsAndNothingElse() throws Exception {
        assertTrue(new String(ask("GET", "/files/").body()).contains("\"" + file.infoHash() + "\""));
        assertArrayEquals(
                file.toTorrent(), ask("GET", "/files/a%20b%2Bc.gguf.torrent").body());
        HttpResponse<byte[]> head = ask("HEAD", "/files/" + file.piecesRoot());
        assertEquals(200, head.statusCode());
        assertEquals(0, head.body().length);
        String tag = head.headers().firstValue("ETag").orElse("");
        assertEquals(
                206,
                ask("GET", "/files/" + file.piecesRoot(), "Range", "bytes=0-1", "If-Range", tag)
                        .statusCode());
        assertEquals(
                200,
                ask("GET", "/files/" + file.piecesRoot(), "Range", "bytes=0-1", "If-Range", "\"x\"")
                        .statusCode());
        for (String other : new String[] {"/files/..%2Fstore%2F.lock", "/files/b.gguf", "/etc/passwd", "/files/%zz"}) {
            int status = ask404(other);
            assertTrue(status == 404 || status == 400, other + " is answered " + status);
        }
        assertEquals(405, ask("POST", "/files/").statusCode());
    }

    private int ask404(String what) throws Exception {
        try (var socket = new java.net.Socket("127.0.0.1", server.port())) {
            socket.getOutputStream()
                    .write(("GET " + what + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").getBytes());
            String line = new String(socket.getInputStream().readNBytes(12));
            return Integer.parseInt(line.substring(9));
        }
    }

    @Test
    void servesNothingThatHasChangedSinceItWasVerified() throws Exception {
        assertEquals(200, ask("GET", "/files/" + file.infoHash()).statusCode());
        bytes[7] ^= 1;
        Files.write(path, bytes);
        Files.setLastModifiedTime(path, java.nio.file.attribute.FileTime.fromMillis(1_000_000));
        assertFalse(ask("GET", "/files/" + file.infoHash()).statusCode() == 200);
        assertEquals(404, ask("GET", "/files/" + file.infoHash()).statusCode());
    }
}
