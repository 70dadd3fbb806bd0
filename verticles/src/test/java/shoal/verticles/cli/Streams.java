package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Predicate;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Clients of a coordinator's HTTP server: several answers at once, heard line by line. */
final class Streams implements AutoCloseable {
    static final JsonMapper JSON = JsonMapper.builder().build();
    private static final Duration BOUND = Duration.ofSeconds(120);
    private static final long BETWEEN_NANOS = 100_000_000;

    private final String base;
    private final int tokens;
    private final ExecutorService readers = Executors.newVirtualThreadPerTaskExecutor();
    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    /** An answer that is whole. @param last its last chunk with a choice */
    record Told(String text, JsonNode last) {}

    /** Answers that are under way. */
    record UnderWay(List<Future<List<String>>> lines, CountDownLatch begun) {
        /** Waits until each has said something. */
        void awaitAll() throws InterruptedException {
            assertTrue(begun.await(BOUND.toSeconds(), TimeUnit.SECONDS), "an answer did not begin");
        }

        /** Waits for the ends. Fails on an answer that ends with an error. */
        List<Told> told() throws Exception {
            var told = new ArrayList<Told>();
            for (Future<List<String>> each : lines) {
                List<String> events = each.get(BOUND.toSeconds(), TimeUnit.SECONDS).stream()
                        .filter(line -> line.startsWith("data: "))
                        .toList();
                assertEquals("data: [DONE]", events.getLast(), () -> String.join("\n", events));
                List<JsonNode> chunks = events.stream()
                        .limit(events.size() - 1)
                        .map(line -> JSON.readTree(line.substring("data: ".length())))
                        .toList();
                assertTrue(
                        chunks.stream().noneMatch(chunk -> chunk.has("error")),
                        () -> chunks.getLast().toString());
                told.add(new Told(
                        String.join(
                                "",
                                chunks.stream()
                                        .map(chunk -> chunk.path("choices")
                                                .path(0)
                                                .path("text")
                                                .asString(""))
                                        .toList()),
                        chunks.getLast()));
            }
            return told;
        }

        List<String> texts() throws Exception {
            return told().stream().map(Told::text).toList();
        }
    }

    /** @param base of the API, with /v1 */
    Streams(String base, int tokens) {
        this.base = base;
        this.tokens = tokens;
    }

    /** Half of the requests are greedy, the others draw with a seed. */
    private HttpRequest request(int number) {
        String body = "{\"prompt\":\"Once upon a time number " + number + "\",\"max_tokens\":" + tokens
                + ",\"temperature\":" + number % 2 + ",\"seed\":" + number + ",\"stream\":true}";
        return HttpRequest.newBuilder(URI.create(base + "/completions"))
                .timeout(BOUND)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
    }

    /** Asks for so many answers at once. */
    UnderWay begin(int count) {
        var begun = new CountDownLatch(count);
        var lines = new ArrayList<Future<List<String>>>();
        for (int i = 0; i < count; i++) {
            HttpRequest request = request(i);
            lines.add(readers.submit(() -> lines(request, begun)));
        }
        return new UnderWay(lines, begun);
    }

    /** All lines of an answer; counts down at the third piece, when it is in the middle. */
    private List<String> lines(HttpRequest request, CountDownLatch begun) throws IOException, InterruptedException {
        var lines = new ArrayList<String>();
        try (Stream<String> body =
                http.send(request, HttpResponse.BodyHandlers.ofLines()).body()) {
            body.forEach(line -> {
                lines.add(line);
                if (lines.size() == 6) {
                    begun.countDown();
                }
            });
        }
        return lines;
    }

    /** Begins an answer and goes away in the middle of it. */
    void beginAndLeave() throws IOException, InterruptedException {
        try (Stream<String> body =
                http.send(request(0), HttpResponse.BodyHandlers.ofLines()).body()) {
            body.limit(4).forEach(_ -> {});
        }
    }

    JsonNode swarm() throws IOException, InterruptedException {
        HttpRequest ask = HttpRequest.newBuilder(URI.create(base + "/shoal/nodes"))
                .timeout(BOUND)
                .build();
        return JSON.readTree(
                http.send(ask, HttpResponse.BodyHandlers.ofString()).body());
    }

    /** Asks how the swarm is until it is as wanted. Fails with what it was last. */
    JsonNode awaitSwarm(Predicate<JsonNode> wanted) throws IOException, InterruptedException {
        long until = System.nanoTime() + BOUND.toNanos();
        JsonNode swarm = swarm();
        while (!wanted.test(swarm)) {
            assertTrue(System.nanoTime() < until, swarm.toString());
            LockSupport.parkNanos(BETWEEN_NANOS); // each question is one to every machine
            swarm = swarm();
        }
        return swarm;
    }

    /** The state of a machine, or "" if it is not listed. */
    static String state(JsonNode swarm, String node) {
        for (JsonNode each : swarm.path("nodes")) {
            if (each.path("id").asString().equals(node)) {
                return each.path("state").asString();
            }
        }
        return "";
    }

    /** Ids of nodes in a state. */
    static List<String> in(JsonNode swarm, String state) {
        var ids = new ArrayList<String>();
        swarm.path("nodes").forEach(each -> {
            if (each.path("state").asString().equals(state)) {
                ids.add(each.path("id").asString());
            }
        });
        return ids;
    }

    @Override
    public void close() {
        readers.shutdownNow();
        http.shutdownNow();
    }
}
