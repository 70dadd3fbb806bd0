package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelProvider;
import tools.jackson.databind.JsonNode;

/** A device that breaks in the middle of an answer: its node says so and ends, another takes over, and the answer goes on. */
final class DeviceLostIT {
    private static final Duration BOUND = Duration.ofSeconds(180);
    private static final int TOKENS = 150;

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

    /** An OpenCL library whose device breaks once a file is there; skipped where there is no device or no compiler. */
    private Path breakingLibrary() throws Exception {
        boolean device = KernelChoice.deviceProviders().stream()
                .anyMatch(provider -> provider.name().equals("opencl")
                        && provider.readiness() instanceof KernelProvider.Readiness.Ready);
        assumeTrue(device, "no OpenCL device here; pocl-opencl-icd is one");
        Path source = directory.resolve("breaking.c");
        Path library = directory.resolve("breaking.so");
        try (InputStream in = DeviceLostIT.class.getResourceAsStream("/opencl/breaking.c")) {
            Files.copy(in, source);
        }
        int code;
        try {
            code = new ProcessBuilder(
                            "cc",
                            "-shared",
                            "-fPIC",
                            "-o",
                            library.toString(),
                            source.toString(),
                            "-Wl,--no-as-needed",
                            "-l:libOpenCL.so.1",
                            "-ldl")
                    .inheritIO()
                    .start()
                    .waitFor();
        } catch (IOException absent) {
            code = -1;
        }
        assumeTrue(code == 0, "no C compiler here to make the breaking library with");
        return library;
    }

    @Test
    void anAnswerOutlivesItsDevice() throws Exception {
        Path library = breakingLibrary();
        Path broken = directory.resolve("broken");
        Path seeds = directory.resolve("seeds");
        var split = program.run("split", "split", Program.MODEL.toString(), "--shards", "2", "--out", seeds.toString());
        assertEquals(0, split.awaitExit(), split::said);
        var rendezvous = program.role("rendezvous", "rendezvous", "--port", "0", "--seed-dir", seeds.toString());
        String bootstrap = rendezvous.awaitReady().toString();
        var coordinator = program.role("coordinator", "coordinator", "--port", "0", "--bootstrap", bootstrap);
        program.environment("SHOAL_OPENCL", library.toString());
        program.environment("SHOAL_BREAKS_WHEN", broken.toString());
        var node = program.role(
                "device", "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent", "--device", "opencl:0");
        String deviceId = node.awaitEvent("ready").path("id").asString();
        String base = coordinator.awaitEvent("ready").path("api").asString();
        coordinator.awaitEvent("swarm_ready");

        List<JsonNode> undisturbed = ask(base, _ -> {});
        assertEquals(List.of(deviceId), nodes(last(undisturbed)), coordinator::said);
        program.environmentAsBefore();
        // not up yet when the device breaks, or layers might have moved to it
        var plain = program.role("plain", "node", "--port", "0", "--bootstrap", bootstrap, "--enable-torrent");
        List<JsonNode> answer = ask(base, count -> {
            if (count == 3) {
                Files.createFile(broken);
            }
        });
        assertEquals(text(undisturbed), text(answer), () -> coordinator.said() + "\n" + plain.said());
        String plainId = plain.awaitEvent("ready").path("id").asString();
        JsonNode end = last(answer).path("shoal");
        assertTrue(end.path("recoveries").asInt() > 0, "it was over before the device broke: " + end);
        assertEquals(List.of(plainId), nodes(last(answer)), coordinator::said);
        assertEquals(1, node.awaitExit(), node::said);
        assertTrue(node.said().contains("CL_DEVICE_NOT_AVAILABLE"), node::said);
    }

    /** Those that computed the answer's last token. */
    private static List<String> nodes(JsonNode end) {
        return end.path("shoal")
                .path("stages")
                .valueStream()
                .map(stage -> stage.path("node").asString())
                .distinct()
                .toList();
    }

    private interface Heard {
        void chunk(int count) throws IOException;
    }

    /** The chunks of a greedy answer, each told as it comes. */
    private List<JsonNode> ask(String base, Heard heard) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(base + "/completions"))
                .timeout(BOUND)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString("{\"prompt\":\"Once upon a time\",\"max_tokens\":" + TOKENS
                        + ",\"temperature\":0,\"stream\":true}"))
                .build();
        List<JsonNode> chunks = new ArrayList<>();
        try (Stream<String> lines =
                http.send(request, HttpResponse.BodyHandlers.ofLines()).body()) {
            for (Iterator<String> at = lines.iterator(); at.hasNext(); ) {
                String line = at.next();
                if (line.startsWith("data: {")) {
                    chunks.add(Program.JSON.readTree(line.substring("data: ".length())));
                    heard.chunk(chunks.size());
                }
            }
        }
        return chunks;
    }

    private static JsonNode last(List<JsonNode> chunks) {
        return chunks.getLast();
    }

    private static String text(List<JsonNode> chunks) {
        var text = new StringBuilder();
        chunks.forEach(
                chunk -> text.append(chunk.path("choices").path(0).path("text").asString("")));
        return text.toString();
    }
}
