package shoal.verticles.demo;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.verticles.client.GenerateClient;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Splits a model, starts one rendezvous, N nodes and one coordinator as processes of their own on loopback, lets them find each
 * other, fetch, load and generate, and compares the answer with what one process gives. Ends everything it started.
 */
public final class Demo {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final long START_SECONDS = 180;
    private static final long READY_SECONDS = 300;
    private static final long END_MILLIS = 5000;
    private static final String CLUSTER = "demo";

    private final Options options;
    private final Tools tools;
    private final Screen screen;
    private final DemoFolder folder;
    private final List<Child> children = new CopyOnWriteArrayList<>();
    private final Map<Child, CompletableFuture<JsonNode>> ready = new ConcurrentHashMap<>();
    private final CompletableFuture<JsonNode> swarmReady = new CompletableFuture<>();
    private final CompletableFuture<Void> firstDeath = new CompletableFuture<>();
    private final Map<String, JsonNode> progress = new ConcurrentHashMap<>();
    private final boolean[] stepsSeen = new boolean[20];
    private volatile @Nullable JsonNode placement;
    private volatile @Nullable Victim victim;
    private volatile boolean talking;
    private int pieces;
    private volatile boolean ending;

    /** A stage that was killed in the middle of the answer. */
    static final class Victim {
        final Child child;
        final String layers;
        private final long killedNanos = System.nanoTime();
        long goneMillis;

        Victim(Child child, String layers) {
            this.child = child;
            this.layers = layers;
        }
    }

    /** What the user asked for. */
    public record Options(
            int nodes,
            int shards,
            @Nullable Path model,
            String prompt,
            int tokens,
            Sampling sampling,
            boolean kill,
            boolean keep,
            boolean json) {}

    /** What one process gives for the same request. */
    public record Reference(List<Integer> tokens, String text) {}

    /** What the demo needs of the rest of the program. */
    public interface Tools {
        /** The command that starts this program; a process that computes needs the better compiler. */
        List<String> command(boolean computes);

        /** Splits the model into shards and a vocabulary file in the directory. */
        void split(Path model, int shards, Path directory) throws IOException;

        /** Generates in this process. */
        Reference generate(Path model, String prompt, int tokens, Sampling sampling) throws IOException;

        String software();
    }

    private Demo(Options options, Tools tools, Screen screen, DemoFolder folder) {
        this.options = options;
        this.tools = tools;
        this.screen = screen;
        this.folder = folder;
    }

    /** Runs the demo; returns the exit code. */
    public static int run(Options options, Tools tools) throws IOException, InterruptedException {
        PrintStream out = new PrintStream(
                options.json()
                        ? new java.io.FileOutputStream(java.io.FileDescriptor.err)
                        : new java.io.FileOutputStream(java.io.FileDescriptor.out),
                true,
                StandardCharsets.UTF_8);
        boolean terminal =
                System.console() != null && System.console().isTerminal() && System.getenv("NO_COLOR") == null;
        var demo = new Demo(options, tools, new Screen(out, terminal), DemoFolder.create(temporary()));
        Thread atExit = Thread.ofPlatform().unstarted(demo::end);
        Runtime.getRuntime().addShutdownHook(atExit);
        int exit = 1;
        try {
            exit = demo.play(out);
            return exit;
        } finally {
            if (exit != 0 || !options.keep()) {
                demo.end();
            }
            try {
                Runtime.getRuntime().removeShutdownHook(atExit);
            } catch (IllegalStateException shuttingDown) {
                atExit.join();
            }
        }
    }

