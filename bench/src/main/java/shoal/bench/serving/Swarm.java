package shoal.bench.serving;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import shoal.bench.report.FatJar;
import shoal.verticles.cli.Relaunch;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A rendezvous, some nodes and a coordinator, each in a process of its own on loopback; all end with {@link #close}. */
final class Swarm implements AutoCloseable {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final long START_SECONDS = 120;

    private final Path directory = Files.createTempDirectory("shoal-bench-serving-");
    private final Map<String, Member> nodes = new LinkedHashMap<>();
    private final List<Member> all = new ArrayList<>();
    private final Shape shape;
    private final int threads;
    private final String kernels;
    private final Path model;
    private final @Nullable Path logs;
    private String bootstrap = "";
    private @Nullable Member coordinator;
    private int started;

    /**
     * What there is of each stage.
     *
     * @param stages that share the layers
     * @param nodes for each of them: the first computes
     * @param ready whether the others have the layers ready, and not only when they are needed
     */
    record Shape(int stages, int nodes, boolean ready) {
        /** A node for each stage, and nobody else. */
        static Shape of(int stages) {
            return new Shape(stages, 1, true);
        }

        int count() {
            return stages * nodes;
        }
    }

    /** One process. */
    final class Member {
        private final String name;
        private final Process process;
        private final Path log;
        private final Map<String, CompletableFuture<JsonNode>> events = new LinkedHashMap<>();

        private Member(String name, List<String> arguments) throws IOException {
            this.name = name;
            Path home = Files.createDirectories(directory.resolve(name));
            log = home.resolve("log");
            List<String> command = program("-Xmx1g");
            command.addAll(arguments);
            command.addAll(List.of("--events", "--exit-with-stdin", "--port", "0", "--cluster", "bench"));
            process = new ProcessBuilder(command)
                    .directory(home.toFile())
                    .redirectError(log.toFile())
                    .start();
            all.add(this);
            Thread.ofPlatform().daemon().name("events of " + name).start(this::read);
        }

        private void read() {
            try (var lines =
                    new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    JsonNode event = JSON.readTree(line);
                    event(event.path("event").asString()).complete(event);
                }
            } catch (IOException | JacksonException gone) {
                // whoever waits for an event sees that the process ended
            }
        }

        private CompletableFuture<JsonNode> event(String name) {
            synchronized (events) {
                return events.computeIfAbsent(name, _ -> new CompletableFuture<>());
            }
        }

        /** Waits for the first event of that name. */
        JsonNode await(String name) throws IOException, InterruptedException {
            CompletableFuture<JsonNode> event = event(name);
            try {
                CompletableFuture.anyOf(event, process.onExit()).get(START_SECONDS, TimeUnit.SECONDS);
            } catch (TimeoutException | ExecutionException late) {
                throw new IOException("no '" + name + "' within " + START_SECONDS + " s: " + lastWords());
            }
            if (!event.isDone()) {
                throw new IOException("a process ended before '" + name + "': " + lastWords());
            }
            return event.join();
        }

        private String lastWords() throws IOException {
            List<String> lines = Files.readAllLines(log);
            return lines.isEmpty() ? "it logged nothing" : lines.getLast();
        }

        String id() throws IOException, InterruptedException {
            return await("ready").path("id").asString();
        }

        long pid() {
            return process.pid();
        }

        /** As {@code kill -9}. */
        void kill() {
            process.destroyForcibly();
            process.onExit().join();
        }
    }

    /**
     * Starts all and waits until a token has passed every stage.
     *
     * @param settings say which model, unsplit; it is cut for the nodes that compute
     */
    Swarm(ServingCommand.Settings settings, Shape shape) throws IOException, InterruptedException {
        this.model = settings.model();
        this.shape = shape;
        this.threads = settings.threads();
        this.kernels = settings.kernels();
        this.logs = settings.logs();
        try {
            Path seeds = Files.createDirectories(directory.resolve("seeds"));
            split(model, shape.stages(), seeds);
            Member rendezvous = new Member("rendezvous", List.of("rendezvous", "--seed-dir", seeds.toString()));
            bootstrap = rendezvous.await("ready").path("quic").asString();
            Member door = new Member(
                    "coordinator",
                    List.of(
                            "coordinator",
                            "--bootstrap",
                            bootstrap,
                            "--set",
                            "coordinator.nodes=" + shape.count(),
                            "--set",
                            "coordinator.spares=" + shape.ready(),
                            "--set",
                            "api.port=0"));
            coordinator = door;
            addNodes(IntStream.range(0, shape.count())
                    .map(i -> i % shape.stages())
                    .boxed()
                    .toList());
            door.await("swarm_ready");
        } catch (IOException | InterruptedException | RuntimeException failure) {
            close();
            throw failure;
        }
    }

    /** The program as users start it, with the notes of its build; or as it lies on the class path. */
    private static List<String> program(String... flags) {
        Path jar = FatJar.onClassPath().orElse(null);
        var command = new ArrayList<String>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(jar == null ? Relaunch.FLAGS : Relaunch.roleFlags(jar));
        command.addAll(List.of(flags));
        command.add("-Dshoal.relaunched=true");
        command.addAll(
                jar == null
                        ? List.of("-cp", System.getProperty("java.class.path"), "shoal.verticles.cli.Main")
                        : List.of("-jar", jar.toString()));
        return command;
    }

    private void split(Path model, int shards, Path seeds) throws IOException, InterruptedException {
        List<String> command = program();
        command.addAll(
                List.of("split", model.toString(), "--shards", String.valueOf(shards), "--out", seeds.toString()));
        Path log = directory.resolve("split.log");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        if (process.waitFor() != 0) {
            throw new IOException(
                    "the model was not split: " + Files.readString(log).strip());
        }
    }

    /** Starts a node for each of these stages, one after another; returns when all are up. */
    void addNodes(List<Integer> stages) throws IOException, InterruptedException {
        for (int stage : stages) {
            var node = new Member(
                    "node" + started++,
                    List.of(
                            "node",
                            "--bootstrap",
                            bootstrap,
                            "--enable-torrent",
                            "--threads",
                            String.valueOf(threads),
                            "--set",
                            "compute.kernels=" + kernels,
                            "--shard-id", // a small model would be placed on one node, where it is faster
                            String.valueOf(stage)));
            nodes.put(node.id(), node);
        }
    }

    /** The node with this id. */
    Member node(String id) throws IOException {
        Member node = nodes.get(id);
        if (node == null) {
            throw new IOException("no node has the id " + id);
        }
        return node;
    }

    /** Kills a node; it is no member any more. */
    void kill(String id) throws IOException {
        node(id).kill();
        nodes.remove(id);
    }

    List<Member> nodes() {
        return List.copyOf(nodes.values());
    }

    Path model() {
        return model;
    }

    /** Base URL of the API. */
    String api() throws IOException, InterruptedException {
        Member door = coordinator;
        if (door == null) {
            throw new IOException("the coordinator did not start");
        }
        return door.await("ready").path("api").asString();
    }

    @Override
    public void close() {
        all.forEach(member -> member.process.destroyForcibly());
        all.forEach(member -> member.process.onExit().join());
        all.forEach(this::keepLog);
        try (Stream<Path> files = Files.walk(directory)) {
            files.sorted(Comparator.reverseOrder())
                    .forEach(file -> file.toFile().delete());
        } catch (IOException gone) {
            // nothing left to delete
        }
    }

    private void keepLog(Member member) {
        if (logs != null) {
            try {
                Path kept = Files.createDirectories(logs).resolve(member.name + ".log");
                Files.copy(member.log, kept, StandardCopyOption.REPLACE_EXISTING);
            } catch (IOException unwritable) {
                System.err.println("a log was not kept: " + unwritable.getMessage());
            }
        }
    }
}
