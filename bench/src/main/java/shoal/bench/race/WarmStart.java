package shoal.bench.race;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import shoal.bench.report.Report;
import shoal.verticles.cli.Relaunch;

/**
 * A shard from a peer that runs to a node that runs: how long until its first piece can be used, and until it is whole. Some shards
 * go before, so that neither process is new to the work.
 */
final class WarmStart {
    private static final int SHARD_MIB = 64;
    private static final int WARM_UP = 4;
    private static final int MEASURED = 5;
    private static final Pattern PORT = Pattern.compile("\"port\":(\\d+)");
    private static final Pattern HASH = Pattern.compile("\"info_hash\":\"([0-9a-f]{64})\"");

    private WarmStart() {}

    /** Writes a file. */
    @FunctionalInterface
    interface Maker {
        /** @param seed of its bytes */
        void make(Path file, long size, long seed) throws IOException;
    }

    static void measure(Report report, Path java, Path jar, Path work, Maker maker)
            throws IOException, InterruptedException {
        var seed = new ArrayList<>(List.of(java.toString(), "-jar", jar.toString(), "seed"));
        for (int i = 0; i < WARM_UP + MEASURED; i++) {
            Path shard = work.resolve("shard-" + i + ".bin");
            maker.make(shard, (long) SHARD_MIB << 20, i);
            seed.add(shard.toString());
        }
        seed.addAll(List.of("--json", "--store", work.resolve("warm-seeds").toString()));
        Process seeder = new ProcessBuilder(seed)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        Process receiver = null;
        try {
            String said = seeder.inputReader(StandardCharsets.UTF_8).readLine();
            Matcher port = PORT.matcher(String.valueOf(said));
            if (!port.find()) {
                throw new IOException("shoal seed said " + said);
            }
            var command = new ArrayList<>(List.of(java.toString()));
            command.addAll(Relaunch.FLAGS);
            command.addAll(List.of(
                    "-Dshoal.relaunched=true",
                    "-cp",
                    System.getProperty("java.class.path"),
                    WarmReceiver.class.getName(),
                    "127.0.0.1:" + port.group(1),
                    work.resolve("warm-node").toString()));
            Matcher hashes = HASH.matcher(said);
            while (hashes.find()) {
                command.add(hashes.group(1));
            }
            receiver = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            List<double[]> times = receiver.inputReader(StandardCharsets.UTF_8)
                    .lines()
                    .map(line -> line.split(" "))
                    .filter(words -> words.length == 2)
                    .map(words -> new double[] {Double.parseDouble(words[0]), Double.parseDouble(words[1])})
                    .skip(WARM_UP)
                    .toList();
            if (receiver.waitFor() != 0 || times.size() != MEASURED) {
                throw new IOException("the receiver ended with code " + receiver.exitValue());
            }
            double first = median(times, 0);
            double whole = median(times, 1);
            report.row(
                    "MiB",
                    SHARD_MIB,
                    "to",
                    1,
                    "by",
                    "shoal, both warm",
                    "MB/s each",
                    SHARD_MIB * (1 << 20) / whole / 1e3,
                    "first piece ms",
                    first,
                    "whole ms",
                    whole);
            report.ratio("a warm peer's first piece: 50 ms over what it took", 50 / first, 1);
            report.ratio("a warm peer's 64 MiB: 500 ms over what they took", 500 / whole, 1);
        } finally {
            seeder.destroy();
            seeder.waitFor();
            if (receiver != null) {
                receiver.destroy();
            }
            for (int i = 0; i < WARM_UP + MEASURED; i++) {
                Files.deleteIfExists(work.resolve("shard-" + i + ".bin"));
            }
        }
    }

    private static double median(List<double[]> times, int index) {
        return times.stream()
                .mapToDouble(time -> time[index])
                .sorted()
                .skip(MEASURED / 2)
                .findFirst()
                .orElseThrow();
    }
}
