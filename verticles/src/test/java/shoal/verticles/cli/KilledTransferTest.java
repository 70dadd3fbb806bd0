package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.swarm.Download;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Real processes, killed by kill -9 in the middle of a transfer. */
@Timeout(value = 180, unit = TimeUnit.SECONDS, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class KilledTransferTest {
    private static final int SIZE = 12 * 1024 * 1024 + 5;
    private static final String RATE = "3000000";

    @TempDir
    Path directory;

    private final List<Process> processes = new ArrayList<>();

    @AfterEach
    void end() throws InterruptedException {
        for (Process process : processes) {
            process.destroyForcibly().waitFor();
        }
    }

    @Test
    void aKilledLeecherGoesOnAndFetchesNoJournalledPieceTwice() throws Exception {
        byte[] bytes = file();
        Process seeder = shoal("seed", directory.resolve("model.gguf").toString(), "--rate", RATE, "--json");
        JsonNode seeded = json(next(seeder));
        String[] fetch = fetch(seeded);
        Process first = shoal(fetch);
        awaitVerified(first, SIZE / 4);
        first.destroyForcibly().waitFor();

        long journalled = journalled(seeded);
        assertTrue(journalled >= SIZE / 4, "only " + journalled + " bytes were kept");
        assertTrue(journalled < SIZE, "it was whole before it was killed");
        JsonNode done = last(shoal(fetch));
        assertEquals(journalled, done.path("bytes").path("local").asLong());
        assertEquals(SIZE - journalled, done.path("bytes").path("peers").asLong());
        long uploaded = 0;
        while (uploaded < SIZE) { // one line a second, as long as there is news
            uploaded = json(next(seeder)).path("uploaded").asLong();
        }
        assertTrue(uploaded < SIZE * 3L / 2, uploaded + " bytes were sent for " + SIZE);
        assertArrayEquals(bytes, Files.readAllBytes(Path.of(done.path("path").asString())));
    }

    @Test
    void aKilledSeederThatComesBackIsFoundAgain() throws Exception {
        byte[] bytes = file();
        String model = directory.resolve("model.gguf").toString();
        Process seeder = shoal("seed", model, "--rate", RATE, "--json");
        JsonNode seeded = json(next(seeder));
        Process leecher = shoal(fetch(seeded));
        awaitVerified(leecher, SIZE / 4);
        seeder.destroyForcibly().waitFor();
        shoal("seed", model, "--port", seeded.path("port").asString());
        JsonNode done = last(leecher);
        assertEquals(SIZE, done.path("bytes").path("peers").asLong());
        assertEquals(0, done.path("bytes").path("local").asLong());
        assertArrayEquals(bytes, Files.readAllBytes(Path.of(done.path("path").asString())));
    }

    @Test
    void twoProcessesCannotHaveTheSameStore() throws Exception {
        file();
        String model = directory.resolve("model.gguf").toString();
        String store = directory.resolve("store").toString();
        next(shoal("seed", model, "--store", store, "--json"));
        Process second = shoal("seed", model, "--store", store, "--json");
        String said = new String(second.getErrorStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        assertTrue(second.waitFor() > 0);
        List<String> lines =
                said.lines().filter(line -> line.startsWith("shoal: ")).toList();
        assertEquals(1, lines.size(), said);
        assertTrue(lines.getFirst().matches(".*store is in use by another Shoal \\(process \\d+\\)\\. .*"), said);
    }

    private byte[] file() throws IOException {
        byte[] bytes = new byte[SIZE];
        new Random(SIZE).nextBytes(bytes);
        Files.write(directory.resolve("model.gguf"), bytes);
        return bytes;
    }

    /** Scripts read the first line of {@code seed --json}: exactly this shape. */
    private static void assertShape(JsonNode seeded) {
        assertEquals(List.of("port", "files"), List.copyOf(seeded.propertyNames()));
        JsonNode file = seeded.path("files").path(0);
        assertEquals(List.of("name", "info_hash", "size"), List.copyOf(file.propertyNames()));
        assertTrue(seeded.path("port").isInt() && seeded.path("files").size() == 1, seeded.toString());
        assertEquals("model.gguf", file.path("name").asString());
        assertTrue(file.path("info_hash").asString().matches("[0-9a-f]{64}"), seeded.toString());
        assertEquals(SIZE, file.path("size").asLong());
    }

    private String[] fetch(JsonNode seeded) {
        assertShape(seeded);
        return new String[] {
            "fetch",
            seeded.path("files").path(0).path("info_hash").asString(),
            "--from",
            "127.0.0.1:" + seeded.path("port").asString(),
            "--out",
            directory.resolve("out").toString(),
            "--json"
        };
    }

    /** What a process that starts now would find: bytes of the pieces that the map on disk names. */
    private long journalled(JsonNode seeded) throws IOException {
        Hash256 hash =
                Hash256.parse(seeded.path("files").path(0).path("info_hash").asString());
        try (ShardStore store = ShardStore.open(directory.resolve("out/.shoal"), BlockHasher.plain())) {
            StoredFile partial =
                    store.find(new shoal.codec.metainfo.InfoHash(hash)).orElseThrow();
            return new Download.Shape(
                            partial.metainfo().length(), partial.metainfo().pieceLength())
                    .bytesOf(partial.verified());
        }
    }

    private Process shoal(String... arguments) throws IOException {
        var command = new ArrayList<String>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(Relaunch.FLAGS);
        String classes = System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
        command.addAll(List.of(
                "-Xmx256m",
                "-XX:TieredStopAtLevel=1",
                "-Dshoal.relaunched=true",
                "-cp",
                classes,
                Main.class.getName()));
        command.addAll(List.of(arguments));
        Path errors = directory.resolve("errors" + processes.size());
        var builder = new ProcessBuilder(command);
        if (!List.of(arguments).contains("--store")) {
            builder.redirectError(errors.toFile());
        }
        Process process = builder.start();
        processes.add(process);
        return process;
    }

    private String next(Process process) throws IOException {
        String line = lines(process).readLine();
        return line == null ? fail("the process ended:\n" + errors()) : line;
    }

    private String errors() throws IOException {
        var all = new StringBuilder();
        for (int i = 0; i < processes.size(); i++) {
            Path errors = directory.resolve("errors" + i);
            all.append(Files.exists(errors) ? Files.readString(errors) : "");
        }
        return all.toString();
    }

    private static BufferedReader lines(Process process) {
        return process.inputReader();
    }

    private static JsonNode json(String line) {
        return JsonMapper.shared().readTree(line);
    }

    private void awaitVerified(Process process, long bytes) throws IOException {
        while (json(next(process)).path("verified").asLong() < bytes) {
            // one line a second
        }
    }

    private JsonNode last(Process process) throws Exception {
        List<String> all = lines(process).lines().toList();
        assertEquals(0, process.waitFor(), errors());
        return json(all.getLast());
    }
}
