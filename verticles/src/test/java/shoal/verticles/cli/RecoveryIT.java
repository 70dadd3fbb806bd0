package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Stages are killed while answers are under way, and machines with other kernels take over: not a token is lost, doubled or different,
 * and each answer says who computed it.
 */
final class RecoveryIT {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final Duration BOUND = Duration.ofSeconds(180);
    private static final int STREAMS = 8;
    private static final int TOKENS = 120;

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    private final ExecutorService readers = Executors.newVirtualThreadPerTaskExecutor();

    @TempDir
    private Path directory;

    private Program program;
    private String base;

    @BeforeEach
    void open() {
        program = new Program(directory);
    }

    @AfterEach
    void close() {
        readers.shutdownNow();
        http.shutdownNow();
        program.close();
    }

    @Test
    void answersSurviveTheirStages() throws Exception {
        long seed = new Random().nextLong();
        var random = new Random(seed);
        Path seeds = directory.resolve("seeds");
        var split = program.run("split", "split", Program.MODEL.toString(), "--shards", "2", "--out", seeds.toString());
        assertEquals(0, split.awaitExit(), split::said);
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        String bootstrap = rendezvous.awaitReady().toString();
        var coordinator = program.role(
                "coordinator", "coordinator", "--port", "0", "--bootstrap", bootstrap, "--set", "coordinator.nodes=3");
        Map<String, Program.Running> nodes = new HashMap<>();
        for (int i = 0; i < 3; i++) {
            var node = program.role(
                    "node" + i,
                    "node",
                    "--port",
                    "0",
                    "--bootstrap",
                    bootstrap,
                    "--enable-torrent",
                    "--set",
                    "compute.kernels=" + (i == 1 ? "vector" : "auto"));
            nodes.put(node.awaitEvent("ready").path("id").asString(), node);
        }
        base = coordinator.awaitEvent("ready").path("api").asString();
        coordinator.awaitEvent("swarm_ready");
        List<String> undisturbed = new ArrayList<>();
        for (int i = 0; i < STREAMS; i++) {
            undisturbed.add(text(ask(i, false).join().body(), coordinator));
        }
        for (int alive = 3; alive > 1; alive--) {
            var victim = nodes.remove(stages().get(random.nextInt(2)));
            var begun = new CountDownLatch(STREAMS);
            var streams = new ArrayList<Future<List<String>>>();
            for (int i = 0; i < STREAMS; i++) {
                HttpRequest request = request(i, true);
                streams.add(readers.submit(() -> lines(request, begun)));
            }
            assertTrue(begun.await(BOUND.toSeconds(), TimeUnit.SECONDS), "seed " + seed);
            victim.kill();
            int recovered = 0;
            for (int i = 0; i < STREAMS; i++) {
                List<JsonNode> chunks = chunks(streams.get(i).get(BOUND.toSeconds(), TimeUnit.SECONDS));
                String text =
                        String.join("", chunks.stream().map(RecoveryIT::piece).toList());
                assertEquals(undisturbed.get(i), text, "seed " + seed + ", stream " + i + "\n" + coordinator.said());
                checkWhoAnswered(chunks.getLast().path("shoal"), victim);
                recovered += chunks.getLast().path("shoal").path("recoveries").asInt();
            }
            assertTrue(recovered > 0, "seed " + seed + ": all were over before the stage died");
        }
        assertEquals(
                undisturbed.getFirst(), text(ask(0, false).join().body(), coordinator), "one node runs all layers now");
        assertEquals(1, stages().stream().distinct().count());
    }

    /** Half of the requests are greedy, the others draw with a seed; some look back, and one must keep to a grammar. */
    private HttpRequest request(int number, boolean stream) {
        String body = "{\"prompt\":\"Once upon a time number " + number + "\",\"max_tokens\":" + TOKENS
                + ",\"temperature\":" + number % 2 + ",\"seed\":" + number + ",\"stream\":" + stream
                + switch (number % 4) {
                    case 2 -> ",\"frequency_penalty\":0.7}";
                    case 3 -> ",\"response_format\":{\"type\":\"json_object\"}}";
                    default -> "}";
                };
        return HttpRequest.newBuilder(URI.create(base + "/completions"))
                .timeout(BOUND)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
    }

    private CompletableFuture<HttpResponse<String>> ask(int number, boolean stream) {
        return http.sendAsync(request(number, stream), HttpResponse.BodyHandlers.ofString());
    }

    /** Nodes that run the two stages, in order. */
    private List<String> stages() throws Exception {
        JsonNode answer = JSON.readTree(http.send(
                        HttpRequest.newBuilder(URI.create(base + "/completions"))
                                .timeout(BOUND)
                                .header("Content-Type", "application/json")
                                .POST(HttpRequest.BodyPublishers.ofString("{\"prompt\":\"a\",\"max_tokens\":1}"))
                                .build(),
                        HttpResponse.BodyHandlers.ofString())
                .body());
        var nodes = new ArrayList<String>();
        answer.path("shoal")
                .path("stages")
                .forEach(stage -> nodes.add(stage.path("node").asString()));
        assertEquals(2, nodes.size(), answer::toString);
        return nodes;
    }

    /** The nodes that computed the last token, each with the kernels that it has; all of them compute the same bits. */
    private void checkWhoAnswered(JsonNode run, Program.Running dead) throws Exception {
        Map<String, String> kernels = new HashMap<>();
        JSON.readTree(http.send(
                                HttpRequest.newBuilder(URI.create(base + "/shoal/nodes"))
                                        .timeout(BOUND)
                                        .build(),
                                HttpResponse.BodyHandlers.ofString())
                        .body())
                .path("nodes")
                .forEach(node -> kernels.put(
                        node.path("id").asString(), node.path("kernels").asString()));
        assertTrue(run.path("exact").asBoolean(), run::toString);
        assertEquals(2, run.path("stages").size(), run::toString);
        boolean moved = run.path("recoveries").asInt() > 0;
        for (JsonNode stage : run.path("stages")) {
            String node = stage.path("node").asString();
            assertTrue(
                    !moved || !node.equals(dead.awaitEvent("ready").path("id").asString()), run::toString);
            assertTrue(!moved || kernels.get(node).equals(stage.path("kernels").asString()), run::toString);
        }
    }

    private static String text(String body, Program.Running coordinator) {
        JsonNode answer = JSON.readTree(body);
        assertTrue(answer.path("choices").path(0).path("text").isString(), () -> body + "\n" + coordinator.said());
        return answer.path("choices").get(0).path("text").asString();
    }

    private static String piece(JsonNode chunk) {
        return chunk.path("choices").path(0).path("text").asString("");
    }

    /** All lines of an answer; counts down at the first. */
    private List<String> lines(HttpRequest request, CountDownLatch begun) throws IOException, InterruptedException {
        var lines = new ArrayList<String>();
        try (Stream<String> body =
                http.send(request, HttpResponse.BodyHandlers.ofLines()).body()) {
            body.forEach(line -> {
                if (lines.isEmpty()) {
                    begun.countDown();
                }
                lines.add(line);
            });
        }
        return lines;
    }

    private static List<JsonNode> chunks(List<String> lines) {
        List<String> events =
                lines.stream().filter(line -> line.startsWith("data: ")).toList();
        assertEquals("data: [DONE]", events.getLast());
        return events.stream()
                .limit(events.size() - 1)
                .map(line -> JSON.readTree(line.substring("data: ".length())))
                .toList();
    }
}
