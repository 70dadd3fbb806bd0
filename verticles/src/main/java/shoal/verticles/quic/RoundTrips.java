package shoal.verticles.quic;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import shoal.codec.base.Contact;
import shoal.codec.base.NodeId;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;

/** Measures how long packets take to peers and back: the best of a few questions that need no work. */
public final class RoundTrips {
    private static final int TRIES = 4;
    private static final Duration PATIENCE = Duration.ofSeconds(2);

    private RoundTrips() {}

    /** Nanoseconds there and back, of those peers that answer; completes when all have answered or are given up. */
    public static Future<Map<NodeId, Long>> measure(QuicEndpoint endpoint, List<Contact> peers) {
        Map<NodeId, Long> best = new HashMap<>();
        var asking = new ArrayList<Future<?>>();
        for (Contact peer : peers) {
            if (peer.id().equals(endpoint.nodeId())) {
                best.put(peer.id(), 0L);
                continue;
            }
            Promise<Void> connected = Promise.promise();
            long timer = endpoint.vertx().setTimer(PATIENCE.toMillis(), _ -> connected.tryComplete());
            endpoint.connect(peer)
                    .compose(connection -> ping(connection, best, TRIES))
                    .onComplete(_ -> {
                        endpoint.vertx().cancelTimer(timer);
                        connected.tryComplete();
                    });
            asking.add(connected.future());
        }
        return Future.join(asking).map(_ -> Map.copyOf(best));
    }

    private static Future<Void> ping(PeerConnection peer, Map<NodeId, Long> best, int tries) {
        if (tries == 0) {
            return Future.succeededFuture();
        }
        long asked = System.nanoTime();
        return peer.ask(StreamKind.DHT, new Frame.Ping(), PATIENCE).compose(_ -> {
            best.merge(peer.id(), System.nanoTime() - asked, Math::min);
            return ping(peer, best, tries - 1);
        });
    }
}
