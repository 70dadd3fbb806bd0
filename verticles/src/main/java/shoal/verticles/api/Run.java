package shoal.verticles.api;

import io.vertx.core.eventbus.MessageConsumer;
import io.vertx.ext.web.RoutingContext;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.wire.ErrorCode;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** One request, from the question to the last byte of the answer. One event loop. */
final class Run {
    private static final Logger LOG = LoggerFactory.getLogger(Run.class);
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final CommandBus bus;
    private final KeptStreams streams;
    private final ApiMetrics metrics;
    /** Null for one that another coordinator took. */
    private final @Nullable RoutingContext request;

    private final CompletionRequest wanted;
    private final String id;
    private final long createdSeconds;
    private final MessageConsumer<?> consumer;
    private final EventLog log = new EventLog();
    private @Nullable Answer answer;
    private boolean over;

    /** Begins to listen to what comes of the generation. */
    Run(
            CommandBus bus,
            KeptStreams streams,
            ApiMetrics metrics,
            @Nullable RoutingContext request,
            CompletionRequest wanted,
            String id,
            long createdSeconds) {
        this.bus = bus;
        this.streams = streams;
        this.metrics = metrics;
        this.request = request;
        this.wanted = wanted;
        this.id = id;
        this.createdSeconds = createdSeconds;
        consumer = bus.listen(Addresses.generation(id), Local.GenerationNews.class, this::heard);
        metrics.begun();
    }

    void accepted(Local.GenerationAccepted accepted) {
        if (over) {
            cancel();
            return;
        }
        metrics.prompt(accepted.promptTokens());
        var begun = new Answer(id, wanted, createdSeconds, accepted);
        answer = begun;
        if (wanted.stream()) {
            if (wanted.resumable()) {
                streams.keep(id, log, this::cancel);
            }
            if (request != null) {
                log.hear(request.response(), -1);
            }
            send(begun.opening());
        }
    }

    private void heard(Local.GenerationNews news) {
        Answer current = answer;
        if (over || current == null) {
            return;
        }
        switch (news) {
            case Local.GenerationNews.Piece piece -> {
                metrics.token();
                if (wanted.stream()) {
                    send(current.chunk(piece));
                } else {
                    current.add(piece);
                }
            }
            case Local.GenerationNews.Ended ended -> {
                metrics.first(ended.firstTokenMicros());
                if (wanted.stream()) {
                    send(current.closing(ended));
                    if (wanted.usageInStream()) {
                        send(current.usage(ended));
                    }
                    log.end();
                    streams.over(id);
                } else {
                    Replies.write(Objects.requireNonNull(request), 200, current.whole(ended));
                }
                metrics.answered(200);
                end();
            }
            case Local.GenerationNews.Broken(ErrorCode code, String message) -> {
                ApiException failure = code == ErrorCode.BUSY
                        ? ApiException.of(429, "rate_limit_error", message)
                        : ApiException.of(502, "server_error", message);
                if (wanted.stream()) {
                    log.fail(JSON.writeValueAsString(Replies.error(failure)));
                    streams.forget(id);
                    metrics.answered(failure.status());
                } else {
                    Objects.requireNonNull(request).fail(failure);
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

    /** The client is gone, and with it its wish, unless it said that it may come back. */
    void leave() {
        if (wanted.resumable() && answer != null && request != null) {
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
            metrics.over();
            consumer.unregister();
        }
    }
}
