package shoal.verticles.client;

import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.codec.wire.StreamKind;
import shoal.verticles.identity.ClusterSecret;
import shoal.verticles.identity.Identity;
import shoal.verticles.quic.PeerRefusedException;
import shoal.verticles.quic.QuicEndpoint;

/** Asks a coordinator to go on with a text, and hears it token by token. */
public final class GenerateClient implements AutoCloseable {
    private static final long CLOSE_SECONDS = 2;

    private final Vertx vertx = Vertx.vertx(new VertxOptions().setEventLoopPoolSize(1));
    private final QuicEndpoint endpoint;

    /** @param secret of the coordinator's cluster, or null if it has none */
    public GenerateClient(@Nullable ClusterSecret secret, String software) {
        endpoint = Blocking.await(QuicEndpoint.open(
                vertx,
                Identity.create(),
                new QuicEndpoint.Settings(null, List.of(), Role.CLIENT, "", secret, software, QuicEndpoint.PROTOCOL)));
    }

    /** A whole answer. @param pieces what came with each token */
    public record Answer(
            List<Integer> promptTokens,
            List<Frame.StageEntry> stages,
            List<Integer> tokens,
            List<Frame.GeneratedToken> pieces,
            String text,
            Frame.StopReason stopped,
            long firstTokenMicros,
            long totalMicros) {
        /** Tokens behind the first, per second; 0 for less than two. */
        public double tokensPerSecond() {
            long micros = totalMicros - firstTokenMicros;
            return tokens.size() < 2 || micros <= 0 ? 0 : (tokens.size() - 1) * 1e6 / micros;
        }
    }

    /**
     * Blocks until the answer is whole.
     *
     * @param heard gets each piece of text as it comes, on another thread
     * @throws PeerRefusedException with the coordinator's reason
     */
    public Answer generate(Endpoint coordinator, Frame.Generate request, Consumer<String> heard) {
        Promise<Answer> whole = Promise.promise();
        endpoint.connect(coordinator)
                .compose(peer -> peer.open(StreamKind.GENERATE))
                .onFailure(whole::tryFail)
                .onSuccess(stream -> {
                    var tokens = new ArrayList<Integer>();
                    var pieces = new ArrayList<Frame.GeneratedToken>();
                    var text = new StringBuilder();
                    var started = new Frame.GenerationStarted[1];
                    stream.onFrame(frame -> {
                        switch (frame) {
                            case Frame.GenerationStarted start -> started[0] = start;
                            case Frame.GeneratedToken piece -> {
                                tokens.add(piece.token());
                                pieces.add(piece);
                                text.append(piece.text());
                                heard.accept(piece.text());
                            }
                            case Frame.GenerationDone done -> {
                                text.append(done.text());
                                heard.accept(done.text());
                                whole.tryComplete(new Answer(
                                        started[0] == null ? List.of() : started[0].promptTokens(),
                                        started[0] == null ? List.of() : started[0].stages(),
                                        List.copyOf(tokens),
                                        List.copyOf(pieces),
                                        text.toString(),
                                        done.stopped(),
                                        done.firstTokenMicros(),
                                        done.totalMicros()));
                            }
                            case Frame.Refused(ErrorCode code, String message) ->
                                whole.tryFail(new PeerRefusedException(code, message));
                            default ->
                                whole.tryFail(new PeerRefusedException(
                                        ErrorCode.MALFORMED, coordinator + " answered with " + frame.type() + "."));
                        }
                    });
                    stream.onClose(() -> whole.tryFail(new PeerRefusedException(
                            ErrorCode.LOST, coordinator + " went away before the answer was whole. Ask again.")));
                    stream.send(request).onSuccess(_ -> stream.end());
                });
        return Blocking.await(whole.future());
    }

    @Override
    public void close() {
        try {
            endpoint.close()
                    .transform(_ -> vertx.close())
                    .toCompletionStage()
                    .toCompletableFuture()
                    .orTimeout(CLOSE_SECONDS, TimeUnit.SECONDS)
                    .join();
        } catch (CompletionException late) {
            // the threads are daemons; nothing is lost with what did not close in time
        }
    }
}
