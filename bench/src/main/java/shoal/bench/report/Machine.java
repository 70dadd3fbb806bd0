package shoal.bench.report;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/**
 * The machine that a figure was measured on.
 *
 * @param load processes that wanted a core over the last minute when the bench began, below 0 where the system does not tell
 * @param readBytesPerSecond of memory, one thread, measured now; 0 if it was not
 */
public record Machine(
        String cpu,
        int cores,
        long memoryBytes,
        double load,
        String system,
        String jdk,
        double readBytesPerSecond,
        double readBytesPerSecondAllCores) {
    private static final double GIGA = 1e9;

    /** Without a measurement of its memory. */
    public static Machine described() {
        var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return new Machine(
                cpuName(),
                Runtime.getRuntime().availableProcessors(),
                system.getTotalMemorySize(),
                system.getSystemLoadAverage(),
                System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                        + System.getProperty("os.arch"),
                System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version"),
                0,
                0);
    }

    /** With its memory's read bandwidth, by one thread and by one a core; takes about two seconds and 1 GiB. */
    public static Machine measured() {
        Machine plain = described();
        try (var probe = new ReadProbe(ReadProbe.USUAL_BYTES)) {
            double one = probe.bytesPerSecond(1);
            double all = plain.cores == 1 ? one : probe.bytesPerSecond(plain.cores);
            return new Machine(
                    plain.cpu, plain.cores, plain.memoryBytes, plain.load, plain.system, plain.jdk, one, all);
        }
    }

    /** The most that so many threads read in a second, as far as it was measured. */
    public double readBytesPerSecond(int threads) {
        return threads == 1
                ? readBytesPerSecond
                : Math.min(threads * readBytesPerSecond, Math.max(readBytesPerSecond, readBytesPerSecondAllCores));
    }

    /** One line. */
    public String line() {
        String line = String.format(
                Locale.ROOT,
                "machine: %s, %d cores, %.1f GiB, load %.2f, %s, %s",
                cpu,
                cores,
                memoryBytes / (double) (1L << 30),
                load,
                system,
                jdk);
        return readBytesPerSecond == 0
                ? line
                : line
                        + String.format(
                                Locale.ROOT,
                                ", reads %.1f GB/s (one thread), %.1f GB/s (%d threads)",
                                readBytesPerSecond / GIGA,
                                readBytesPerSecondAllCores / GIGA,
                                cores);
    }

    private static String cpuName() {
        try {
            return Files.readAllLines(Path.of("/proc/cpuinfo")).stream()
                    .filter(line -> line.startsWith("model name") || line.startsWith("Model"))
                    .map(line -> line.substring(line.indexOf(':') + 1).strip())
                    .findFirst()
                    .orElse(System.getProperty("os.arch"));
        } catch (IOException notLinux) {
            return System.getProperty("os.arch");
        }
    }
}
