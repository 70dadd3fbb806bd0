package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.pipeline.Liveness.Bounds;
import shoal.codec.pipeline.Liveness.Effect;
import shoal.codec.pipeline.Liveness.Input;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.Simulation;

/** A watcher and the machine that it watches, in virtual time. */
final class LivenessTest {
    private static final long MILLI = 1_000_000;

    /** Answers each beat after a delay of its choice. */
    private static final class World {
        private final Simulation simulation;
        private final RandomGenerator random;
        private final Liveness liveness = new Liveness(Bounds.CLOSE, Bounds.LOOSE);
        private final List<Effect> news = new ArrayList<>();
        private final List<Long> at = new ArrayList<>();
        private int beats;
        private boolean silent;
        private boolean asleep;
        private long minDelayMillis;
        private long maxDelayMillis = 20;

        World(long seed) {
            simulation = Simulation.of(seed);
            random = simulation.random("delays", 0);
            feed(new Input.Reached());
            feed(new Input.Serves(true));
        }

        void feed(Input input) {
            if (asleep) {
                return;
            }
            for (Effect effect : List.copyOf(liveness.handle(input, simulation.nowNanos()))) {
                switch (effect) {
                    case Effect.Beat(int number) -> {
                        beats++;
                        long delay = random.nextLong(minDelayMillis, maxDelayMillis) * MILLI;
                        simulation.at(simulation.nowNanos() + delay, () -> {
                            if (!silent) {
                                feed(new Input.Heard(number));
                            }
                        });
                    }
                    case Effect.Lost _, Effect.Back _ -> {
                        news.add(effect);
                        at.add(simulation.nowNanos());
                    }
                }
            }
            long deadline = liveness.deadlineNanos();
            if (deadline != Long.MAX_VALUE) {
                simulation.at(deadline, () -> {
                    if (liveness.deadlineNanos() <= simulation.nowNanos()) {
                        feed(new Input.Tick());
                    }
                });
            }
        }

        void runFor(long millis) {
            simulation.runFor(Duration.ofMillis(millis));
        }
    }

    @ParameterizedTest
    @SeedSource(50)
    void aSilentMachineIsLostWithinASecond(long seed) {
        var world = new World(seed);
        world.runFor(5_000);
        assertEquals(List.of(), world.news, "seed " + seed);
        world.silent = true;
        long since = world.simulation.nowNanos();
        world.runFor(1_000);
        assertEquals(1, world.news.size(), "seed " + seed);
        assertTrue(world.news.getFirst() instanceof Effect.Lost);
        long millis = (world.at.getFirst() - since) / MILLI;
        assertTrue(millis >= 500 && millis <= 1_000, "after " + millis + " ms, seed " + seed);
    }

    @ParameterizedTest
    @SeedSource(50)
    void aMachineThatSlowsDownUnderLoadIsNotTakenForDead(long seed) {
        var world = new World(seed);
        for (long delay = 20; delay < 600; delay += 40) {
            world.maxDelayMillis = delay;
            world.runFor(2_000);
        }
        assertEquals(List.of(), world.news, "seed " + seed);
        world.silent = true;
        world.runFor(2_600);
        assertEquals(1, world.news.size(), "the ceiling holds, seed " + seed);
    }

    /** On a long way, what is lost once comes a round trip and more later, with all that waits behind it. */
    @ParameterizedTest
    @SeedSource(50)
    void aLossOnALongWayIsNotTakenForDeath(long seed) {
        var world = new World(seed);
        world.minDelayMillis = 300;
        world.maxDelayMillis = 320;
        world.runFor(3_000);
        world.silent = true;
        world.runFor(750);
        world.silent = false;
        world.runFor(3_000);
        assertEquals(List.of(), world.news, "seed " + seed);
    }

    @ParameterizedTest
    @SeedSource(50)
    void whatThisSideSleepsThroughIsNobodysSilence(long seed) {
        var world = new World(seed);
        world.runFor(3_000);
        world.asleep = true;
        world.runFor(20_000);
        world.asleep = false;
        world.feed(new Input.Tick());
        world.runFor(3_000);
        assertEquals(List.of(), world.news, "seed " + seed);
        world.silent = true;
        world.runFor(1_500);
        assertEquals(1, world.news.size(), "seed " + seed);
    }

    @Test
    void aProcessThatEndedIsLostAtOnceAndOnlyOnce() {
        var world = new World(1);
        world.runFor(1_000);
        long since = world.simulation.nowNanos();
        world.silent = true;
        world.feed(new Input.Ended());
        world.feed(new Input.Ended());
        world.runFor(5_000);
        assertEquals(List.of(new Effect.Lost("its process has ended")), world.news);
        assertEquals(since, world.at.getFirst());
    }

    @Test
    void aLostMachineIsAskedRarelyAndComesBack() {
        var world = new World(2);
        world.runFor(1_000);
        world.silent = true;
        world.runFor(2_000);
        int before = world.beats;
        world.runFor(10_000);
        assertTrue(world.beats - before <= 11, world.beats - before + " beats in ten seconds");
        world.silent = false;
        world.runFor(3_000);
        assertEquals(2, world.news.size());
        assertEquals(new Effect.Back(), world.news.getLast());
        world.silent = true;
        world.runFor(3_000);
        assertEquals(3, world.news.size(), "it is watched as before");
    }

    @Test
    void whoStandsByIsWatchedLooselyUntilItServes() {
        var world = new World(3);
        world.feed(new Input.Serves(false));
        int before = world.beats;
        world.runFor(10_000);
        assertTrue(world.beats - before <= 11, world.beats - before + " beats in ten seconds");
        world.feed(new Input.Serves(true));
        before = world.beats;
        world.runFor(1_000);
        assertTrue(world.beats - before >= 9, world.beats - before + " beats in a second");
        assertFalse(world.news.stream().anyMatch(Effect.Lost.class::isInstance));
        world.feed(new Input.Serves(false));
        world.silent = true;
        world.runFor(2_000);
        assertEquals(List.of(), world.news);
        world.runFor(3_000);
        assertNotEquals(List.of(), world.news);
    }

    @Test
    void boundsThatCannotHoldAreRefused() {
        var second = Duration.ofSeconds(1);
        assertThrows(IllegalArgumentException.class, () -> new Bounds(second, second, second.multipliedBy(3)));
        assertThrows(
                IllegalArgumentException.class,
                () -> new Bounds(second, second.multipliedBy(3), second.multipliedBy(2)));
    }
}
