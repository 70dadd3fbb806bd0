package shoal.bridge.kernel.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.TopLogits;

/** The highest logits of a row, picked on the device, are those that sorting finds, ties by the lower id. */
public class DeviceChoicesTest extends DeviceTesting {
    private static Program head(int vocabulary) {
        return (_, _, _) -> {
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot in = builder.slot("in", vocabulary);
            Slot out = builder.slot("out", vocabulary);
            builder.addHead(new Op.SelectRows(in, out));
            return builder.build(in, out, new CacheShape(0, 1, 1));
        };
    }

    /** Gaussians in steps of a quarter, so that many are equal; some are 0, some are -0. */
    private static float[] logits(int count, long seed) {
        float[] values = floats(count, new Random(seed));
        for (int i = 0; i < count; i++) {
            values[i] = Math.round(4 * values[i]) / 4f * (i % 3 == 0 ? -1 : 1);
        }
        return values;
    }

    private static float[] run(CompiledStage stage, float[] logits, int vocabulary, int[] rows, int[] picks) {
        int words = Arrays.stream(picks)
                .map(count -> (int) TopLogits.rowBytes(count, vocabulary) / Integer.BYTES)
                .sum();
        float[] out = poisoned(words);
        try (SequenceMemory sequence = stage.openSequence(64)) {
            stage.run(new StageBatch(
                    List.of(new StageBatch.Slice(sequence, 0, logits.length / vocabulary)),
                    null,
                    MemorySegment.ofArray(logits),
                    rows,
                    picks,
                    MemorySegment.ofArray(out)));
        }
        return out;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 50, 255, 4_096, 4_097, 9_001})
    void picksWhatSortingFinds(int vocabulary) {
        int tokens = 6;
        float[] logits = logits(tokens * vocabulary, SEED);
        int[] rows = {0, 1, 2, 4, 5};
        int[] picks = IntStream.of(1, 0, 40, 64, 5)
                .map(count -> Math.min(count, vocabulary))
                .toArray();
        try (Arena arena = Arena.ofShared();
                CompiledStage stage = device.compile(head(vocabulary).of(device, new Random(SEED), arena))) {
            assertEquals(Math.min(64, vocabulary), stage.mostPicks());
            float[] first = run(stage, logits, vocabulary, rows, picks);
            for (int time = 0; time < 3; time++) { // launched, noted, replayed
                assertArrayEquals(first, run(stage, logits, vocabulary, rows, picks));
            }
            MemorySegment found = MemorySegment.ofArray(first);
            long at = 0;
            for (int i = 0; i < rows.length; i++) {
                float[] row = Arrays.copyOfRange(logits, rows[i] * vocabulary, (rows[i] + 1) * vocabulary);
                if (picks[i] == 0) {
                    assertArrayEquals(row, Arrays.copyOfRange(first, (int) at / 4, (int) at / 4 + vocabulary));
                } else {
                    check(row, TopLogits.read(found, at, picks[i]), "row " + i + " of " + vocabulary);
                }
                at += TopLogits.rowBytes(picks[i], vocabulary);
            }
        }
    }

    private static void check(float[] row, TopLogits top, String what) {
        int[] sorted = IntStream.range(0, row.length)
                .boxed()
                .sorted(Comparator.comparingDouble((Integer id) -> -(row[id] + 0f))
                        .thenComparingInt(id -> id))
                .limit(top.ids().length)
                .mapToInt(Integer::intValue)
                .toArray();
        assertArrayEquals(sorted, top.ids(), what + " (seed " + SEED + ")");
        double sum = 0;
        for (float logit : row) {
            sum += Math.exp((double) logit - row[sorted[0]]);
        }
        assertEquals(1, top.sum() / sum, 1e-5, what);
        for (int i = 0; i < sorted.length; i++) {
            assertEquals(row[sorted[i]], top.logits()[i], what);
        }
    }

    /** What {@link shoal.bridge.model.Stage} looks at to tell of damaged weights. */
    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void whatIsNoFiniteNumberMakesTheSumNone(float wrong) {
        float[] logits = logits(2 * 5_000, SEED);
        logits[5_000 + 4_321] = wrong;
        try (Arena arena = Arena.ofShared();
                CompiledStage stage = device.compile(head(5_000).of(device, new Random(SEED), arena))) {
            float[] out = run(stage, logits, 5_000, new int[] {0, 1}, new int[] {1, 1});
            assertTrue(Float.isFinite(out[0]));
            assertTrue(Float.isNaN(out[3]), "the sum is " + out[3]);
        }
    }

    @Test
    void refusesMoreThanItPicks() {
        try (Arena arena = Arena.ofShared();
                CompiledStage stage = device.compile(head(100).of(device, new Random(SEED), arena));
                CompiledStage host = oracle.compile(head(100).of(oracle, new Random(SEED), arena))) {
            assertEquals(0, host.mostPicks());
            for (CompiledStage one : List.of(stage, host)) {
                int more = one.mostPicks() + 1;
                String message = assertThrows(
                                IllegalArgumentException.class,
                                () -> run(one, logits(100, SEED), 100, new int[] {0}, new int[] {more}))
                        .getMessage();
                assertTrue(message.contains("0.." + one.mostPicks()), message);
            }
        }
    }
}
