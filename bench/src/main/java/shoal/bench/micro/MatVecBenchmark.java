package shoal.bench.micro;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.List;
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
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.codec.gguf.GgmlType;

/**
 * One token through one matrix of Q8_0 weights, the operation that decoding spends its time in. The scalar kernels are the rival.
 * Read {@code rows * columns * 34 / 32} bytes over the time against the memory's bandwidth. A run whose answer is wrong fails.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
        value = 1,
        jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class MatVecBenchmark {
    private static final ValueLayout.OfShort HALF = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final long SEED = 20_261;
    private static final int BLOCK = 32;
    private static final int BLOCK_BYTES = 34;

    /** A provider's name. */
    @Param({"vector", "scalar"})
    public String kernels = "vector";

    @Param("1")
    public int threads = 1;

    @Param("4096")
    public int rows = 4096;

    /** A multiple of 32. */
    @Param("4096")
    public int columns = 4096;

    private Arena arena = Arena.ofAuto();
    private MemorySegment weights = MemorySegment.NULL;
    private float[] x = new float[0];
    private float[] y = new float[0];
    private AutoCloseable[] opened = {};
    private Runnable run = () -> {};

    /** Makes matrix and vector, hands the matrix over, and checks one answer. */
    @Setup
    public void open() {
        var random = new SplittableRandom(SEED);
        arena = Arena.ofShared();
        weights = arena.allocate((long) rows * columns / BLOCK * BLOCK_BYTES, 64);
        byte[] quants = new byte[BLOCK];
        for (long at = 0; at < weights.byteSize(); at += BLOCK_BYTES) {
            random.nextBytes(quants);
            weights.set(HALF, at, Float.floatToFloat16((float) random.nextDouble(0.001, 0.01)));
            MemorySegment.copy(quants, 0, weights, ValueLayout.JAVA_BYTE, at + 2, BLOCK);
        }
        x = new float[columns];
        for (int c = 0; c < columns; c++) {
            x[c] = (float) random.nextDouble(-1, 1);
        }
        y = new float[rows];

        var settings = new KernelSettings(kernels, threads);
        Kernels device = KernelChoice.of(settings).provider().open(settings);
        PreparedWeights prepared = device.prepare(GgmlType.Q8_0, rows, columns, weights);
        var program = new StageProgram.Builder();
        Slot in = program.slot("in", columns);
        Slot out = program.slot("out", rows);
        program.add(new Op.MatMul(prepared, null, in, out));
        CompiledStage stage = device.compile(program.build(in, out, new CacheShape(0, 1, 1)));
        SequenceMemory sequence = stage.openSequence(1);
        opened = new AutoCloseable[] {sequence, stage, device, arena};
        var batch = new StageBatch(
                List.of(new StageBatch.Slice(sequence, 0, 1)),
                null,
                MemorySegment.ofArray(x),
                new int[0],
                MemorySegment.ofArray(y));
        run = () -> stage.run(batch);
        multiply();
        check(y);
    }

    @TearDown
    public void close() throws Exception {
        for (AutoCloseable each : opened) {
            each.close();
        }
    }

    /** y = W x; the returned array is the same each time. */
    @Benchmark
    public float[] multiply() {
        run.run();
        return y;
    }

    /**
     * Compares with a sum in doubles over unquantised x. The kernels round x to 8 bits, so each term errs by at most half a step
     * of its block.
     *
     * @throws IllegalStateException with the first row that is off by more than that
     */
    void check(float[] found) {
        for (int row = 0; row < rows; row++) {
            double sum = 0;
            double bound = 1e-3;
            for (int block = 0; block < columns / BLOCK; block++) {
                long at = ((long) row * columns / BLOCK + block) * BLOCK_BYTES;
                double scale = Float.float16ToFloat(weights.get(HALF, at));
                float largest = 0;
                for (int i = 0; i < BLOCK; i++) {
                    largest = Math.max(largest, Math.abs(x[block * BLOCK + i]));
                }
                for (int i = 0; i < BLOCK; i++) {
                    double w = scale * weights.get(ValueLayout.JAVA_BYTE, at + 2 + i);
                    sum += w * x[block * BLOCK + i];
                    bound += Math.abs(w) * largest / 127 / 2;
                }
            }
            if (!(Math.abs(found[row] - sum) <= bound)) {
                throw new IllegalStateException(kernels + ": row " + row + " is " + found[row] + ", expected " + sum
                        + " within " + bound + " (seed " + SEED + ")");
            }
        }
    }
}
