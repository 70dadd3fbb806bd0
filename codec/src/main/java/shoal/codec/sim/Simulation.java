package shoal.codec.sim;

import java.time.Duration;
import java.util.PriorityQueue;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.random.RandomGenerator;
import shoal.codec.base.Machine;

/**
 * A queue of events in virtual time: what is due first happens first, what is due together happens in the order it was
 * planned. The same seed gives the same run. One thread.
 */
public final class Simulation {
    private static final long MAX_EVENTS_AT_ONE_INSTANT = 10_000_000;

    private record Event(long atNanos, long order, Runnable action) implements Comparable<Event> {
        @Override
        public int compareTo(Event other) {
            int byTime = Long.compare(atNanos, other.atNanos);
            return byTime != 0 ? byTime : Long.compare(order, other.order);
        }
    }

    private final Seeds seeds;
    private final VirtualClock clock = new VirtualClock();
    private final PriorityQueue<Event> events = new PriorityQueue<>();
    private Faults faults = Faults.NONE;
    private long nextOrder;
    private long eventsDone;

    private Simulation(long seed) {
        seeds = new Seeds(seed);
    }

    public static Simulation of(long seed) {
        return new Simulation(seed);
    }

    /** Chance in 0..1 that a message is lost. */
    public Simulation loss(double rate) {
        faults = new Faults(rate, faults.minDelayNanos(), faults.maxDelayNanos(), faults.uploadBytesPerSecond());
        return this;
    }

    /** One-way delay, drawn evenly for each message. */
    public Simulation delayMillis(long min, long max) {
        faults = new Faults(faults.loss(), min * 1_000_000, max * 1_000_000, faults.uploadBytesPerSecond());
        return this;
    }

    /** What each node can send; 0 for no limit. */
    public Simulation uploadBytesPerSecond(long rate) {
        faults = new Faults(faults.loss(), faults.minDelayNanos(), faults.maxDelayNanos(), rate);
        return this;
    }

    public Faults faults() {
        return faults;
    }

    public long seed() {
        return seeds.seed();
    }

    public VirtualClock clock() {
        return clock;
    }

    public long nowNanos() {
        return clock.nowNanos();
    }

    /** A generator of its own for each purpose and index. */
    public RandomGenerator random(String purpose, long index) {
        return seeds.random(purpose, index);
    }

    /** Plans an action; a time that has passed means now, behind what is already planned for now. */
    public void at(long nanos, Runnable action) {
        events.add(new Event(Math.max(nanos, clock.nowNanos()), nextOrder++, action));
    }

    public void after(Duration delay, Runnable action) {
        at(clock.nowNanos() + delay.toNanos(), action);
    }

    /** Lets a machine live in this world; tick is what it gets when its deadline has come. */
    public <I, O> SimMachine<I, O> drive(Machine<I, O> machine, I tick, Consumer<? super O> effects) {
        return new SimMachine<>(this, machine, tick, effects);
    }

    /** Lets time pass; what is due at the very end still happens. */
    public void runFor(Duration duration) {
        long end = clock.nowNanos() + duration.toNanos();
        run(() -> false, end);
        clock.advanceTo(end);
    }

    /** Runs until the condition holds. @throws AssertionError with seed, faults and time if it does not within the limit */
    public void runUntil(BooleanSupplier condition, Duration limit) {
        if (!run(condition, clock.nowNanos() + limit.toNanos())) {
            throw new AssertionError("not reached within " + limit + " of virtual time: " + this);
        }
    }

    private boolean run(BooleanSupplier condition, long endNanos) {
        long eventsAtThisInstant = 0;
        while (!condition.getAsBoolean()) {
            Event next = events.peek();
            if (next == null || next.atNanos > endNanos) {
                return false;
            }
            eventsAtThisInstant = next.atNanos == clock.nowNanos() ? eventsAtThisInstant + 1 : 0;
            if (eventsAtThisInstant > MAX_EVENTS_AT_ONE_INSTANT) {
                throw new AssertionError("time stands still, events make events without end: " + this);
            }
            events.remove();
            clock.advanceTo(next.atNanos);
            eventsDone++;
            try {
                next.action.run();
            } catch (RuntimeException | AssertionError failure) {
                failure.addSuppressed(new AssertionError("in " + this));
                throw failure;
            }
        }
        return true;
    }

    /** Seed, faults, time: what a failure must print. */
    @Override
    public String toString() {
        return "simulation with seed " + seed() + " (replay with -Dshoal.seed=" + seed() + "), " + faults + ", at "
                + Duration.ofNanos(clock.nowNanos()) + " after " + eventsDone + " events";
    }
}
