package shoal.codec.swarm;

import static shoal.codec.base.Bounds.requireRange;

/**
 * Bytes a second, exactly: a token bucket that may go into debt by one spending. What is spent takes its time at the rate, and
 * after a pause up to a burst of it is forgiven. No rounding is lost. Several machines on one thread may share one.
 */
public final class RateLimit {
    public static final long UNLIMITED = Long.MAX_VALUE;

    private final long bytesPerSecond;
    private final long burstNanos;
    private boolean started;
    private long freeAtNanos;
    private long owedFraction; // of a nanosecond, in units of 1 / bytesPerSecond

    /**
     * @param bytesPerSecond {@link #UNLIMITED} for no limit
     * @param burstBytes that may go at once after a pause
     */
    public RateLimit(long bytesPerSecond, long burstBytes) {
        requireRange("bytes per second", bytesPerSecond, 1, UNLIMITED);
        requireRange("burst", burstBytes, 0, 1L << 30);
        this.bytesPerSecond = bytesPerSecond;
        burstNanos = (long) (burstBytes * 1e9 / bytesPerSecond);
    }

    public static RateLimit none() {
        return new RateLimit(UNLIMITED, 0);
    }

    public boolean isUnlimited() {
        return bytesPerSecond == UNLIMITED;
    }

    /** When the next bytes may go; now or earlier if they may at once. */
    public long freeAtNanos(long nowNanos) {
        return isUnlimited() || !started ? nowNanos : freeAtNanos;
    }

    public boolean isFree(long nowNanos) {
        return freeAtNanos(nowNanos) <= nowNanos;
    }

    /** @param bytes at most 1 GiB, so that a second's worth of nanoseconds fits */
    public void spend(long bytes, long nowNanos) {
        if (isUnlimited()) {
            return;
        }
        if (!started) {
            started = true;
            freeAtNanos = nowNanos;
        }
        if (freeAtNanos < nowNanos - burstNanos) {
            freeAtNanos = nowNanos - burstNanos;
            owedFraction = 0;
        }
        long work = bytes * 1_000_000_000L + owedFraction;
        freeAtNanos += work / bytesPerSecond;
        owedFraction = work % bytesPerSecond;
    }
}
