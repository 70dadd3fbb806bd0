package shoal.verticles.quic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.codec.wire.StreamKind;
import shoal.verticles.identity.ClusterSecret;
import shoal.verticles.identity.Identity;
import shoal.verticles.path.UdpPath;

/** Two real endpoints on loopback. */
class QuicEndpointTest {
    private static final Hash256 ROOT = Hash256.sha256("a file".getBytes());

    private final Vertx vertx = Vertx.vertx();
    private final List<QuicEndpoint> opened = new ArrayList<>();

    @AfterEach
    void close() {
        opened.forEach(endpoint -> await(endpoint.close().otherwiseEmpty())); // else they speak on closed loops
        await(vertx.close());
    }

    @Test
    void eachSideKnowsTheOthersIdAndTheAnswerComesBack() {
        QuicEndpoint server = open("127.0.0.1", Role.RENDEZVOUS, "llama", null, QuicEndpoint.PROTOCOL);
        server.onStream(
                StreamKind.DHT,
                stream -> stream.onFrame(frame -> {
                    assertEquals(new Frame.Ping(), frame);
                    stream.send(new Frame.Pong());
                    stream.end();
                }));
        server.tellBusMembers(() -> List.of(new Endpoint("127.0.0.1", 5701)));
        QuicEndpoint client = open("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        PeerConnection peer = await(client.connect(server.contact()));
        assertEquals(server.nodeId(), peer.id());
        assertEquals(Role.RENDEZVOUS, peer.role());
        assertEquals(List.of(new Endpoint("127.0.0.1", 5701)), peer.welcome().busMembers());
        assertEquals(new Frame.Pong(), await(peer.ask(StreamKind.DHT, new Frame.Ping(), Duration.ofSeconds(5))));
    }

    @Test
    void theServerCanOpenStreamsToWhoDialled() throws Exception {
        QuicEndpoint server = open("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        QuicEndpoint client = open("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        client.onStream(
                StreamKind.DHT,
                stream -> stream.onFrame(_ -> {
                    stream.send(new Frame.Pong());
                    stream.end();
                }));
        var answered = new CountDownLatch(1);
        server.onPeer(peer -> peer.ask(StreamKind.DHT, new Frame.Ping(), Duration.ofSeconds(5))
                .onSuccess(frame -> answered.countDown()));
        await(client.connect(server.contact()));
        assertTrue(answered.await(10, TimeUnit.SECONDS));
    }

    @Test
    void aPeerWithAnotherIdIsNotTaken() {
        QuicEndpoint server = open("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        QuicEndpoint client = open("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        var somebodyElse = new Contact(Identity.create().nodeId(), List.of(server.bound()));
        refused(ErrorCode.LOST, "not " + somebodyElse.id().toShortHex(), client.connect(somebodyElse));
    }

    @Test
    void anotherClusterIsRefusedByName() {
        QuicEndpoint server = open("127.0.0.1", Role.RENDEZVOUS, "llama", null, QuicEndpoint.PROTOCOL);
        QuicEndpoint client = open("127.0.0.1", Role.NODE, "alpaca", null, QuicEndpoint.PROTOCOL);
        refused(ErrorCode.CLUSTER, "serves cluster 'llama', not 'alpaca'", client.connect(server.bound()));
    }

    @Test
    void anotherSecretIsRefusedOnBothSides() {
        ClusterSecret one = ClusterSecret.of("0123456789abcdef".getBytes());
        ClusterSecret two = ClusterSecret.of("fedcba9876543210".getBytes());
        QuicEndpoint server = open("127.0.0.1", Role.RENDEZVOUS, "llama", one, QuicEndpoint.PROTOCOL);
        QuicEndpoint plain = open("127.0.0.1", Role.RENDEZVOUS, "llama", null, QuicEndpoint.PROTOCOL);
        QuicEndpoint friend = open("127.0.0.1", Role.NODE, "llama", one, QuicEndpoint.PROTOCOL);
        QuicEndpoint stranger = open("127.0.0.1", Role.NODE, "llama", two, QuicEndpoint.PROTOCOL);
        await(friend.connect(server.bound()));
        refused(ErrorCode.SECRET, "cluster.secretFile", stranger.connect(server.bound()));
        refused(ErrorCode.SECRET, "cluster.secretFile", friend.connect(plain.bound()));
    }

    @Test
    void anotherVersionIsToldApart() {
        QuicEndpoint server = open("127.0.0.1", Role.RENDEZVOUS, "llama", null, "shoal/2");
        QuicEndpoint client = open("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        refused(ErrorCode.VERSION, "speaks shoal/2", client.connect(server.bound()));
    }

    @Test
    void aTakenPortIsSaid() {
        QuicEndpoint server = open("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        Vertx another = Vertx.vertx(); // within one Vertx two servers would share the port
        var settings = new QuicEndpoint.Settings(
                server.bound(), List.of(), Role.NODE, "llama", null, "test", QuicEndpoint.PROTOCOL);
        var failure = assertThrows(
                CompletionException.class, () -> await(QuicEndpoint.open(another, Identity.create(), settings)));
        await(another.close());
        assertTrue(
                failure.getCause().getMessage().startsWith("UDP " + server.bound() + " cannot be used: "),
                failure.toString());
    }

    @Test
    void whoTakesNoSuchStreamsSaysSo() {
        QuicEndpoint server = open("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        QuicEndpoint client = open("127.0.0.1", Role.CLIENT, "", null, QuicEndpoint.PROTOCOL);
        PeerConnection peer = await(client.connect(server.bound()));
        refused(
                ErrorCode.UNSUPPORTED,
                "takes no streams of kind GENERATE",
                peer.ask(StreamKind.GENERATE, new Frame.GeneratedToken(1, "", 0, List.of()), Duration.ofSeconds(5)));
    }

    @Test
    void closesWithAndWithoutListening() {
        QuicEndpoint server = open("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        QuicEndpoint client = await(QuicEndpoint.open(
                vertx,
                Identity.create(),
                new QuicEndpoint.Settings(null, List.of(), Role.CLIENT, "", null, "test", QuicEndpoint.PROTOCOL)));
        PeerConnection peer = await(client.connect(server.bound()));
        await(client.close());
        assertFalse(peer.isOpen());
        await(server.close());
    }

    @Test
    void bulkBytesArriveWholeOverIpv6Too() throws Exception {
        QuicEndpoint server = open("::1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        QuicEndpoint client = open("::1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL);
        byte[] piece = new byte[1 << 20];
        new Random(7).nextBytes(piece);
        int count = 32;
        server.onStream(
                StreamKind.PIECES,
                stream -> stream.onFrame(frame -> {
                    var request = assertInstanceOf(Frame.RequestPiece.class, frame);
                    stream.send(new Frame.PieceData(ROOT, request.firstBlock(), ByteBuffer.wrap(piece)));
                }));
        PeerConnection peer = await(client.connect(server.contact()));
        FrameStream stream = await(peer.open(StreamKind.PIECES));
        var expected = new AtomicLong();
        var done = new CountDownLatch(count);
        stream.onFrame(frame -> {
            var data = assertInstanceOf(Frame.PieceData.class, frame);
            assertEquals(expected.getAndAdd(64), data.firstBlock());
            assertEquals(ByteBuffer.wrap(piece), data.data());
            done.countDown();
        });
        for (int i = 0; i < count; i++) {
            stream.send(new Frame.RequestPiece(ROOT, 64L * i, 64));
        }
        assertTrue(done.await(30, TimeUnit.SECONDS), done.getCount() + " pieces missing");
    }

    /** Pings go as long as a stream is open, though nobody says a word on it; when nothing answers them, the peer is lost. */
    @Test
    void aSilentPeerIsKeptAndADeadOneIsNoticed() throws Exception {
        var patience = new QuicEndpoint.Patience(Duration.ofMillis(1500), Duration.ofMillis(150), Duration.ofMillis(1));
        QuicEndpoint server = open(patience);
        server.onStream(StreamKind.STAGE, stream -> stream.onFrame(_ -> {}));
        try (UdpPath path = new UdpPath(server.bound(), UdpPath.Conditions.of(0, 0), 1)) {
            QuicEndpoint client = open(patience);
            var lost = new CountDownLatch(2);
            client.onPeerLost(_ -> lost.countDown());
            server.onPeerLost(_ -> lost.countDown());
            PeerConnection peer = await(client.connect(path.entrance()));
            FrameStream stream = await(peer.open(StreamKind.STAGE));
            var closed = new CountDownLatch(1);
            stream.onClose(closed::countDown);
            long start = System.nanoTime();
            while (System.nanoTime() - start < patience.idle().toNanos() * 2) {
                assertFalse(closed.await(100, TimeUnit.MILLISECONDS), "a silent stream was given up");
            }
            assertTrue(peer.isOpen());
            path.close(); // from now on nothing comes through
            assertTrue(closed.await(20, TimeUnit.SECONDS), "nobody notices that the peer is gone");
            assertTrue(lost.await(20, TimeUnit.SECONDS), "one side does not notice");
            assertFalse(peer.isOpen());
        }
    }

    private QuicEndpoint open(String host, Role role, String cluster, @Nullable ClusterSecret secret, String protocol) {
        QuicEndpoint endpoint =
                await(QuicEndpoint.open(vertx, Identity.create(), settings(host, role, cluster, secret, protocol)));
        opened.add(endpoint);
        return endpoint;
    }

    private QuicEndpoint open(QuicEndpoint.Patience patience) {
        QuicEndpoint endpoint = await(QuicEndpoint.open(
                vertx,
                Identity.create(),
                settings("127.0.0.1", Role.NODE, "llama", null, QuicEndpoint.PROTOCOL),
                patience));
        opened.add(endpoint);
        return endpoint;
    }

    private static QuicEndpoint.Settings settings(
            String host, Role role, String cluster, @Nullable ClusterSecret secret, String protocol) {
        return new QuicEndpoint.Settings(
                new Endpoint(host, 0), List.of(), role, cluster, secret, "shoal test", protocol);
    }

    private static void refused(ErrorCode code, String text, Future<?> future) {
        var failure = assertThrows(CompletionException.class, () -> await(future));
        var refused = assertInstanceOf(PeerRefusedException.class, failure.getCause());
        assertTrue(refused.getMessage().contains(text), refused.getMessage());
        assertEquals(code, refused.code());
    }

    private static <T> T await(Future<T> future) {
        return future.toCompletionStage()
                .toCompletableFuture()
                .orTimeout(20, TimeUnit.SECONDS)
                .join();
    }
}
