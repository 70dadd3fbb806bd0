package shoal.codec.pipeline;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import shoal.codec.base.Machine;

/**
 * Whether one machine is still there. Beats go out at a steady pace, and each answer is a sign of life. A machine is lost when it was
 * silent for longer than it should be: twice the longest silence of late, so that one that is busy is not taken for dead, and never
 * less than a floor and two round trips, in which what was lost on the way can be sent once more. One whose process is known to be gone is lost at once. A lost machine is asked on, more rarely, and is back when
 * it answers.
 *
 * <p>Time in which this side itself did not run is nobody's silence. The idea of a bound that follows what was measured is that of
 * accrual failure detectors (Hayashibara et al., "The φ accrual failure detector", SRDS 2004), with the longest of the late silences
 * in place of a normal distribution, which a machine under load does not keep to.
 */
public final class Liveness implements Machine<Liveness.Input, Liveness.Effect> {
    /** What can happen. */
    public sealed interface Input {
        /** Beats can be sent: from now on, or again. */
        record Reached() implements Input {}

        /** The machine answered a beat, or spoke of its own accord after it. */
        record Heard(int number) implements Input {}

        /** The machine's process has ended: its ports refuse connections. */
        record Ended() implements Input {}

        /** Work is given to the machine, or taken from it: it is watched closely, or not. */
        record Serves(boolean serves) implements Input {}

        record Tick() implements Input {}
    }

    /** What the machine wants. */
    public sealed interface Effect {
        record Beat(int number) implements Effect {}

        /** Nothing can be expected of the machine. @param why to be read behind its name */
        record Lost(String why) implements Effect {}

        /** A machine that was lost is there again; what it knows of work is out of date. */
        record Back() implements Effect {}
    }

    /**
     * How closely a machine is watched.
     *
     * @param pace between two beats
     * @param floor silence that is always allowed; at least twice the pace
     * @param ceiling silence that is never allowed
     */
    public record Bounds(Duration pace, Duration floor, Duration ceiling) {
        /** For a machine that others wait for. */
        public static final Bounds CLOSE =
                new Bounds(Duration.ofMillis(100), Duration.ofMillis(700), Duration.ofMillis(2500));

        /** For a coordinator, whose loss costs much even if it is a mistake. */
        public static final Bounds PATIENT =
                new Bounds(Duration.ofMillis(200), Duration.ofMillis(2000), Duration.ofMillis(6000));

        /** For a machine that stands by. */
        public static final Bounds LOOSE =
                new Bounds(Duration.ofSeconds(1), Duration.ofSeconds(4), Duration.ofSeconds(10));

        public Bounds {
            if (floor.compareTo(pace.multipliedBy(2)) < 0 || ceiling.compareTo(floor) < 0) {
                throw new IllegalArgumentException(
                        "a floor of " + floor + " and a ceiling of " + ceiling + " do not go with a pace of " + pace);
            }
        }
    }

    /** The memory of a long silence halves in this time. */
    private static final double HALF_LIFE_NANOS = Duration.ofSeconds(10).toNanos();

    /** Beats whose time is known. */
    private static final int REMEMBERED = 64;

    /** Weight of a new round trip among the old ones, as for TCP (RFC 6298, section 2). */
    private static final double ROUND_TRIP_GAIN = 0.125;

    private final Bounds close;
    private final Bounds loose;
    private final List<Effect> effects = new ArrayList<>();
    private boolean serves;
    private boolean reached;
    /** Whether it has answered yet: making the connection takes several round trips. */
    private boolean answered;

    private boolean lost;
    private int number;
    private long nextBeatNanos = Long.MAX_VALUE;
    private long heardNanos;
    private double longestNanos;
    private double roundTripNanos;
    private final long[] sentNanos = new long[REMEMBERED];

    public Liveness(Bounds close, Bounds loose) {
        this.close = close;
        this.loose = loose;
    }

    @Override
    public List<Effect> handle(Input input, long nowNanos) {
        effects.clear();
        forgiveOwnAbsence(nowNanos);
        switch (input) {
            case Input.Reached() -> {
                if (!reached) {
                    reached = true;
                    heardNanos = nowNanos;
                    nextBeatNanos = nowNanos;
                }
            }
            case Input.Heard(int beat) -> heard(beat, nowNanos);
            case Input.Ended() -> lose("its process has ended");
            case Input.Serves(boolean now) -> {
                if (serves != now) {
                    serves = now;
                    heardNanos = nowNanos; // the old pace says nothing about the new one
                    longestNanos = 0;
                    nextBeatNanos = reached ? nowNanos : nextBeatNanos;
                }
            }
            case Input.Tick() -> {}
        }
        if (reached && !lost && nowNanos - heardNanos >= allowedNanos()) {
            lose("it has been silent for " + (nowNanos - heardNanos) / 1_000_000 + " ms");
        }
        if (nowNanos >= nextBeatNanos) {
            effects.add(new Effect.Beat(number));
            sentNanos[number % REMEMBERED] = nowNanos;
            number = number == Integer.MAX_VALUE ? 0 : number + 1;
            nextBeatNanos = nowNanos + pace().toNanos();
        }
        return effects;
    }

    @Override
    public long deadlineNanos() {
        return !reached || lost ? nextBeatNanos : Math.min(nextBeatNanos, heardNanos + allowedNanos());
    }

    /** How long the machine may be silent now, in nanoseconds. */
    long allowedNanos() {
        Bounds bounds = answered ? bounds() : loose;
        return Math.clamp(
                (long) Math.max(2 * longestNanos, bounds.floor().toNanos() + 2 * roundTripNanos),
                bounds.floor().toNanos(),
                bounds.ceiling().toNanos());
    }

    private Bounds bounds() {
        return serves ? close : loose;
    }

    private Duration pace() {
        return lost ? loose.pace() : bounds().pace();
    }

    private void heard(int beat, long nowNanos) {
        if (beat < number && number - beat <= REMEMBERED) {
            long roundTrip = nowNanos - sentNanos[beat % REMEMBERED];
            roundTripNanos += (answered ? ROUND_TRIP_GAIN : 1) * (roundTrip - roundTripNanos);
        }
        long silence = answered ? nowNanos - heardNanos : 0;
        answered = true;
        heardNanos = nowNanos;
        if (lost) {
            lost = false;
            answered = false; // how long that answer took says nothing
            longestNanos = 0;
            roundTripNanos = 0;
            nextBeatNanos = nowNanos;
            effects.add(new Effect.Back());
            return;
        }
        longestNanos = Math.max(silence, longestNanos * Math.pow(0.5, silence / HALF_LIFE_NANOS));
    }

    private void lose(String why) {
        if (!lost) {
            lost = true;
            effects.add(new Effect.Lost(why));
        }
    }

    /** A beat that is sent later than two paces was held up on this side. */
    private void forgiveOwnAbsence(long nowNanos) {
        if (reached && nowNanos - nextBeatNanos > 2 * pace().toNanos()) {
            heardNanos = Math.min(nowNanos, heardNanos + (nowNanos - nextBeatNanos));
        }
    }
}
