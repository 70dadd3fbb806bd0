package shoal.verticles.launcher;

import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.verticles.identity.Identity;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.PeerRefusedException;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Says hello to the first address that answers, before this process is part of anything, to learn where the cluster's event bus is.
 * Waits for a bootstrap that is not up yet, says so, and gives up in time; a refusal is final at once.
 */
final class Bootstrap {
    private static final Logger LOG = LoggerFactory.getLogger(Bootstrap.class);
    private static final Duration FIRST_PAUSE = Duration.ofMillis(250);
    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(3);
    private static final Duration ATTEMPT = Duration.ofSeconds(15);

    private Bootstrap() {}

    /**
     * Blocks until a bootstrap has said welcome.
     *
     * @return what it said; its bus members are not empty
     * @throws IllegalStateException with cause and remedy when time is up or this machine is refused
     */
    static Frame.Welcome awaitWelcome(
            List<Endpoint> bootstrap, Duration patience, Identity identity, QuicEndpoint.Settings settings)
            throws InterruptedException {
        long deadline = System.nanoTime() + patience.toNanos();
        Vertx vertx = Vertx.vertx(new VertxOptions().setEventLoopPoolSize(1));
        try {
            QuicEndpoint endpoint = await(QuicEndpoint.open(vertx, identity, withoutListening(settings)));
            Duration pause = FIRST_PAUSE;
            boolean saidSo = false;
            while (true) {
                var reasons = new ArrayList<String>();
                for (Endpoint target : bootstrap) {
                    try {
                        PeerConnection peer = await(endpoint.connect(target));
                        Frame.Welcome welcome = peer.welcome();
                        if (welcome != null && !welcome.busMembers().isEmpty()) {
                            await(endpoint.close());
                            return welcome;
                        }
                        reasons.add(target + " has not joined a cluster yet.");
                    } catch (PeerRefusedException refused) {
                        if (refused.code() != ErrorCode.LOST) {
                            throw new IllegalStateException(refused.getMessage(), refused);
                        }
                        reasons.add(String.valueOf(refused.getMessage()));
                    }
                }
                long left = deadline - System.nanoTime();
                if (left <= 0) {
                    throw new IllegalStateException("no bootstrap answered within " + patience.toSeconds() + " s: "
                            + String.join(" ", reasons) + " Start the rendezvous, or name another with --bootstrap.");
                }
                if (!saidSo) {
                    LOG.info(
                            "waiting up to {} s for {}: {}",
                            patience.toSeconds(),
                            bootstrap,
                            String.join(" ", reasons));
                    saidSo = true;
                }
                TimeUnit.NANOSECONDS.sleep(Math.min(left, pause.toNanos()));
                pause = pause.multipliedBy(2).compareTo(LONGEST_PAUSE) < 0 ? pause.multipliedBy(2) : LONGEST_PAUSE;
            }
        } finally {
            vertx.close();
        }
    }

    private static QuicEndpoint.Settings withoutListening(QuicEndpoint.Settings settings) {
        return new QuicEndpoint.Settings(
                null,
                List.of(),
                Role.CLIENT,
                settings.cluster(),
                settings.secret(),
                settings.software(),
                settings.protocol());
    }

    private static <T> T await(io.vertx.core.Future<T> future) {
        try {
            return future.toCompletionStage()
                    .toCompletableFuture()
                    .orTimeout(ATTEMPT.toMillis(), TimeUnit.MILLISECONDS)
                    .join();
        } catch (CompletionException failure) {
            if (failure.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw new PeerRefusedException(ErrorCode.LOST, String.valueOf(failure.getCause()));
        }
    }
}
