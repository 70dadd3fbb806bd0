package shoal.bench.gpu;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import shoal.bridge.make.FileType;
import shoal.bridge.make.RandomModel;
import shoal.bridge.make.Recipe;

/** llama.cpp's llama-bench on the same device, with a file of the same measures. */
final class GpuPeer {
    /** A test of its {@code -o json}: tokens of a prompt, tokens that are decoded, tokens a second. */
    private static final Pattern TEST =
            Pattern.compile("\"n_prompt\": ([0-9]+),.*?\"n_gen\": ([0-9]+),.*?\"avg_ts\": ([0-9.]+)", Pattern.DOTALL);

    private static final int MOST_MINUTES = 10;

    private GpuPeer() {}

    /** @param decoded, prompted what we did, in tokens a second */
    static void race(GpuPlan plan, FileType type, long seed, double decoded, double prompted, GpuFindings findings)
            throws IOException, InterruptedException {
        Path file = Files.createTempFile("shoal-bench-", ".gguf");
        Path output = Files.createTempFile("shoal-bench-", ".json");
        try {
            findings.progress("writing a file of " + plan.large() + " in " + type + " for " + plan.peer());
            RandomModel.write(Recipe.of(plan.large()), type, true, seed, file, _ -> {});
            Process process = new ProcessBuilder(
                            String.valueOf(plan.peer()),
                            "-m",
                            file.toString(),
                            "-ngl",
                            "999",
                            "-p",
                            String.valueOf(plan.prompt()),
                            "-n",
                            String.valueOf(plan.steps()),
                            "-o",
                            "json")
                    .redirectOutput(output.toFile())
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (!process.waitFor(MOST_MINUTES, TimeUnit.MINUTES)) {
                process.destroyForcibly();
                findings.note("llama-bench did not end within " + MOST_MINUTES + " minutes with " + type + ".");
                return;
            }
            compare(Files.readString(output, StandardCharsets.UTF_8), type, decoded, prompted, findings);
        } finally {
            Files.deleteIfExists(file);
            Files.deleteIfExists(output);
        }
    }

    static void compare(String json, FileType type, double decoded, double prompted, GpuFindings findings) {
        Matcher test = TEST.matcher(json);
        boolean some = false;
        while (test.find()) {
            some = true;
            double theirs = Double.parseDouble(test.group(3));
            boolean decodes = !test.group(2).equals("0");
            findings.row("what", "llama.cpp, " + type, decodes ? "tokens/s" : "prompt tokens/s", theirs);
            findings.ratio(
                    (decodes ? "decode, " : "prompt, ") + type + ": over llama.cpp",
                    (decodes ? decoded : prompted) / theirs,
                    decodes ? 1 : 0);
        }
        if (!some) {
            findings.note("llama-bench told nothing that is understood here, with " + type + ".");
        }
    }
}
