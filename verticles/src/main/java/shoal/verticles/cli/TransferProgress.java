package shoal.verticles.cli;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/**
 * How far a transfer is, for a reader: a bar on standard error, or with JSON one line a second on standard output. Safe for several
 * threads.
 */
final class TransferProgress {
    private static final int CELLS = 30;
    private static final long JSON_NANOS = 1_000_000_000L;
    private static final long BAR_NANOS = 100_000_000L;

    private final boolean json;
    private final long startNanos = System.nanoTime();
    private long toldNanos = Long.MIN_VALUE;
    private @Nullable String name;
    private long first;
    private boolean drawn;

    TransferProgress(boolean json) {
        this.json = json;
    }

    double seconds() {
        return (System.nanoTime() - startNanos) / 1e9;
    }

    /** @param bytes by source, for JSON; may be empty */
    synchronized void tell(String file, long done, long size, Map<String, Long> bytes) {
        long now = System.nanoTime();
        if (!file.equals(name)) {
            endLine();
            name = file;
            first = done;
            toldNanos = Long.MIN_VALUE;
        }
        boolean early = toldNanos != Long.MIN_VALUE && now - toldNanos < (json ? JSON_NANOS : BAR_NANOS);
        if (early && done < size) {
            return;
        }
        toldNanos = now;
        double rate = Math.max(0, done - first) / Math.max((now - startNanos) / 1e9, 1e-3);
        Long left = rate < 1 ? null : Long.valueOf(Math.round((size - done) / rate));
        if (json) {
            var line = new LinkedHashMap<String, Object>();
            line.put("name", file);
            line.put("verified", done);
            line.put("size", size);
            line.put("bytes_per_second", Math.round(rate));
            line.put("seconds_left", left);
            if (!bytes.isEmpty()) {
                line.put("bytes", bytes);
            }
            System.out.println(JsonMapper.shared().writeValueAsString(line));
            return;
        }
        int cells = size == 0 ? CELLS : (int) (CELLS * done / size);
        System.err.printf(
                Locale.ROOT,
                "\r%s [%s%s] %3d %% %,.1f MB/s %s ",
                file,
                "#".repeat(cells),
                "-".repeat(CELLS - cells),
                size == 0 ? 100 : 100 * done / size,
                rate / 1e6,
                left == null ? "      " : time(left));
        drawn = true;
    }

    private static String time(long seconds) {
        return seconds < 3600
                ? String.format(Locale.ROOT, "%2d:%02d left", seconds / 60, seconds % 60)
                : String.format(Locale.ROOT, "%d:%02d:%02d left", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }

    /** The next thing that is written begins a line of its own. */
    synchronized void endLine() {
        if (drawn) {
            System.err.println();
            drawn = false;
        }
    }
}
