package shoal.verticles.client;

import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
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
     * Blocks until the answer is whole. When the coordinator is lost in the middle of it, another one of its cluster that takes over is
     * asked the same and goes on: what it says again is compared, and not heard twice.
     *
     * @param coordinators one or several; the first that can answers
     * @param heard gets each piece of text as it comes, on another thread
     * @throws PeerRefusedException with the coordinator's reason
     */
    public Answer generate(List<Endpoint> coordinators, Frame.Generate request, Consumer<String> heard) {
        var asking = new Asking(vertx, endpoint, request, heard);
        vertx.runOnContext(_ -> asking.begin(coordinators));
        return Blocking.await(asking.whole());
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
