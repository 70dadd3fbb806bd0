package shoal.bridge.model.text;

import java.util.Arrays;

/** A growing list of token ids. */
final class Ids {
    private int[] values = new int[64];
    private int count;

    /** Ids below 0 are none and are left out. */
    void add(int id) {
        if (id < 0) {
            return;
        }
        if (count == values.length) {
            values = Arrays.copyOf(values, 2 * count);
        }
        values[count++] = id;
    }

    int count() {
        return count;
    }

    /** Forgets what came after the first {@code length} ids. */
    void truncate(int length) {
        count = length;
    }

    int[] toArray() {
        return Arrays.copyOf(values, count);
    }
}
