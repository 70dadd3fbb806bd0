package shoal.codec.sim;

import static shoal.codec.base.Bounds.requireRange;

/**
 * What a network does to messages.
 *
 * @param loss chance in 0..1 that one sending is lost
 * @param uploadBytesPerSecond of each node; 0 for no limit
 */
public record Faults(double loss, long minDelayNanos, long maxDelayNanos, long uploadBytesPerSecond) {
    public static final Faults NONE = new Faults(0, 1_000_000, 1_000_000, 0);

    public Faults {
        if (!(loss >= 0 && loss <= 1)) {
            throw new IllegalArgumentException("loss is " + loss + ", allowed 0..1");
        }
        requireRange("min delay", minDelayNanos, 0, Long.MAX_VALUE / 4);
        requireRange("max delay", maxDelayNanos, minDelayNanos, Long.MAX_VALUE / 4);
        requireRange("upload rate", uploadBytesPerSecond, 0, Long.MAX_VALUE);
    }

    @Override
    public String toString() {
        return "loss " + loss + ", delay " + minDelayNanos / 1_000_000 + ".." + maxDelayNanos / 1_000_000
                + " ms, upload " + (uploadBytesPerSecond == 0 ? "unlimited" : uploadBytesPerSecond + " B/s");
    }
}
