package shoal.bridge.kernel.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.KeyValuePages;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.codec.gguf.GgmlType;

/** Attention on a device is close to the oracle's, and the same to the last bit however a prompt is cut and whatever stands beside it. */
public class DeviceAttentionTest extends DeviceTesting {
    private static final List<Op.Scores> SCORES = List.of(
            Op.Scores.scaled(0.37f),
            new Op.Scores(0.37f, 1, 0, null),
            new Op.Scores(0.37f, 19, 2.5f, null),
            new Op.Scores(0.37f, 0, 0, new float[] {-1, 0, 2, 3, 9, 0.5f}));

    private static Program attention(int headSize, Op.Scores scores) {
        return attention(headSize, scores, CacheType.F32);
    }

    private static Program attention(int headSize, Op.Scores scores, CacheType type) {
        return (kernels, random, arena) -> {
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot queries = builder.slot("queries", 6 * headSize);
            Slot keys = builder.slot("keys", 3 * headSize);
            Slot values = builder.slot("values", 3 * headSize);
            Slot out = builder.slot("out", 6 * headSize);
            for (Slot slot : List.of(keys, values)) {
                builder.add(new Op.MatMul(
                        matrix(kernels, GgmlType.F32, slot.width(), 6 * headSize, random, arena), null, queries, slot));
            }
            builder.add(new Op.Store(1, keys, values)).add(new Op.Attention(1, queries, 6, scores, out));
            return builder.build(queries, out, new CacheShape(2, 3, headSize, type));
        };
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 15, 48, 130})
    void attendsAsTheOracle(int headSize) {
        for (Op.Scores scores : SCORES) {
            close(attention(headSize, scores), 141, 5e-5, headSize + " " + scores);
        }
    }

    @ParameterizedTest
    @EnumSource
    void keepsKeysAndValuesAsTheOracle(CacheType type) {
        for (int headSize : new int[] {32, 96}) {
            // A last bit of a key can decide which level it is rounded to.
            close(attention(headSize, SCORES.get(2), type), 41, type == CacheType.F32 ? 1e-5 : 5e-3, type.name());
        }
    }

    @Test
    void chunksAndNeighboursDoNotChangeAttention() {
        int width = 6 * 48;
        for (Op.Scores scores : SCORES) {
            float[] input = floats(141 * width, new Random(SEED));
            float[] whole = run(device, attention(48, scores), 141, input);
            try (Arena arena = Arena.ofShared();
                    CompiledStage stage = device.compile(attention(48, scores).of(device, new Random(SEED), arena));
                    SequenceMemory other = stage.openSequence(200);
                    SequenceMemory sequence = stage.openSequence(141)) {
                float[] out = poisoned(150 * width);
                for (int[] range : new int[][] {{0, 1}, {1, 18}, {18, 140}, {140, 141}}) {
                    int count = range[1] - range[0];
                    float[] both = new float[(count + 9) * width];
                    System.arraycopy(input, 0, both, 0, 9 * width);
                    System.arraycopy(input, range[0] * width, both, 9 * width, count * width);
                    stage.run(new StageBatch(
                            List.of(
                                    new StageBatch.Slice(other, other.length(), 9),
                                    new StageBatch.Slice(sequence, range[0], count)),
                            null,
                            MemorySegment.ofArray(both),
                            new int[0],
                            MemorySegment.ofArray(out)));
                    assertArrayEquals(
                            Arrays.copyOfRange(whole, range[0] * width, range[1] * width),
                            Arrays.copyOfRange(out, 9 * width, (count + 9) * width),
                            scores + " " + Arrays.toString(range));
                }
                // Again from the middle: what was there is overwritten.
                sequence.truncate(18);
                stage.run(new StageBatch(
                        List.of(new StageBatch.Slice(sequence, 18, 123)),
                        null,
                        MemorySegment.ofArray(Arrays.copyOfRange(input, 18 * width, 141 * width)),
                        new int[0],
                        MemorySegment.ofArray(out)));
                assertArrayEquals(Arrays.copyOfRange(whole, 18 * width, 141 * width), Arrays.copyOf(out, 123 * width));
            }
        }
    }

    /** Keys and values that another stage takes up: it goes on as the first would have, whoever has computed them. */
    @ParameterizedTest
    @EnumSource
    void copiedKeysAndValuesGoOnAsTheirOwn(CacheType type) {
        int width = 6 * 32;
        Program program = attention(32, SCORES.getFirst(), type);
        float[] input = floats(60 * width, new Random(SEED));
        for (Kernels kernels : List.of(device, oracle)) {
            Kernels other = kernels == device ? oracle : device;
            float[] whole = run(kernels, program, 60, input);
            try (Arena arena = Arena.ofShared();
                    CompiledStage first = kernels.compile(program.of(kernels, new Random(SEED), arena));
                    CompiledStage second = kernels.compile(program.of(kernels, new Random(SEED), arena));
                    CompiledStage between = other.compile(program.of(other, new Random(SEED), arena));
                    SequenceMemory from = first.openSequence(100);
                    SequenceMemory neighbour = second.openSequence(40);
                    SequenceMemory to = second.openSequence(60);
                    SequenceMemory kept = between.openSequence(60)) {
                float[] out = poisoned(60 * width);
                step(first, from, input, out);
                step(second, neighbour, Arrays.copyOf(input, 33 * width), out);
                for (int positions : new int[] {0, 16, 37}) {
                    var pages = KeyValuePages.allocate(from.shape(), positions, arena);
                    from.copyTo(pages);
                    MemorySegment sent = pages.sealed();
                    // By way of somebody whose kernels are others, byte by byte the same.
                    kept.truncate(0);
                    kept.copyFrom(
                            KeyValuePages.read(sent, between.openSequence(1).shape(), 60));
                    var again = KeyValuePages.allocate(kept.shape(), positions, arena);
                    kept.copyTo(again);
                    assertEquals(-1, sent.mismatch(again.sealed()), type + " " + positions);
                    to.truncate(0);
                    to.copyFrom(again);
                    assertEquals(positions, to.length());
                    float[] rest = poisoned((60 - positions) * width);
                    step(second, to, Arrays.copyOfRange(input, positions * width, 60 * width), rest);
                    assertArrayEquals(
                            Arrays.copyOfRange(whole, positions * width, 60 * width), rest, type + " " + positions);
                }
                if (from instanceof DeviceSequence copied) {
                    var atOnce = KeyValuePages.allocate(from.shape(), 48, arena);
                    var pageByPage = KeyValuePages.allocate(from.shape(), 48, arena);
                    from.copyTo(atOnce);
                    int[] table = {copied.page(0), copied.page(1), copied.page(2)};
                    copied.pool().copy(table, pageByPage, false, 2);
                    assertEquals(-1, atOnce.sealed().mismatch(pageByPage.sealed()), "two pages at a time");
                }
                var more = KeyValuePages.allocate(from.shape(), 61, arena);
                assertThrows(IllegalArgumentException.class, () -> from.copyTo(more));
                assertThrows(IllegalArgumentException.class, () -> to.copyFrom(more));
            }
        }
    }

    /** So long that several groups share a head, where tokens are few: more than two partitions, and a window that begins within one. */
    @Test
    void longContextsDoNotDependOnHowTheyAreShared() {
        int width = 6 * 16;
        int positions = 540;
        for (Op.Scores scores : List.of(SCORES.getLast(), new Op.Scores(0.37f, 300, 2.5f, null))) {
            float[] input = floats(positions * width, new Random(SEED));
            Program program = attention(16, scores);
            float[] whole = run(device, program, positions, input);
            assertClose(run(oracle, program, positions, input), whole, 5e-5, "long " + scores);
            try (Arena arena = Arena.ofShared();
                    CompiledStage stage = device.compile(program.of(device, new Random(SEED), arena));
                    SequenceMemory sequence = stage.openSequence(positions)) {
                int at = 0;
                for (int count : new int[] {250, 1, 5, 1, 100, 150, 4, 1, 1, 27}) {
                    float[] out = poisoned(count * width);
                    stage.run(new StageBatch(
                            List.of(new StageBatch.Slice(sequence, at, count)),
                            null,
                            MemorySegment.ofArray(Arrays.copyOfRange(input, at * width, (at + count) * width)),
                            new int[0],
                            MemorySegment.ofArray(out)));
                    assertArrayEquals(
                            Arrays.copyOfRange(whole, at * width, (at + count) * width),
                            out,
                            count + " from " + at + " on with " + scores);
                    at += count;
                }
                assertEquals(positions, at);
            }
        }
    }

    /** Queries and keys turned at once, attention rounded at once, and what came of it added. */
    @ParameterizedTest
    @EnumSource(names = {"F16", "Q8_0", "Q4_K"})
    void attentionDoneWithItsNeighboursIsThatDoneAlone(GgmlType type) {
        int width = Math.max(96, type.blockValues());
        var table = new RopeTable(new double[] {1, 0.31, 0.07}, 1.1f, RopeTable.Pairing.NEIGHBOURS);
        Program program = (kernels, random, arena) -> {
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot x = builder.slot("x", width);
            Slot n = builder.slot("n", width);
            Slot queries = builder.slot("queries", width);
            Slot keys = builder.slot("keys", 32);
            Slot values = builder.slot("values", 32);
            Slot attended = builder.slot("attended", width);
            builder.add(new Op.RmsNorm(x, floats(width, random), 1e-6f, n));
            for (Slot out : List.of(queries, keys, values)) {
                builder.add(new Op.MatMul(matrix(kernels, type, out.width(), width, random, arena), null, n, out));
            }
            builder.add(new Op.Rope(queries, width / 32, 32, table))
                    .add(new Op.Rope(keys, 1, 32, table))
                    .add(new Op.Store(0, keys, values))
                    .add(new Op.Attention(0, queries, width / 32, Op.Scores.scaled(0.2f), attended))
                    .add(new Op.MatMul(matrix(kernels, type, width, width, random, arena), null, attended, n))
                    .add(new Op.Add(n, x));
            return builder.build(x, x, new CacheShape(1, 1, 32));
        };
        close(program, 21, near(type), "attention of " + type);
        float[] input = floats(21 * width, new Random(SEED));
        float[] whole = run(device, program, 21, input);
        try (Arena arena = Arena.ofShared();
                CompiledStage stage = device.compile(program.of(device, new Random(SEED), arena));
                SequenceMemory sequence = stage.openSequence(21)) {
            for (int t = 0; t < 21; t++) {
                float[] out = poisoned(width);
                stage.run(new StageBatch(
                        List.of(new StageBatch.Slice(sequence, t, 1)),
                        null,
                        MemorySegment.ofArray(Arrays.copyOfRange(input, t * width, (t + 1) * width)),
                        new int[0],
                        MemorySegment.ofArray(out)));
                assertArrayEquals(Arrays.copyOfRange(whole, t * width, (t + 1) * width), out, type + " at " + t);
            }
        }
    }

    /** The first step of a shape is launched plainly, the second noted, the others replayed: all give the same. */
    @Test
    void stepsFromAGraphAreThoseWithout() {
        int width = 6 * 32;
        int steps = steps();
        for (CacheType type : CacheType.values()) {
            Program program = attention(32, SCORES.get(2), type);
            float[] input = floats(steps * width, new Random(SEED));
            try (Arena arena = Arena.ofShared();
                    CompiledStage stage = device.compile(program.of(device, new Random(SEED), arena));
                    CompiledStage plain = device.compile(program.of(device, new Random(SEED), arena));
                    SequenceMemory first = stage.openSequence(steps);
                    SequenceMemory second = plain.openSequence(steps)) {
                float[] made = new float[steps * width];
                float[] whole = new float[steps * width];
                for (int at = 0; at < steps; at++) {
                    float[] out = poisoned(width);
                    step(stage, first, Arrays.copyOfRange(input, at * width, (at + 1) * width), out);
                    System.arraycopy(out, 0, made, at * width, width);
                }
                step(plain, second, input, whole);
                assertArrayEquals(whole, made, type.name());
                long replays = ((DeviceStage) stage).replays();
                assertTrue(replays > steps - 20, "only " + replays + " of " + steps + " steps were replayed");
                assertEquals(0, ((DeviceStage) plain).replays());
            }
        }
    }

    private static void step(CompiledStage stage, SequenceMemory sequence, float[] input, float[] out) {
        stage.run(new StageBatch(
                List.of(new StageBatch.Slice(sequence, sequence.length(), input.length / (6 * 32))),
                null,
                MemorySegment.ofArray(input),
                new int[0],
                MemorySegment.ofArray(out)));
    }

    @Test
    void refusesWhatDoesNotFit() {
        Program program = attention(4, SCORES.getFirst());
        try (Arena arena = Arena.ofShared();
                CompiledStage stage = device.compile(program.of(device, new Random(SEED), arena));
                CompiledStage other = device.compile(program.of(device, new Random(SEED), arena));
                SequenceMemory sequence = stage.openSequence(3);
                SequenceMemory foreign = other.openSequence(3)) {
            SequenceMemory closed = stage.openSequence(3);
            closed.close();
            for (List<Object> wrong : List.<List<Object>>of(
                    List.of(sequence, 0, 4, "ends at position 4"),
                    List.of(sequence, 1, 1, "its sequence holds 0"),
                    List.of(foreign, 0, 1, "another stage"),
                    List.of(closed, 0, 1, "closed"))) {
                StageBatch batch = new StageBatch(
                        List.of(new StageBatch.Slice(
                                (SequenceMemory) wrong.get(0), (Integer) wrong.get(1), (Integer) wrong.get(2))),
                        null,
                        MemorySegment.ofArray(new float[24 * 4]),
                        new int[0],
                        MemorySegment.ofArray(new float[24 * 4]));
                String message = assertThrows(IllegalArgumentException.class, () -> stage.run(batch))
                        .getMessage();
                assertTrue(message.contains((String) wrong.get(3)), message);
            }
        }
    }

    @Test
    void manyStagesLeaveNothing() {
        long before = ((DeviceKernels) device).allocatedBytes();
        Program program = attention(4, SCORES.getLast());
        float[] input = floats(3 * 24, new Random(SEED));
        float[] first = run(device, program, 3, input);
        for (int i = 0; i < stages(); i++) {
            if (i % 10 == 0) {
                assertArrayEquals(first, run(device, program, 3, input));
            } else {
                try (Arena arena = Arena.ofConfined()) {
                    device.compile(program.of(device, new Random(SEED), arena)).close();
                }
            }
        }
        assertEquals(before, ((DeviceKernels) device).allocatedBytes());
    }
}
