package shoal.codec.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.base.Machine;

class SimulationTest {
    @Test
    void whatIsDueFirstHappensFirstAndTogetherInOrderOfPlanning() {
        var simulation = Simulation.of(1);
        var happened = new ArrayList<String>();
        simulation.at(20, () -> happened.add("c"));
        simulation.at(10, () -> {
            happened.add("a");
            simulation.at(5, () -> happened.add("late, so now " + simulation.nowNanos()));
        });
        simulation.at(10, () -> happened.add("b"));
        simulation.runFor(Duration.ofSeconds(1));
        assertEquals(List.of("a", "b", "late, so now 10", "c"), happened);
        assertEquals(1_000_000_000L, simulation.nowNanos());
    }

    @ParameterizedTest
    @SeedSource(5)
    void theSameSeedGivesTheSameRun(long seed) {
        assertEquals(trace(seed, 0.2), trace(seed, 0.2));
        assertNotEquals(trace(seed, 0.2), trace(seed + 1, 0.2));
    }

    @ParameterizedTest
    @SeedSource(5)
    void losesAboutAsManyAsAsked(long seed) {
        int arrived = trace(seed, 0.25).size();
        assertTrue(arrived > 2000 * 0.70 && arrived < 2000 * 0.80, arrived + " of 2000 arrived, seed " + seed);
    }

    private static List<String> trace(long seed, double loss) {
        var simulation = Simulation.of(seed).loss(loss).delayMillis(1, 50);
        var network = new SimNetwork<String, Integer>(simulation);
        var trace = new ArrayList<String>();
        network.join("b", (from, message) -> trace.add(from + message + "@" + simulation.nowNanos()));
        for (int i = 0; i < 2000; i++) {
            network.send("a", "b", i, 100);
        }
        simulation.runFor(Duration.ofSeconds(1));
        return trace;
    }

    @ParameterizedTest
    @SeedSource(5)
    void aStreamKeepsOrderAndLosesNothing(long seed) {
        var simulation = Simulation.of(seed).loss(0.2).delayMillis(1, 50);
        var network = new SimNetwork<String, Integer>(simulation);
        var got = new ArrayList<Integer>();
        network.join("b", (from, message) -> got.add(message));
        var expected = new ArrayList<Integer>();
        for (int i = 0; i < 200; i++) {
            network.sendInOrder("a", "b", i, 10);
            expected.add(i);
        }
        simulation.runFor(Duration.ofMinutes(1));
        assertEquals(expected, got);
    }

    @Test
    void aLineOf1000BytesPerSecondTakesThreeSecondsFor3000Bytes() {
        var simulation = Simulation.of(1).delayMillis(10, 10).uploadBytesPerSecond(1000);
        var network = new SimNetwork<String, String>(simulation);
        var arrivals = new ArrayList<Long>();
        network.join("b", (from, message) -> arrivals.add(simulation.nowNanos() / 1_000_000));
        network.send("a", "b", "x", 1000);
        network.send("a", "b", "y", 2000);
        simulation.runFor(Duration.ofSeconds(10));
        assertEquals(List.of(1010L, 3010L), arrivals);
    }

    @Test
    void aPartitionCutsUntilHealed() {
        var simulation = Simulation.of(1);
        var network = new SimNetwork<String, String>(simulation);
        var got = new ArrayList<String>();
        network.join("b", (from, message) -> got.add(message));
        network.partition(Set.of("a"));
        network.send("a", "b", "cut", 1);
        network.send("c", "b", "free", 1);
        simulation.runFor(Duration.ofSeconds(1));
        network.heal();
        network.send("a", "b", "healed", 1);
        network.leave("gone");
        network.send("a", "gone", "nobody", 1);
        simulation.runFor(Duration.ofSeconds(1));
        assertEquals(List.of("free", "healed"), got);
    }

    @Test
    void aFailurePrintsSeedAndFaults() {
        var simulation = Simulation.of(77).loss(0.5);
        var failure = assertThrows(AssertionError.class, () -> simulation.runUntil(() -> false, Duration.ofMinutes(5)));
        assertTrue(failure.getMessage().contains("-Dshoal.seed=77"), failure.getMessage());
        assertTrue(failure.getMessage().contains("loss 0.5"), failure.getMessage());
    }

    /** Ticks every 10 ns, three times; each effect feeds the machine again while effects are carried out. */
    private static final class Ticker implements Machine<String, String> {
        private long deadline = 10;
        private boolean inside;

        @Override
        public List<String> handle(String input, long nowNanos) {
            assertTrue(!inside);
            inside = true;
            if (input.equals("tick")) {
                deadline = nowNanos < 30 ? nowNanos + 10 : Long.MAX_VALUE;
            }
            inside = false;
            return List.of(input + "@" + nowNanos);
        }

        @Override
        public long deadlineNanos() {
            return deadline;
        }
    }

    @Test
    void aMachineGetsItsTicksAndIsNeverReentered() {
        var simulation = Simulation.of(1);
        var effects = new ArrayList<String>();
        var holder = new ArrayList<SimMachine<String, String>>();
        holder.add(simulation.drive(new Ticker(), "tick", effect -> {
            effects.add(effect);
            if (effect.startsWith("hello")) {
                holder.getFirst().feed("echo");
            }
        }));
        holder.getFirst().feed("hello");
        simulation.runFor(Duration.ofNanos(100));
        assertEquals(List.of("hello@0", "echo@0", "tick@10", "tick@20", "tick@30"), effects);
    }
}
