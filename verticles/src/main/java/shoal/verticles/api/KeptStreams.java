package shoal.verticles.api;

import io.vertx.core.Vertx;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.ext.web.RoutingContext;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Streamed answers that can be gone on with: by their id, for a while after the client's connection broke and after their end. One
 * event loop.
 */
final class KeptStreams {
    /** How long an answer goes on that nobody hears, and how long one that is over is kept. */
    static final long KEEP_MILLIS = 60_000;

    /** Answers that are over; the oldest goes first. */
    private static final int MAX_OVER = 256;

    private final Vertx vertx;
    private final Map<String, Kept> streams = new LinkedHashMap<>();

    private static final class Kept {
        private final EventLog log;
        private final Runnable cancel;
        private long timer = -1;

        Kept(EventLog log, Runnable cancel) {
            this.log = log;
            this.cancel = cancel;
        }
    }

    KeptStreams(Vertx vertx) {
        this.vertx = vertx;
    }

    /** @param cancel ends the answer when nobody came back to it in time */
    void keep(String id, EventLog log, Runnable cancel) {
        streams.put(id, new Kept(log, cancel));
    }

    boolean has(String id) {
        return streams.containsKey(id);
    }

    void forget(String id) {
        Kept kept = streams.remove(id);
        if (kept != null) {
            vertx.cancelTimer(kept.timer);
        }
    }

    /** The answer is whole. */
    void over(String id) {
        Kept kept = streams.get(id);
        if (kept == null) {
            return;
        }
        vertx.cancelTimer(kept.timer);
        kept.timer = vertx.setTimer(KEEP_MILLIS, _ -> streams.remove(id));
        long over = streams.values().stream().filter(each -> each.log.isOver()).count();
        if (over > MAX_OVER) {
            streams.entrySet().stream()
                    .filter(each -> each.getValue().log.isOver())
                    .map(Map.Entry::getKey)
                    .findFirst()
                    .ifPresent(this::forget);
        }
    }

    /** A connection of an answer is gone; somebody may come back to it. */
    void left(String id, HttpServerResponse response) {
        Kept kept = streams.get(id);
        if (kept == null) {
            return;
        }
        kept.log.leave(response);
        nobodyHears(id);
    }

    /** An answer that nobody hears ends after a while. */
    void nobodyHears(String id) {
        Kept kept = streams.get(id);
        if (kept == null) {
            return;
        }
        if (!kept.log.hasHearers() && !kept.log.isOver()) {
            vertx.cancelTimer(kept.timer);
            kept.timer = vertx.setTimer(KEEP_MILLIS, _ -> {
                streams.remove(id);
                kept.cancel.run();
            });
        }
    }

    /** {@code GET /v1/shoal/streams/ID}, with {@code Last-Event-ID}. */
    void resume(RoutingContext request) {
        String id = request.pathParam("id");
        Kept kept = streams.get(id);
        if (kept == null) {
            throw ApiException.notFound("there is no stream '" + id
                    + "' to go on with: it was not asked for with stream_options.resumable, or nobody heard it for "
                    + KEEP_MILLIS / 1000 + " s");
        }
        long last = last(request.request().getHeader("Last-Event-ID"));
        if (!kept.log.isOver()) {
            vertx.cancelTimer(kept.timer);
        }
        request.response().closeHandler(_ -> left(id, request.response()));
        kept.log.hear(request.response(), last);
    }

    private static long last(@org.jspecify.annotations.Nullable String header) {
        if (header == null || header.isBlank()) {
            return -1;
        }
        try {
            return Math.max(-1, Long.parseLong(header.strip()));
        } catch (NumberFormatException none) {
            throw ApiException.refused("Last-Event-ID is '" + header + "', it must be the number of an event");
        }
    }
}
