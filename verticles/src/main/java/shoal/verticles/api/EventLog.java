package shoal.verticles.api;

import io.vertx.core.http.HttpServerResponse;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The events of one streamed answer (server-sent events, HTML standard, section 9.2), numbered from 0 by their {@code id}, and those
 * who hear them: whoever lost the connection asks for what came after the last one that it has. One event loop.
 */
final class EventLog {
    static final String DONE = "[DONE]";

    private final List<String> events = new ArrayList<>();
    private final Set<HttpServerResponse> hearers = new HashSet<>();
    private boolean over;

    /** One more event, to all who hear. @param data one line */
    void add(String data) {
        events.add(data);
        hearers.forEach(hearer -> write(hearer, events.size() - 1));
    }

    /** The last event. */
    void end() {
        add(DONE);
        over = true;
        hearers.forEach(HttpServerResponse::end);
        hearers.clear();
    }

    boolean isOver() {
        return over;
    }

    boolean hasHearers() {
        return !hearers.isEmpty();
    }

    /** Tells what came after an event, and what comes from now on. @param last number of that event, -1 for all */
    void hear(HttpServerResponse response, long last) {
        response.setChunked(true).putHeader("Content-Type", "text/event-stream").putHeader("Cache-Control", "no-cache");
        for (int number = Math.clamp(last + 1, 0, events.size()); number < events.size(); number++) {
            write(response, number);
        }
        if (over) {
            response.end();
        } else {
            hearers.add(response);
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
