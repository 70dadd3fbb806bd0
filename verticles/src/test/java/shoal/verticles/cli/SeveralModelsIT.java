package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Two models on the same two nodes, each with a coordinator and a placement of its own; either coordinator is the door to both. */
final class SeveralModelsIT {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final Duration BOUND = Duration.ofSeconds(120);
    private static final String PROMPT = "Once upon a time number 0";
    private static final int TOKENS = 60;

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    @TempDir
    private Path directory;

    private Program program;

    @BeforeEach
    void open() {
        program = new Program(directory);
    }

    @AfterEach
    void close() {
        http.shutdownNow();
        program.close();
    }

    @Test
    void eitherDoorLeadsToBoth() throws Exception {
        Path seeds = Files.createDirectories(directory.resolve("seeds"));
        var models = new LinkedHashMap<String, Path>();
        models.put("stories-q8_0", Files.copy(Program.MODEL, seeds.resolve("stories-q8_0.gguf")));
        Path trained = shared().resolve("models/stories-moe-q8_0.gguf");
        if (Files.exists(trained)) {
            models.put("stories-moe-q8_0", Files.copy(trained, seeds.resolve("stories-moe-q8_0.gguf")));
        } else {
            Path random = seeds.resolve("random.gguf");
            var made = program.run(
                    "made", "make-model", "--like", "llama-tiny", "--type", "Q8_0", "--out", random.toString());
            assertEquals(0, made.awaitExit(), made::said);
            models.put("random", random);
        }
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        String bootstrap = rendezvous.awaitReady().toString();
        var coordinators = new LinkedHashMap<String, Program.Running>();
        for (String model : models.keySet()) {
            coordinators.put(
                    model,
                    program.role(
                            "coordinator-" + model,
                            "coordinator",
                            "--port",
                            "0",
                            "--bootstrap",
                            bootstrap,
                            "--model",
                            model + ".gguf",
                            "--set",
                            "coordinator.nodes=2",
                            "--set",
                            "coordinator.activations=f32"));
        }
        for (String name : List.of("one", "two")) {
            program.role(name, "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent");
        }
        var names = new LinkedHashMap<String, Path>(); // as the swarm calls them
        var doors = new ArrayList<String>();
        for (Map.Entry<String, Program.Running> each : coordinators.entrySet()) {
            names.put(each.getValue().awaitEvent("swarm_ready").path("model").asString(), models.get(each.getKey()));
            doors.add(each.getValue().awaitEvent("ready").path("api").asString());
        }
        var texts = new HashSet<String>();
        for (String door : doors) {
            awaitListed(door, names.keySet());
            for (Map.Entry<String, Path> model : names.entrySet()) {
                texts.add(everythingWorks(door, model.getKey(), model.getValue(), doors));
            }
            JsonNode unknown =
                    post(door, "{\"model\":\"gpt-9\",\"prompt\":\"x\"}", 404).path("error");
            assertEquals("not_found_error", unknown.path("type").asString());
            names.keySet()
                    .forEach(name -> assertTrue(
                            unknown.path("message").asString().contains("'" + name + "'"), unknown::toString));
        }
        assertEquals(2, texts.size(), "each model says its own, whichever door is asked");
    }

    /** @return what the model says */
    private String everythingWorks(String door, String model, Path file, List<String> doors) throws Exception {
        for (JsonNode expected : references(file)) {
            JsonNode answer = post(
                    door,
                    JSON.writeValueAsString(JSON.createObjectNode()
                            .put("model", model)
                            .put("prompt", expected.path("prompt").asString())
                            .put("max_tokens", expected.path("tokens").size())
                            .put("temperature", 0)),
                    200);
            assertEquals(model, answer.path("model").asString());
            assertEquals(
                    expected.path("text").asString(),
                    answer.path("choices").path(0).path("text").asString(),
                    () -> model + " at " + door);
        }
        var alone = program.run(
                "alone",
                "generate",
                "--model",
                file.toString(),
                "--prompt",
                PROMPT,
                "--tokens",
                String.valueOf(TOKENS),
                "--temperature",
                "0",
                "--json");
        String text = alone.json().path("text").asString();
        assertNotEquals("", text, alone::said);
        try (var streams = new Streams(door, TOKENS, false, model);
                var resumable = new Streams(door, TOKENS, true, model)) {
            assertEquals(text, streams.begin(1).texts().getFirst(), () -> model + " streamed at " + door);
            assertEquals(text, resumable.beginAndComeBack(), () -> model + " resumed at " + door);
            streams.beginAndLeave();
        }
        for (String each : doors) {
            try (var at = new Streams(each, TOKENS)) {
                at.awaitSwarm(swarm -> swarm.path("generations").asInt() == 0);
            }
        }
        return text;
    }

    /** What llama.cpp says of three prompts, where that is known here. */
    private static List<JsonNode> references(Path file) throws IOException {
        Path told = shared().resolve("models/references.json");
        if (!Files.exists(told)) {
            return List.of();
        }
        var some = new ArrayList<JsonNode>();
        JsonNode cases = JSON.readTree(Files.readString(told))
                .path("models")
                .path(file.getFileName().toString());
        for (JsonNode each : cases) {
            if (some.size() < 3 && each.path("tokens").size() > 4) {
                some.add(each);
            }
        }
        return some;
    }

    private static Path shared() {
        String named = System.getenv("SHOAL_SHARED");
        return named != null
                ? Path.of(named)
                : Objects.requireNonNull(Program.REPOSITORY.toAbsolutePath().getParent())
                        .resolve("shared");
    }

    private void awaitListed(String door, Set<String> names) throws IOException, InterruptedException {
        long until = System.nanoTime() + BOUND.toNanos();
        Set<String> ready = Set.of();
        while (!ready.equals(names)) {
            assertTrue(System.nanoTime() < until, "listed are " + ready);
            HttpRequest ask = HttpRequest.newBuilder(URI.create(door + "/models"))
                    .timeout(BOUND)
                    .build();
            ready = new HashSet<>();
            for (JsonNode each : JSON.readTree(
                            http.send(ask, HttpResponse.BodyHandlers.ofString()).body())
                    .path("data")) {
                if (each.path("ready").asBoolean()) {
                    ready.add(each.path("id").asString());
                }
            }
        }
    }

    private JsonNode post(String door, String body, int status) throws IOException, InterruptedException {
        HttpRequest ask = HttpRequest.newBuilder(URI.create(door + "/completions"))
                .timeout(BOUND)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        HttpResponse<String> answer = http.send(ask, HttpResponse.BodyHandlers.ofString());
        assertEquals(status, answer.statusCode(), answer.body());
        return JSON.readTree(answer.body());
    }
}
