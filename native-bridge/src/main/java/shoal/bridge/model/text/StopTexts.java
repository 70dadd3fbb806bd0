package shoal.bridge.model.text;

import java.util.List;

/**
 * Ends a text before any of some texts. Holds back what may be the beginning of one, so that no part of it is ever shown. One
 * generation, one thread.
 */
public final class StopTexts {
    private final List<String> stops;
    private String held = "";
    private boolean stopped;

    /** @throws IllegalArgumentException if one is empty */
    public StopTexts(List<String> stops) {
        if (stops.contains("")) {
            throw new IllegalArgumentException("a stop text is empty");
        }
        this.stops = List.copyOf(stops);
    }

    /** What can be shown now that this piece has come; nothing once a stop text came. */
    public String next(String piece) {
        if (stopped) {
            return "";
        }
        String text = held + piece;
        int end = text.length();
        for (String stop : stops) {
            int at = text.indexOf(stop);
            if (at >= 0 && at < end) {
                end = at;
                stopped = true;
            }
        }
        if (stopped) {
            held = "";
            return text.substring(0, end);
        }
        int shown = text.length();
        for (String stop : stops) {
            for (int from = Math.max(0, text.length() - stop.length() + 1); from < shown; from++) {
                if (stop.startsWith(text.substring(from))) {
                    shown = from;
                    break;
                }
            }
        }
        held = text.substring(shown);
        return text.substring(0, shown);
    }

    /** Whether a stop text came. */
    public boolean stopped() {
        return stopped;
    }

    /** What was held back and turned out to be no stop text, at the end. */
    public String end() {
        String rest = stopped ? "" : held;
        held = "";
        return rest;
    }
}
