package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.Simulation;

final class PaceTest {
    private static final NodeId NODE = new NodeId(Hash256.sha256("a".getBytes(StandardCharsets.UTF_8)));

    /** Other work on the machine, long prompts and single outliers are no reason to move away. */
    @ParameterizedTest
    @SeedSource(100)
    void aBusyMachineIsNotSlow(long seed) {
        RandomGenerator random = Simulation.of(seed).random("times", 0);
        var pace = new Pace();
        for (int i = 0; i < 2000; i++) {
            int tokens = random.nextInt(4) == 0 ? random.nextInt(1, 64) : 1;
            long micros = tokens * random.nextLong(10_000, 30_000);
            boolean outlier = random.nextInt(20) == 0;
            assertFalse(pace.computed(NODE, tokens, outlier ? 10 * micros : micros), "seed " + seed);
        }
    }

    @ParameterizedTest
    @SeedSource(100)
    void aMachineThatBecomesSlowIsNoticedSoonAndOnce(long seed) {
        RandomGenerator random = Simulation.of(seed).random("times", 0);
        var pace = new Pace();
        for (int i = 0; i < 200; i++) {
            assertFalse(pace.computed(NODE, 1, random.nextLong(10_000, 15_000)), "seed " + seed);
        }
        int noticed = -1;
        for (int i = 0; i < 2 * Pace.LATE; i++) {
            if (pace.computed(NODE, 1, random.nextLong(100_000, 200_000))) {
                assertTrue(noticed < 0, "seed " + seed);
                noticed = i;
            }
        }
        assertTrue(noticed >= 0 && noticed < Pace.LATE, "after " + noticed + ", seed " + seed);
    }

    @Test
    void whatIsQuickAnywayIsNeverSlow() {
        var pace = new Pace();
        for (int i = 0; i < 100; i++) {
            assertFalse(pace.computed(NODE, 1, 10));
        }
        for (int i = 0; i < 100; i++) {
            assertFalse(pace.computed(NODE, 1, 10_000));
        }
    }
}
