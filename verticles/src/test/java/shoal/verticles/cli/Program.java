package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Stream;
import shoal.codec.base.Endpoint;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The finished jar, started in processes of its own. All that it started, and what those started, ends with {@link #close}; should
 * this JVM die before, roles end too, since their standard input closes.
 */
final class Program implements AutoCloseable {
    static final JsonMapper JSON = JsonMapper.builder().build();
    static final Path REPOSITORY = Path.of(System.getProperty("shoal.repository"));
    static final Path JAR = Path.of(
            System.getProperty("shoal.jar", REPOSITORY.resolve("shoal.jar").toString()));
    static final Path MODEL = REPOSITORY.resolve("verticles/src/main/resources/models/stories-q8_0.gguf");

    private static final Set<String> COMPUTING_NOTHING =
            Set.of("rendezvous", "coordinator", "split", "plan", "verify", "pause", "resume", "ls");

    /** How long any one event may take on a busy machine. */
    private static final long BOUND_SECONDS = 120;

    private final Path directory;
    private final List<Running> running = new ArrayList<>();
    private final Map<String, String> environment = new HashMap<>();

    /** @param directory where each process gets a folder of its own */
    Program(Path directory) {
        this.directory = directory;
    }

    /** Sets a variable for what is started from now on. */
    void environment(String name, String value) {
        environment.put(name, value);
    }

    /** Forgets what was set. */
    void environmentAsBefore() {
        environment.clear();
    }

    /** Starts a role that tells its events and ends when its standard input closes. */
    Running role(String name, String role, String... options) {
        var arguments = new ArrayList<String>(List.of(role, "--events", "--exit-with-stdin"));
        arguments.addAll(
                List.of("--set", "compute.threads=1", "--set", "bootstrapTimeoutSeconds=60", "--set", "api.port=0"));
        arguments.addAll(List.of(options));
        return start(name, arguments.toArray(String[]::new));
    }

    /** All that was started so far. */
    List<Running> running() {
        return List.copyOf(running);
    }

    /** Starts any command. A name that was used before gets the same folder. */
    Running start(String name, String... arguments) {
        var command = new ArrayList<String>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(RoleNotes.flags());
        if (COMPUTING_NOTHING.contains(arguments[0])) {
            command.add("-XX:TieredStopAtLevel=1"); // what they do is over before it is compiled well
        }
        command.addAll(List.of("-Xmx512m", "-Dshoal.relaunched=true", "-jar", JAR.toString()));
        command.addAll(List.of(arguments));
        return launch(name, command);
    }

    /** Starts a command as a user would, {@code java -jar shoal.jar …}, without any flag. */
    Running startPlainly(String name, String... arguments) {
        var command = new ArrayList<String>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of("-jar", JAR.toString()));
        command.addAll(List.of(arguments));
        return launch(name, command);
    }

    private Running launch(String name, List<String> command) {
        assertTrue(Files.isRegularFile(JAR), JAR + " is missing; the package phase makes it");
        try {
            Path home = Files.createDirectories(directory.resolve(name));
            var builder = new ProcessBuilder(command).directory(home.toFile());
            builder.environment().putAll(environment);
            var started = new Running(name, builder.start(), home);
            running.add(started);
            return started;
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    /** Runs a command to its end. */
    Running run(String name, String... arguments) {
        Running started = start(name, arguments);
        started.closeInput();
        started.awaitExit();
        return started;
    }

    @Override
    public void close() {
        var all = new ArrayList<ProcessHandle>();
        for (Running one : running) {
            one.process.descendants().forEach(all::add);
            all.add(one.process.toHandle());
        }
        all.forEach(ProcessHandle::destroyForcibly);
        for (ProcessHandle one : all) {
            awaitEnd(one);
        }
    }

    /** Waits for a process's end. Fails if it takes too long. */
    static void awaitEnd(ProcessHandle process) {
        process.onExit().orTimeout(BOUND_SECONDS, TimeUnit.SECONDS).join();
    }

    /** One process, and what it said. */
    static final class Running {
        final String name;
        final Process process;
        final Path home;
        private final List<String> out = new ArrayList<>();
        private final List<String> err = new ArrayList<>();
        private final List<JsonNode> events = new ArrayList<>();
        private final List<Thread> readers = new ArrayList<>();

        private Running(String name, Process process, Path home) {
            this.name = name;
            this.process = process;
            this.home = home;
            readers.add(read(process.getInputStream(), out));
            readers.add(read(process.getErrorStream(), err));
        }

        private Thread read(InputStream stream, List<String> into) {
            return Thread.ofPlatform().daemon().name("output of " + name).start(() -> {
                try (var lines = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
                    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                        heard(line, into);
                    }
                } catch (IOException closed) {
                    // its end is told by its exit
                }
            });
        }

        private synchronized void heard(String line, List<String> into) {
            into.add(line);
            if (line.startsWith("{\"event\"")) {
                try {
                    events.add(JSON.readTree(line));
                } catch (JacksonException notAnEvent) {
                    into.add("(no JSON) " + line);
                }
            }
            notifyAll();
        }

        /** Waits for an event that has come or will come. Fails if the process ends without it. */
        JsonNode awaitEvent(String kind, Predicate<JsonNode> wanted) {
            return await(
                    "the event " + kind,
                    () -> events.stream()
                            .filter(event -> event.path("event").asString().equals(kind))
                            .filter(wanted)
                            .findFirst()
                            .orElse(null));
        }

        JsonNode awaitEvent(String kind) {
            return awaitEvent(kind, _ -> true);
        }

        /** Where it listens, once it is ready. */
        Endpoint awaitReady() {
            return Endpoint.parse(awaitEvent("ready").path("quic").asString());
        }

        /** Waits for a line on standard error that holds the text. */
        String awaitLog(String text) {
            return await("the line '" + text + "'", () -> first(err, text));
        }

        /** Waits for a line on standard output that holds the text. */
        String awaitLine(String text) {
            return await("the line '" + text + "'", () -> first(out, text));
        }

        private static String first(List<String> lines, String text) {
            return lines.stream()
                    .filter(line -> line.contains(text))
                    .findFirst()
                    .orElse(null);
        }

        private interface Looking<T> {
            T look();
        }

        private synchronized <T> T await(String what, Looking<T> looking) {
            long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(BOUND_SECONDS);
            while (true) {
                T found = looking.look();
                if (found != null) {
                    return found;
                }
                long left = TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime());
                boolean ended = readers.stream().noneMatch(Thread::isAlive);
                if (left <= 0 || ended) {
                    return fail(name + (ended ? " ended (" + process + ")" : " ran on") + " without " + what
                            + "; it said:\n" + said());
                }
                try {
                    wait(Math.min(left, 200));
                } catch (InterruptedException interrupted) {
                    throw new IllegalStateException(interrupted);
                }
            }
        }

        /** The last of the events of a kind, or null. */
        synchronized JsonNode last(String kind) {
            return events.stream()
                    .filter(event -> event.path("event").asString().equals(kind))
                    .reduce((_, later) -> later)
                    .orElse(null);
        }

        /** Waits for its end; returns its exit code. */
        int awaitExit() {
            try {
                if (!process.waitFor(BOUND_SECONDS, TimeUnit.SECONDS)) {
                    fail(name + " did not end; it said:\n" + said());
                }
                for (Thread reader : readers) {
                    reader.join(TimeUnit.SECONDS.toMillis(BOUND_SECONDS));
                }
            } catch (InterruptedException interrupted) {
                throw new IllegalStateException(interrupted);
            }
            return process.exitValue();
        }

        List<ProcessHandle> descendants() {
            return process.descendants().toList();
        }

        void closeInput() {
            try {
                process.getOutputStream().close();
            } catch (IOException alreadyClosed) {
                // it has ended
            }
        }

        /** kill -9. */
        void kill() {
            process.destroyForcibly();
            awaitExit();
        }

        synchronized String out() {
            return String.join("\n", out);
        }

        synchronized List<String> errors() {
            return List.copyOf(err);
        }

        synchronized String said() {
            Stream<String> tail = err.stream().skip(Math.max(0, err.size() - 40));
            return String.join("\n", tail.toList()) + "\n"
                    + String.join(
                            "\n",
                            out.stream().skip(Math.max(0, out.size() - 10)).toList());
        }

        JsonNode json() {
            try {
                return JSON.readTree(out());
            } catch (JacksonException malformed) {
                return fail(name + " printed no JSON; it said:\n" + said(), malformed);
            }
        }
    }
}
