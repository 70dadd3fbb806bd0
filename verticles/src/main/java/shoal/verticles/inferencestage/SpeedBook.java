package shoal.verticles.inferencestage;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.command.Result;
import shoal.codec.pipeline.SpeedWindow;

/**
 * How fast this machine was measured to be, for each kind of weights; kept in the store's directory beside the name of the kernels and
 * of the machine, and forgotten when either is another. Safe for several threads.
 */
final class SpeedBook {
    private static final Logger LOG = LoggerFactory.getLogger(SpeedBook.class);
    private static final String FILE = "speeds";
    private static final long MAX_FILE_BYTES = 64 << 10;

    /** So many slices are more than what an earlier process has left. */
    private static final int ENOUGH = 4;

    private static final long WRITTEN_EVERY_NANOS = 30_000_000_000L;

    private final Path file;
    private final String machine;
    private final Map<String, SpeedWindow> windows = new TreeMap<>();
    private final Map<String, SpeedWindow.Estimate> earlier = new TreeMap<>();
    private @Nullable Long written;

    /** @param kernels name and threads of what computes */
    SpeedBook(Path directory, String kernels) {
        file = directory.resolve(FILE);
        machine = kernels + " " + System.getProperty("os.arch") + " "
                + Runtime.getRuntime().availableProcessors();
        read();
    }

    private void read() {
        try {
            if (!Files.isRegularFile(file) || Files.size(file) > MAX_FILE_BYTES) {
                return;
            }
            List<String> lines = Files.readAllLines(file, StandardCharsets.UTF_8);
            if (lines.isEmpty() || !lines.getFirst().equals(machine)) {
                return;
            }
            for (String line : lines.subList(1, Math.min(lines.size(), Result.Speed.MAX_SPEEDS))) {
                String[] cells = line.split("\t", -1);
                earlier.put(cells[0], new SpeedWindow.Estimate(Long.parseLong(cells[1]), Long.parseLong(cells[2])));
            }
        } catch (IOException | IllegalArgumentException | IndexOutOfBoundsException damaged) {
            LOG.debug("{} is passed over: {}", file, damaged.toString());
            earlier.clear();
        }
    }

    /** One more measurement. @param nowNanos of a clock that never goes back */
    synchronized void measured(String weights, double bytesPerSecond, long nowNanos) {
        if (windows.size() == Result.Speed.MAX_SPEEDS && !windows.containsKey(weights)) {
            return;
        }
        windows.computeIfAbsent(weights, _ -> new SpeedWindow()).add(bytesPerSecond, nowNanos);
    }

    /** Writes what is known, if that was not done of late. */
    synchronized void keep(long nowNanos) {
        Long before = written;
        if (before == null || nowNanos - before > WRITTEN_EVERY_NANOS) {
            written = nowNanos;
            write();
        }
    }

    private void write() {
        var lines = new ArrayList<String>();
        lines.add(machine);
        all().forEach(speed -> lines.add(speed.weights() + "\t" + speed.bytesPerSecond() + "\t" + speed.mayReach()));
        try {
            Path fresh = file.resolveSibling(FILE + ".new");
            Files.write(fresh, lines, StandardCharsets.UTF_8);
            Files.move(fresh, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException unwritable) {
            LOG.debug("{} was not written: {}", file, unwritable.toString());
        }
    }

    /** What this process knows, or else what an earlier one has left. */
    synchronized List<Result.Speed> all() {
        var all = new TreeMap<>(earlier);
        windows.forEach((weights, window) -> {
            SpeedWindow.Estimate estimate = window.estimate();
            if (estimate != null && (window.slices() >= ENOUGH || !earlier.containsKey(weights))) {
                all.put(weights, estimate);
            }
        });
        return all.entrySet().stream()
                .limit(Result.Speed.MAX_SPEEDS)
                .map(entry -> new Result.Speed(
                        entry.getKey(),
                        entry.getValue().bytesPerSecond(),
                        entry.getValue().mayReach()))
                .toList();
    }
}
