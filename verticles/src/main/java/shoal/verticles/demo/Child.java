package shoal.verticles.demo;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** One process of the swarm. It ends when its standard input closes, so also when this process dies in whatever way. */
final class Child {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final String name;
    private final Path log;
    private final Process process;

    private Child(String name, Path log, Process process) {
        this.name = name;
        this.log = log;
        this.process = process;
    }

    /**
     * Starts a process.
     *
     * @param events gets each event, on a thread of the child's own
     */
    static Child start(String name, List<String> command, Path directory, Path log, BiConsumer<Child, JsonNode> events)
            throws IOException {
        Process process = new ProcessBuilder(new ArrayList<>(command))
                .directory(directory.toFile())
                .redirectError(log.toFile())
                .start();
        var child = new Child(name, log, process);
        Thread.ofPlatform().daemon().name("events of " + name).start(() -> child.read(events));
        return child;
    }

    private void read(BiConsumer<Child, JsonNode> events) {
        try (var lines = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                try {
                    events.accept(this, JSON.readTree(line));
                } catch (JacksonException noEvent) {
                    Files.writeString(log, line + "\n", java.nio.file.StandardOpenOption.APPEND);
                }
            }
        } catch (IOException closed) {
            // the process is gone; its exit is seen by whoever watches it
        }
    }

    String name() {
        return name;
    }

    Path log() {
        return log;
    }

    long pid() {
        return process.pid();
    }

    Process process() {
        return process;
    }

    boolean isAlive() {
        return process.isAlive();
    }

    /** The last line that the process logged: where it failed, its reason. */
    String lastWords() {
        try {
            return Files.readAllLines(log).stream()
                    .filter(line -> !line.isBlank())
                    .reduce((_, later) -> later)
                    .orElse("(it logged nothing)");
        } catch (IOException unreadable) {
            return "(its log " + log + " cannot be read)";
        }
    }

    /** Lets it run on without this process. */
    void detach() throws IOException {
        process.getOutputStream().write("detach\n".getBytes(StandardCharsets.UTF_8));
        process.getOutputStream().flush();
    }

    /** Asks it to end by closing its standard input. */
    void askToEnd() {
        try {
            process.getOutputStream().close();
        } catch (IOException alreadyClosed) {
            process.destroy();
        }
    }

    /** Waits for its end, and forces it when the time is up. */
    void awaitEnd(long millis) throws InterruptedException {
        if (!process.waitFor(millis, TimeUnit.MILLISECONDS)) {
            process.destroyForcibly().waitFor(2, TimeUnit.SECONDS);
        }
    }
}
