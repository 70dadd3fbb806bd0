package shoal.verticles.api;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Timer;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import io.vertx.core.Future;
import io.vertx.core.VerticleBase;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.eventbus.MessageConsumer;
import io.vertx.core.http.HttpServerOptions;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.ext.web.Router;
import io.vertx.ext.web.RoutingContext;
import io.vertx.ext.web.handler.BodyHandler;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Locale;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.wire.ErrorCode;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
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

    private final CommandBus bus;
    private final Profile.Api settings;
    private final byte @Nullable [] key;
    private final PrometheusMeterRegistry metrics = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final Counter promptTokens = metrics.counter("shoal.prompt.tokens");
    private final Counter generatedTokens = metrics.counter("shoal.generated.tokens");
    private final Timer firstToken = Timer.builder("shoal.first.token")
            .description("From a request to its first token")
            .publishPercentileHistogram()
            .minimumExpectedValue(Duration.ofMillis(10))
            .maximumExpectedValue(Duration.ofMinutes(2))
            .register(metrics);
    private KeptStreams streams;
    private int port;
    private int running;

    /** @param key that clients must send as a bearer token, or null if anybody who reaches the port may ask */
    @SuppressWarnings("NullAway.Init") // streams are kept on the verticle's event loop, which is known when it starts
    public ApiVerticle(CommandBus bus, Profile.Api settings, @Nullable String key) {
        this.bus = bus;
        this.settings = settings;
        this.key = key == null ? null : key.getBytes(StandardCharsets.UTF_8);
        metrics.gauge("shoal.generations.running", this, api -> api.running);
    }

    @Override
    public Future<?> start() {
        streams = new KeptStreams(vertx);
        Router router = Router.router(vertx);
        router.route().handler(this::guard);
        router.post().handler(BodyHandler.create(false).setBodyLimit(MAX_BODY_BYTES));
        router.post("/v1/chat/completions").handler(request -> complete(request, CompletionRequest::chat));
        router.post("/v1/completions").handler(request -> complete(request, CompletionRequest::completion));
        router.get("/v1/models").handler(this::models);
        router.get("/v1/shoal/nodes").handler(this::nodes);
        router.get("/v1/shoal/plan").handler(this::plan);
        router.post("/v1/shoal/proof").handler(this::proof);
        router.get("/v1/shoal/streams/:id").handler(streams::resume);
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

    private void complete(RoutingContext request, Function<ObjectNode, CompletionRequest> reader) {
        CompletionRequest wanted = reader.apply(body(request));
        String id = (wanted.prompt() instanceof Local.Prompt.Chat ? "chatcmpl-" : "cmpl-") + UUID.randomUUID();
        var run = new Run(request, wanted, id);
        run.consumer = bus.listen(Addresses.generation(id), Local.GenerationNews.class, run::heard);
        request.response().closeHandler(_ -> run.leave());
        var start = new Local.StartGeneration(
                id,
                wanted.prompt(),
                wanted.maxTokens(),
                wanted.sampling(),
                wanted.stop(),
                wanted.logProbabilities(),
                user(request));
        checkModel(wanted.model())
                .compose(_ -> bus.ask(Addresses.START_GENERATION, start, Local.GenerationAccepted.class))
                .onSuccess(run::accepted)
                .onFailure(failure -> {
                    run.end();
                    request.fail(failure);
                });
    }

    /** Who asks, so that nobody takes the place of all others: the machine that the request comes from. */
    private static String user(RoutingContext request) {
        return request.request().remoteAddress() == null
                ? ""
                : String.valueOf(request.request().remoteAddress().hostAddress());
    }

    /** A client that names a model means that one. */
    private Future<?> checkModel(@Nullable String name) {
        return swarm().compose(state -> {
            if (!state.ready()) {
                return Future.failedFuture(ApiException.notReady(state.trouble()));
            }
            return name == null || name.equals(state.model()) || name.equals("default")
                    ? Future.succeededFuture()
                    : Future.failedFuture(ApiException.notFound(
                            "the model '" + name + "' is not served here; served is '" + state.model() + "'"));
        });
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

    /** One request, from the question to the last byte of the answer. */
    private final class Run {
        private final RoutingContext request;
        private final CompletionRequest wanted;
        private final String id;
        private @Nullable MessageConsumer<?> consumer;
        private final EventLog log = new EventLog();
        private @Nullable Answer answer;
        private boolean over;

        Run(RoutingContext request, CompletionRequest wanted, String id) {
            this.request = request;
            this.wanted = wanted;
            this.id = id;
            running++;
        }

        void accepted(Local.GenerationAccepted accepted) {
            if (over) {
                cancel();
                return;
            }
            promptTokens.increment(accepted.promptTokens());
            var begun = new Answer(id, wanted, System.currentTimeMillis() / 1000, accepted);
            answer = begun;
            if (wanted.stream()) {
                if (wanted.resumable()) {
                    streams.keep(id, log, this::cancel);
                }
                log.hear(request.response(), -1);
                send(begun.opening());
            }
        }

        void heard(Local.GenerationNews news) {
            Answer current = answer;
            if (over || current == null) {
                return;
            }
            switch (news) {
                case Local.GenerationNews.Piece piece -> {
                    generatedTokens.increment();
                    if (wanted.stream()) {
                        send(current.chunk(piece));
                    } else {
                        current.add(piece);
                    }
                }
                case Local.GenerationNews.Ended ended -> {
                    firstToken.record(ended.firstTokenMicros(), TimeUnit.MICROSECONDS);
                    if (wanted.stream()) {
                        send(current.closing(ended));
                        if (wanted.usageInStream()) {
                            send(current.usage(ended));
                        }
                        finishStream();
                    } else {
                        write(request, 200, current.whole(ended));
                    }
                    count(200);
                    end();
                }
                case Local.GenerationNews.Broken(ErrorCode code, String message) -> {
                    ApiException failure = code == ErrorCode.BUSY
                            ? ApiException.of(429, "rate_limit_error", message)
                            : ApiException.of(502, "server_error", message);
                    if (wanted.stream()) {
                        send(error(failure));
                        finishStream();
                        count(failure.status());
                    } else {
                        request.fail(failure);
                    }
                    LOG.debug("generation {} broke: {} {}", id, code, message);
                    end();
                }
            }
        }

        private void send(@Nullable ObjectNode chunk) {
            if (chunk != null) {
                log.add(JSON.writeValueAsString(chunk));
            }
        }

        private void finishStream() {
            log.end();
            streams.over(id);
        }

        /** The client is gone, and with it its wish, unless it said that it may come back. */
        void leave() {
            if (wanted.resumable() && answer != null) {
                streams.left(id, request.response());
            } else if (!over) {
                cancel();
            }
        }

        private void cancel() {
            end();
            bus.tell(Addresses.CANCEL_GENERATION, new Local.CancelGeneration(id));
        }

        void end() {
            if (!over) {
                over = true;
                running--;
                MessageConsumer<?> listening = consumer;
                if (listening != null) {
                    listening.unregister();
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ status

    private Future<Local.SwarmState> swarm() {
        return bus.ask(Addresses.SWARM_STATE, new Local.AskSwarm(false), Local.SwarmState.class);
    }

    private void models(RoutingContext request) {
        swarm().onFailure(request::fail).onSuccess(state -> {
            ObjectNode list = JSON.createObjectNode().put("object", "list");
            ArrayNode data = list.putArray("data");
            if (state.model() != null) {
                data.addObject()
                        .put("id", state.model())
                        .put("object", "model")
                        .put("created", 0)
                        .put("owned_by", "shoal")
                        .put("ready", state.ready());
            }
            write(request, 200, list);
        });
    }

    private void nodes(RoutingContext request) {
        bus.ask(Addresses.SWARM_STATE, new Local.AskSwarm(true), Local.SwarmState.class)
                .onFailure(request::fail)
                .onSuccess(state -> {
                    ObjectNode all = JSON.createObjectNode()
                            .put("model", state.model())
                            .put("ready", state.ready())
                            .put("reason", state.ready() ? null : state.trouble())
                            .put("generations", state.generations());
                    ArrayNode nodes = all.putArray("nodes");
                    for (Local.NodeState node : state.nodes()) {
                        ObjectNode entry = nodes.addObject()
                                .put("id", node.node().toHex())
                                .put("pid", node.pid())
                                .put("role", node.role());
                        ArrayNode layers = entry.putArray("layers");
                        node.layers()
                                .forEach(range ->
                                        layers.addArray().add(range.first()).add(range.last()));
                        if (node.epoch() == null) {
                            entry.putNull("epoch");
                        } else {
                            entry.put("epoch", node.epoch().number());
                        }
                        entry.put("state", node.state()).put("kernels", node.kernels());
                    }
                    write(request, 200, all);
                });
    }

    private void plan(RoutingContext request) {
        bus.ask(Addresses.PLAN, SwarmPages.askPlan(request), Local.PlanTold.class)
                .onFailure(request::fail)
                .onSuccess(plan -> write(request, 200, SwarmPages.plan(plan)));
    }

    private void proof(RoutingContext request) {
        bus.ask(Addresses.PROOF, SwarmPages.askProof(body(request)), Local.Proof.class)
                .onFailure(request::fail)
                .onSuccess(proof -> write(request, 200, SwarmPages.proof(proof)));
    }

    private void health(RoutingContext request) {
        swarm().onFailure(request::fail).onSuccess(state -> {
            ObjectNode health = JSON.createObjectNode().put("status", state.ready() ? "ok" : "not ready");
            if (!state.ready()) {
                health.put("reason", state.trouble());
            }
            write(request, state.ready() ? 200 : 503, health);
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
        count(failure.status());
        HttpServerResponse response = request.response();
        if (response.ended() || response.closed()) {
            return;
        }
        if (response.headWritten()) {
            response.end();
            return;
        }
        write(request, failure.status(), error(failure));
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

    private static ObjectNode error(ApiException failure) {
        ObjectNode json = JSON.createObjectNode();
        json.putObject("error")
                .put("message", failure.getMessage())
                .put("type", failure.type())
                .put("param", failure.parameter())
                .put("code", failure.status());
        return json;
    }

    private void count(int status) {
        metrics.counter("shoal.requests", "status", String.valueOf(status)).increment();
    }

    private static void write(RoutingContext request, int status, ObjectNode json) {
        if (!request.response().closed()) {
            request.response()
                    .setStatusCode(status)
                    .putHeader("Content-Type", "application/json")
                    .end(Buffer.buffer(JSON.writeValueAsBytes(json)));
        }
    }
}
