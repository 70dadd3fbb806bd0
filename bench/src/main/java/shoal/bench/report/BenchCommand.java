package shoal.bench.report;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** What all benches have in common: they make a {@link Report}, and it is printed. Progress goes to standard error. */
@Command(mixinStandardHelpOptions = true)
public abstract class BenchCommand implements Callable<Integer> {
    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Option(names = "--report", paramLabel = "FILE", description = "Write the JSON object to a file too.")
    private @Nullable Path file;

    /** Measures. Whatever is worth telling on the way goes to {@link #progress}. */
    protected abstract Report measure() throws Exception;

    @Override
    public final Integer call() throws Exception {
        Report report = measure();
        var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        out.print(json ? report.toJson() + "\n" : report.toText());
        Path target = file;
        if (target != null) {
            write(target, report.toJson() + "\n");
        }
        return report.failed() ? CommandLine.ExitCode.SOFTWARE : CommandLine.ExitCode.OK;
    }

    /** One line on standard error. */
    protected static void progress(String line) {
        System.err.println(line);
    }

    private static void write(Path target, String text) throws IOException {
        Path folder = target.toAbsolutePath().getParent();
        if (folder != null) {
            Files.createDirectories(folder);
        }
        Files.writeString(target, text);
    }
}
