package shoal.bench.report;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What a process holds in memory, where the system tells (Linux). */
public final class ProcessMemory {
    private ProcessMemory() {}

    /** The most that the process ever had resident, mapped files included; 0 if it is gone or the system does not tell. */
    public static long peakBytes(long processId) {
        return read(processId, "VmHWM:");
    }

    /** What it has resident now. */
    public static long residentBytes(long processId) {
        return read(processId, "VmRSS:");
    }

    private static long read(long processId, String key) {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/" + processId + "/status"))) {
                if (line.startsWith(key)) {
                    return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
                }
            }
            return 0;
        } catch (IOException gone) {
            return 0;
        }
    }
}
