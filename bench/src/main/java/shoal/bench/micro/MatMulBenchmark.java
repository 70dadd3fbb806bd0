package shoal.bench.micro;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.codec.gguf.GgmlType;

/**
 * A prompt through one matrix of quantised weights, the operation that prefill spends its time in. {@code rows * columns * tokens}
 * over the time are multiplications per second. A run whose first rows differ from the scalar kernels' in any bit fails.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(
        value = 1,
        jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class MatMulBenchmark {
    private static final ValueLayout.OfShort HALF = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final long SEED = 20_261;

    /** Types of quantised weights whose scales are F16. */
    static final Set<GgmlType> TYPES = Collections.unmodifiableSet(EnumSet.of(
            GgmlType.Q8_0,
            GgmlType.Q4_0,
            GgmlType.Q4_1,
            GgmlType.Q5_0,
            GgmlType.Q5_1,
            GgmlType.Q2_K,
            GgmlType.Q3_K,
            GgmlType.Q4_K,
            GgmlType.Q5_K,
            GgmlType.Q6_K,
            GgmlType.IQ4_NL,
            GgmlType.IQ4_XS));

    /** Rows that are checked; fewer than a panel, so that the rest of one is seen too. */
    private static final int CHECKED_ROWS = 3;

    /** A provider's name. */
    @Param("vector")
    public String kernels = "vector";

    /** One of {@link #TYPES}. */
    @Param({"Q8_0", "Q4_0", "Q4_K", "Q6_K"})
    public String type = "Q8_0";

    @Param("1")
    public int threads = 1;

    @Param("2048")
    public int rows = 2048;

    /** A multiple of the type's block. */
    @Param("2048")
    public int columns = 2048;

    @Param("512")
    public int tokens = 512;

    private Arena arena = Arena.ofAuto();
    private MemorySegment weights = MemorySegment.NULL;
    private float[] x = new float[0];
    private float[] y = new float[0];
    private AutoCloseable[] opened = {};
    private Runnable run = () -> {};

    /** Makes matrix and activations, hands the matrix over, and checks one answer. */
    @Setup
    public void open() {
        var random = new SplittableRandom(SEED);
        GgmlType ggml = GgmlType.valueOf(type);
        byte[] bytes = new byte[Math.toIntExact(ggml.sizeBytes((long) rows * columns))];
        random.nextBytes(bytes);
        MemorySegment blocks = MemorySegment.ofArray(bytes);
        for (long at = 0; at < bytes.length; at += ggml.blockBytes()) {
            for (int half : halves(ggml)) {
                blocks.set(HALF, at + half, Float.floatToFloat16((float) random.nextDouble(0.001, 0.01)));
            }
        }
        arena = Arena.ofShared();
        weights = arena.allocate(bytes.length, 64).copyFrom(blocks);
        x = new float[tokens * columns];
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) random.nextDouble(-1, 1);
        }
        y = new float[tokens * rows];
        opened = open(kernels, rows, y);
        multiply();
        check(y);
    }

    /** Where a block's scale and constant lie, which random bytes would make infinite. */
    private static int[] halves(GgmlType type) {
        return switch (type) {
            case Q8_0, Q4_0, Q5_0, IQ4_NL, IQ4_XS -> new int[] {0};
            case Q4_1, Q5_1, Q4_K, Q5_K -> new int[] {0, 2};
            case Q2_K -> new int[] {80, 82};
            case Q3_K -> new int[] {108};
            case Q6_K -> new int[] {208};
            default -> throw new IllegalArgumentException(type + " is not measured; allowed are " + TYPES);
        };
    }

    /** Makes {@link #run} multiply by the first rows. */
    private AutoCloseable[] open(String provider, int rowCount, float[] out) {
        var settings = new KernelSettings(provider, threads);
        Kernels device = KernelChoice.of(settings).provider().open(settings);
        GgmlType ggml = GgmlType.valueOf(type);
        var program = new StageProgram.Builder();
        Slot in = program.slot("in", columns);
        Slot result = program.slot("out", rowCount);
        MemorySegment part = weights.asSlice(0, ggml.sizeBytes((long) rowCount * columns));
        program.add(new Op.MatMul(device.prepare(ggml, rowCount, columns, part), null, in, result));
        CompiledStage stage = device.compile(program.build(in, result, new CacheShape(0, 1, 1)));
        SequenceMemory sequence = stage.openSequence(tokens);
        var batch = new StageBatch(
                List.of(new StageBatch.Slice(sequence, 0, tokens)),
                null,
                MemorySegment.ofArray(x),
                new int[0],
                MemorySegment.ofArray(out));
        run = () -> stage.run(batch);
        return new AutoCloseable[] {sequence, stage, device};
    }

    @TearDown
    public void close() throws Exception {
        for (AutoCloseable each : opened) {
            each.close();
        }
        arena.close();
    }

    /** Y = X W^T, (tokens, rows); the returned array is the same each time. */
    @Benchmark
    public float[] multiply() {
        run.run();
        return y;
    }

    /** @throws IllegalStateException with the first number that is not the scalar kernels' */
    void check(float[] found) {
        int checked = Math.min(CHECKED_ROWS, rows);
        float[] expected = new float[tokens * checked];
        Runnable measured = run;
        try {
            AutoCloseable[] oracle = open("scalar", checked, expected);
            run.run();
            for (AutoCloseable each : oracle) {
                each.close();
            }
        } catch (Exception failure) {
            throw new IllegalStateException("the scalar kernels did not run", failure);
        } finally {
            run = measured;
        }
        for (int t = 0; t < tokens; t++) {
            for (int row = 0; row < checked; row++) {
                float right = expected[t * checked + row];
                if (found[t * rows + row] != right) {
                    throw new IllegalStateException(kernels + ", " + type + ": token " + t + ", row " + row + " is "
                            + found[t * rows + row] + ", expected " + right + " (seed " + SEED + ")");
                }
            }
        }
    }
}
