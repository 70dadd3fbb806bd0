package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
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
    private final boolean resumable;
    private final String model;
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
                List<String> all = each.get(BOUND.toSeconds(), TimeUnit.SECONDS);
                List<String> events =
                        all.stream().filter(line -> line.startsWith("data: ")).toList();
                assertFalse(events.isEmpty(), () -> "no answer, but: " + String.join("\n", all));
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
        this(base, tokens, false);
    }

    Streams(String base, int tokens, boolean resumable) {
        this(base, tokens, resumable, "default");
    }

    /** @param resumable whether answers go on for a while when the connection breaks */
    Streams(String base, int tokens, boolean resumable, String model) {
        this.base = base;
        this.tokens = tokens;
        this.resumable = resumable;
        this.model = model;
    }

    /** Half of the requests are greedy, the others draw with a seed. */
    private HttpRequest request(int number) {
        String body = "{\"model\":\"" + model + "\",\"prompt\":\"Once upon a time number " + number
                + "\",\"max_tokens\":" + tokens
                + ",\"temperature\":" + number % 2 + ",\"seed\":" + number
                + (resumable ? ",\"stream_options\":{\"resumable\":true}" : "") + ",\"stream\":true}";
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
        } catch (UncheckedIOException broken) {
            return lines; // the last of them tells that it is not whole
        }
        return lines;
    }

    /** Begins an answer, loses the connection in the middle of it, and goes on with it. */
    String beginAndComeBack() throws IOException, InterruptedException {
        var heard = new ArrayList<String>();
        try (Stream<String> body =
                http.send(request(0), HttpResponse.BodyHandlers.ofLines()).body()) {
            body.limit(5).forEach(heard::add);
        }
        List<String> whole = heard.subList(0, heard.lastIndexOf("") + 1);
        String id = chunks(whole).getFirst().path("id").asString();
        String last = whole.stream()
                .filter(line -> line.startsWith("id: "))
                .reduce((_, later) -> later)
                .orElseThrow();
        return text(whole) + text(rest(id, last.substring("id: ".length())));
    }

    /** Goes on with broken answers at another coordinator, behind the last events that came. */
    List<Told> goOn(UnderWay broken) throws Exception {
        var told = new ArrayList<Told>();
        for (Future<List<String>> each : broken.lines()) {
            List<String> heard = each.get(BOUND.toSeconds(), TimeUnit.SECONDS);
            int last = -1;
            for (int i = 0; i + 1 < heard.size(); i++) { // an event is whole with its data
                if (heard.get(i).startsWith("id: ") && isWhole(heard.get(i + 1))) {
                    last = i;
                }
            }
            assertTrue(last >= 0, () -> String.join("\n", heard));
            List<String> before = heard.subList(0, last + 2);
            String id = chunks(before).getFirst().path("id").asString();
            if (before.getLast().equals("data: [DONE]")) {
                told.add(new Told(text(before), chunks(before).getLast()));
                continue; // it was whole before the connection ended
            }
            List<String> rest = rest(id, heard.get(last).substring("id: ".length()));
            told.add(new Told(text(before) + text(rest), chunks(rest).getLast()));
        }
        return told;
    }

    private static boolean isWhole(String line) {
        return line.equals("data: [DONE]") || line.startsWith("data: {") && line.endsWith("}");
    }

    /** Asks until the coordinator is ready. */
    private List<String> rest(String id, String last) throws IOException, InterruptedException {
        HttpRequest ask = HttpRequest.newBuilder(URI.create(base + "/shoal/streams/" + id))
                .timeout(BOUND)
                .header("Last-Event-ID", last)
                .build();
        long until = System.nanoTime() + BOUND.toNanos();
        HttpResponse<String> answer = http.send(ask, HttpResponse.BodyHandlers.ofString());
        while (answer.statusCode() == 503) {
            assertTrue(System.nanoTime() < until, answer.body());
            answer = http.send(ask, HttpResponse.BodyHandlers.ofString());
        }
        assertEquals(200, answer.statusCode(), answer.body());
        assertTrue(answer.body().endsWith("data: [DONE]\n\n"), answer.body());
        return answer.body().lines().toList();
    }

    private static List<JsonNode> chunks(List<String> lines) {
        return lines.stream()
                .filter(line -> line.startsWith("data: {") && line.endsWith("}"))
                .map(line -> JSON.readTree(line.substring("data: ".length())))
                .toList();
    }

    private static String text(List<String> lines) {
        return String.join(
                "",
                chunks(lines).stream()
                        .map(chunk -> chunk.path("choices").path(0).path("text").asString(""))
                        .toList());
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
