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
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.command.Result;

/**
 * How fast this machine was measured to be, for each kind of weights; kept in the store's directory beside the name of the kernels and
 * of the machine, and forgotten when either is another. Safe for several threads.
 */
final class SpeedBook {
    private static final Logger LOG = LoggerFactory.getLogger(SpeedBook.class);
    private static final String FILE = "speeds";
    private static final long MAX_FILE_BYTES = 64 << 10;

    /** A measurement below what was measured before counts so much: the machine may have been busy. */
    private static final double WEIGHT_OF_SLOWER = 0.3;

    private final Path file;
    private final String machine;
    private final Map<String, Long> speeds = new TreeMap<>();

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
                int tab = line.lastIndexOf('\t');
                Result.Speed speed = new Result.Speed(line.substring(0, tab), Long.parseLong(line.substring(tab + 1)));
                speeds.put(speed.weights(), speed.bytesPerSecond());
            }
        } catch (IOException | IllegalArgumentException | IndexOutOfBoundsException damaged) {
            LOG.debug("{} is passed over: {}", file, damaged.toString());
            speeds.clear();
        }
    }

    /** A measurement: at once if it is the first or the fastest, else in part. */
    synchronized void measured(String weights, long bytesPerSecond) {
        if (bytesPerSecond < 1 || speeds.size() == Result.Speed.MAX_SPEEDS && !speeds.containsKey(weights)) {
            return;
        }
        speeds.merge(
                weights,
                bytesPerSecond,
                (before, now) -> now >= before ? now : Math.round(before + WEIGHT_OF_SLOWER * (now - before)));
        var lines = new ArrayList<String>();
        lines.add(machine);
        speeds.forEach((kind, speed) -> lines.add(kind + "\t" + speed));
        try {
            Path fresh = file.resolveSibling(FILE + ".new");
            Files.write(fresh, lines, StandardCharsets.UTF_8);
            Files.move(fresh, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException unwritable) {
            LOG.debug("{} was not written: {}", file, unwritable.toString());
        }
    }

    synchronized List<Result.Speed> all() {
        return speeds.entrySet().stream()
                .map(entry -> new Result.Speed(entry.getKey(), entry.getValue()))
                .toList();
    }
}
