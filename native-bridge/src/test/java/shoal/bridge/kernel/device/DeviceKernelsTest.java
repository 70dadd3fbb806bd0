package shoal.bridge.kernel.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/** Every operation on a device is close to the oracle's, and the same to the last bit whatever stands beside it. */
public class DeviceKernelsTest extends DeviceTesting {
    private static final int HIDDEN = 96;

    public static Set<GgmlType> types() {
        return new ScalarOperations().types();
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
        for (int columns : block > 1 ? new int[] {block, 3 * block, 17 * block} : new int[] {1, 15, 33, 96, 515, 544}) {
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
                for (int tokens : new int[] {1, 3, 8, 11, 19}) {
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
        float[] input = floats(19 * columns, new Random(SEED));
        float[] together = run(device, program, 19, input);
        assertArrayEquals(together, run(device, program, 19, input), "twice the same");
        for (int t = 0; t < 19; t++) {
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
        close(experts(GgmlType.F16, 7, 3, true, true), tokens, halves(), "experts of F16");
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
            close(program, 1, near(type), "a layer of " + type);
            close(program, 5, near(type), "a layer of " + type);
            float[] input = floats(5 * width, new Random(SEED));
            float[] together = run(device, program, 5, input);
            for (int t = 0; t < 5; t++) {
                float[] alone = run(device, program, 1, Arrays.copyOfRange(input, t * width, (t + 1) * width));
                assertArrayEquals(alone, Arrays.copyOfRange(together, t * width, (t + 1) * width), type + " " + bias);
            }
        }
    }
}
