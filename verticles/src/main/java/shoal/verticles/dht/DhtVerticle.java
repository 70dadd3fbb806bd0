package shoal.verticles.dht;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.VerticleBase;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.dht.Dht;
import shoal.codec.dht.DhtKeys;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.codec.wire.SignedRecord;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.PeerRefusedException;
import shoal.verticles.quic.QuicEndpoint;

/** This process as a node of the DHT. Each question is a stream of its own. */
public final class DhtVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(DhtVerticle.class);
    private static final Duration ASK_TIMEOUT = Duration.ofNanos(Dht.REQUEST_TIMEOUT_NANOS);

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final List<Endpoint> bootstrap;
    private final String cluster;
    private final Role role;
    private final Map<Long, FrameStream> asked = new HashMap<>();
    private final Map<Long, Query> queries = new HashMap<>();
    private final Map<Hash256, List<Promise<Integer>>> announcing = new HashMap<>();
    private boolean announcedCluster;
    private long nextRequest = 1;
    private long nextQuery = 1;
    private MachineDriver<Dht.Input, Dht.Effect> driver;
    private Dht dht;

    private record Query(Promise<Local.ProvidersFound> done, Map<NodeId, SignedRecord> records) {}

    @SuppressWarnings("NullAway.Init") // driver and dht are made when the verticle starts
    public DhtVerticle(QuicEndpoint endpoint, CommandBus bus, List<Endpoint> bootstrap, String cluster, Role role) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.bootstrap = bootstrap;
        this.cluster = cluster;
        this.role = role;
    }

    @Override
    public Future<?> start() {
        long epochSecondsAtZero = TimeUnit.MILLISECONDS.toSeconds(System.currentTimeMillis())
                - TimeUnit.NANOSECONDS.toSeconds(MachineDriver.nowNanos());
        dht = new Dht(
                endpoint.nodeId(),
                endpoint.advertised(),
                epochSecondsAtZero,
                new SplittableRandom(new SecureRandom().nextLong()),
                endpoint.identity()::sign);
        driver = new MachineDriver<>(vertx, dht, new Dht.Tick(), this::carryOut);
        endpoint.onStream(StreamKind.DHT, this::answer);
        bus.answerLocally(Addresses.FIND_PROVIDERS, Local.FindProviders.class, this::findProviders);
        bus.answerLocally(Addresses.ANNOUNCE, Local.Announce.class, this::announce);
        bus.listen(Addresses.WITHDRAW, Local.Withdraw.class, gone -> driver.feed(new Dht.Withdraw(gone.key())));
        driver.feed(new Dht.Bootstrap(bootstrap, true));
        driver.feed(new Dht.Announce(DhtKeys.cluster(cluster), role.text().getBytes(StandardCharsets.UTF_8)));
        return Future.succeededFuture();
    }

    @Override
    public Future<?> stop() {
        driver.stop();
        return Future.succeededFuture();
    }

    private void answer(FrameStream stream) {
        long id = nextRequest++;
        stream.onFrame(frame -> {
            if (asked.putIfAbsent(id, stream) == null) {
                PeerConnection peer = stream.peer();
                List<Endpoint> endpoints = peer.isReachable() ? peer.contact().endpoints() : List.of();
                driver.feed(new Dht.Received(peer.id(), endpoints, id, frame));
            }
        });
        stream.onClose(() -> asked.remove(id));
    }

    private Future<Local.ProvidersFound> findProviders(Local.FindProviders question) {
        Promise<Local.ProvidersFound> done = Promise.promise();
        long id = nextQuery++;
        queries.put(id, new Query(done, new LinkedHashMap<>()));
        driver.feed(new Dht.FindProviders(question.key(), id));
        return done.future();
    }

    /** Answered when the first round of telling is over; at once while there is nobody to tell. */
    private Future<Integer> announce(Local.Announce wish) {
        driver.feed(new Dht.Announce(wish.key(), wish.payload()));
        if (dht.contactCount() == 0) {
            return Future.succeededFuture(0);
        }
        Promise<Integer> told = Promise.promise();
        announcing.computeIfAbsent(wish.key(), _ -> new ArrayList<>()).add(told);
        return told.future();
    }

    private void carryOut(Dht.Effect effect) {
        switch (effect) {
            case Dht.Ask(long id, var contact, Frame request) ->
                endpoint.connect(contact)
                        .compose(peer -> peer.ask(StreamKind.DHT, request, ASK_TIMEOUT)
                                .map(frame -> (Dht.Input) new Dht.Answered(id, peer.id(), frame)))
                        .onComplete(done -> driver.feed(done.succeeded() ? done.result() : failed(id, done.cause())));
            case Dht.AskEndpoint(long id, Endpoint target, Frame request) ->
                endpoint.connect(target)
                        .compose(peer -> peer.ask(StreamKind.DHT, request, ASK_TIMEOUT)
                                .map(frame -> (Dht.Input) new Dht.Answered(id, peer.id(), frame)))
                        .onComplete(done -> driver.feed(done.succeeded() ? done.result() : failed(id, done.cause())));
            case Dht.Respond(long id, Frame response) -> {
                FrameStream stream = asked.remove(id);
                if (stream != null) {
                    stream.send(response).onSuccess(_ -> stream.end());
                }
            }
            case Dht.ProvidersFound(long id, Hash256 key, List<SignedRecord> records) -> {
                Query query = queries.get(id);
                if (query != null) {
                    records.forEach(record ->
                            query.records().put(record.record().provider().id(), record));
                }
            }
            case Dht.QueryDone(long id, int count) -> {
                Query query = queries.remove(id);
                if (query != null) {
                    query.done()
                            .tryComplete(new Local.ProvidersFound(
                                    List.copyOf(query.records().values())));
                }
            }
            case Dht.NodesFound found -> LOG.debug("closest nodes: {}", found.closest());
            case Dht.Announced(Hash256 key, int holders) -> {
                if (role == Role.NODE && holders > 0 && !announcedCluster && key.equals(DhtKeys.cluster(cluster))) {
                    announcedCluster = true;
                    bus.tell(
                            Addresses.STEP,
                            new Local.Step(
                                    2, "joined the DHT and announced itself; " + holders + " peers keep the record"));
                }
                List<Promise<Integer>> waiting = announcing.remove(key);
                if (waiting != null) {
                    waiting.forEach(told -> told.tryComplete(holders));
                }
            }
            case Dht.Bootstrapped(int contacts) -> LOG.debug("joined the DHT, {} contacts", contacts);
            case Dht.BootstrapWaiting(int tries, long pause) ->
                LOG.debug("no bootstrap answers yet, try {} failed", tries);
            case Dht.BootstrapFailed(int tries) ->
                LOG.warn(
                        "no bootstrap answered in {} tries: {}. Is it running, and can its UDP port be reached?",
                        tries,
                        bootstrap);
        }
    }

    private static Dht.Input failed(long id, Throwable cause) {
        boolean expected = cause instanceof PeerRefusedException refused && refused.code() == ErrorCode.LOST;
        LOG.debug("a DHT question failed{}: {}", expected ? "" : " unexpectedly", cause.toString());
        return new Dht.Failed(id);
    }
}
