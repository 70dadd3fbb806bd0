package shoal.bench.race;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bench.report.BenchCommand;
import shoal.bench.report.FatJar;
import shoal.bench.report.Machine;
import shoal.bench.report.Report;

/**
 * A file from one process to others over loopback, until it is whole, verified and on disk at each; the same for everybody else who
 * is installed, in turn. Every receiver is a new process, and its start counts.
 */
@Command(
        name = "transfer",
        description = "A file from one process to one and to three others: Shoal, libtorrent, aria2, rsync, curl.")
public final class TransferCommand extends BenchCommand {
    private static final double GIB = 1 << 30;
    /** What a process of ours may have beyond the page cache. */
    private static final double MEMORY_BYTES = 300e6;
    /** Between two looks at the memory of those who run. */
    private static final long LOOK_MILLIS = 100;

    @Option(
            names = "--size",
            split = ",",
            defaultValue = "1024",
            paramLabel = "MIB",
            description = "Size of the file in MiB, one or several; default ${DEFAULT-VALUE}.")
    private List<Integer> sizes = List.of();

    @Option(
            names = "--leechers",
            split = ",",
            defaultValue = "1,3",
            paramLabel = "N",
            description = "How many receive it at once; default ${DEFAULT-VALUE}.")
    private List<Integer> leechers = List.of();

    @Option(
            names = "--rounds",
            defaultValue = "2",
            paramLabel = "N",
            description = "The best counts; default ${DEFAULT-VALUE}.")
    private int rounds;

    @Option(names = "--only", paramLabel = "TEXT", description = "Only rivals whose name contains this, and Shoal.")
    private String only = "";

    @Option(
            names = "--no-warm",
            negatable = true,
            description = "Leave out the shard of 64 MiB between processes that run already.")
    private boolean warm = true;

    @Option(names = "--dir", paramLabel = "DIR", description = "Where to work; else a temporary directory.")
    private @Nullable Path directory;

    /**
     * One transfer.
     *
     * @param anonBytes the most memory that one receiver's processes had, without what lies in the page cache
     * @param uploadedBytes that the server sent, as it says itself; null if it does not
     */
    private record Outcome(
            double seconds,
            double serverCpu,
            double receiverCpu,
            long anonBytes,
            long serverAnonBytes,
            @Nullable Long uploadedBytes) {}

