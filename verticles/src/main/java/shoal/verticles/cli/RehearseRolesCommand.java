package shoal.verticles.cli;

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
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import shoal.codec.wire.Role;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.launcher.RoleProcess;
import shoal.verticles.launcher.RunningNote;
import shoal.verticles.store.ModelSplitter;

/**
 * Is a rendezvous, a node and a coordinator at once, until the bundled model has answered through them, so that a JVM that takes notes
 * ({@code -XX:AOTCacheOutput}) sees what a role needs. The build runs it; {@link Relaunch} hands the notes to whatever computes or joins
 * a swarm.
 */
@Command(name = "rehearse-roles", hidden = true, description = "Run one of each role in this process, and end.")
final class RehearseRolesCommand implements Callable<Integer> {
    private static final String MODEL = "stories-q8_0.gguf";
    private static final Duration BOUND = Duration.ofSeconds(60);
    private static final Duration POLL = Duration.ofMillis(200);
    private static final int ANSWERS = 4;

    private final List<RoleProcess> started = new ArrayList<>();
    private final List<Thread> threads = new ArrayList<>();

    @Override
    public Integer call() throws IOException, InterruptedException {
        Path directory = Files.createTempDirectory("shoal-rehearse-");
        try {
            Path seeds = Files.createDirectories(directory.resolve("seeds"));
            split(directory.resolve(MODEL), seeds);
            Path first = directory.resolve(Role.RENDEZVOUS.text());
            start(Role.RENDEZVOUS, first, "store.seedDirectory=" + seeds);
            String bootstrap =
                    "bootstrap=" + RunningNote.read(first).orElseThrow().quic();
            start(
                    Role.NODE,
                    directory.resolve(Role.NODE.text()),
                    bootstrap,
                    "torrent.enabled=true",
                    "compute.device=cpu");
            ask(start(Role.COORDINATOR, directory.resolve(Role.COORDINATOR.text()), bootstrap, "api.port=0"));
            return CommandLine.ExitCode.OK;
        } finally {
            started.reversed().forEach(RoleProcess::end);
            for (Thread thread : threads) {
                thread.join(BOUND);
            }
            SeedCommand.delete(directory);
        }
    }

    private static void split(Path model, Path seeds) throws IOException {
        try (InputStream in = RehearseRolesCommand.class.getResourceAsStream("/models/" + MODEL);
                ModelSplitter splitter = ModelSplitter.open()) {
            if (in == null) {
                throw new IOException(MODEL + " is not in the jar. Build it again.");
            }
            Files.copy(in, model);
            splitter.split(model, 2, seeds, "");
        }
    }

    private RoleProcess start(Role role, Path store, String... assignments) throws IOException, InterruptedException {
        var reader = new ProfileReader();
        for (String assignment : assignments) {
            reader.set(assignment);
        }
        reader.set("store.directory=" + store);
        reader.set("cluster.name=rehearsal");
        reader.set("quic.port=0");
        var process = new RoleProcess(reader.read(), role, "shoal " + ShoalCommand.Version.number(), false);
        started.add(process);
        threads.add(Thread.ofPlatform().name(role.text()).start(() -> run(process)));
        process.awaitReady(BOUND);
        return process;
    }

    /** Some answers, as soon as there is somebody to give them. */
    private static void ask(RoleProcess coordinator) throws IOException, InterruptedException {
        HttpRequest question = HttpRequest.newBuilder(URI.create(coordinator.api() + "/completions"))
                .timeout(BOUND)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString("{\"prompt\":\"Once upon a time\",\"max_tokens\":64}"))
                .build();
        long end = System.nanoTime() + BOUND.toNanos();
        try (HttpClient http =
                HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()) {
            int answers = 0;
            while (answers < ANSWERS && System.nanoTime() < end) {
                if (http.send(question, HttpResponse.BodyHandlers.discarding()).statusCode() == 200) {
                    answers++;
                } else {
                    Thread.sleep(POLL);
                }
            }
        }
    }

    private static void run(RoleProcess process) {
        try {
            process.run(false);
        } catch (IOException failure) {
            System.err.println(failure.getMessage());
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
