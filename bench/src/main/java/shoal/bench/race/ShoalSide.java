package shoal.bench.race;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import shoal.verticles.cli.Relaunch;

/** An {@link EngineWorker} and how one talks to it. */
public final class ShoalSide implements AutoCloseable {
    private final Process process;
    private final PrintStream in;
    private final BufferedReader out;
    private final double loadSeconds;
    private final String kernels;

    private ShoalSide(Process process) throws IOException {
        this.process = process;
        in = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
        out = process.inputReader(StandardCharsets.UTF_8);
        String first = out.readLine();
        if (first == null) {
            throw new IOException("Shoal's process ended before it was ready: " + errors(process));
        }
        int space = first.indexOf(' ');
        loadSeconds = Double.parseDouble(first.substring(0, space));
        kernels = first.substring(space + 1);
    }

    /** Starts it, and waits until the model is open. */
    public static ShoalSide start(Path model, String kernels, int threads, int context) throws IOException {
        var command = new ArrayList<String>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(Relaunch.FLAGS);
        command.addAll(List.of("-Dshoal.relaunched=true", "-Xmx2g", "-cp", System.getProperty("java.class.path")));
        command.addAll(List.of(
                EngineWorker.class.getName(),
                model.toString(),
                kernels,
                String.valueOf(threads),
                String.valueOf(context)));
        return new ShoalSide(new ProcessBuilder(command).start());
    }

    /** How long opening the model took. */
    public double loadSeconds() {
        return loadSeconds;
    }

    /** The kernels' own name, such as vector-512. */
    public String kernels() {
        return kernels;
    }

    /** One question of {@link EngineWorker}'s, and its answer. */
    public double ask(String question) throws IOException {
        in.println(question);
        String answer = out.readLine();
        if (answer == null) {
            throw new IOException("Shoal's process ended at '" + question + "': " + errors(process));
        }
        return Double.parseDouble(answer);
    }

    private static String errors(Process process) throws IOException {
        try (var err = new BufferedReader(new InputStreamReader(process.getErrorStream(), StandardCharsets.UTF_8))) {
            return err.lines()
                    .filter(line -> !line.startsWith("WARNING"))
                    .findFirst()
                    .orElse("it said nothing");
        }
    }

    @Override
    public void close() {
        in.close(); // the end of its input ends it
        process.destroy();
    }
}
