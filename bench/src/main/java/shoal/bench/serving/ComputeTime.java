package shoal.bench.serving;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** Processor time of a process's computing threads, where the system tells (Linux). */
final class ComputeTime {
    private static final double TICKS_PER_SECOND = 100;
    private static final int FIRST_FIELD_BEHIND_NAME = 3;
    private static final int USER_TICKS = 14;

    private ComputeTime() {}

    /** Seconds so far, of the busiest thread whose name begins so; NaN if the system does not tell. */
    static double seconds(long processId, String threadName) {
        double most = Double.NaN;
        try (Stream<Path> tasks = Files.list(Path.of("/proc/" + processId + "/task"))) {
            for (Path task : tasks.toList()) {
                String stat = Files.readString(task.resolve("stat"));
                String name = stat.substring(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
                if (name.startsWith(threadName)) {
                    List<String> fields =
                            List.of(stat.substring(stat.lastIndexOf(')') + 2).split(" "));
                    long ticks = Long.parseLong(fields.get(USER_TICKS - FIRST_FIELD_BEHIND_NAME))
                            + Long.parseLong(fields.get(USER_TICKS + 1 - FIRST_FIELD_BEHIND_NAME));
                    double seconds = ticks / TICKS_PER_SECOND;
                    most = Double.isNaN(most) ? seconds : Math.max(most, seconds);
                }
            }
        } catch (IOException notLinux) {
            return Double.NaN;
        }
        return most;
    }
}
