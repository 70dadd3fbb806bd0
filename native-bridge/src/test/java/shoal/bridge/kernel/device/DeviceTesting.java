package shoal.bridge.kernel.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.RandomWeights;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.host.HostKernels;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/** What tests of a device's kernels share: the device, the oracle, and programs that both run. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
public abstract class DeviceTesting {
    static final long SEED = Long.getLong("shoal.seed", 20_261);

    Kernels device;
    Kernels oracle;

    /** What is tested. */
    protected Kernels openDevice() throws Exception {
        return Devices.open();
    }

    /** Stages that are opened and closed one after another, and steps that are made one by one. */
    protected int stages() {
        return 1_000;
    }

    /** How far results may be from the oracle's where activations meet F16 or BF16, of the largest. */
    protected double halves() {
        return 1e-4;
    }

    /** The same of a type, behind more than one product. */
    double near(GgmlType type) {
        return type.blockValues() > 1 ? 2e-2 : type == GgmlType.F32 ? 1e-4 : halves();
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

    /** Describes a stage to some kernels; the same arguments give the same program. */
    interface Program {
        StageProgram of(Kernels kernels, Random random, Arena arena);
    }

    static PreparedWeights matrix(Kernels kernels, GgmlType type, int rows, int columns, Random random, Arena arena) {
        return kernels.prepare(type, rows, columns, RandomWeights.blocks(type, rows * columns, random, arena));
    }

    static Op.Linear linear(
            Kernels kernels, GgmlType type, int rows, int columns, boolean bias, Random random, Arena arena) {
        return new Op.Linear(matrix(kernels, type, rows, columns, random, arena), bias ? floats(rows, random) : null);
    }

    static float[] floats(int count, Random random) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    /** Values that BF16 has, and F16, so that nobody has to round them. */
    static float[] coarse(int count, Random random) {
        float[] values = floats(count, random);
        for (int i = 0; i < count; i++) {
            values[i] = Float.intBitsToFloat(Float.floatToRawIntBits(values[i]) & 0xffff_0000);
        }
        return values;
    }

    static float[] poisoned(int count) {
        float[] values = new float[count];
        Arrays.fill(values, Float.NaN);
        return values;
    }

    void close(Program program, int tokens, double tolerance, String what) {
        int width;
        try (Arena arena = Arena.ofShared()) {
            width = program.of(oracle, new Random(SEED), arena).input().width();
        }
        float[] input = coarse(tokens * width, new Random(SEED + tokens));
        assertClose(
                run(oracle, program, tokens, input),
                run(device, program, tokens, input),
                tolerance,
                what + " (seed " + SEED + ")");
    }

    /** Differences are measured by the largest value. */
    static void assertClose(float[] expected, float[] actual, double tolerance, String what) {
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

    static float[] run(Kernels kernels, Program program, int tokens, float[] input) {
        return run(kernels, program, tokens, input, null);
    }

    static float[] run(Kernels kernels, Program program, int tokens, float @Nullable [] input, int @Nullable [] ids) {
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
