package shoal.bridge.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.bridge.kernel.ffm.InstructionSet;
import shoal.bridge.kernel.ffm.NativeOperations;
import shoal.bridge.kernel.ffm.NativeProvider;
import shoal.bridge.kernel.host.ComputePool;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostKernels;
import shoal.bridge.kernel.host.HostOperations;
import shoal.bridge.kernel.host.HostWeights;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.bridge.library.NativeLibrary;
import shoal.codec.gguf.GgmlType;

/** The kernels in C against the plain loops, to the bit: each type, with each instruction set that was built and runs here. */
class NativeAgreementTest {
    private static final long SEED = Long.getLong("shoal.seed", 20_262);
    private static final ScalarOperations SCALAR = new ScalarOperations();

    private static final ComputePool ALONE = new ComputePool(1);

    /** Each way to take them: rows one, two and four at once; from 5 on tiles of 6, 8, 10, 12, 14 at once, with and without a last one. */
    private static final int[] TOKENS = {1, 3, 4, 5, 7, 9, 11, 14, 33};

    static List<InstructionSet> levels() {
        return switch (NativeLibrary.get()) {
            case NativeLibrary.Loaded library -> NativeOperations.levels(library);
            case NativeLibrary.Absent absent -> List.of();
        };
    }

    static List<Arguments> levelsAndTypes() {
        List<Arguments> all = new ArrayList<>();
        for (InstructionSet level : levels()) {
            for (GgmlType type : new TreeSet<>(SCALAR.types())) {
                all.add(Arguments.of(level, type));
            }
        }
        return all;
    }

    private static HostOperations operations(InstructionSet level) {
        return new NativeOperations(library(), level, SCALAR);
    }

    private static HostOperations operations(InstructionSet level, long callProducts) {
        return new NativeOperations(library(), level, SCALAR, callProducts);
    }

    private static NativeLibrary.Loaded library() {
        return assertInstanceOf(NativeLibrary.Loaded.class, NativeLibrary.get());
    }

    @Test
    void isThereOrSaysWhyNot() {
        switch (new NativeProvider().readiness()) {
            case KernelProvider.Readiness.Ready() -> {
                try (Kernels kernels = new NativeProvider().open(new KernelSettings(null, 1))) {
                    assertEquals("native-" + levels().getLast().label(), kernels.name());
                }
            }
            case KernelProvider.Readiness.Missing(String reason, String remedy) -> {
                assertEquals(List.of(), levels(), reason);
                Assumptions.abort(reason + ". " + remedy);
            }
        }
    }

    @ParameterizedTest(allowZeroInvocations = true)
    @MethodSource("levelsAndTypes")
    void multipliesAsTheOracle(InstructionSet level, GgmlType type) {
        HostOperations operations = operations(level);
        Random random = new Random(SEED);
        int block = type.blockValues();
        int[] widths = block == 256
                ? new int[] {256, 512, 768, 1280}
                : block > 1 ? new int[] {32, 64, 480, 512, 544, 1056} : new int[] {1, 15, 16, 17, 33, 100, 259};
        for (int columns : widths) {
            for (int rows : new int[] {1, 4, 16, 17, 35}) {
                for (int tokens : TOKENS) {
                    try (Arena arena = Arena.ofConfined()) {
                        var weights = new HostWeights(
                                type,
                                rows,
                                columns,
                                KernelAgreementTest.randomBlocks(type, rows * columns, random, arena));
                        compare(operations, weights, activations(columns, tokens, random), tokens);
                    }
                }
            }
        }
    }

    /** Whole and partial tiles of queries and of columns, one page and many; sizes that C leaves to others; windows, caps, sinks. */
    @ParameterizedTest(allowZeroInvocations = true)
    @MethodSource("levels")
    void attendsAsTheOracle(InstructionSet level) {
        try (Kernels oracle = new HostKernels("scalar", SCALAR, 1);
                Kernels kernels = new HostKernels("native", operations(level), 2);
                Kernels inParts = new HostKernels("native", operations(level, 1), 1)) {
            for (int headSize : new int[] {8, 16, 48, 64, 96, 128}) {
                for (CacheType type : CacheType.values()) {
                    if (type == CacheType.Q8_0 && headSize % CacheType.BLOCK != 0) {
                        continue;
                    }
                    for (Op.Scores scores : KernelAgreementTest.SCORES) {
                        for (int tokens : new int[] {3, 75}) {
                            assertEquals(
                                    KernelAgreementTest.attention(oracle, headSize, type, scores, tokens),
                                    KernelAgreementTest.attention(kernels, headSize, type, scores, tokens),
                                    type + " heads of " + headSize + ", " + scores + ", " + tokens + " tokens");
                        }
                        assertEquals(
                                KernelAgreementTest.attention(kernels, headSize, type, scores, 20),
                                KernelAgreementTest.attention(inParts, headSize, type, scores, 20),
                                type + " heads of " + headSize + ", " + scores + ", in many calls");
                    }
                }
            }
        }
    }

