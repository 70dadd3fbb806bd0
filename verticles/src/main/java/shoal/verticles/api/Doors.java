package shoal.verticles.api;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.ext.web.RoutingContext;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.NodeId;
import shoal.codec.dht.DhtKeys;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.Role;
import shoal.codec.wire.SignedRecord;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The other coordinators' HTTP servers: which models they serve, and the way to them, so that one address is enough for a client. A
 * request is handed on by QUIC as it is, and the answer comes back byte by byte. One event loop.
 */
final class Doors {
    private static final Logger LOG = LoggerFactory.getLogger(Doors.class);
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final Duration LOOK_TIMEOUT = Duration.ofSeconds(2);
    private static final long FRESH_NANOS = Duration.ofSeconds(2).toNanos();
    /** One that did not answer is not asked for so long. */
    private static final long REST_NANOS = Duration.ofSeconds(10).toNanos();

    private static final int MAX_MODELS_BYTES = 64 * 1024;
    private static final int MAX_MODELS_EACH = 64;

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final Map<NodeId, Long> silentSince = new LinkedHashMap<>();
    private List<Served> known = List.of();
    private long knownSince;
    private @Nullable Future<List<Served>> looking;

    /** A model that another coordinator serves. */
    record Served(String model, boolean ready, Contact coordinator) {}