    private int play(PrintStream out) throws IOException, InterruptedException {
        long begun = System.nanoTime();
        Path model = options.model() == null ? bundledModel() : options.model();
        Path seeds = Files.createDirectories(folder.path().resolve("rendezvous/seed"));
        var splitting = inBackground(() -> {
            tools.split(model, options.shards(), seeds);
            return seeds;
        });
        screen.line(String.format(
                "Shoal: %s in %d shards on %d nodes, %d processes in all",
                model.getFileName(), options.shards(), options.nodes(), options.nodes() + 2));
        await(splitting, START_SECONDS, "the model was not split", null);
        Child rendezvous = start(
                "rendezvous",
                "rendezvous",
                "--set",
                "store.seedDirectory=" + seeds,
                "--set",
                "upload.bytesPerSecond=0");
        Endpoint bootstrap = endpoint(awaitReady(rendezvous));
        var nodes = new ArrayList<Child>();
        Child coordinator = start(
                "coordinator",
                "coordinator",
                "--bootstrap",
                bootstrap.toString(),
                "--set",
                "coordinator.nodes=" + options.nodes(),
                "--set",
                "coordinator.activations=f32",
                "--set",
                "api.port=0");
        for (int i = 0; i < options.nodes(); i++) {
            nodes.add(start("node-" + (i + 1), "node", "--bootstrap", bootstrap.toString(), "--enable-torrent"));
        }
        var reference =
                inBackground(() -> tools.generate(model, options.prompt(), options.tokens(), options.sampling()));
        reference.whenComplete((_, failure) -> {
            if (failure != null) {
                firstDeath.completeExceptionally(failure); // what one process refuses, the swarm need not be asked
            }
        });
        for (Child node : nodes) {
            awaitReady(node);
        }
        JsonNode coordinatorReady = awaitReady(coordinator);
        await(swarmReady, READY_SECONDS, "the swarm did not become ready", coordinator);
        talking = true;
        screen.settle();
        screen.line("");
        GenerateClient.Answer answer;
        try (var client = new GenerateClient(null, tools.software())) {
            screen.text(options.prompt());
            answer = client.generate(
                    List.of(endpoint(coordinatorReady)),
                    new Frame.Generate(options.prompt(), options.tokens(), options.sampling()),
                    this::hear);
            screen.text("\n\n");
        }
        Reference alone = await(reference, READY_SECONDS, "one process gave no answer to compare with", null);
        boolean identical =
                alone.tokens().equals(answer.tokens()) && alone.text().equals(answer.text());
        var summary = new Summary(answer, identical, processes(), bytes(), victim);
        summary.lines().forEach(screen::line);
        screen.line(String.format(Locale.ROOT, "%.1f s in all", (System.nanoTime() - begun) / 1e9));
        if (options.json()) {
            System.out.println(JSON.writeValueAsString(
                    summary.report(options.keep() ? coordinatorReady.path("api").asString() : null)));
        }
        if (options.kill() && victim == null) {
            screen.line("shoal: the answer was over before a stage was killed; ask for more --tokens");
            return 1;
        }
        if (!identical) {
            screen.line("shoal: the swarm's answer differs from one process's: " + alone.text());
            return 1;
        }
        if (options.keep()) {
            keep();
            screen.line("The swarm stays. Ask it: shoal generate --at " + endpoint(coordinatorReady)
                    + " --prompt TEXT, or over HTTP at "
                    + coordinatorReady.path("api").asString() + "   End it: shoal demo --stop");
        }
        return 0;
    }

    /** A piece of the answer. With --kill, a stage dies when a third of it is there. */
    private void hear(String piece) {
        Victim killed = victim;
        if (killed != null && killed.goneMillis == 0) {
            killed.goneMillis = Math.max(1, (System.nanoTime() - killed.killedNanos) / 1_000_000);
            screen.aside(String.format(Locale.ROOT, "goes on after %d ms", killed.goneMillis));
        }
        screen.text(piece);
        pieces++;
        if (options.kill() && killed == null && pieces >= Math.max(1, options.tokens() / 3)) {
            kill();
        }
    }

    private void kill() {
        JsonNode stages = Objects.requireNonNull(placement).path("stages");
        JsonNode stage = stages.get(stages.size() / 2);
        String id = stage.path("node").asString();
        for (Child child : children) {
            if (Objects.requireNonNull(ready.get(child))
                    .join()
                    .path("id")
                    .asString()
                    .equals(id)) {
                var killed = new Victim(
                        child,
                        stage.path("layers").get(0).asInt() + "–"
                                + stage.path("layers").get(1).asInt());
                victim = killed;
                child.process().destroyForcibly();
                screen.aside("kill -9 " + child.pid() + ": " + child.name() + ", layers " + killed.layers);
            }
        }
    }

    // --------------------------------------------------------------------------------------------- processes

    private Child start(String name, String role, String... more) throws IOException {
        Path home = Files.createDirectories(folder.path().resolve(name));
        var command = new ArrayList<>(tools.command(role.equals("node")));
        command.add(role);
        command.addAll(List.of(
                "--events",
                "--exit-with-stdin",
                "--port",
                "0",
                "--cluster",
                CLUSTER,
                "--set",
                "store.directory=models_cache",
                "--set",
                "compute.threads=1",
                "--set",
                "compute.device=cpu", // whose sums are the same everywhere, as are those that they are compared with
                "--set",
                "bootstrapTimeoutSeconds=" + START_SECONDS));
        command.addAll(List.of(more));
        Child child = Child.start(name, command, home, home.resolve("log"), this::heard);
        children.add(child);
        ready.computeIfAbsent(child, _ -> new CompletableFuture<>());
        child.process().onExit().thenAccept(_ -> {
            Victim killed = victim;
            if (!ending && (killed == null || killed.child != child)) {
                firstDeath.completeExceptionally(new IllegalStateException(
                        name + " ended with exit code " + child.process().exitValue() + ": " + child.lastWords()));
            }
        });
        return child;
    }

    private void heard(Child child, JsonNode event) {
        switch (event.path("event").asString()) {
            case "ready" -> {
                screen.line(String.format(
                        "       %-12s is up: pid %d, QUIC at %s",
                        child.name(), child.pid(), event.path("quic").asString()));
                ready.computeIfAbsent(child, _ -> new CompletableFuture<>()).complete(event);
            }
            case "swarm_ready" -> {
                placement = event;
                swarmReady.complete(event);
            }
            case "step" ->
                step(child, event.path("number").asInt(), event.path("text").asString());
            case "progress" -> {
                String name = event.path("name").asString();
                progress.put(child.name() + " " + name, event);
                if (talking) {
                    return;
                }
                JsonNode bytes = event.path("bytes");
                screen.bar(
                        child.name() + " " + name,
                        event.path("verified").asLong(),
                        event.path("size").asLong(),
                        String.format(
                                Locale.ROOT,
                                "rendezvous %s, peers %s",
                                Summary.kib(bytes.path("rendezvous").asLong()),
                                Summary.kib(bytes.path("peers").asLong())));
            }
            default -> {}
        }
    }

