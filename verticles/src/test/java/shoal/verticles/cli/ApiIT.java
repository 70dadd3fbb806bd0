package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.GgufReader;
import shoal.codec.gguf.GgufWriter;
import shoal.codec.gguf.MetadataValue;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A swarm asked over HTTP as OpenAI's clients ask, and as nobody should. */
final class ApiIT {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final Duration BOUND = Duration.ofSeconds(120);
    private static final String KEY = "a key that clients must know";

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    @TempDir
    private Path directory;

    private Program program;
    private String base;
    private String key = "";

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
    void answersInTheFormOfOpenAi() throws Exception {
        Path model = withTemplate();
        Path seeds = directory.resolve("seeds");
        var split = program.run("split", "split", model.toString(), "--shards", "2", "--out", seeds.toString());
        assertEquals(0, split.awaitExit(), split::said);
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        String bootstrap = rendezvous.awaitReady().toString();
        var coordinator = program.role(
                "coordinator",
                "coordinator",
                "--port",
                "0",
                "--bootstrap",
                bootstrap,
                "--set",
                "coordinator.nodes=2",
                "--set",
                "coordinator.activations=f32");
        base = coordinator.awaitEvent("ready").path("api").asString();
        var early = get("/health", 503);
        assertTrue(early.path("reason").asString().contains("not ready"), early::toString);
        var refused = post("/completions", "{\"prompt\":\"Once\"}", 503);
        assertTrue(refused.path("error").path("message").asString().contains("not ready"), refused::toString);
        var nodes = new ArrayList<Program.Running>();
        for (int i = 0; i < 2; i++) {
            nodes.add(program.role("node" + i, "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent"));
        }
        coordinator.awaitEvent("swarm_ready");

        String alone = generate(model, "Once upon a time");
        completions(alone);
        chat(generate(model, "[user]Tell a story.\n[assistant]"));
        everyMachineIsListed(Stream.concat(Stream.of(rendezvous, coordinator), nodes.stream())
                .toList());
        badRequests();
        aClientThatLeavesFreesItsPlace();
        aThousandWait();
        aStreamGoesOnWhereItsConnectionBroke();
        metricsCount();
    }

