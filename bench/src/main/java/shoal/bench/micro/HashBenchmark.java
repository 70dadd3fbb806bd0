package shoal.bench.micro;

import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import shoal.bridge.hash.Blake3;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.metainfo.BlockHasher;

/** 1 MiB in blocks of 16 KiB, in the cache, on one thread. The JDK is the rival; a run whose answer is wrong fails. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
        value = 1,
        jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class HashBenchmark {
    static final int BYTES = 1 << 20;

    /** A provider's name; {@code blake3} is not of blocks but of the whole. */
    @Param({"jdk"})
    public String provider = "jdk";

    private final ByteBuffer data = ByteBuffer.allocateDirect(BYTES);
    private final byte[] hashes = new byte[BYTES / 16_384 * 32];
    private BlockHasher hasher = BlockHasher.plain();
    private static volatile double bestBytesPerSecond;
    private long startNanos;
    private long calls;

    /** Of the best iteration since the last call, per second of the thread's processor time; others may want the cores too. */
    static double takeBestBytesPerSecond() {
        double best = bestBytesPerSecond;
        bestBytesPerSecond = 0;
        return best;
    }

    @Setup(Level.Iteration)
    public void begin() {
        calls = 0;
        startNanos = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
    }

    @TearDown(Level.Iteration)
    public void end() {
        long nanos = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - startNanos;
        bestBytesPerSecond = Math.max(bestBytesPerSecond, 1e9 * BYTES * calls / Math.max(1, nanos));
    }

    /** Fills the data, and checks one answer. */
    @Setup
    public void open() {
        for (int i = 0; i < BYTES; i++) {
            data.put(i, (byte) (i * 31 % 251));
        }
        if (provider.equals("blake3")) {
            return;
        }
        hasher = BlockHashers.all().stream()
                .filter(each -> each.name().equals(provider))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no hasher here is named " + provider));
        var expected = new byte[hashes.length];
        BlockHasher.plain().hash(data.duplicate(), expected, 0);
        if (!Arrays.equals(expected, hash())) {
            throw new IllegalStateException(provider + " gives other hashes than the JDK");
        }
    }

    /** All blocks in one call, or BLAKE3 of the whole; the returned array may be the same each time. */
    @Benchmark
    public byte[] hash() {
        calls++;
        if (provider.equals("blake3")) {
            return Blake3.hash(data.duplicate());
        }
        hasher.hash(data.duplicate(), hashes, 0);
        return hashes;
    }
}