    @Override
    protected Report measure() throws Exception {
        if (sizes.stream().anyMatch(size -> size < 1)
                || leechers.stream().anyMatch(count -> count < 1 || count > 64)
                || rounds < 1) {
            throw new IllegalArgumentException("--size is " + sizes + ", --leechers " + leechers + ", --rounds "
                    + rounds + "; allowed are 1 or more, and at most 64 receivers.");
        }
        Path jar = FatJar.onClassPath()
                .orElseThrow(
                        () -> new IllegalStateException("shoal.jar is not on the class path; start by ./shoal bench"));
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        Path base = directory == null ? Path.of(System.getProperty("java.io.tmpdir")) : directory;
        Files.createDirectories(base);
        Path work = Files.createTempDirectory(base, "shoal-bench-transfer-").toRealPath();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> cleanUp(work))); // also when it is interrupted
        var report = new Report("transfer", Machine.described());
        report.setting("rounds", rounds).setting("receivers", "new processes; their start counts");
        try {
            List<Rival> found = new ArrayList<>();
            for (Rival rival : Rivals.all(java, jar)) {
                String why = rival.whyMissing();
                if (why != null) {
                    report.note(rival.name() + ": " + why);
                } else if (rival instanceof Rivals.Shoal || rival.name().contains(only)) {
                    found.add(rival);
                }
            }
            for (int size : sizes) {
                Path file = Files.createDirectories(work.resolve("served")).resolve("file-" + size + ".bin");
                make(file, (long) size << 20, 20_261);
                for (int count : leechers) {
                    race(report, found, file, work, size, count);
                }
                Files.delete(file);
            }
            if (warm) {
                progress("64 MiB between warm processes");
                WarmStart.measure(report, java, jar, work, TransferCommand::make);
            }
        } finally {
            delete(work);
        }
        return report;
    }

    private void race(Report report, List<Rival> rivals, Path file, Path work, int size, int count)
            throws IOException, InterruptedException {
        var best = new LinkedHashMap<Rival, Outcome>();
        for (int round = 0; round < rounds; round++) {
            for (Rival rival : rivals) {
                progress(size + " MiB to " + count + ", round " + (round + 1) + ": " + rival.name());
                try {
                    Outcome outcome = run(rival, file, Files.createDirectories(work.resolve("side")), count);
                    best.merge(rival, outcome, (a, b) -> a.seconds <= b.seconds ? a : b);
                } catch (IOException | IllegalStateException failure) {
                    String line = rival.name() + " failed: " + failure.getMessage();
                    if (rival instanceof Rivals.Shoal) {
                        report.fail(line);
                    } else {
                        report.note(line);
                    }
                } finally {
                    delete(work.resolve("side"));
                    Rivals.runs("sync"); // nobody pays for what another has left to be written
                }
            }
        }
        double bytes = (double) (1L << 20) * size;
        best.forEach((rival, outcome) -> report.row(
                "MiB", size,
                "to", count,
                "by", rival.name(),
                "MB/s each", bytes / outcome.seconds / 1e6,
                "server CPU s/GiB", outcome.serverCpu / (bytes * count / GIB),
                "receiver CPU s/GiB", outcome.receiverCpu / (bytes * count / GIB),
                "receiver MB", outcome.anonBytes / 1e6,
                "server MB", outcome.serverAnonBytes / 1e6,
                "copies sent", copies(outcome.uploadedBytes, bytes)));
        Map.Entry<Rival, Outcome> shoal = best.entrySet().stream()
                .filter(each -> each.getKey() instanceof Rivals.Shoal)
                .findFirst()
                .orElse(null);
        if (shoal == null) {
            return;
        }
        Outcome ours = shoal.getValue();
        long memory = Math.max(ours.anonBytes, ours.serverAnonBytes);
        if (memory > 0) { // told by Linux alone
            report.ratio(
                    size + " MiB to " + count + ": the memory that is allowed over the most that a process of ours had",
                    MEMORY_BYTES / memory,
                    1.0);
        }
        best.forEach((rival, outcome) -> {
            String what = size + " MiB to " + count + ": shoal over " + rival.name();
            double ratio = outcome.seconds / ours.seconds;
            switch (rival) {
                case Rivals.Shoal _ -> {}
                case Rivals.Libtorrent libtorrent -> report.ratio(what, ratio, libtorrent.encrypted() ? 1.5 : 1.0);
                case Rivals.Curl _ -> report.ratio(what, ratio, 1.5);
                default -> report.ratio(what, ratio);
            }
        });
    }

    /** How often the file left the server. */
    private static Object copies(@Nullable Long uploadedBytes, double bytes) {
        return uploadedBytes == null ? "-" : uploadedBytes / bytes;
    }

    private static Outcome run(Rival rival, Path file, Path work, int count) throws IOException, InterruptedException {
        int port = freePort();
        Process server = new ProcessBuilder(rival.server(file, work, port))
                .redirectError(work.resolve("server.log").toFile())
                .start();
        var receivers = new ArrayList<Process>();
        try {
            String sign = rival.readySign();
            String ready = "";
            if (sign == null) {
                awaitPort(server, port);
            } else {
                ready = awaitLine(server, sign);
            }
            var output = new LastLine(server);
            var commands = new ArrayList<List<String>>();
            for (int i = 0; i < count; i++) {
                Path out = Files.createDirectories(work.resolve("out-" + i));
                var command =
                        new ArrayList<>(List.of("sh", "-c", "\"$@\" >\"$0.log\" 2>&1; code=$?; times; exit $code"));
                command.add(out.toString());
                command.addAll(rival.receiver(file, work, port, ready, out));
                commands.add(command);
            }
            double serverBefore = cpuSeconds(server.pid());
            long start = System.nanoTime();
            for (List<String> command : commands) {
                receivers.add(new ProcessBuilder(command)
                        .redirectError(ProcessBuilder.Redirect.DISCARD)
                        .start());
            }
            long anon = 0;
            long serverAnon = 0;
            for (Process receiver : receivers) {
                while (!receiver.waitFor(LOOK_MILLIS, TimeUnit.MILLISECONDS)) {
                    for (Process each : receivers) {
                        anon = Math.max(anon, anonymousBytesBelow(each.pid()));
                    }
                    serverAnon = Math.max(serverAnon, anonymousBytes(server.pid()));
                }
            }
            double seconds = (System.nanoTime() - start) / 1e9;
            double cpu = 0;
            for (int i = 0; i < count; i++) {
                Process receiver = receivers.get(i);
                if (receiver.exitValue() != 0) {
                    throw new IllegalStateException("a receiver ended with code " + receiver.exitValue() + ": "
                            + lastLine(work.resolve("out-" + i + ".log")));
                }
                requireSame(file, work.resolve("out-" + i));
                cpu += childSeconds(new String(receiver.getInputStream().readAllBytes(), StandardCharsets.US_ASCII));
            }
            double serverCpu = cpuSeconds(server.pid()) - serverBefore;
            end(server); // it tells its count at the end
            return new Outcome(seconds, serverCpu, cpu, anon, serverAnon, rival.uploadedBytes(work, output.await()));
        } finally {
            receivers.forEach(TransferCommand::end);
            end(server);
        }
    }

    /** What a server says last; read all along, so that it never waits for its reader. */
    private static final class LastLine {
        private final Thread reader;
        private volatile String line = "";

        LastLine(Process server) {
            reader = Thread.ofVirtual().start(() -> read(server.inputReader(StandardCharsets.UTF_8)));
        }

        private void read(BufferedReader said) {
            try {
                for (String next = said.readLine(); next != null; next = said.readLine()) {
                    line = next;
                }
            } catch (IOException ended) {
                // the server is gone; its last line is here
            }
        }

        String await() throws InterruptedException {
            reader.join(TimeUnit.SECONDS.toMillis(5));
            return line;
        }
    }

    private static void cleanUp(Path work) {
        ProcessHandle.current().descendants().forEach(ProcessHandle::destroyForcibly);
        try {
            delete(work);
        } catch (IOException stillWritten) {
            System.err.println("shoal bench: " + work + " could not be deleted: " + stillWritten.getMessage());
        }
    }

    private static void end(Process process) {
        process.descendants().forEach(ProcessHandle::destroy);
        process.destroy();
        try {
            if (!process.waitFor(5, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    /** The one file below a directory that is as large must have the same bytes. */
    private static void requireSame(Path file, Path out) throws IOException {
        long size = Files.size(file);
        try (Stream<Path> all = Files.walk(out)) {
            Path got = all.filter(
                            path -> Files.isRegularFile(path) && path.toFile().length() == size)
                    .findFirst()
                    .orElseThrow(() -> new IllegalStateException("no file of " + size + " bytes arrived"));
            long differs = Files.mismatch(file, got);
            if (differs >= 0) {
                throw new IllegalStateException("what arrived differs at byte " + differs);
            }
        }
    }

    private static int freePort() throws IOException {
        try (var socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    private static void awaitPort(Process server, int port) throws IOException, InterruptedException {
        for (int i = 0; i < 500; i++) {
            if (server.waitFor(20, TimeUnit.MILLISECONDS)) {
                throw new IllegalStateException("the server ended with code " + server.exitValue());
            }
            try (var socket = new Socket()) {
                socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 100);
                return;
            } catch (IOException notYet) {
                // tried again
            }
        }
        throw new IllegalStateException("nobody listens on port " + port + " after 10 s");
    }

    private static String awaitLine(Process server, String sign) throws IOException {
        var reader = server.inputReader(StandardCharsets.UTF_8);
        for (String line = reader.readLine(); line != null; line = reader.readLine()) {
            if (line.startsWith(sign)) {
                return line;
            }
        }
        throw new IllegalStateException("the server ended before it was ready");
    }

    /** User and system time of a process and of its children that have ended; 0 where the system does not tell. */
    private static double cpuSeconds(long pid) throws IOException {
        Path stat = Path.of("/proc/" + pid + "/stat");
        if (!Files.exists(stat)) {
            return 0;
        }
        String text = Files.readString(stat);
        String[] fields = text.substring(text.lastIndexOf(')') + 2).split(" ");
        long ticks = 0;
        for (int i = 11; i <= 14; i++) {
            ticks += Long.parseLong(fields[i]);
        }
        return ticks / 100.0; // USER_HZ
    }

    /** The second line that the shell's {@code times} prints: user and system time of what it ran, such as 0m1.25s 0m0.50s. */
    static double childSeconds(String times) {
        String[] lines = times.strip().split("\n");
        double seconds = 0;
        for (String part : lines[lines.length - 1].split(" ")) {
            int minutes = part.indexOf('m');
            seconds += 60 * Double.parseDouble(part.substring(0, minutes))
                    + Double.parseDouble(part.substring(minutes + 1, part.length() - 1));
        }
        return seconds;
    }

    /** Of all that this process has started, as the system lists them: to look through all processes would slow the race down. */
    private static long anonymousBytesBelow(long pid) {
        try {
            return Stream.of(Files.readString(Path.of("/proc/" + pid + "/task/" + pid + "/children"))
                            .strip()
                            .split(" "))
                    .filter(child -> !child.isEmpty())
                    .mapToLong(Long::parseLong)
                    .map(child -> anonymousBytes(child) + anonymousBytesBelow(child))
                    .sum();
        } catch (IOException | RuntimeException ended) {
            return 0;
        }
    }

    private static long anonymousBytes(long pid) {
        try (Stream<String> lines = Files.lines(Path.of("/proc/" + pid + "/status"))) {
            return lines.filter(line -> line.startsWith("RssAnon:"))
                    .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", "")) << 10)
                    .findFirst()
                    .orElse(0);
        } catch (IOException | RuntimeException ended) {
            return 0;
        }
    }

    private static String lastLine(Path log) throws IOException {
        List<String> lines = Files.readAllLines(log);
        return lines.isEmpty() ? "it said nothing" : lines.getLast();
    }

    private static void make(Path file, long size, long seed) throws IOException {
        var random = new SplittableRandom(seed);
        var part = new byte[1 << 20];
        try (FileChannel out = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (long at = 0; at < size; at += part.length) {
                random.nextBytes(part);
                out.write(ByteBuffer.wrap(part));
            }
        }
    }

    private static void delete(Path directory) throws IOException {
        if (!Files.exists(directory)) {
            return;
        }
        try (Stream<Path> all = Files.walk(directory)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }
}
