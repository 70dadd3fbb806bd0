package shoal.codec.pipeline;

import static shoal.codec.base.Bounds.requireRange;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * How fast a machine computes, from many short measurements spread over time. Whatever else the machine does makes a measurement slower
 * and never faster, so the fastest of late counts. How far the truth may lie above it follows from how many there are, and how much they
 * differ: {@link Estimate#mayReach}.
 */
public final class SpeedWindow {
    /** Measurements of this time are one slice, and the fastest of them stands for it. */
    static final long SLICE_NANOS = 2_000_000_000L;

    /** Slices that count; older ones are forgotten. */
    static final int SLICES = 16;

    /** Fewer slices say nothing about each other. */
    static final int FEW = 4;

    /** When all count, the truth is never taken to be further away; noise beyond it is a slow machine. */
    static final double MOST_DOUBT = 3;

    /** Until then it may lie further away: a program that has just started also waits for its own compiler. */
    private static final double EARLY_DOUBT = 6;

    /** So far while there are but a few. */
    static final double FIRST_DOUBT = 16;

    private static final double LEAST_DOUBT = 1.1;
    private static final double DOUBT_OF_COUNT = 12;

    /** Where slices differ by a factor, all of them may have been held up by this power of it. */
    private static final double DOUBT_OF_DIFFERENCE = 1.5;

    private final double[] speeds = new double[SLICES];
    private int count;
    private int newest = -1;
    private long began;

    /**
     * What is known of a speed.
     *
     * @param bytesPerSecond the fastest of late
     * @param mayReach as fast it may be in truth, at least {@code bytesPerSecond}
     */
    public record Estimate(long bytesPerSecond, long mayReach) {
        public Estimate {
            requireRange("bytes per second", bytesPerSecond, 1, Long.MAX_VALUE / 1_000_000);
            requireRange("bytes per second that may be", mayReach, bytesPerSecond, Long.MAX_VALUE / 1_000);
        }

        /** One that a machine tells of itself; more doubt than there can be is not believed. */
        public static Estimate told(long bytesPerSecond, long mayReach) {
            return new Estimate(
                    bytesPerSecond, Math.min(mayReach, doubtful(bytesPerSecond).mayReach()));
        }

        /** One that stands alone: nobody knows how busy the machine was. */
        public static Estimate doubtful(long bytesPerSecond) {
            return new Estimate(bytesPerSecond, Math.round(bytesPerSecond * FIRST_DOUBT));
        }
    }

    /** A measurement of a time in which at least so much was computed. @param nowNanos never going back */
    public void add(double bytesPerSecond, long nowNanos) {
        if (!(bytesPerSecond >= 1) || bytesPerSecond > Long.MAX_VALUE / 1_000_000) {
            return; // a clock that jumped
        }
        if (newest < 0 || nowNanos - began >= SLICE_NANOS) {
            newest = (newest + 1) % SLICES;
            count = Math.min(SLICES, count + 1);
            speeds[newest] = bytesPerSecond;
            began = nowNanos;
        } else {
            speeds[newest] = Math.max(speeds[newest], bytesPerSecond);
        }
    }

    /** Slices that were measured of late. */
    public int slices() {
        return count;
    }

    /** What all slices say together; null before the first. */
    public @Nullable Estimate estimate() {
        if (count == 0) {
            return null;
        }
        double[] sorted = Arrays.copyOf(speeds, count);
        Arrays.sort(sorted);
        double fastest = sorted[count - 1];
        double slow = sorted[count / 10];
        double differ = Math.pow(fastest / slow, DOUBT_OF_DIFFERENCE);
        double doubt = count < SLICES ? Math.max(differ, 1 + DOUBT_OF_COUNT / count) : differ;
        double clamped =
                count < FEW ? FIRST_DOUBT : Math.clamp(doubt, LEAST_DOUBT, count < SLICES ? EARLY_DOUBT : MOST_DOUBT);
        return new Estimate(Math.round(fastest), Math.round(fastest * clamped));
    }
}