    /** All magnitudes, what is no number, and every length around a vector's; what lies outside stays as it was. */
    @ParameterizedTest(allowZeroInvocations = true)
    @MethodSource("levels")
    void gatesAndAddsSquaresAsTheOracle(InstructionSet level) {
        HostOperations operations = operations(level);
        Random random = new Random(SEED);
        for (int size = 1; size < 70; size++) {
            float[] gates = new float[size + 8];
            float[] up = new float[size + 8];
            for (int i = 0; i < gates.length; i++) {
                gates[i] = switch (random.nextInt(12)) {
                    case 0 -> Float.NaN;
                    case 1 -> random.nextBoolean() ? Float.POSITIVE_INFINITY : Float.NEGATIVE_INFINITY;
                    case 2 -> random.nextBoolean() ? 0f : -0f;
                    default -> (float) random.nextGaussian() * (float) Math.exp(random.nextInt(-40, 8));
                };
                up[i] = (float) random.nextGaussian();
            }
            for (Op.Gating gating : Op.Gating.values()) {
                float[] expected = gates.clone();
                float[] found = gates.clone();
                SCALAR.gate(expected, up, gating, 3, 3 + size);
                operations.gate(found, up, gating, 3, 3 + size);
                assertArrayEquals(expected, found, gating + " of " + size + ", seed " + SEED);
            }
            assertEquals(
                    SCALAR.sumOfSquares(up, 3, size), operations.sumOfSquares(up, 3, size), size + ", seed " + SEED);
            assertEquals(SCALAR.sumOfSquares(gates, 3, size), operations.sumOfSquares(gates, 3, size));
        }
    }

    private static void compare(HostOperations operations, HostWeights weights, float[] values, int tokens) {
        int stride = weights.rows() + 3;
        int column = 2;
        float[] expected = new float[tokens * stride];
        Arrays.fill(expected, 12345f); // what isn't a result stays as it was
        float[] found = expected.clone();
        multiply(SCALAR, weights, 0, weights.rows(), values, tokens, expected, stride, column);
        multiply(operations, weights, 0, weights.rows(), values, tokens, found, stride, column);
        for (int i = 0; i < expected.length; i++) {
            int at = i;
            assertEquals(
                    expected[i],
                    found[i],
                    () -> weights.rows() + " rows of " + weights.columns() + ", token " + at / stride + " of " + tokens
                            + ", row " + (at % stride - column) + ", seed " + SEED);
        }
    }

    private static void multiply(
            HostOperations operations,
            HostWeights weights,
            int firstRow,
            int rows,
            float[] values,
            int tokens,
            float[] out,
            int stride,
            int column) {
        var x = HostBuffer.of(weights.columns(), values);
        operations.prepare(weights, x, tokens, ALONE, 1);
        operations.multiply(weights, firstRow, rows, x, tokens, out, stride, column);
    }

    /** Some blocks all zeros, some tiny, some huge. */
    private static float[] activations(int columns, int tokens, Random random) {
        float[] values = new float[columns * tokens];
        for (int i = 0; i < values.length; i++) {
            int kind = Math.floorMod(i / 32 * 2_654_435, 11);
            values[i] = (float) random.nextGaussian() * (kind == 0 ? 0 : kind == 1 ? 1e-31f : kind == 2 ? 1e20f : 1);
        }
        return values;
    }

    @ParameterizedTest(allowZeroInvocations = true)
    @MethodSource("levels")
    void treatsWhatIsNoNumberAsTheOracle(InstructionSet level) {
        HostOperations operations = operations(level);
        Random random = new Random(SEED);
        for (float odd : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.MAX_VALUE, -0f}) {
            for (int tokens : new int[] {1, 9}) {
                try (Arena arena = Arena.ofConfined()) {
                    var weights = new HostWeights(
                            GgmlType.Q8_0,
                            20,
                            96,
                            KernelAgreementTest.randomBlocks(GgmlType.Q8_0, 20 * 96, random, arena));
                    float[] values = activations(96, tokens, random);
                    values[40] = odd;
                    values[values.length - 1] = odd;
                    compare(operations, weights, values, tokens);
                }
            }
        }
    }

    /** A matrix that is cut into several calls and over threads, from a row on that isn't the first. */
    @ParameterizedTest(allowZeroInvocations = true)
    @MethodSource("levels")
    void splitsRowsWithoutAnyChange(InstructionSet level) {
        HostOperations operations = operations(level);
        Random random = new Random(SEED);
        int columns = 2048;
        int rows = 6000;
        try (Arena arena = Arena.ofShared();
                ComputePool pool = new ComputePool(3)) {
            var weights = new HostWeights(
                    GgmlType.Q8_0,
                    rows,
                    columns,
                    KernelAgreementTest.randomBlocks(GgmlType.Q8_0, rows * columns, random, arena));
            for (int tokens : new int[] {1, 15, 75}) {
                var x = HostBuffer.of(columns, activations(columns, tokens, random));
                float[] together = new float[tokens * rows];
                operations.prepare(weights, x, tokens, pool, 3);
                operations.multiply(weights, 1, rows - 1, x, tokens, together, rows, 1);
                float[] apart = new float[tokens * rows];
                pool.ranges(
                        rows - 1,
                        12,
                        (from, to) ->
                                operations.multiply(weights, 1 + from, to - from, x, tokens, apart, rows, 1 + from));
                assertEquals(Arrays.toString(together), Arrays.toString(apart));
                float[] expected = new float[tokens];
                multiply(SCALAR, weights, rows - 1, 1, x.values(), tokens, expected, 1, 0);
                for (int t = 0; t < tokens; t++) {
                    assertEquals(expected[t], together[t * rows + rows - 1]);
                }
            }
        }
    }
}
