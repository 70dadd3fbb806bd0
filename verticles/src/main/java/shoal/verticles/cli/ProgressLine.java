package shoal.verticles.cli;

import java.util.Locale;

/** How far a long write has come, on one line of standard error that is written over; nothing where that is no terminal. */
final class ProgressLine {
    private static final long STEP_BYTES = 64L << 20;

    private final String what;
    private final boolean shown = System.console() != null && System.console().isTerminal();
    private long next = STEP_BYTES;

    ProgressLine(String what) {
        this.what = what;
    }

    void bytes(long done) {
        if (shown && done >= next) {
            next = done + STEP_BYTES;
            System.err.printf(Locale.ROOT, "\r%s: %,d MiB", what, done >> 20);
        }
    }

    void end() {
        if (shown && next > STEP_BYTES) {
            System.err.print("\r" + " ".repeat(what.length() + 24) + "\r");
        }
    }
}