    Doors(Vertx vertx, QuicEndpoint endpoint, CommandBus bus, Profile profile) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
    }

    /** Models that other coordinators of the cluster serve, as they say now or said a moment ago. */
    Future<List<Served>> models() {
        if (knownSince != 0 && System.nanoTime() - knownSince < FRESH_NANOS) {
            return Future.succeededFuture(known);
        }
        Future<List<Served>> under = looking;
        if (under != null) {
            return under;
        }
        Future<List<Served>> begun = look().onSuccess(found -> {
            known = found;
            knownSince = System.nanoTime();
        });
        looking = begun;
        begun.onComplete(_ -> looking = null);
        return begun;
    }

    /** Where a model is ready, or null. */
    Future<@Nullable Contact> find(String model) {
        return models().map(all -> all.stream()
                .filter(each -> each.ready() && each.model().equals(model))
                .map(Served::coordinator)
                .findFirst()
                .orElse(null));
    }

    private Future<List<Served>> look() {
        return others().compose(coordinators -> {
            var asking = new ArrayList<Future<List<Served>>>();
            coordinators.forEach(each -> asking.add(ask(each)));
            return Future.join(asking).transform(_ -> {
                var all = new ArrayList<Served>();
                asking.stream().filter(Future::succeeded).forEach(answer -> all.addAll(answer.result()));
                return Future.succeededFuture(List.copyOf(all));
            });
        });
    }

    private Future<List<Contact>> others() {
        var key = new Local.FindProviders(DhtKeys.cluster(profile.cluster().name()));
        return bus.ask(Addresses.FIND_PROVIDERS, key, Local.ProvidersFound.class)
                .map(found -> {
                    long now = System.nanoTime();
                    silentSince.values().removeIf(since -> now - since > REST_NANOS);
                    var others = new LinkedHashMap<NodeId, Contact>();
                    for (SignedRecord signed : found.records()) {
                        ProviderRecord record = signed.record();
                        boolean isCoordinator =
                                new String(record.payload(), StandardCharsets.UTF_8).equals(Role.COORDINATOR.text());
                        NodeId id = record.provider().id();
                        if (isCoordinator && !id.equals(endpoint.nodeId()) && !silentSince.containsKey(id)) {
                            others.put(id, record.provider());
                        }
                    }
                    return List.copyOf(others.values());
                })
                .otherwise(failure -> {
                    LOG.debug("the DHT was not asked: {}", failure.getMessage());
                    return List.of();
                });
    }

    /** What one says of its own model. */
    private Future<List<Served>> ask(Contact coordinator) {
        Promise<List<Served>> told = Promise.promise();
        var body = Buffer.buffer();
        open(coordinator).onFailure(told::tryFail).onSuccess(stream -> {
            stream.onClose(() -> told.tryFail("it closed the stream"));
            stream.onEnd(() -> {
                stream.end();
                told.tryComplete(read(coordinator, body));
            });
            stream.onFrame(frame -> {
                if (frame instanceof Frame.DoorBytes(ByteBuffer bytes)
                        && body.length() + bytes.remaining() <= MAX_MODELS_BYTES) {
                    body.appendBuffer(copy(bytes));
                } else if (!(frame instanceof Frame.DoorHead)) {
                    told.tryFail("it answered " + frame.type());
                    stream.reset();
                }
            });
            stream.send(new Frame.DoorAsk("GET", "/v1/models", "", "", ByteBuffer.allocate(0)));
            told.future().onFailure(_ -> stream.reset());
        });
        vertx.setTimer(LOOK_TIMEOUT.toMillis(), _ -> told.tryFail("it takes too long"));
        return told.future().onFailure(failure -> {
            LOG.debug("the door of {} is shut: {}", coordinator, failure.getMessage());
            silentSince.put(coordinator.id(), System.nanoTime());
        });
    }

    private static List<Served> read(Contact coordinator, Buffer body) {
        var models = new ArrayList<Served>();
        try {
            for (JsonNode each : JSON.readTree(body.getBytes()).path("data")) {
                String id = each.path("id").asString("");
                if (!id.isEmpty() && models.size() < MAX_MODELS_EACH) {
                    models.add(new Served(id, each.path("ready").asBoolean(false), coordinator));
                }
            }
        } catch (JacksonException noList) {
            LOG.debug("{} told no models: {}", coordinator, noList.getOriginalMessage());
        }
        return models;
    }

    private Future<FrameStream> open(Contact coordinator) {
        return endpoint.connect(coordinator)
                .compose(peer -> peer.open(StreamKind.DOOR))
                .timeout(LOOK_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
    }

    private static Buffer copy(ByteBuffer bytes) {
        byte[] array = new byte[bytes.remaining()];
        bytes.duplicate().get(array);
        return Buffer.buffer(array);
    }

    // ------------------------------------------------------------------------------------------- handing on

    /**
     * Hands a request on, and the answer back.
     *
     * @param wanted which status is taken; for any other the client is told nothing yet
     * @return whether it was; fails if the coordinator is gone before it has answered
     */
    Future<Boolean> handOn(RoutingContext request, Contact coordinator, String user, IntPredicate wanted) {
        Promise<Boolean> taken = Promise.promise();
        Buffer body = request.body() == null ? null : request.body().buffer();
        var ask = new Frame.DoorAsk(
                request.request().method().name(),
                request.request().uri(),
                bounded(request.request().getHeader("Last-Event-ID")),
                user,
                ByteBuffer.wrap(body == null ? new byte[0] : body.getBytes()));
        open(coordinator)
                .onFailure(failure -> {
                    knownSince = 0;
                    taken.tryFail(failure);
                })
                .onSuccess(stream -> new HandedOn(request.response(), stream, wanted, taken).begin(ask));
        return taken.future();
    }

    private static String bounded(@Nullable String header) {
        return header == null || header.length() > Frame.MAX_TEXT_BYTES / 4 ? "" : header;
    }

    /** One request that another coordinator answers. */
    private static final class HandedOn {
        private final HttpServerResponse response;
        private final FrameStream stream;
        private final IntPredicate wanted;
        private final Promise<Boolean> taken;
        private boolean over;

        HandedOn(HttpServerResponse response, FrameStream stream, IntPredicate wanted, Promise<Boolean> taken) {
            this.response = response;
            this.stream = stream;
            this.wanted = wanted;
            this.taken = taken;
        }

        void begin(Frame.DoorAsk ask) {
            response.closeHandler(_ -> close());
            stream.onEnd(() -> {
                if (!over && taken.future().isComplete()) {
                    over = true;
                    response.end();
                }
                stream.end();
            });
            stream.onClose(() -> {
                if (taken.future().isComplete()) {
                    broken();
                } else {
                    over = true;
                    taken.tryFail("the coordinator of this model is gone");
                }
            });
            stream.onFrame(this::heard);
            stream.send(ask);
            if (response.closed()) {
                close();
            }
        }

        private void heard(Frame frame) {
            switch (frame) {
                case Frame.DoorHead(int status, String type) -> {
                    if (!wanted.test(status)) {
                        taken.tryComplete(false);
                        close();
                        return;
                    }
                    response.setStatusCode(status).setChunked(true);
                    if (!type.isEmpty()) {
                        response.putHeader("Content-Type", type);
                    }
                    taken.tryComplete(true);
                }
                case Frame.DoorBytes(ByteBuffer bytes) -> {
                    if (!over) {
                        response.write(copy(bytes));
                        if (response.writeQueueFull()) {
                            stream.pause();
                            response.drainHandler(_ -> stream.resume());
                        }
                    }
                }
                case Frame.Refused(ErrorCode code, String why) -> {
                    taken.tryFail(why);
                    close();
                }
                default -> stream.refuse(ErrorCode.UNSUPPORTED, "a door's answer has no " + frame.type());
            }
        }

        /** The client is gone, or will be told by another one. */
        private void close() {
            over = true;
            stream.reset();
        }

        /** In the middle: the client sees that it is not whole. */
        private void broken() {
            if (!over) {
                over = true;
                response.reset();
            }
        }
    }
}
