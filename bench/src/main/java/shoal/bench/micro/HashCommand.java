package shoal.bench.micro;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bench.report.BenchCommand;
import shoal.bench.report.Machine;
import shoal.bench.report.Report;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.metainfo.BlockHasher;

/** SHA-256 of 16 KiB blocks and BLAKE3 on one thread, against openssl, the JDK and b3sum. */
@Command(
        name = "hash",
        description = "SHA-256 of 16 KiB blocks and BLAKE3 on one thread (JMH), against the JDK, openssl and b3sum.")
public final class HashCommand extends BenchCommand {
    private static final long FILE_BYTES = 1L << 30;
    private static final Pattern OPENSSL = Pattern.compile("(?m)^sha256\\s+([0-9.]+)k");

    @Option(
            names = "--seconds",
            defaultValue = "1",
            paramLabel = "S",
            description = "Each of three warm-ups and five measurements; default ${DEFAULT-VALUE}.")
    private int seconds;

    @Override
    protected Report measure() throws Exception {
        if (seconds < 1) {
            throw new IllegalArgumentException("--seconds is " + seconds + ", allowed is 1 or more.");
        }
        var report = new Report("hash", Machine.described());
        report.setting("block bytes", 16_384).setting("threads", 1);
        var choice = BlockHashers.choice();
        report.note("a node here takes " + choice.hasher().name()
                + (choice.reason().isEmpty() ? "" : " (" + choice.reason() + ")"));
        double openssl = openssl(report);
        var rates = new TreeMap<String, Double>();
        List<String> names = BlockHashers.all().stream().map(BlockHasher::name).toList();
        for (String name : names) {
            progress("SHA-256 by " + name);
            double rate = rate(name);
            rates.put(name, rate);
            report.row("what", "SHA-256", "by", name, "GB/s", rate / 1e9);
        }
        double openssl2 = openssl(null);
        double better = Math.max(Math.max(openssl, openssl2), rates.getOrDefault("jdk", 0.0));
        if (openssl > 0) {
            report.row("what", "SHA-256", "by", "openssl speed", "GB/s", Math.max(openssl, openssl2) / 1e9);
        }
        for (String name : names) {
            Double rate = rates.get(name);
            if (rate == null || name.equals("jdk")) {
                continue;
            }
            String what = name + " over the better of openssl and the JDK";
            if (name.equals(choice.hasher().name()) && name.startsWith("native")) {
                report.ratio(what, rate / better, names.stream().anyMatch(each -> each.contains("512")) ? 2.0 : 1.3);
            } else if (name.startsWith("vector")) {
                report.ratio(what, rate / better, 1.2);
            } else {
                report.ratio(what, rate / better);
            }
        }
        progress("BLAKE3 by " + BlockHashers.blake3Provider());
        double blake3 = rate("blake3");
        report.row("what", "BLAKE3", "by", BlockHashers.blake3Provider(), "GB/s", blake3 / 1e9);
        double b3sum = b3sum(report);
        if (b3sum > 0) {
            report.row("what", "BLAKE3", "by", "b3sum, one thread", "GB/s", b3sum / 1e9);
            report.ratio("BLAKE3 over b3sum on one thread", blake3 / b3sum, 0.8);
        }
        return report;
    }

    private double rate(String provider) throws RunnerException {
        var options = new OptionsBuilder()
                .include(HashBenchmark.class.getName() + ".hash")
                .param("provider", provider)
                .forks(0) // this process has the flags already
                .warmupTime(TimeValue.seconds(seconds))
                .measurementTime(TimeValue.seconds(seconds))
                .shouldFailOnError(true)
                .verbosity(VerboseMode.SILENT)
                .build();
        HashBenchmark.takeBestBytesPerSecond();
        new Runner(options).run();
        return HashBenchmark.takeBestBytesPerSecond();
    }

    /** Bytes a second, 0 where it isn't installed. */
    private double openssl(@Nullable Report report) throws IOException, InterruptedException {
        progress("SHA-256 by openssl speed");
        String text = output("openssl", "speed", "-seconds", String.valueOf(2 * seconds), "-bytes", "16384", "sha256");
        Matcher rate = OPENSSL.matcher(text);
        if (rate.find()) {
            return Double.parseDouble(rate.group(1)) * 1000;
        }
        if (report != null) {
            report.note("openssl is not installed: Debian's package openssl");
        }
        return 0;
    }

    /** Bytes a second of user time, as openssl counts, over a file in the page cache, its start taken off; 0 where it is missing. */
    private double b3sum(Report report) throws IOException, InterruptedException {
        if (output("b3sum", "--version").isEmpty()) {
            report.note("b3sum is not installed: Debian's package b3sum");
            return 0;
        }
        progress("BLAKE3 by b3sum");
        Path directory = Files.createTempDirectory("shoal-bench-hash-");
        Path large = directory.resolve("large");
        Path tiny = directory.resolve("tiny");
        try {
            Files.write(tiny, new byte[1]);
            var part = new byte[1 << 20];
            new SplittableRandom(1).nextBytes(part);
            try (FileChannel out = FileChannel.open(large, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                for (long at = 0; at < FILE_BYTES; at += part.length) {
                    out.write(ByteBuffer.wrap(part));
                }
            }
            double best = Double.MAX_VALUE;
            for (int i = 0; i < 5; i++) {
                best = Math.min(best, userSeconds(large) - userSeconds(tiny));
            }
            return FILE_BYTES / Math.max(1e-9, best);
        } finally {
            Files.deleteIfExists(large);
            Files.deleteIfExists(tiny);
            Files.deleteIfExists(directory);
        }
    }

    private static double userSeconds(Path file) throws IOException, InterruptedException {
        String times = output("sh", "-c", "b3sum --num-threads 1 \"$0\" >/dev/null; times", file.toString());
        String[] lines = times.strip().split("\n");
        String user = lines[lines.length - 1].split(" ")[0];
        int minutes = user.indexOf('m');
        return 60 * Double.parseDouble(user.substring(0, minutes))
                + Double.parseDouble(user.substring(minutes + 1, user.length() - 1));
    }

    /** What a program prints; empty if it isn't there. */
    private static String output(String... command) throws IOException, InterruptedException {
        try {
            Process process = new ProcessBuilder(new ArrayList<>(List.of(command)))
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            String text = new String(process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
            process.waitFor();
            return text;
        } catch (IOException missing) {
            return "";
        }
    }
}
