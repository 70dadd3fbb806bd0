package shoal.codec.pipeline;

import static shoal.codec.base.Bounds.requireRange;

import java.util.Arrays;

/**
 * What lies between the stages, for each way from machine to machine: from one token of a sequence at the coordinator to the next, without
 * the time that the stages say they computed, over the number of ways. Of the latest tokens that nothing else was computed beside.
 */
public final class HopTimes {
    private static final int KEPT = 512;

    private final int[] micros = new int[KEPT];
    private long seen;

    /**
     * One token is back.
     *
     * @param betweenMicros from dispatch to return, without computing
     * @param ways from machine to machine
     */
    void add(long betweenMicros, int ways) {
        micros[(int) (seen++ % KEPT)] = Math.clamp(betweenMicros / ways, 0, Integer.MAX_VALUE);
    }

    /** How many tokens were looked at in all. */
    public long seen() {
        return seen;
    }

    /**
     * Microseconds that this part of the latest tokens took at most; 0 before the first.
     *
     * @param part 0.5 for the median, 1 for the slowest
     */
    public long micros(double part) {
        int count = (int) Math.min(seen, KEPT);
        if (count == 0) {
            return 0;
        }
        int[] sorted = Arrays.copyOf(micros, count);
        Arrays.sort(sorted);
        int rank = (int) Math.ceil(part * count);
        requireRange("rank", rank, 0, count);
        return sorted[Math.max(0, rank - 1)];
    }
}
