package shoal.bridge.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.kernel.host.HostKernels;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.bridge.kernel.vector.VectorOperations;
import shoal.codec.gguf.GgmlType;

/** The vector kernels give the oracle's results to the last bit, at odd sizes, for any vector width and any number of threads. */
class KernelAgreementTest {
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final Set<GgmlType> TYPES = new ScalarOperations().types();
    private static final long SEED = Long.getLong("shoal.seed", 20_261);

    static Set<GgmlType> types() {
        return TYPES;
    }

    @ParameterizedTest
    @MethodSource("types")
    void multipliesAsTheOracle(GgmlType type) {
        List<Float> expected = products("scalar", 1, type);
        assertEquals(expected, products("vector", 1, type), "seed " + SEED);
        assertEquals(expected, products("vector", 3, type), "seed " + SEED);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4, 8, 15, 16, 17, 24, 32, 48, 64, 80, 128})
    void attendsAsTheOracle(int headSize) {
        for (CacheType type : CacheType.values()) {
            if (type == CacheType.Q8_0 && headSize % CacheType.BLOCK != 0) {
                continue;
            }
            for (Op.Scores scores : SCORES) {
                assertEquals(
                        attention("scalar", 1, headSize, type, scores),
                        attention("vector", 2, headSize, type, scores),
                        type + ", seed " + SEED);
            }
        }
    }

    /** Other vector widths need another JVM: this one's width is fixed. */
    @ParameterizedTest
    @ValueSource(ints = {16, 32, 64})
    void agreesAtVectorWidth(int bytes) throws Exception {
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--add-modules=jdk.incubator.vector",
                        "-XX:MaxVectorSize=" + bytes,
                        "-cp",
                        System.getProperty("java.class.path"),
                        KernelAgreementTest.class.getName())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        int bits = Integer.parseInt(output.lines()
                .filter(line -> line.startsWith("vectors of"))
                .findFirst()
                .orElseThrow()
                .split(" ")[2]);
        assertEquals(Math.min(8 * bytes, VectorOperations.vectorBits()), bits);
        List<String> lines =
                output.lines().filter(line -> line.startsWith("> ")).toList();
        assertEquals(0, process.waitFor());
        List<String> expected = new ArrayList<>();
        Oracle.REPORT.lines().filter(line -> line.startsWith("> ")).forEach(expected::add);
        assertEquals(expected, lines);
    }

    public static void main(String[] arguments) {
        System.out.println("vectors of " + VectorOperations.vectorBits() + " bits");
        System.out.print(report("vector"));
    }

    /** The same for all widths, so made once. */
    private static final class Oracle {
        static final String REPORT = report("scalar");
    }

    private static String report(String provider) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
        for (GgmlType type : TYPES) {
            out.println("> " + type + " "
                    + products(provider, 1, type, new int[] {1, 17}, new int[] {1, 7})
                            .hashCode());
        }
        for (int headSize : new int[] {4, 15, 32, 80}) {
            out.println("> norms " + norms(provider, headSize).hashCode());
            for (Op.Scores scores : SCORES) {
                for (CacheType type : CacheType.values()) {
                    if (type != CacheType.Q8_0 || headSize % CacheType.BLOCK == 0) {
                        out.println("> attention " + headSize + " " + type + " "
                                + attention(provider, 1, headSize, type, scores).hashCode());
                    }
                }
            }
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    @Test
    void addsInTheOrderThatIsWritten() {
        float[] lanes = new float[16];
        for (int i = 0; i < 16; i++) {
            lanes[i] = (float) Math.pow(1.7, i) * (i % 3 - 1.1f);
        }
        float[] tree = lanes.clone();
        for (int half = 8; half >= 1; half /= 2) {
            for (int i = 0; i < half; i++) {
                tree[i] += tree[i + half];
            }
        }
        assertEquals(tree[0], SumOrder.tree(lanes, 0));
    }

    @Test
    void exponentialIsCloseToMath() {
        for (double x = -87; x < 88.5; x += 0.0137) {
            double exact = Math.exp((float) x);
            assertEquals(1, Exponential.exp((float) x) / exact, 3e-7, "x = " + x);
        }
        assertEquals(1f, Exponential.exp(0));
        assertEquals(0f, Exponential.exp(-200));
        assertEquals(Float.POSITIVE_INFINITY, Exponential.exp(89));
        assertEquals(Float.NaN, Exponential.exp(Float.NaN));
    }

    @Test
    void functionsOfExpAreExactEnough() {
        for (double x = -30; x <= 30; x += 0.0037) {
            double tanh = StrictMath.tanh((float) x);
            assertEquals(tanh, Exponential.tanh((float) x), 3e-7 * Math.abs(tanh), "x = " + x);
            double v = (float) x;
            double gelu = 0.5 * v * (1 + StrictMath.tanh(Math.sqrt(2 / Math.PI) * v * (1 + 0.044715 * v * v)));
            assertEquals(gelu, Exponential.gelu((float) x), 1e-6 * Math.max(1, Math.abs(v)), "x = " + x);
        }
        assertEquals(0f, Exponential.tanh(0));
        assertEquals(-1f, Exponential.tanh(-200));
        assertEquals(Float.NaN, Exponential.tanh(Float.NaN));
        assertEquals(0f, Exponential.gelu(-200), 0f);
        assertEquals(200f, Exponential.gelu(200));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 5, 15, 16, 17, 64, 100, 515})
    void normsAsTheOracle(int width) {
        assertEquals(norms("scalar", width), norms("vector", width), "seed " + SEED);
    }

    @ParameterizedTest
    @EnumSource(Op.Gating.class)
    void gatesAsTheOracle(Op.Gating gating) {
        int width = 1003;
        float[] values = new float[2 * width];
        Random random = new Random(SEED);
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (random.nextGaussian() * Math.pow(10, random.nextInt(-3, 3)));
        }
        float[] special = {0, -0f, 87.33f, -87.33f, 88.73f, -88.73f, 200, -200, Float.NaN, Float.POSITIVE_INFINITY};
        System.arraycopy(special, 0, values, 5, special.length);
        float[] expected = values.clone();
        float[] up = Arrays.copyOfRange(values, width, 2 * width);
        new ScalarOperations().gate(expected, up, gating, 3, width);
        new VectorOperations().gate(values, up, gating, 3, width);
        assertArrayEquals(expected, values, "seed " + SEED);
    }

    @Test
    void refusesHeadsThatAreNoBlocks() {
        IllegalArgumentException refused =
                assertThrows(IllegalArgumentException.class, () -> new CacheShape(1, 2, 80, CacheType.Q8_0));
        assertEquals(
                "a KV cache of type q8_0 needs heads of whole blocks of 32 values, this model's have 80; choose f16 or f32",
                refused.getMessage());
    }

    /** LayerNorm, then RMS over runs of the row and over the row. */
    private static List<Float> norms(String provider, int width) {
        Random random = new Random(SEED);
        int tokens = 3;
        StageProgram.Builder program = new StageProgram.Builder();
        Slot in = program.slot("in", width);
        Slot out = program.slot("out", width);
        program.add(new Op.LayerNorm(in, randomFloats(width, random), randomFloats(width, random), 1e-5f, out))
                .add(new Op.RmsNormRuns(out, randomFloats(width % 5 == 0 ? width / 5 : width, random), 1e-6f))
                .add(new Op.RmsNorm(out, randomFloats(width, random), 1e-6f, in));
        float[] result = new float[tokens * width];
        try (Kernels kernels = kernels(provider, 1);
                CompiledStage stage = kernels.compile(program.build(in, in, new CacheShape(0, 1, 1)));
                SequenceMemory sequence = stage.openSequence(tokens)) {
            stage.run(new StageBatch(
                    List.of(new StageBatch.Slice(sequence, 0, tokens)),
                    null,
                    MemorySegment.ofArray(randomFloats(tokens * width, random)),
                    new int[0],
                    MemorySegment.ofArray(result)));
        }
        List<Float> all = new ArrayList<>();
        for (float y : result) {
            all.add(y);
        }
        return all;
    }

    @Test
    void splitsTokensWithoutAnyChange() {
        // 7 tokens at once equal each alone: the row kernels for one token and for four agree
        for (GgmlType type : TYPES) {
            try (Kernels kernels = kernels("vector", 2);
                    Arena arena = Arena.ofShared()) {
                Random random = new Random(SEED);
                int columns = Math.max(96, 3 * type.blockValues());
                PreparedWeights weights =
                        kernels.prepare(type, 37, columns, randomBlocks(type, 37 * columns, random, arena));
                float[] x = randomFloats(7 * columns, random);
                float[] together = multiply(kernels, weights, x, 7);
                for (int t = 0; t < 7; t++) {
                    float[] alone = multiply(
                            kernels, weights, java.util.Arrays.copyOfRange(x, t * columns, (t + 1) * columns), 1);
                    assertArrayEquals(alone, java.util.Arrays.copyOfRange(together, t * 37, t * 37 + 37));
                }
            }
        }
    }

    private static Kernels kernels(String provider, int threads) {
        return provider.equals("scalar")
                ? new HostKernels("scalar", new ScalarOperations(), threads)
                : new HostKernels("vector", new VectorOperations(), threads);
    }

    private static List<Float> products(String provider, int threads, GgmlType type) {
        List<Float> all = products(provider, threads, type, new int[] {1, 3, 33, 67}, new int[] {1, 3, 4, 6, 7});
        try (Kernels kernels = kernels(provider, threads);
                Arena arena = Arena.ofShared()) {
            // large enough to be split over threads
            addProduct(all, kernels, type, 1001, 768, 2, new Random(SEED), arena);
            // wider than what is unpacked at once for many tokens
            addProduct(all, kernels, type, 35, 2048 + 768, 13, new Random(SEED), arena);
        }
        return all;
    }

    private static List<Float> products(
            String provider, int threads, GgmlType type, int[] rowCounts, int[] tokenCounts) {
        Random random = new Random(SEED);
        List<Float> all = new ArrayList<>();
        int block = type.blockValues();
        try (Kernels kernels = kernels(provider, threads);
                Arena arena = Arena.ofShared()) {
            for (int columns : block > 1
                    ? new int[] {block, 2 * block, 3 * block, block < 256 ? 35 * block : 5 * block}
                    : new int[] {1, 3, 4, 15, 16, 17, 31, 33, 64, 100, 515}) {
                for (int rows : rowCounts) {
                    for (int tokens : tokenCounts) {
                        addProduct(all, kernels, type, rows, columns, tokens, random, arena);
                    }
                }
            }
        }
        return all;
    }

    private static void addProduct(
            List<Float> all,
            Kernels kernels,
            GgmlType type,
            int rows,
            int columns,
            int tokens,
            Random random,
            Arena arena) {
        PreparedWeights weights =
                kernels.prepare(type, rows, columns, randomBlocks(type, rows * columns, random, arena));
        for (float y : multiply(kernels, weights, randomFloats(tokens * columns, random), tokens)) {
            all.add(y);
        }
    }

    private static float[] multiply(Kernels kernels, PreparedWeights weights, float[] x, int tokens) {
        StageProgram.Builder program = new StageProgram.Builder();
        Slot in = program.slot("in", weights.columns());
        Slot out = program.slot("out", weights.rows());
        program.add(new Op.MatMul(weights, null, in, out));
        float[] result = new float[tokens * weights.rows()];
        try (CompiledStage stage = kernels.compile(program.build(in, out, new CacheShape(0, 1, 1)));
                SequenceMemory sequence = stage.openSequence(tokens)) {
            stage.run(new StageBatch(
                    List.of(new StageBatch.Slice(sequence, 0, tokens)),
                    null,
                    MemorySegment.ofArray(x),
                    new int[0],
                    MemorySegment.ofArray(result)));
        }
        return result;
    }

    static final List<Op.Scores> SCORES = List.of(
            Op.Scores.scaled(0.37f),
            new Op.Scores(0.37f, 1, 0, null),
            new Op.Scores(0.37f, 19, 2.5f, null),
            new Op.Scores(0.37f, 0, 0, new float[] {-1, 0, 2, 3, 9, 0.5f}));

    private static List<Float> attention(
            String provider, int threads, int headSize, CacheType cacheType, Op.Scores scores) {
        try (Kernels kernels = kernels(provider, threads)) {
            return attention(kernels, headSize, cacheType, scores, 45);
        }
    }

    /** So many tokens, and then one more, through six heads over three KV heads. */
    static List<Float> attention(Kernels kernels, int headSize, CacheType cacheType, Op.Scores scores, int tokens) {
        int heads = 6;
        int kvHeads = 3;
        Random random = new Random(SEED + headSize);
        StageProgram.Builder program = new StageProgram.Builder();
        Slot queries = program.slot("queries", heads * headSize);
        Slot keys = program.slot("keys", kvHeads * headSize);
        Slot values = program.slot("values", kvHeads * headSize);
        Slot out = program.slot("out", heads * headSize);
        List<Float> all = new ArrayList<>();
        try (Arena arena = Arena.ofShared()) {
            GgmlType type = GgmlType.F32;
            int width = heads * headSize;
            for (Slot slot : List.of(keys, values)) {
                PreparedWeights weights = kernels.prepare(
                        type, slot.width(), width, randomBlocks(type, slot.width() * width, random, arena));
                program.add(new Op.MatMul(weights, null, queries, slot));
            }
            program.add(new Op.Store(1, keys, values)).add(new Op.Attention(1, queries, heads, scores, out));
            float[] x = randomFloats((tokens + 1) * width, random);
            float[] result = new float[x.length];
            try (CompiledStage stage = kernels.compile(
                            program.build(queries, out, new CacheShape(2, kvHeads, headSize, cacheType)));
                    SequenceMemory sequence = stage.openSequence(tokens + 1)) {
                run(stage, sequence, 0, tokens, MemorySegment.ofArray(x), MemorySegment.ofArray(result));
                long last = (long) tokens * width * Float.BYTES;
                run(
                        stage,
                        sequence,
                        tokens,
                        1,
                        MemorySegment.ofArray(x).asSlice(last),
                        MemorySegment.ofArray(result).asSlice(last));
            }
            for (float y : result) {
                all.add(y);
            }
        }
        return all;
    }

    private static void run(
            CompiledStage stage,
            SequenceMemory sequence,
            int position,
            int tokens,
            MemorySegment input,
            MemorySegment output) {
        stage.run(new StageBatch(
                List.of(new StageBatch.Slice(sequence, position, tokens)), null, input, new int[0], output));
    }

    private static float[] randomFloats(int count, Random random) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    /** Random bytes, but for scales that are finite and of moderate size, as in real models. */
    static MemorySegment randomBlocks(GgmlType type, int values, Random random, Arena arena) {
        byte[] bytes = new byte[(int) type.sizeBytes(values)];
        random.nextBytes(bytes);
        MemorySegment segment = arena.allocate(bytes.length).copyFrom(MemorySegment.ofArray(bytes));
        for (long at = 0; at < bytes.length; at += type.blockBytes()) {
            float scale = (float) random.nextGaussian() * 0.1f;
            short half = Float.floatToFloat16(scale);
            switch (type) {
                case F32 -> segment.set(ValueLayout.JAVA_FLOAT_UNALIGNED, at, scale);
                case F16, Q8_0, Q4_0 -> segment.set(SHORT, at, half);
                case BF16 -> segment.set(SHORT, at, (short) (Float.floatToRawIntBits(scale) >>> 16));
                case Q4_1, Q5_1, Q4_K, Q5_K -> {
                    segment.set(SHORT, at, half);
                    segment.set(SHORT, at + 2, Float.floatToFloat16((float) random.nextGaussian() * 0.1f));
                }
                case Q5_0, IQ4_NL, IQ4_XS -> segment.set(SHORT, at, half);
                case Q2_K -> {
                    segment.set(SHORT, at + 80, half);
                    segment.set(SHORT, at + 82, Float.floatToFloat16((float) random.nextGaussian() * 0.1f));
                }
                case Q3_K -> segment.set(SHORT, at + 108, half);
                case Q6_K -> segment.set(SHORT, at + 208, half);
                case MXFP4 -> segment.set(ValueLayout.JAVA_BYTE, at, (byte) (120 + random.nextInt(8)));
                default -> throw new AssertionError(type);
            }
        }
        return segment;
    }
}
