package shoal.verticles.cli;

import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/**
 * How far a transfer is, for a reader: with JSON one line a second on standard output; else, on a terminal, a bar on standard error
 * that fits into 80 columns. Safe for several threads.
 */
final class TransferProgress {
    /** A line of so many columns is not broken on a terminal of 80. */
    static final int COLUMNS = 79;

    private static final int NAME_COLUMNS = 24;
    private static final int CELLS = 16;
    private static final int MAX_DAYS = 999;
    /** What is too long for a narrow terminal is cut, not wrapped: wrapped lines cannot be written over (DECAWM of the VT100). */
    private static final String CUT = "\u001b[?7l";

    private static final String WRAP = "\u001b[?7h";
    private static final long JSON_NANOS = 1_000_000_000L;
    private static final long BAR_NANOS = 100_000_000L;
    private static final long RATE_NANOS = 5_000_000_000L;

    private final boolean json;
    private final boolean drawing = System.console() != null && System.console().isTerminal();
    private final boolean cuts = System.getenv("TERM") != null;
    private final long startNanos = System.nanoTime();
    private final ArrayDeque<Sample> samples = new ArrayDeque<>();
    private long toldNanos = Long.MIN_VALUE;
    private @Nullable String name;
    private boolean drawn;
    private boolean ended;

    private record Sample(long nanos, long done) {}

    TransferProgress(boolean json) {
        this.json = json;
        if (drawing && !json) {
            Runtime.getRuntime()
                    .addShutdownHook(
                            new Thread(this::end)); // Ctrl-C: the shell's prompt is not to stand behind the bar
        }
    }

    double seconds() {
        return (System.nanoTime() - startNanos) / 1e9;
    }

    /** @param bytes by source, for JSON; may be empty */
    synchronized void tell(String file, long done, long size, Map<String, Long> bytes) {
        if (ended) {
            return;
        }
        long now = System.nanoTime();
        if (!file.equals(name)) {
            endLine();
            name = file;
            samples.clear();
            toldNanos = Long.MIN_VALUE;
        }
        boolean early = toldNanos != Long.MIN_VALUE && now - toldNanos < (json ? JSON_NANOS : BAR_NANOS);
        if (early && done < size) {
            return;
        }
        toldNanos = now;
        double rate = rate(now, done);
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
        } else if (drawing) {
            String bar = bar(file, done, size, rate, left);
            System.err.print(cuts ? "\r" + CUT + bar + WRAP : "\r" + bar);
            drawn = true;
        }
    }

    /** Bytes per second of late: a transfer that stands still is not told to end soon. */
    private double rate(long now, long done) {
        samples.add(new Sample(now, done));
        while (samples.size() > 2 && now - samples.getFirst().nanos > RATE_NANOS) {
            samples.remove();
        }
        Sample first = samples.getFirst();
        return Math.max(0, done - first.done) / Math.max((now - first.nanos) / 1e9, 1e-3);
    }

    /** One line of {@link #COLUMNS}: name, share, rate, time left where that is known, and last the bar, which a narrow terminal cuts. */
    static String bar(String file, long done, long size, double rate, @Nullable Long left) {
        int cells = size == 0 ? CELLS : (int) (CELLS * (double) done / size);
        String line = String.format(
                Locale.ROOT,
                "%s %3d %% %s %-13s [%s%s]",
                shortened(file),
                size == 0 ? 100 : (int) (100.0 * done / size),
                String.format(
                        Locale.ROOT, rate < 1e11 ? "%,8.1f MB/s" : "%,.0f GB/s", rate / (rate < 1e11 ? 1e6 : 1e9)),
                left == null ? "" : time(left),
                "#".repeat(cells),
                "-".repeat(CELLS - cells));
        return line.length() > COLUMNS ? line.substring(0, COLUMNS) : line + " ".repeat(COLUMNS - line.length());
    }

    /** The ends of long names tell them apart: {@code qwen3-235b-…f-00005.gguf}. */
    private static String shortened(String file) {
        int tail = NAME_COLUMNS / 2;
        return file.length() <= NAME_COLUMNS
                ? file
                : file.substring(0, NAME_COLUMNS - tail - 1) + "…" + file.substring(file.length() - tail);
    }

    private static String time(long seconds) {
        if (seconds >= 100 * 3600) {
            return seconds / 86_400 > MAX_DAYS ? "" : seconds / 86_400 + " days left";
        }
        return seconds < 3600
                ? String.format(Locale.ROOT, "%d:%02d left", seconds / 60, seconds % 60)
                : String.format(Locale.ROOT, "%d:%02d:%02d left", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }

    /** Nothing is drawn any more. */
    private synchronized void end() {
        ended = true;
        endLine();
    }

    /** The next thing that is written begins a line of its own. */
    synchronized void endLine() {
        if (drawn) {
            System.err.println();
            drawn = false;
        }
    }
}
