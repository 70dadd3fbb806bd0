package shoal.verticles.api;

import io.vertx.core.Future;
import io.vertx.core.VerticleBase;
import io.vertx.core.http.HttpServerOptions;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.ext.web.Router;
import io.vertx.ext.web.RoutingContext;
import io.vertx.ext.web.handler.BodyHandler;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.QuicEndpoint;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Answers programs over HTTP. Generations run in the coordinator; here requests are checked, pieces put into OpenAI's form, and a
 * client that goes away cancels what it asked for.
 */
public final class ApiVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(ApiVerticle.class);
    private static final int MAX_BODY_BYTES = 8 << 20;
    private static final int MAX_DEPTH = 64;
    private static final JsonMapper JSON = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxNestingDepth(MAX_DEPTH)
                            .build())
                    .build())
            .build();

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final Profile.Api settings;
    private final @Nullable String keyText;
    private final byte @Nullable [] key;
    private final ApiMetrics metrics = new ApiMetrics();
    private KeptStreams streams;
    private Doors doors;
    private DoorServer inner;
    private int port;

    /** @param key that clients must send as a bearer token, or null if anybody who reaches the port may ask */
    @SuppressWarnings("NullAway.Init") // streams are kept on the verticle's event loop, which is known when it starts
    public ApiVerticle(QuicEndpoint endpoint, CommandBus bus, Profile profile, @Nullable String key) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.settings = profile.api();
        this.keyText = key;
        this.key = key == null ? null : key.getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public Future<?> start() {
        streams = new KeptStreams(vertx);
        doors = new Doors(vertx, endpoint, bus, profile);
        inner = new DoorServer(vertx, endpoint, profile, keyText, () -> port);
        bus.answerLocally(Addresses.GENERATION_INHERITED, Local.GenerationInherited.class, this::inherited);
        Router router = Router.router(vertx);
        router.route().handler(this::guard);
        router.post().handler(BodyHandler.create(false).setBodyLimit(MAX_BODY_BYTES));
        router.post("/v1/chat/completions").handler(request -> complete(request, CompletionRequest::chat));
        router.post("/v1/completions").handler(request -> complete(request, CompletionRequest::completion));
        router.get("/v1/models").handler(this::models);
        router.get("/v1/shoal/nodes").handler(this::nodes);
        router.get("/v1/shoal/plan").handler(this::plan);
        router.post("/v1/shoal/proof").handler(this::proof);
        router.get("/v1/shoal/streams/:id").handler(this::resume);
        router.get("/health").handler(this::health);
        router.get("/metrics").handler(this::metrics);
        router.route().handler(request -> {
            throw ApiException.notFound("there is no " + request.request().method() + " "
                    + request.request().path()
                    + "; there are POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /v1/shoal/nodes, "
                    + "GET /v1/shoal/streams/ID, GET /v1/shoal/plan, POST /v1/shoal/proof, GET /health, GET /metrics");
        });
        router.route().failureHandler(this::failed);
        return vertx.createHttpServer(
                        new HttpServerOptions().setHost(settings.host()).setPort(settings.port()))
                .requestHandler(router)
                .listen()
                .onSuccess(server -> {
                    port = server.actualPort();
                    inner.start();
                    LOG.info("answers programs at {}", baseUrl());
                })
                .recover(failure -> Future.failedFuture(new IllegalStateException("TCP " + settings.host() + ":"
                        + settings.port() + " cannot be used for HTTP: " + failure.getMessage()
                        + ". Choose another with --set api.port=N, 0 for any free one.")));
    }

    /** Where clients reach it, as OpenAI's clients want it. */
    public String baseUrl() {
        String host = settings.host().contains(":") ? "[" + settings.host() + "]" : settings.host();
        return "http://" + host + ":" + port + "/v1";
    }

    // ---------------------------------------------------------------------------------------- who may ask

    /**
     * A page in a browser of this machine can reach loopback too. What it may not do is choose the Host header or send JSON
     * unasked, so both are looked at.
     */
    private void guard(RoutingContext request) {
        HttpServerRequest http = request.request();
        if (settings.isLoopback() && !isLoopbackName(http)) {
            throw ApiException.of(
                    403, "permission_error", "this door answers to localhost alone, not to " + http.authority());
        }
        if (key != null && !http.path().equals("/health")) {
            String sent = http.getHeader("Authorization");
            byte[] token = (sent != null && sent.startsWith("Bearer ") ? sent.substring(7) : "")
                    .getBytes(StandardCharsets.UTF_8);
            if (!MessageDigest.isEqual(key, token)) {
                throw ApiException.of(
                        401, "authentication_error", "send the key of api.keyFile: Authorization: Bearer KEY");
            }
        }
        request.next();
    }

    private static boolean isLoopbackName(HttpServerRequest http) {
        String host = http.authority() == null ? "" : http.authority().host().toLowerCase(Locale.ROOT);
        return host.equals("localhost")
                || host.endsWith(".localhost")
                || host.startsWith("127.")
                || host.equals("::1")
                || host.equals("[::1]");
    }

    // ------------------------------------------------------------------------------------------ completions

    /** Here, or at another coordinator, which has the model that was asked for. */
    private void complete(RoutingContext request, Function<ObjectNode, CompletionRequest> reader) {
        CompletionRequest wanted = reader.apply(body(request));
        swarm().onFailure(request::fail).onSuccess(state -> {
            String own = state.model();
            boolean isOwn = wanted.model() == null
                    || wanted.model().equals("default")
                    || wanted.model().equals(own);
            if (isOwn && state.accepting()) {
                generate(request, wanted);
                return;
            }
            String name = isOwn ? own : wanted.model();
            elsewhere(request, name)
                    .onSuccess(there -> {
                        if (there != null) {
                            handOn(request, there);
                        } else if (isOwn) {
                            request.fail(ApiException.notReady(state.trouble()));
                        } else {
                            tellNotServed(request, String.valueOf(name));
                        }
                    })
                    .onFailure(request::fail);
        });
    }

    /** Null for nowhere, and for a request that was handed on already. */
    private Future<@Nullable Contact> elsewhere(RoutingContext request, @Nullable String model) {
        return model == null || inner.user(request.request()) != null
                ? Future.succeededFuture(null)
                : doors.find(model);
    }

    private void handOn(RoutingContext request, Contact there) {
        doors.handOn(request, there, user(request), _ -> true)
                .onSuccess(_ -> metrics.answered(request.response().getStatusCode()))
                .onFailure(failure -> request.fail(ApiException.of(
                        502,
                        "server_error",
                        "the coordinator " + there.id().toShortHex() + ", which serves this model, did not answer: "
                                + failure.getMessage() + "; ask again")));
    }

    private void tellNotServed(RoutingContext request, String name) {
        all(request).onFailure(request::fail).onSuccess(served -> {
            String there =
                    served.keySet().stream().map(each -> "'" + each + "'").collect(Collectors.joining(", "));
            request.fail(ApiException.notFound("the model '" + name + "' is not served here; "
                    + (served.isEmpty()
                            ? "no model is yet"
                            : served.size() == 1 ? "served is " + there : "served are " + there)));
        });
    }

    private void generate(RoutingContext request, CompletionRequest wanted) {
        String id = (wanted.prompt() instanceof Local.Prompt.Chat ? "chatcmpl-" : "cmpl-") + UUID.randomUUID();
        long created = System.currentTimeMillis() / 1000;
        var run = new Run(bus, streams, metrics, request, wanted, id, created);
        request.response().closeHandler(_ -> run.leave());
        var start = new Local.StartGeneration(
                id,
                wanted.prompt(),
                wanted.maxTokens(),
                wanted.sampling(),
                wanted.stop(),
                wanted.logProbabilities(),
                user(request),
                wanted.form(created));
        bus.ask(Addresses.START_GENERATION, start, Local.GenerationAccepted.class)
                .onSuccess(run::accepted)
                .onFailure(failure -> {
                    run.end();
                    request.fail(failure);
                });
    }

    /** An answer that another coordinator began, for a client that will come back for it. */
    private Future<Boolean> inherited(Local.GenerationInherited taken) {
        long created = CompletionRequest.created(taken.form());
        var run = new Run(bus, streams, metrics, null, CompletionRequest.ofForm(taken.form()), taken.id(), created);
        run.accepted(taken.accepted());
        streams.nobodyHears(taken.id());
        return Future.succeededFuture(true);
    }

    /** Goes on with a stream, whichever coordinator has it. While this one takes over from another, nobody is told that there is none. */
    private void resume(RoutingContext request) {
        if (streams.has(request.pathParam("id"))) {
            streams.resume(request);
        } else if (inner.user(request.request()) != null) {
            notHere(request);
        } else {
            doors.models().onFailure(request::fail).onSuccess(served -> {
                var places = new ArrayDeque<Contact>();
                served.stream().map(Doors.Served::coordinator).distinct().forEach(places::add);
                resumeElsewhere(request, places);
            });
        }
    }

    private void resumeElsewhere(RoutingContext request, Deque<Contact> places) {
        Contact next = places.poll();
        if (next == null) {
            notHere(request);
            return;
        }
        doors.handOn(request, next, user(request), status -> status != 404 && status != 503)
                .otherwise(false)
                .onSuccess(found -> {
                    if (!found) {
                        resumeElsewhere(request, places);
                    }
                });
    }

    private void notHere(RoutingContext request) {
        swarm().onFailure(request::fail).onSuccess(state -> {
            try {
                if (!state.ready() && !streams.has(request.pathParam("id"))) {
                    throw ApiException.notReady(state.trouble());
                }
                streams.resume(request);
            } catch (ApiException refused) {
                request.fail(refused);
            }
        });
    }

    /** Who asks, so that nobody takes the place of all others: the machine that the request comes from. */
    private String user(RoutingContext request) {
        String elsewhere = inner.user(request.request());
        if (elsewhere != null) {
            return elsewhere;
        }
        return request.request().remoteAddress() == null
                ? ""
                : String.valueOf(request.request().remoteAddress().hostAddress());
    }

    private static ObjectNode body(RoutingContext request) {
        String type = request.request().getHeader("Content-Type");
        if (type == null || !type.toLowerCase(Locale.ROOT).startsWith("application/json")) {
            throw ApiException.of(
                    415, "invalid_request_error", "the body must be sent with Content-Type: application/json");
        }
        try {
            JsonNode read = JSON.readTree(request.body().buffer().getBytes());
            if (read instanceof ObjectNode object) {
                return object;
            }
            throw ApiException.refused("the body is no JSON object");
        } catch (JacksonException malformed) {
            throw ApiException.refused("the body is no JSON: " + malformed.getOriginalMessage());
        }
    }

    // ------------------------------------------------------------------------------------------------ status

    private Future<Local.SwarmState> swarm() {
        return bus.ask(Addresses.SWARM_STATE, new Local.AskSwarm(false), Local.SwarmState.class);
    }

    /** All models of the cluster, and whether they are ready. One that was asked by another coordinator tells of its own. */
    private Future<Map<String, Boolean>> all(RoutingContext request) {
        Future<List<Doors.Served>> others =
                inner.user(request.request()) == null ? doors.models() : Future.succeededFuture(List.of());
        return swarm().compose(state -> others.map(served -> {
            var all = new LinkedHashMap<String, Boolean>();
            if (state.model() != null) {
                all.put(state.model(), state.ready());
            }
            served.forEach(each -> all.merge(each.model(), each.ready(), Boolean::logicalOr));
            return all;
        }));
    }

    private void models(RoutingContext request) {
        all(request).onFailure(request::fail).onSuccess(served -> {
            ObjectNode list = JSON.createObjectNode().put("object", "list");
            ArrayNode data = list.putArray("data");
            served.forEach((model, ready) -> data.addObject()
                    .put("id", model)
                    .put("object", "model")
                    .put("created", 0)
                    .put("owned_by", "shoal")
                    .put("ready", ready));
            Replies.write(request, 200, list);
        });
    }

    private void nodes(RoutingContext request) {
        bus.ask(Addresses.SWARM_STATE, new Local.AskSwarm(true), Local.SwarmState.class)
                .onFailure(request::fail)
                .onSuccess(state -> Replies.write(request, 200, SwarmPages.nodes(state)));
    }

    private void plan(RoutingContext request) {
        bus.ask(Addresses.PLAN, SwarmPages.askPlan(request), Local.PlanTold.class)
                .onFailure(request::fail)
                .onSuccess(plan -> Replies.write(request, 200, SwarmPages.plan(plan)));
    }

    private void proof(RoutingContext request) {
        bus.ask(Addresses.PROOF, SwarmPages.askProof(body(request)), Local.Proof.class)
                .onFailure(request::fail)
                .onSuccess(proof -> Replies.write(request, 200, SwarmPages.proof(proof)));
    }

    private void health(RoutingContext request) {
        swarm().onFailure(request::fail).onSuccess(state -> {
            ObjectNode health = JSON.createObjectNode().put("status", state.ready() ? "ok" : "not ready");
            if (!state.ready()) {
                health.put("reason", state.trouble());
            }
            Replies.write(request, state.ready() ? 200 : 503, health);
        });
    }

    private void metrics(RoutingContext request) {
        bus.ask(Addresses.WORK, new Local.AskWork(), Local.Work.class)
                .onFailure(request::fail)
                .onSuccess(work -> request.response()
                        .putHeader("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                        .end(metrics.scrape() + WorkMetrics.text(work)));
    }

    // ------------------------------------------------------------------------------------------------ errors

    private void failed(RoutingContext request) {
        ApiException failure = explain(request);
        metrics.answered(failure.status());
        HttpServerResponse response = request.response();
        if (response.ended() || response.closed()) {
            return;
        }
        if (response.headWritten()) {
            response.end();
            return;
        }
        Replies.write(request, failure.status(), Replies.error(failure));
    }

    private static ApiException explain(RoutingContext request) {
        return switch (request.failure()) {
            case ApiException known -> known;
            case CommandBus.LocalFailure refused -> ApiException.refused(String.valueOf(refused.getMessage()));
            case null ->
                request.statusCode() == 413
                        ? ApiException.of(
                                413, "invalid_request_error", "the body has more than " + MAX_BODY_BYTES + " bytes")
                        : ApiException.of(request.statusCode(), "invalid_request_error", "the request is no good");
            default -> {
                LOG.warn("a request failed", request.failure());
                yield ApiException.of(500, "server_error", "this machine failed; its log says why");
            }
        };
    }
}
