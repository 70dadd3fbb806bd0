package shoal.verticles.demo;

import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Lines and progress bars. On a terminal the bars stand below the lines and are drawn over; elsewhere each bar is told once, when it
 * is full. Safe for several threads.
 */
final class Screen {
    private static final int BAR_CELLS = 24;
    private static final long REDRAW_NANOS = 80_000_000;

    private final PrintStream out;
    private final boolean terminal;
    private final Map<String, Bar> bars = new LinkedHashMap<>();
    private int drawn;
    private long lastDrawNanos;

    private record Bar(long done, long size, String note) {}

    Screen(PrintStream out, boolean terminal) {
        this.out = out;
        this.terminal = terminal;
    }

    /** A line above the bars. */
    synchronized void line(String text) {
        erase();
        out.println(text);
        draw();
    }

    /** Sets a bar; the first call adds it. */
    synchronized void bar(String name, long done, long size, String note) {
        Bar before = bars.put(name, new Bar(done, size, note));
        boolean full = done == size && (before == null || before.done() != size);
        if (!terminal) {
            if (full) {
                out.println(render(name, bars.get(name)));
            }
            return;
        }
        long now = System.nanoTime();
        if (full || before == null || now - lastDrawNanos > REDRAW_NANOS) {
            lastDrawNanos = now;
            erase();
            draw();
        }
    }

    /** Leaves the bars where they are; later lines go below them. */
    synchronized void settle() {
        drawn = 0;
        bars.clear();
    }

    /** Text that follows the text before it, below the bars. */
    synchronized void text(String text) {
        out.print(text);
        out.flush();
    }

    /** A remark in the middle of text. */
    synchronized void aside(String remark) {
        out.print(terminal ? "\n\u001b[2m  [" + remark + "]\u001b[0m\n" : "\n  [" + remark + "]\n");
        out.flush();
    }

    private void erase() {
        if (terminal && drawn > 0) {
            out.print("\u001b[" + drawn + "A\u001b[J");
            drawn = 0;
        }
    }

    private void draw() {
        if (terminal) {
            bars.forEach((name, bar) -> out.println(render(name, bar)));
            drawn = bars.size();
            out.flush();
        }
    }

    private static String render(String name, Bar bar) {
        int filled = bar.size() == 0 ? BAR_CELLS : (int) (BAR_CELLS * bar.done() / bar.size());
        int percent = bar.size() == 0 ? 100 : (int) (100 * bar.done() / bar.size());
        return String.format(
                "  %-22s %s%s %3d %%  %s",
                name, "█".repeat(filled), "░".repeat(BAR_CELLS - filled), percent, bar.note());
    }
}
