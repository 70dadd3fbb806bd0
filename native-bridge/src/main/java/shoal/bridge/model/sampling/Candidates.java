package shoal.bridge.model.sampling;

import java.util.Arrays;

/**
 * Tokens that may still be drawn, with their logits. Sorted lazily and no further than somebody looks: of a vocabulary of 150,000
 * mostly a few hundred matter.
 */
final class Candidates {
    private static final int FIRST_SORTED = 256;

    private final float[] logits;

    /** The order of a token in its high bits, its id in the low 31: smaller is likelier, the lower id first among equals. */
    private final long[] keys;

    private int count;
    private int sorted;

    /** All tokens but those whose logit is minus infinity. */
    Candidates(float[] logits) {
        this.logits = logits;
        keys = new long[logits.length];
        for (int id = 0; id < logits.length; id++) {
            if (logits[id] != Float.NEGATIVE_INFINITY) {
                int bits = Float.floatToIntBits(logits[id] + 0f); // -0 and 0 are equal
                int rising = bits < 0 ? ~bits : bits ^ 0x8000_0000;
                keys[count++] = (~rising & 0xffff_ffffL) << 31 | id;
            }
        }
    }

    int count() {
        return count;
    }

    /** Of the token at a place; the places before it are sorted, likeliest first. */
    int id(int place) {
        sortTo(place + 1);
        return idOf(place);
    }

    float logit(int place) {
        return logits[id(place)];
    }

    /** In whatever order the tokens are now. */
    int idOf(int place) {
        return (int) keys[place] & 0x7fff_ffff;
    }

    float logitOf(int place) {
        return logits[idOf(place)];
    }

    /** Keeps the likeliest. */
    void keepFirst(int wanted) {
        if (wanted < count) {
            if (wanted > sorted) {
                select(sorted, count, wanted);
            }
            count = wanted;
            sorted = Math.min(sorted, count);
        }
    }

    /** Keeps from a place on. */
    void dropFirst(int dropped) {
        sortTo(dropped);
        System.arraycopy(keys, dropped, keys, 0, count - dropped);
        count -= dropped;
        sorted -= dropped;
    }

    /** Keeps those with at least this logit. */
    void keepAbove(double least) {
        int kept = 0;
        int keptSorted = 0;
        for (int place = 0; place < count; place++) {
            if (logitOf(place) >= least) {
                keys[kept++] = keys[place];
                if (place < sorted) {
                    keptSorted++;
                }
            }
        }
        count = kept;
        sorted = keptSorted;
    }

    /** Keeps the tokens at some places of the whole sorted order. */
    void keep(boolean[] places) {
        sortTo(count);
        int kept = 0;
        for (int place = 0; place < count; place++) {
            if (places[place]) {
                keys[kept++] = keys[place];
            }
        }
        count = kept;
        sorted = kept;
    }

    private void sortTo(int wanted) {
        while (sorted < wanted) {
            int to = (int) Math.min(count, Math.max(FIRST_SORTED, 4L * sorted));
            to = Math.max(to, Math.min(count, wanted));
            if (to < count) {
                select(sorted, count, to);
            }
            Arrays.sort(keys, sorted, to);
            sorted = to;
        }
    }

    /** Brings the smallest keys of a range to its places before middle (Hoare's FIND, with the median of three). */
    private void select(int from, int end, int middle) {
        int low = from;
        int high = end - 1;
        while (low < high) {
            long pivot = median(keys[low], keys[(low + high) >>> 1], keys[high]);
            int i = low;
            int j = high;
            while (i <= j) {
                while (keys[i] < pivot) {
                    i++;
                }
                while (keys[j] > pivot) {
                    j--;
                }
                if (i <= j) {
                    long swapped = keys[i];
                    keys[i++] = keys[j];
                    keys[j--] = swapped;
                }
            }
            if (middle <= j) {
                high = j;
            } else if (middle >= i) {
                low = i;
            } else {
                return;
            }
        }
    }

    private static long median(long a, long b, long c) {
        return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
    }
}
