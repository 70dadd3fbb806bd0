package shoal.verticles.api;

import io.vertx.core.http.HttpServerResponse;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The events of one streamed answer (server-sent events, HTML standard, section 9.2), numbered from 0 by their {@code id}, and those
 * who hear them: whoever lost the connection asks for what came after the last one that it has. One event loop.
 */
final class EventLog {
    static final String DONE = "[DONE]";

    private final List<String> events = new ArrayList<>();
    /** Who hears, and the number of the next event that each lacks. */
    private final Map<HttpServerResponse, Integer> hearers = new HashMap<>();

    private boolean over;

    /** One more event, to all who hear. @param data one line */
    void add(String data) {
        events.add(data);
        hearers.forEach((hearer, next) -> {
            if (events.size() > next) {
                write(hearer, events.size() - 1);
            }
        });
    }

    /** The last event. */
    void end() {
        add(DONE);
        over = true;
        hearers.keySet().forEach(HttpServerResponse::end);
        hearers.clear();
    }

    /** It breaks here; told without a number, since it may be gone on with elsewhere behind the last one that has one. */
    void fail(String data) {
        over = true;
        hearers.keySet().forEach(hearer -> hearer.end("data: " + data + "\n\ndata: " + DONE + "\n\n"));
        hearers.clear();
    }

    boolean isOver() {
        return over;
    }

    boolean hasHearers() {
        return !hearers.isEmpty();
    }

    /**
     * Tells what came after an event, and what comes from now on.
     *
     * @param last number of that event, -1 for all; it may still be to come, where another coordinator has told it
     */
    void hear(HttpServerResponse response, long last) {
        response.setChunked(true).putHeader("Content-Type", "text/event-stream").putHeader("Cache-Control", "no-cache");
        int next = Math.clamp(last + 1, 0, Integer.MAX_VALUE);
        for (int number = next; number < events.size(); number++) {
            write(response, number);
        }
        if (over) {
            response.end();
        } else {
            hearers.put(response, next);
        }
    }

    /** A connection is gone. */
    void leave(HttpServerResponse response) {
        hearers.remove(response);
    }

    private void write(HttpServerResponse to, int number) {
        to.write("id: " + number + "\ndata: " + events.get(number) + "\n\n");
    }
}
