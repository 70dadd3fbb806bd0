package shoal.verticles.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vertx.core.Vertx;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.StreamKind;
import shoal.verticles.identity.Identity;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerRefusedException;
import shoal.verticles.quic.QuicEndpoint;

/** Coordinators that answer as the test says: one is lost in the middle of an answer, and another one goes on, or does not. */
class GenerateClientTest {
    private static final Frame.Generate REQUEST = new Frame.Generate("Once", 20, Sampling.GREEDY);

    private static GenerateClient client;

    private final Vertx vertx = Vertx.vertx();
    private final List<QuicEndpoint> opened = new ArrayList<>();
    private final List<String> heard = new CopyOnWriteArrayList<>();

    @BeforeAll
    static void openClient() {
        client = new GenerateClient(null, "test");
    }

    @AfterAll
    static void closeClient() {
        client.close();
    }

    @AfterEach
    void close() {
        opened.forEach(endpoint -> Blocking.await(endpoint.close().otherwiseEmpty()));
        Blocking.await(vertx.close());
    }

    /** @param answer to each request */
    private Endpoint coordinator(Consumer<FrameStream> answer) {
        QuicEndpoint endpoint = Blocking.await(QuicEndpoint.open(
                vertx,
                Identity.create(),
                new QuicEndpoint.Settings(
                        new Endpoint("127.0.0.1", 0),
                        List.of(),
                        Role.COORDINATOR,
                        "",
                        null,
                        "test",
                        QuicEndpoint.PROTOCOL)));
        opened.add(endpoint);
        endpoint.onStream(
                StreamKind.GENERATE,
                stream -> stream.onFrame(frame -> {
                    assertEquals(REQUEST, frame);
                    answer.accept(stream);
                }));
        return endpoint.bound();
    }

    private static void tell(FrameStream stream, int... tokens) {
        stream.send(new Frame.GenerationStarted(
                List.of(1), List.of(new Frame.StageEntry(stream.peer().id(), new shoal.codec.base.LayerRange(0, 7)))));
        for (int token : tokens) {
            stream.send(new Frame.GeneratedToken(token, " " + token, 0, List.of()));
        }
    }

    private static void tellAll(FrameStream stream, int... tokens) {
        tell(stream, tokens);
        stream.send(new Frame.GenerationDone(Frame.StopReason.LENGTH, "", 1, 2));
        stream.end();
    }

    private static void tellAndDie(FrameStream stream, int... tokens) {
        tell(stream, tokens);
        stream.send(new Frame.Refused(ErrorCode.LOST, "another coordinator works for the model now"));
    }

    private static int[] upTo(int count) {
        return IntStream.range(10, 10 + count).toArray();
    }

    private GenerateClient.Answer ask(Endpoint... coordinators) {
        return client.generate(List.of(coordinators), REQUEST, heard::add);
    }

    private void assertWhole(GenerateClient.Answer answer) {
        assertEquals(IntStream.range(10, 30).boxed().toList(), answer.tokens());
        assertEquals(answer.text(), String.join("", heard), "each piece is heard once");
    }

    @Test
    void anotherOneGoesOnWhenItHasTakenOver() {
        var asked = new AtomicInteger();
        Endpoint first = coordinator(stream -> tellAndDie(stream, upTo(7)));
        Endpoint second = coordinator(stream -> {
            if (asked.incrementAndGet() == 1) {
                stream.refuse(ErrorCode.NOT_READY, "it stands by");
            } else {
                tellAll(stream, upTo(20));
            }
        });
        assertWhole(ask(first, second));
        assertEquals(2, asked.get());
    }

    @Test
    void oneThatStandsByIsPassedOver() {
        Endpoint first = coordinator(stream -> stream.refuse(ErrorCode.NOT_READY, "it stands by"));
        Endpoint second = coordinator(stream -> tellAll(stream, upTo(20)));
        assertWhole(ask(first, second));
    }

    /** Such as one of another model. */
    @Test
    void whoSaysSomethingElseIsNotBelieved() {
        Endpoint first = coordinator(stream -> tellAndDie(stream, upTo(7)));
        Endpoint other = coordinator(stream -> tellAll(stream, 10, 11, 12, 99, 14, 15, 16, 17));
        Endpoint shorter = coordinator(stream -> tellAll(stream, 10, 11));
        Endpoint right = coordinator(stream -> tellAll(stream, upTo(20)));
        assertWhole(ask(first, other, shorter, right));
    }

    @Test
    void withNobodyElseTheReasonIsTold() {
        Endpoint first = coordinator(stream -> tellAndDie(stream, upTo(7)));
        var failure = assertThrows(PeerRefusedException.class, () -> ask(first));
        assertEquals(ErrorCode.LOST, failure.code());
        assertTrue(failure.getMessage().contains("another coordinator works"), failure.getMessage());
        Endpoint busy = coordinator(stream -> stream.refuse(ErrorCode.BUSY, "the queue is full"));
        assertEquals(
                ErrorCode.BUSY,
                assertThrows(PeerRefusedException.class, () -> ask(busy)).code());
    }
}
