package shoal.bench.race;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Another program that takes {@code llama-bench}'s options and prints its JSON: llama.cpp's own, ik_llama.cpp's, or one that does as
 * they do.
 *
 * @param name in tables
 * @param extra options beyond the usual ones
 */
record LlamaBench(String name, Path program, List<String> extra) {
    private static final long MAX_MINUTES = 30;

    /** Tokens a second; NaN where the program did not say. */
    record Rates(double prefill, double decode) {}

    /** {@code NAME=PATH}, or a path alone. @throws IOException if there is no such program */
    static LlamaBench parse(String text, List<String> extra) throws IOException {
        int equals = text.indexOf('=');
        Path path = Path.of(text.substring(equals + 1)).toAbsolutePath();
        if (!Files.isExecutable(path)) {
            throw new IOException("--peer " + text + ": " + path
                    + (Files.exists(path) ? " can't be run." : " does not exist. Name a llama-bench binary."));
        }
        return new LlamaBench(equals > 0 ? text.substring(0, equals) : path.toString(), path, extra);
    }

    /** One run. @throws IOException in one line if it crashes or says nothing useful */
    Rates run(Path model, int threads, int prompt, int generate) throws IOException, InterruptedException {
        var command = new ArrayList<>(List.of(
                program.toString(),
                "-m",
                model.toString(),
                "-p",
                String.valueOf(prompt),
                "-n",
                String.valueOf(generate),
                "-t",
                String.valueOf(threads),
                "-r",
                "1",
                "-o",
                "json"));
        command.addAll(extra);
        Path errors = Files.createTempFile("shoal-peer-", ".log");
        Process process = new ProcessBuilder(command)
                .redirectError(errors.toFile())
                .directory(
                        program.getParent() == null ? null : program.getParent().toFile())
                .start();
        try {
            process.getOutputStream().close();
            String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (!process.waitFor(MAX_MINUTES, TimeUnit.MINUTES) || process.exitValue() != 0) {
                throw new IOException(name + " ended with " + (process.isAlive() ? "no end" : "" + process.exitValue())
                        + ": " + lastLine(errors));
            }
            return parse(out);
        } catch (JacksonException notJson) {
            throw new IOException(name + " printed no JSON: " + lastLine(errors), notJson);
        } finally {
            process.destroyForcibly();
            Files.deleteIfExists(errors);
        }
    }

    /** The array between the first bracket and the last; whatever else was printed is passed over. */
    static Rates parse(String text) throws IOException {
        int from = text.indexOf('[');
        int to = text.lastIndexOf(']');
        if (from < 0 || to < from) {
            throw new IOException("no JSON array was printed");
        }
        double prefill = Double.NaN;
        double decode = Double.NaN;
        for (JsonNode test : JsonMapper.shared().readTree(text.substring(from, to + 1))) {
            double rate = test.path("avg_ts").asDouble(Double.NaN);
            int prompt = test.path("n_prompt").asInt(0);
            int generated = test.path("n_gen").asInt(0);
            if (prompt > 0 && generated == 0) {
                prefill = rate;
            } else if (generated > 0 && prompt == 0) {
                decode = rate;
            }
        }
        return new Rates(prefill, decode);
    }

    private static String lastLine(Path log) throws IOException {
        List<String> lines = new String(Files.readAllBytes(log), StandardCharsets.UTF_8)
                .lines()
                .filter(line -> !line.isBlank())
                .toList();
        return lines.isEmpty() ? "it said nothing" : lines.getLast();
    }
}
