package shoal.verticles.client;

import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.time.Duration;
import java.util.List;
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

/** What a machine's owner asks of the node on it. */
public final class OwnerClient {
    private static final Duration PATIENCE = Duration.ofHours(24);

    private OwnerClient() {}

    /**
     * Sends a node to rest, or back to work; blocks until its work is handed over, or the node says that nobody takes it.
     *
     * @param identity the node's own, where its store is at hand
     * @throws PeerRefusedException if it does not answer, or takes this from its owner alone
     */
    public static Frame.Rested rest(
            Endpoint node, boolean rest, Identity identity, @Nullable ClusterSecret secret, String software) {
        Vertx vertx = Vertx.vertx(new VertxOptions().setEventLoopPoolSize(1));
        try {
            QuicEndpoint endpoint = Blocking.await(QuicEndpoint.open(
                    vertx,
                    identity,
                    new QuicEndpoint.Settings(
                            null, List.of(), Role.CLIENT, "", secret, software, QuicEndpoint.PROTOCOL)));
            Frame answer = Blocking.await(
                    endpoint.connect(node).compose(peer -> peer.ask(StreamKind.WATCH, new Frame.Rest(rest), PATIENCE)));
            Blocking.await(endpoint.close());
            if (answer instanceof Frame.Rested rested) {
                return rested;
            }
            throw new PeerRefusedException(ErrorCode.MALFORMED, node + " answered with " + answer.type() + ".");
        } finally {
            Blocking.await(vertx.close());
        }
    }
}