    private void step(Child child, int number, String text) {
        boolean isNodesOwn = number <= 2 || number >= 6 && number <= 17;
        if (isNodesOwn && !child.name().startsWith("node")) {
            return; // the coordinator fetches its vocabulary file the same way
        }
        synchronized (stepsSeen) {
            if (number < 1 || number >= stepsSeen.length || stepsSeen[number]) {
                return;
            }
            stepsSeen[number] = true;
        }
        screen.line(String.format("%2d/19  %-12s %s", number, child.name(), text));
    }

    private JsonNode awaitReady(Child child) throws InterruptedException {
        return await(ready.get(child), START_SECONDS, child.name() + " did not start", child);
    }

    private <T> T await(
            @Nullable CompletableFuture<T> future, long seconds, String otherwise, @Nullable Child waitedFor)
            throws InterruptedException {
        if (future == null) {
            throw new IllegalStateException(otherwise);
        }
        try {
            CompletableFuture.anyOf(future, firstDeath).get(seconds, TimeUnit.SECONDS);
            return future.join();
        } catch (TimeoutException late) {
            throw new IllegalStateException(
                    otherwise + " within " + seconds + " s"
                            + (waitedFor == null ? "." : "; its last words: " + waitedFor.lastWords()),
                    late);
        } catch (ExecutionException failure) {
            if (failure.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw new IllegalStateException(otherwise + ": " + failure.getCause(), failure);
        }
    }

    private interface Work<T> {
        T run() throws IOException;
    }

    private static <T> CompletableFuture<T> inBackground(Work<T> work) {
        var done = new CompletableFuture<T>();
        Thread.ofPlatform().daemon().start(() -> {
            try {
                done.complete(work.run());
            } catch (IOException | RuntimeException | Error failure) {
                done.completeExceptionally(failure);
            }
        });
        return done;
    }

    private synchronized void end() {
        if (ending) {
            return;
        }
        ending = true;
        children.forEach(Child::askToEnd);
        long until = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(END_MILLIS);
        for (Child child : children) {
            try {
                child.awaitEnd(Math.max(1, TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime())));
            } catch (InterruptedException interrupted) {
                child.process().destroyForcibly();
            }
        }
        folder.delete();
    }

    /** Ends all swarms that were kept; returns how many. */
    public static int stop() throws IOException {
        return DemoFolder.stopKept(temporary());
    }

    private static Path temporary() {
        return Path.of(System.getProperty("java.io.tmpdir"));
    }

    private void keep() throws IOException {
        ending = true;
        var staying = children.stream().filter(Child::isAlive).toList();
        folder.keep(staying.stream().map(child -> child.process().toHandle()).toList());
        for (Child child : staying) {
            child.detach();
        }
    }

    // ------------------------------------------------------------------------------------------ what came of it

    private Map<String, Long> bytes() {
        var sums = new LinkedHashMap<String, Long>();
        for (String source : List.of("rendezvous", "peers", "http", "local")) {
            sums.put(
                    source,
                    progress.values().stream()
                            .mapToLong(event -> event.path("bytes").path(source).asLong())
                            .sum());
        }
        return sums;
    }

    private List<Summary.Member> processes() {
        var layers = new HashMap<String, List<List<Integer>>>();
        for (String kind : List.of("stages", "spares")) {
            Objects.requireNonNull(placement)
                    .path(kind)
                    .forEach(stage -> layers.computeIfAbsent(stage.path("node").asString(), _ -> new ArrayList<>())
                            .add(List.of(
                                    stage.path("layers").get(0).asInt(),
                                    stage.path("layers").get(1).asInt())));
        }
        var processes = new ArrayList<Summary.Member>();
        Victim killed = victim;
        for (Child child : children) {
            if (killed != null && killed.child == child) {
                continue;
            }
            JsonNode event = Objects.requireNonNull(ready.get(child)).join();
            String id = event.path("id").asString();
            processes.add(new Summary.Member(
                    id, child.name(), child.pid(), event.path("role").asString(), layers.getOrDefault(id, List.of())));
        }
        return processes;
    }

    private static Endpoint endpoint(JsonNode readyEvent) {
        return Endpoint.parse(readyEvent.path("quic").asString());
    }

    private Path bundledModel() throws IOException {
        Path file = folder.path().resolve("stories-q8_0.gguf");
        Supplier<@Nullable InputStream> resource = () -> Demo.class.getResourceAsStream("/models/stories-q8_0.gguf");
        try (InputStream in = resource.get()) {
            if (in == null) {
                throw new IOException(
                        "the bundled model is missing from the jar. Build it again, or pass --model FILE.");
            }
            Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
        }
        return file;
    }
}