    private void completions(String alone) throws Exception {
        String ask = "{\"prompt\":\"Once upon a time\",\"max_tokens\":40,\"temperature\":0";
        JsonNode whole = post("/completions", ask + "}", 200);
        assertEquals(alone, text(whole));
        assertEquals(
                "length", whole.path("choices").get(0).path("finish_reason").asString());
        assertEquals(40, whole.path("usage").path("completion_tokens").asInt());
        assertEquals(2, whole.path("shoal").path("stages").size(), whole::toString);

        List<JsonNode> chunks =
                stream("/completions", ask + ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
        assertEquals(alone, String.join("", chunks.stream().map(ApiIT::text).toList()));
        assertEquals(whole.path("usage"), chunks.getLast().path("usage"));
        assertEquals(0, chunks.getLast().path("choices").size());

        String word = alone.substring(20, 26);
        String before = alone.substring(0, alone.indexOf(word));
        JsonNode stopped = post("/completions", ask + ",\"stop\":[\"zebra\"," + JSON.valueToTree(word) + "]}", 200);
        assertEquals(before, text(stopped));
        assertEquals(
                "stop", stopped.path("choices").get(0).path("finish_reason").asString());

        JsonNode seeded = post("/completions", ask.replace(":0", ":1") + ",\"seed\":7,\"logprobs\":1}", 200);
        assertEquals(
                seeded.path("choices"),
                post("/completions", ask.replace(":0", ":1") + ",\"seed\":7,\"logprobs\":1}", 200)
                        .path("choices"));
        assertEquals(
                40,
                seeded.path("choices")
                        .get(0)
                        .path("logprobs")
                        .path("token_logprobs")
                        .size());

        var many = new ArrayList<CompletableFuture<HttpResponse<String>>>();
        for (int i = 0; i < 8; i++) {
            many.add(http.sendAsync(
                    request("/completions")
                            .POST(HttpRequest.BodyPublishers.ofString(ask + "}"))
                            .build(),
                    HttpResponse.BodyHandlers.ofString()));
        }
        for (var one : many) {
            assertEquals(
                    alone,
                    text(JSON.readTree(
                            one.get(120, java.util.concurrent.TimeUnit.SECONDS).body())));
        }
    }

    private void chat(String alone) throws Exception {
        String ask = """
                {"model":"stories","messages":[{"role":"user","content":[{"type":"text","text":"Tell a "},
                {"type":"text","text":"story."}]}],"max_completion_tokens":40,"temperature":0""";
        JsonNode whole = post("/chat/completions", ask + "}", 200);
        JsonNode message = whole.path("choices").get(0).path("message");
        assertEquals("assistant", message.path("role").asString());
        assertEquals(alone, message.path("content").asString());
        List<JsonNode> chunks = stream("/chat/completions", ask + ",\"stream\":true}");
        assertEquals(
                "assistant",
                chunks.getFirst()
                        .path("choices")
                        .get(0)
                        .path("delta")
                        .path("role")
                        .asString());
        assertEquals(
                alone,
                String.join(
                        "",
                        chunks.stream()
                                .map(chunk -> chunk.path("choices")
                                        .get(0)
                                        .path("delta")
                                        .path("content")
                                        .asString(""))
                                .toList()));
        assertEquals(
                "length",
                chunks.getLast().path("choices").get(0).path("finish_reason").asString());
    }

    private void everyMachineIsListed(List<Program.Running> processes) throws Exception {
        assertEquals(
                "stories", get("/models", 200).path("data").get(0).path("id").asString());
        assertEquals("ok", get("/health", 200).path("status").asString());
        var expected = new TreeMap<Long, String>();
        for (Program.Running one : processes) {
            JsonNode ready = one.awaitEvent("ready");
            expected.put(ready.path("pid").asLong(), roleAndId(ready));
        }
        long until = System.nanoTime() + BOUND.toNanos();
        JsonNode all = get("/shoal/nodes", 200);
        while (!expected.equals(rolesAndIds(all)) && System.nanoTime() < until) { // a busy machine may answer late
            all = get("/shoal/nodes", 200);
        }
        assertEquals(expected, rolesAndIds(all));
        var layers = new TreeMap<Integer, Integer>();
        for (JsonNode node : all.path("nodes")) {
            boolean serves = node.path("state").asString().equals("serving");
            assertEquals(serves, node.path("epoch").isInt(), node::toString);
            node.path("layers")
                    .forEach(range ->
                            layers.put(range.get(0).asInt(), range.get(1).asInt()));
        }
        assertEquals(2, layers.size(), all::toString);
    }

    private static TreeMap<Long, String> rolesAndIds(JsonNode all) {
        var listed = new TreeMap<Long, String>();
        all.path("nodes").forEach(node -> listed.put(node.path("pid").asLong(), roleAndId(node)));
        return listed;
    }

    private static String roleAndId(JsonNode node) {
        return node.path("role").asString() + " " + node.path("id").asString();
    }

    private void badRequests() throws Exception {
        assertWrong("{\"prompt\":7}", 400, "prompt is 7, it must be one text");
        assertWrong("{\"prompt\":\"a\",\"temperature\":9}", 400, "temperature is 9, allowed are 0.0..2.0");
        assertWrong("{\"prompt\":\"a\",\"n\":2}", 400, "n is 2, allowed is 1");
        assertWrong("{\"prompt\":\"a\",\"stop\":[\"\"]}", 400, "stop must be");
        assertWrong("{\"prompt\":\"a\",\"max_tokens\":100000}", 400, "context length is 512");
        assertWrong("{\"prompt\":\"a\",\"model\":\"gpt-9\"}", 404, "served is 'stories'");
        assertWrong("[1]", 400, "no JSON object");
        assertWrong("{\"prompt\":", 400, "no JSON");
        assertWrong("{\"a\":".repeat(1000), 400, "no JSON");
        assertEquals(404, send(request("/nothing").GET()).statusCode());
        assertEquals(
                415,
                send(HttpRequest.newBuilder(URI.create(base + "/completions"))
                                .header("Content-Type", "text/plain")
                                .POST(HttpRequest.BodyPublishers.ofString("{\"prompt\":\"a\"}")))
                        .statusCode());
        assertEquals(
                413,
                send(request("/completions").POST(HttpRequest.BodyPublishers.ofString("x".repeat(9 << 20))))
                        .statusCode());
        try (var socket = new Socket("127.0.0.1", URI.create(base).getPort())) {
            socket.setSoTimeout((int) BOUND.toMillis());
            socket.getOutputStream()
                    .write("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n".getBytes(StandardCharsets.UTF_8));
            byte[] status = socket.getInputStream().readNBytes(12);
            assertEquals("HTTP/1.1 403", new String(status, StandardCharsets.UTF_8));
        }
    }

    private void aClientThatLeavesFreesItsPlace() throws Exception {
        HttpResponse<InputStream> begun = http.send(
                request("/completions")
                        .POST(
                                HttpRequest.BodyPublishers.ofString(
                                        "{\"prompt\":\"Once\",\"max_tokens\":480,\"temperature\":1,\"stream\":true,\"logit_bias\":{}}"))
                        .build(),
                HttpResponse.BodyHandlers.ofInputStream());
        assertEquals('i', begun.body().read());
        begun.body().close();
        long until = System.nanoTime() + BOUND.toNanos();
        while (get("/shoal/nodes", 200).path("generations").asInt() > 0) {
            assertTrue(System.nanoTime() < until, "the generation runs on though nobody listens");
        }
    }

    private void aThousandWait() throws Exception {
        var asked = new ArrayList<CompletableFuture<HttpResponse<String>>>();
        for (int i = 0; i < 1000; i++) {
            asked.add(http.sendAsync(
                    request("/completions")
                            .POST(HttpRequest.BodyPublishers.ofString(
                                    "{\"prompt\":\"Once upon a time\",\"max_tokens\":2,\"temperature\":0}"))
                            .build(),
                    HttpResponse.BodyHandlers.ofString()));
        }
        var texts = new TreeMap<String, Integer>();
        for (CompletableFuture<HttpResponse<String>> each : asked) {
            HttpResponse<String> answer = each.join();
            assertEquals(200, answer.statusCode(), answer.body());
            texts.merge(
                    JSON.readTree(answer.body())
                            .path("choices")
                            .path(0)
                            .path("text")
                            .asString(),
                    1,
                    Integer::sum);
        }
        assertEquals(1, texts.size(), texts::toString);
    }

    private void aStreamGoesOnWhereItsConnectionBroke() throws Exception {
        String ask = "{\"prompt\":\"Once\",\"max_tokens\":200,\"temperature\":0,\"stream\":true";
        String undisturbed = texts(stream("/completions", ask + "}"));
        var heard = new ArrayList<String>();
        HttpResponse<InputStream> begun = http.send(
                request("/completions")
                        .POST(HttpRequest.BodyPublishers.ofString(ask + ",\"stream_options\":{\"resumable\":true}}"))
                        .build(),
                HttpResponse.BodyHandlers.ofInputStream());
        try (var lines = new BufferedReader(new InputStreamReader(begun.body(), StandardCharsets.UTF_8))) {
            for (int i = 0; i < 9; i++) {
                heard.add(lines.readLine());
            }
        }
        assertEquals("id: 2", heard.get(6), heard::toString);
        List<JsonNode> first = chunks(heard);
        String path = "/shoal/streams/" + first.getFirst().path("id").asString();
        var rest = send(request(path).header("Last-Event-ID", "2").GET());
        assertEquals(200, rest.statusCode(), rest::body);
        assertEquals(
                undisturbed, texts(first) + texts(chunks(rest.body().lines().toList())));
        var whole = send(request(path).GET());
        assertEquals(undisturbed, texts(chunks(whole.body().lines().toList())));
        assertTrue(whole.body().endsWith("data: [DONE]\n\n"), whole::body);
        get("/shoal/streams/cmpl-nobody", 404);
        assertEquals(
                400,
                send(request(path).header("Last-Event-ID", "the third").GET()).statusCode());
    }

    private static List<JsonNode> chunks(List<String> lines) {
        return lines.stream()
                .filter(line -> line.startsWith("data: {"))
                .map(line -> JSON.readTree(line.substring("data: ".length())))
                .toList();
    }

    private static String texts(List<JsonNode> chunks) {
        return String.join(
                "",
                chunks.stream()
                        .map(chunk -> chunk.path("choices").path(0).path("text").asString(""))
                        .toList());
    }

    private void metricsCount() throws Exception {
        String base = this.base;
        this.base = base.replace("/v1", "");
        String metrics = send(request("/metrics").GET()).body();
        this.base = base;
        double tokens = metrics.lines()
                .filter(line -> line.startsWith("shoal_generated_tokens_total "))
                .mapToDouble(line -> Double.parseDouble(line.substring(line.indexOf(' '))))
                .sum();
        assertTrue(tokens > 400, metrics);
        for (String metric : List.of("stage_busy_seconds_total{", "stage_tokens_total{", "hop_seconds_count{")) {
            double value = metrics.lines()
                    .filter(line -> line.startsWith("shoal_" + metric))
                    .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' '))))
                    .sum();
            assertTrue(value > 0, () -> metric + "\n" + metrics);
        }
    }

    @Test
    void aKeyIsAskedFor() throws Exception {
        Path keyFile = Files.writeString(directory.resolve("key"), KEY + "\n");
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0");
        var coordinator = program.role(
                "coordinator",
                "coordinator",
                "--port",
                "0",
                "--bootstrap",
                rendezvous.awaitReady().toString(),
                "--set",
                "api.keyFile=" + keyFile);
        base = coordinator.awaitEvent("ready").path("api").asString();
        assertEquals(
                "authentication_error",
                get("/models", 401).path("error").path("type").asString());
        get("/health", 503);
        key = KEY;
        assertEquals(0, get("/models", 200).path("data").size());
        var taken = program.role(
                "taken",
                "coordinator",
                "--port",
                "0",
                "--bootstrap",
                rendezvous.awaitReady().toString(),
                "--set",
                "api.port=" + URI.create(base).getPort());
        assertFalse(taken.awaitExit() == 0, taken::said);
        taken.awaitLog("cannot be used for HTTP");
    }

    // ----------------------------------------------------------------------------------------------- parts

    /** The bundled model with a chat template, which it has none of its own. */
    private Path withTemplate() throws IOException {
        byte[] file = Files.readAllBytes(Program.MODEL);
        Gguf gguf = GgufReader.read(java.lang.foreign.MemorySegment.ofArray(file));
        var metadata = new LinkedHashMap<>(gguf.metadata());
        metadata.put(
                "tokenizer.chat_template",
                new MetadataValue.Text(
                        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
                                + "{% if add_generation_prompt %}[assistant]{% endif %}"));
        GgufWriter.Written written = GgufWriter.write(metadata, gguf.tensors());
        Path model = directory.resolve("stories.gguf");
        Files.write(model, written.header());
        int data = (int) gguf.dataOffset();
        return Files.write(model, java.util.Arrays.copyOfRange(file, data, file.length), StandardOpenOption.APPEND);
    }

    private String generate(Path model, String prompt) {
        var said = program.run(
                "alone",
                "generate",
                "--model",
                model.toString(),
                "--prompt",
                prompt,
                "--tokens",
                "40",
                "--temperature",
                "0",
                "--json");
        assertEquals(0, said.awaitExit(), said::said);
        return said.json().path("text").asString();
    }

    private static String text(JsonNode answer) {
        return answer.path("choices").path(0).path("text").asString("");
    }

    private HttpRequest.Builder request(String path) {
        String url = path.equals("/health") ? base.replace("/v1", "") + path : base + path;
        var request = HttpRequest.newBuilder(URI.create(url)).timeout(BOUND).header("Content-Type", "application/json");
        return key.isEmpty() ? request : request.header("Authorization", "Bearer " + key);
    }

    private HttpResponse<String> send(HttpRequest.Builder request) throws IOException, InterruptedException {
        return http.send(request.build(), HttpResponse.BodyHandlers.ofString());
    }

    private JsonNode get(String path, int status) throws IOException, InterruptedException {
        var answer = send(request(path).GET());
        assertEquals(status, answer.statusCode(), answer::body);
        return JSON.readTree(answer.body());
    }

    private JsonNode post(String path, String body, int status) throws IOException, InterruptedException {
        var answer = send(request(path).POST(HttpRequest.BodyPublishers.ofString(body)));
        assertEquals(status, answer.statusCode(), answer::body);
        return JSON.readTree(answer.body());
    }

    private void assertWrong(String body, int status, String message) throws IOException, InterruptedException {
        JsonNode error = post("/completions", body, status).path("error");
        assertTrue(error.path("message").asString().contains(message), error::toString);
    }

    /** All chunks up to the end that OpenAI's clients wait for. */
    private List<JsonNode> stream(String path, String body) throws IOException, InterruptedException {
        var answer = send(request(path).POST(HttpRequest.BodyPublishers.ofString(body)));
        assertEquals(200, answer.statusCode(), answer::body);
        List<String> events =
                answer.body().lines().filter(line -> line.startsWith("data: ")).toList();
        assertEquals("data: [DONE]", events.getLast());
        return events.stream()
                .limit(events.size() - 1)
                .map(line -> JSON.readTree(line.substring("data: ".length())))
                .toList();
    }
}
