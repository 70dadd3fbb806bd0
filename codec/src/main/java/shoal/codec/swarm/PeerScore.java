package shoal.codec.swarm;

/**
 * What a download knows of one source: how fast, how far, how reliable. From it come the window (how many bytes may be
 * asked for ahead) and the back-off. Bytes and nanoseconds.
 */
public final class PeerScore {
    /** Below this a delay is the machines' own scheduling, and the window has to cover it anyway. */
    static final long MIN_DELAY_NANOS = 10_000_000L;

    /** On the same machine or the same wire. */
    private static final long NEAR_NANOS = 2_000_000L;

    /**
     * So long a busy machine may take to answer that is near: who asks for less ahead gets less for it, and asks for still less. Up to
     * so many bytes.
     */
    private static final long BUSY_NANOS = 50_000_000L;

    private static final long BUSY_BYTES = 6 << 20;

    private static final int ROUNDS = 8;
    private static final double RATE_MEMORY_NANOS = 1e9;
    private static final long FIRST_BACKOFF_NANOS = 1_000_000_000L;
    private static final int MAX_DOUBLINGS = 6;

    private final double[] rounds = new double[ROUNDS];
    private int nextRound;
    private long roundStartNanos;
    private long roundBytes;

    private double recentBytes; // forgets with time, see RATE_MEMORY_NANOS
    private long recentNanos;
    private long firstByteNanos = Long.MIN_VALUE;
    private long delayNanos = Long.MAX_VALUE;
    private long bytes;
    private double gapNanos;
    private double gapDeviationNanos;
    private int failures;
    private long backoffUntilNanos = Long.MIN_VALUE;

    /** A request was sent while none was under way: the measured round begins anew, idle time is not slowness. */
    void busy(long nowNanos) {
        roundStartNanos = nowNanos;
        roundBytes = 0;
    }

    /** Bytes came that had been asked for. */
    void received(long count, long nowNanos) {
        if (firstByteNanos == Long.MIN_VALUE) {
            firstByteNanos = nowNanos;
            recentNanos = nowNanos;
        }
        recentBytes = recentBytes * forgotten(nowNanos) + count;
        recentNanos = nowNanos;
        bytes += count;
        roundBytes += count;
        failures = 0;
        long round = nowNanos - roundStartNanos;
        if (round >= Math.max(delay(), MIN_DELAY_NANOS)) {
            rounds[nextRound] = roundBytes * 1e9 / round;
            nextRound = (nextRound + 1) % ROUNDS;
            roundStartNanos = nowNanos;
            roundBytes = 0;
        }
    }

    /** So long nothing had come while something was owed: how long its gaps usually are. */
    void gap(long nanos) {
        if (gapNanos == 0) {
            gapNanos = nanos;
            gapDeviationNanos = nanos / 2.0;
            return;
        }
        gapDeviationNanos += (Math.abs(nanos - gapNanos) - gapDeviationNanos) / 8;
        gapNanos += (nanos - gapNanos) / 8;
    }

    /** A gap that is longer than nearly all that it had; 0 while none was seen (as TCP's timeout, RFC 6298). */
    double longGapNanos() {
        return gapNanos + 4 * gapDeviationNanos;
    }

    /** The time from a request to its first block, whatever lay before it in the queue: the least seen is the path's. */
    void answeredAfter(long nanos) {
        delayNanos = Math.min(delayNanos, Math.max(0, nanos));
    }

    /** Nothing came in time, or it refused. Asked again after a pause that doubles each time: 1 s to 64 s. */
    void failed(long nowNanos) {
        backoffUntilNanos = nowNanos + (FIRST_BACKOFF_NANOS << Math.min(failures, MAX_DOUBLINGS));
        failures++;
    }

    /** Failures since something came. */
    public int failures() {
        return failures;
    }

    public long backoffUntilNanos() {
        return backoffUntilNanos;
    }

    public boolean mayBeAsked(long nowNanos) {
        return nowNanos >= backoffUntilNanos;
    }

    /** Bytes received in all. */
    public long bytes() {
        return bytes;
    }

    public boolean measured() {
        return bytes > 0;
    }

    /** Least time from request to first block; 0 if unknown. */
    public long delay() {
        return delayNanos == Long.MAX_VALUE ? 0 : delayNanos;
    }

    /** Bytes per second lately; sinks when nothing comes. 0 if nothing ever came. */
    public double rate(long nowNanos) {
        if (!measured()) {
            return 0;
        }
        double seen = nowNanos - firstByteNanos + Math.max(delay(), MIN_DELAY_NANOS);
        double memory = RATE_MEMORY_NANOS * (1 - Math.exp(-seen / RATE_MEMORY_NANOS));
        return recentBytes * forgotten(nowNanos) / memory * 1e9;
    }

    /**
     * Bytes to have asked for: twice what the path holds at the best rate of the last rounds, so that a rate held down by
     * the window doubles each round; of a near source at least what covers a busy machine. At least half of first, and all
     * of it while nothing is measured. More would lie in the source's queue, and be asked of it by others too. After a
     * failure only one piece.
     */
    public long window(long first, long max, long piece) {
        if (failures > 0) {
            return piece;
        }
        double best = 0;
        for (double rate : rounds) {
            best = Math.max(best, rate);
        }
        double path = 2 * best * Math.max(delay(), MIN_DELAY_NANOS) / 1e9;
        if (delay() < NEAR_NANOS) {
            path = Math.max(path, Math.min(2 * best * BUSY_NANOS / 1e9, BUSY_BYTES));
        }
        double least = best == 0 ? first : Math.max(piece, first / 2);
        return (long) Math.min(Math.max(max, piece), Math.max(least, path));
    }

    private double forgotten(long nowNanos) {
        return Math.exp(-(nowNanos - recentNanos) / RATE_MEMORY_NANOS);
    }
}
