package shoal.verticles.coordinator;

import java.util.List;

/** Text on its way to the reader, of which the end is held back while it may be the beginning of a stop text. One generation. */
final class StopTexts {
    private final List<String> stops;
    private final StringBuilder held = new StringBuilder();
    private boolean met;

    /** @param stops none of them empty */
    StopTexts(List<String> stops) {
        this.stops = List.copyOf(stops);
    }

    /** What can be shown now; nothing more once a stop text was met. */
    String next(String text) {
        if (met) {
            return "";
        }
        held.append(text);
        int first = -1;
        for (String stop : stops) {
            int at = held.indexOf(stop);
            if (at >= 0 && (first < 0 || at < first)) {
                first = at;
            }
        }
        if (first >= 0) {
            met = true;
            return held.substring(0, first);
        }
        int safe = held.length();
        for (String stop : stops) {
            safe = Math.min(safe, held.length() - overlap(stop));
        }
        String shown = held.substring(0, safe);
        held.delete(0, safe);
        return shown;
    }

    /** Whether a stop text came: the generation is over. */
    boolean met() {
        return met;
    }

    /** What was held back, now that no more comes. */
    String end() {
        return met ? "" : held.toString();
    }

    /** The longest beginning of a stop text that the held text ends with. */
    private int overlap(String stop) {
        for (int length = Math.min(stop.length() - 1, held.length()); length > 0; length--) {
            if (stop.startsWith(held.substring(held.length() - length))) {
                return length;
            }
        }
        return 0;
    }
}
