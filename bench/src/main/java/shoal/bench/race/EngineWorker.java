package shoal.bench.race;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import shoal.bench.report.ProcessMemory;

/**
 * Shoal's side of the race in a process of its own: opens a model, then measures what it is told on standard input, one line each:
 * {@code prefill N}, {@code decode N}, {@code memory}, {@code large-pages}. Answers are one line each, a number; the first line says how long opening took,
 * and which kernels run. Between two commands it waits and takes no core from the others.
 */
public final class EngineWorker {
    private EngineWorker() {}

    /** Arguments: model, kernels, threads, context. */
    public static void main(String[] arguments) throws IOException {
        try (Engine engine = Engine.open(
                        Path.of(arguments[0]),
                        arguments[1],
                        Integer.parseInt(arguments[2]),
                        Integer.parseInt(arguments[3]));
                var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            System.out.println(engine.loadSeconds() + " " + engine.kernels());
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                List<String> words =
                        List.of(line.strip().toLowerCase(Locale.ROOT).split(" "));
                System.out.println(
                        switch (words.getFirst()) {
                            case "prefill" -> engine.prefill(Integer.parseInt(words.get(1)));
                            case "decode" -> engine.decode(Integer.parseInt(words.get(1)));
                            case "large-pages" -> engine.largePages();
                            case "memory" ->
                                ProcessMemory.residentBytes(
                                        ProcessHandle.current().pid());
                            default -> throw new IllegalArgumentException("what is '" + line + "'?");
                        });
            }
        }
    }
}
