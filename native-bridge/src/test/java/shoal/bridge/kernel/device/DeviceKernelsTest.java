package shoal.bridge.kernel.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.RandomWeights;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.host.HostKernels;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/** Every operation on a device is close to the oracle's, and the same to the last bit whatever stands beside it. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
public class DeviceKernelsTest {
    private static final long SEED = Long.getLong("shoal.seed", 20_261);
    private static final int HIDDEN = 96;

    private Kernels device;
    private Kernels oracle;

    /** What is tested. */
    protected Kernels openDevice() throws Exception {
        return Devices.open();
    }

    /** Stages that are opened and closed one after another, and steps that are made one by one. */
    protected int stages() {
        return 1_000;
    }

    protected int steps() {
        return 200;
    }

    @BeforeAll
    void open() throws Exception {
        device = openDevice();
        oracle = new HostKernels("scalar", new ScalarOperations(), 1);
    }

    @AfterAll
    void close() {
        if (device != null) {
            device.close();
            oracle.close();
        }
    }

    public static Set<GgmlType> types() {
        return new ScalarOperations().types();
    }

    /** Describes a stage to some kernels; the same arguments give the same program. */
    private interface Program {
        StageProgram of(Kernels kernels, Random random, Arena arena);
    }

    @Test
    void takesEveryTypeThatTheOracleTakes() {
        assertEquals(oracle.supportedTypes(), device.supportedTypes());
        assertFalse(device.keepsSumOrder());
    }

    @ParameterizedTest
    @MethodSource("types")
    void multipliesAsTheOracle(GgmlType type) {
        int block = type.blockValues();
        for (int columns : block > 1 ? new int[] {block, 3 * block, 17 * block} : new int[] {1, 15, 33, 515}) {
            for (int rows : new int[] {1, 7, 67}) {
                Program program = (kernels, random, arena) -> {
                    StageProgram.Builder builder = new StageProgram.Builder();
                    Slot in = builder.slot("in", columns);
                    Slot out = builder.slot("out", rows);
                    builder.add(new Op.MatMul(
                            matrix(kernels, type, rows, columns, random, arena),
                            rows == 7 ? floats(rows, random) : null,
                            in,
                            out));
                    return builder.build(in, out, new CacheShape(0, 1, 1));
                };
                for (int tokens : new int[] {1, 3, 8, 11}) {
                    close(program, tokens, 2e-6, type + " " + rows + "x" + columns + " with " + tokens);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("types")
    void tokensDoNotChangeOneAnother(GgmlType type) {
        int columns = Math.max(96, 3 * type.blockValues());
        Program program = (kernels, random, arena) -> {
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot in = builder.slot("in", columns);
            Slot out = builder.slot("out", 37);
            builder.add(new Op.MatMul(matrix(kernels, type, 37, columns, random, arena), null, in, out));
            return builder.build(in, out, new CacheShape(0, 1, 1));
        };
        float[] input = floats(13 * columns, new Random(SEED));
        float[] together = run(device, program, 13, input);
        assertArrayEquals(together, run(device, program, 13, input), "twice the same");
        for (int t = 0; t < 13; t++) {
            float[] alone = run(device, program, 1, Arrays.copyOfRange(input, t * columns, (t + 1) * columns));
            assertArrayEquals(alone, Arrays.copyOfRange(together, t * 37, (t + 1) * 37));
        }
    }

    @ParameterizedTest
    @MethodSource("types")
    void embedsAsTheOracle(GgmlType type) {
        int columns = type.blockValues() > 1 ? 3 * type.blockValues() : 101;
        Program program = (kernels, random, arena) -> {
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot out = builder.slot("out", columns);
            builder.add(new Op.Embed(matrix(kernels, type, 19, columns, random, arena), out));
            return builder.build(out, out, new CacheShape(0, 1, 1));
        };
        int[] ids = {18, 0, 7, 7, 1};
        float[][] results = new float[2][];
        for (int i = 0; i < 2; i++) {
            results[i] = run(i == 0 ? oracle : device, program, ids.length, null, ids);
        }
        assertClose(results[0], results[1], 1e-6, "embedding of " + type);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 5, 64, 100, 515})
    void normsAsTheOracle(int width) {
        close(
                (kernels, random, arena) -> {
                    StageProgram.Builder builder = new StageProgram.Builder();
                    Slot in = builder.slot("in", width);
                    Slot out = builder.slot("out", width);
                    builder.add(new Op.LayerNorm(in, floats(width, random), floats(width, random), 1e-5f, out))
                            .add(new Op.RmsNormRuns(out, floats(width % 5 == 0 ? width / 5 : width, random), 1e-6f))
                            .add(new Op.LayerNorm(out, floats(width, random), null, 1e-5f, in))
                            .add(new Op.RmsNorm(in, floats(width, random), 1e-6f, out));
                    return builder.build(in, out, new CacheShape(0, 1, 1));
                },
                3,
                2e-5,
                "norms of " + width);
    }

    @ParameterizedTest
    @EnumSource
    void gatesAsTheOracle(Op.Gating gating) {
        close(
                (kernels, random, arena) -> {
                    StageProgram.Builder builder = new StageProgram.Builder();
                    Slot in = builder.slot("in", 97);
                    Slot up = builder.slot("up", 97);
                    Slot gate = builder.slot("gate", 1);
                    builder.add(new Op.MatMul(matrix(kernels, GgmlType.F32, 97, 97, random, arena), null, in, up))
                            .add(new Op.MatMul(matrix(kernels, GgmlType.F32, 1, 97, random, arena), null, in, gate))
                            .add(new Op.Scale(in, 3.7f))
                            .add(new Op.Gate(in, up, gating))
                            .add(new Op.Gelu(up))
                            .add(new Op.Add(up, in))
                            .add(new Op.AddGated(up, gate, in))
                            .add(new Op.SoftCap(in, 2.5f));
                    return builder.build(in, in, new CacheShape(0, 1, 1));
                },
                5,
                5e-6,
                gating.name());
    }

    @ParameterizedTest
    @EnumSource
    void turnsAsTheOracle(RopeTable.Pairing pairing) {
        double[] frequencies = {1, 0.31, 0.07, 0.002, 0.0001};
        RopeTable table = new RopeTable(frequencies, 1.1f, pairing);
        close(
                (kernels, random, arena) -> {
                    StageProgram.Builder builder = new StageProgram.Builder();
                    Slot in = builder.slot("in", 3 * 14);
                    builder.add(new Op.Rope(in, 3, 14, table));
                    return builder.build(in, in, new CacheShape(0, 1, 1));
                },
                300,
                1e-6,
                pairing.name());
    }

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

    private static Program experts(GgmlType type, int experts, int used, boolean bias, boolean normalise) {
        return (kernels, random, arena) -> {
            int width = 2 * Math.max(32, type.blockValues());
            int hidden = Math.max(HIDDEN, type.blockValues());
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot in = builder.slot("in", hidden);
            Slot out = builder.slot("out", hidden);
            builder.add(new Op.Experts(
                    in,
                    linear(kernels, GgmlType.F32, experts, hidden, bias, random, arena),
                    linear(kernels, type, experts * width, hidden, bias, random, arena),
                    linear(kernels, type, experts * width, hidden, bias, random, arena),
                    linear(kernels, type, experts * hidden, width, bias, random, arena),
                    Op.Gating.SILU,
                    experts,
                    used,
                    normalise,
                    out));
            return builder.build(in, out, new CacheShape(0, 1, 1));
        };
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 29})
    void routesAsTheOracle(int tokens) {
        close(experts(GgmlType.F16, 7, 3, true, true), tokens, 1e-4, "experts of F16");
        close(experts(GgmlType.F32, 70, 5, false, false), tokens, 1e-4, "70 experts of F32");
        // Between two products activations are rounded to 8 bits: another last bit can be another level.
        close(experts(GgmlType.Q4_K, 5, 2, false, true), tokens, 1e-2, "experts of Q4_K");
    }

    @Test
    void expertsOfOneTokenAreThoseOfMany() {
        Program program = experts(GgmlType.Q8_0, 9, 3, true, true);
        float[] input = floats(23 * HIDDEN, new Random(SEED));
        float[] together = run(device, program, 23, input);
        for (int t = 0; t < 23; t++) {
            float[] alone = run(device, program, 1, Arrays.copyOfRange(input, t * HIDDEN, (t + 1) * HIDDEN));
            assertArrayEquals(alone, Arrays.copyOfRange(together, t * HIDDEN, (t + 1) * HIDDEN));
        }
    }

    @Test
    void aRouterThatGivesNoNumbersIsSaid() {
        Program program = experts(GgmlType.F32, 7, 3, false, true);
        float[] input = floats(2 * HIDDEN, new Random(SEED));
        input[HIDDEN + 5] = Float.NaN;
        IllegalStateException damaged = assertThrows(IllegalStateException.class, () -> run(device, program, 2, input));
        assertTrue(String.valueOf(damaged.getMessage()).contains("not a number"), damaged.getMessage());
    }

    @Test
    void picksRowsForTheHead() {
        Program program = (kernels, random, arena) -> {
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot in = builder.slot("in", 33);
            Slot picked = builder.slot("picked", 33);
            builder.add(new Op.Scale(in, 2)).addHead(new Op.SelectRows(in, picked));
            return builder.build(in, picked, new CacheShape(0, 1, 1));
        };
        float[] input = floats(5 * 33, new Random(SEED));
        float[] out = poisoned(5 * 33);
        try (Arena arena = Arena.ofShared();
                CompiledStage stage = device.compile(program.of(device, new Random(SEED), arena));
                SequenceMemory sequence = stage.openSequence(10)) {
            stage.run(new StageBatch(
                    List.of(new StageBatch.Slice(sequence, 0, 5)),
                    null,
                    MemorySegment.ofArray(input),
                    new int[] {1, 4},
                    MemorySegment.ofArray(out)));
            for (int c = 0; c < 33; c++) {
                assertEquals(2 * input[33 + c], out[c]);
                assertEquals(2 * input[4 * 33 + c], out[33 + c]);
                assertTrue(Float.isNaN(out[2 * 33 + c]), "beyond what was asked for");
            }
        }
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

    /** As a layer begins and ends: a norm and a gate that are rounded at once, products of one input, and one that is added. */
    private static Program layer(GgmlType type, boolean bias) {
        return (kernels, random, arena) -> {
            int width = Math.max(64, type.blockValues());
            StageProgram.Builder builder = new StageProgram.Builder();
            Slot x = builder.slot("x", width);
            Slot n = builder.slot("n", width);
            Slot gate = builder.slot("gate", 2 * width);
            Slot up = builder.slot("up", 2 * width);
            Slot third = builder.slot("third", 13);
            Slot delta = builder.slot("delta", width);
            for (int layer = 0; layer < 2; layer++) {
                builder.add(new Op.RmsNorm(x, floats(width, random), 1e-6f, n));
                for (Slot out : List.of(gate, up, third)) {
                    builder.add(new Op.MatMul(
                            matrix(kernels, type, out.width(), width, random, arena),
                            bias ? floats(out.width(), random) : null,
                            n,
                            out));
                }
                builder.add(new Op.Gate(gate, up, Op.Gating.SILU))
                        .add(new Op.MatMul(
                                matrix(kernels, type, width, 2 * width, random, arena),
                                bias ? floats(width, random) : null,
                                gate,
                                delta))
                        .add(new Op.Add(delta, x));
            }
            return builder.build(x, x, new CacheShape(0, 1, 1));
        };
    }

    /** Steps that do several operations at once, and the operations one by one, which many tokens have. */
    @ParameterizedTest
    @EnumSource(names = {"F32", "F16", "Q8_0", "Q4_K", "Q6_K"})
    void operationsDoneAtOnceAreThoseDoneAlone(GgmlType type) {
        for (boolean bias : new boolean[] {false, true}) {
            Program program = layer(type, bias);
            int width = Math.max(64, type.blockValues());
            // Between products activations are rounded to 8 bits: another last bit can be another level.
            close(program, 1, type.blockValues() == 1 ? 1e-4 : 2e-2, "a layer of " + type);
            close(program, 5, type.blockValues() == 1 ? 1e-4 : 2e-2, "a layer of " + type);
            float[] input = floats(5 * width, new Random(SEED));
            float[] together = run(device, program, 5, input);
            for (int t = 0; t < 5; t++) {
                float[] alone = run(device, program, 1, Arrays.copyOfRange(input, t * width, (t + 1) * width));
                assertArrayEquals(alone, Arrays.copyOfRange(together, t * width, (t + 1) * width), type + " " + bias);
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
        close(program, 21, type.blockValues() == 1 ? 1e-4 : 2e-2, "attention of " + type);
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
    void manyStagesLeaveNothing() {
        long before = ((DeviceKernels) device).allocatedBytes();
        Program program = attention(4, SCORES.getLast());
        float[] input = floats(3 * 24, new Random(SEED));
        float[] first = run(device, program, 3, input);
        for (int i = 0; i < stages(); i++) {
            assertArrayEquals(first, run(device, program, 3, input));
        }
        assertEquals(before, ((DeviceKernels) device).allocatedBytes());
    }

    // ------------------------------------------------------------------------------------------------------ plumbing

    private static PreparedWeights matrix(
            Kernels kernels, GgmlType type, int rows, int columns, Random random, Arena arena) {
        return kernels.prepare(type, rows, columns, RandomWeights.blocks(type, rows * columns, random, arena));
    }

    private static Op.Linear linear(
            Kernels kernels, GgmlType type, int rows, int columns, boolean bias, Random random, Arena arena) {
        return new Op.Linear(matrix(kernels, type, rows, columns, random, arena), bias ? floats(rows, random) : null);
    }

    private static float[] floats(int count, Random random) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static float[] poisoned(int count) {
        float[] values = new float[count];
        Arrays.fill(values, Float.NaN);
        return values;
    }

    private void close(Program program, int tokens, double tolerance, String what) {
        int width;
        try (Arena arena = Arena.ofShared()) {
            width = program.of(oracle, new Random(SEED), arena).input().width();
        }
        float[] input = floats(tokens * width, new Random(SEED + tokens));
        assertClose(
                run(oracle, program, tokens, input),
                run(device, program, tokens, input),
                tolerance,
                what + " (seed " + SEED + ")");
    }

    /** Differences are measured by the largest value. */
    private static void assertClose(float[] expected, float[] actual, double tolerance, String what) {
        assertEquals(expected.length, actual.length);
        double scale = 1e-30;
        for (float value : expected) {
            scale = Math.max(scale, Math.abs(value));
        }
        List<String> wrong = new ArrayList<>();
        for (int i = 0; i < expected.length; i++) {
            if (!(Math.abs(expected[i] - actual[i]) <= tolerance * scale)) {
                wrong.add(i + ": " + expected[i] + " is " + actual[i]);
            }
        }
        assertTrue(
                wrong.isEmpty(),
                () -> what + ": " + wrong.size() + " of " + expected.length + " are wrong, first "
                        + wrong.subList(0, Math.min(4, wrong.size())));
    }

    private static float[] run(Kernels kernels, Program program, int tokens, float[] input) {
        return run(kernels, program, tokens, input, null);
    }

    private static float[] run(
            Kernels kernels, Program program, int tokens, float @Nullable [] input, int @Nullable [] ids) {
        try (Arena arena = Arena.ofShared()) {
            StageProgram built = program.of(kernels, new Random(SEED), arena);
            float[] out = poisoned(tokens * built.output().width());
            try (CompiledStage stage = kernels.compile(built);
                    SequenceMemory sequence = stage.openSequence(tokens)) {
                stage.run(new StageBatch(
                        List.of(new StageBatch.Slice(sequence, 0, tokens)),
                        ids,
                        input == null ? null : MemorySegment.ofArray(input),
                        new int[0],
                        MemorySegment.ofArray(out)));
            }
            return out;
        }
    }
}
