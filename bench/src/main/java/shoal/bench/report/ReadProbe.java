package shoal.bench.report;

import java.util.ArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * How fast memory is read, by plain loops that the compiler turns into vector loads: the bound for whatever must see every byte
 * once. Each thread reads its own part of one large array, once as a single stream and once as four streams far apart, since
 * which of them keeps the memory busy depends on the machine; the faster counts. The best of several passes.
 */
public final class ReadProbe implements AutoCloseable {
    /** Far more than any cache. */
    public static final long USUAL_BYTES = 1L << 30;

    private static final int PASSES = 5;
    private static final int PART = 1 << 20;

    private final long[][] memory;
    private long sum;

    /** Takes so many bytes of heap, in parts of 8 MiB; at most a third of what there is. */
    public ReadProbe(long bytes) {
        long taken = Math.min(bytes, Runtime.getRuntime().maxMemory() / 3);
        int parts = Math.toIntExact(Math.max(4, taken / Long.BYTES / PART / 4 * 4));
        memory = new long[parts][PART];
        for (int i = 0; i < parts; i++) {
            java.util.Arrays.fill(memory[i], i); // also makes the pages real
        }
    }

    /** The best pass of several, all threads together. */
    public double bytesPerSecond(int threads) {
        double best = 0;
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            for (int pass = 0; pass < 2 * PASSES; pass++) {
                boolean far = pass % 2 == 1;
                long started = System.nanoTime();
                var sums = new ArrayList<Future<Long>>();
                for (int thread = 0; thread < threads; thread++) {
                    int from = memory.length / 4 * thread / threads * 4;
                    int to = memory.length / 4 * (thread + 1) / threads * 4;
                    sums.add(pool.submit(() -> far ? readFar(from, to) : read(from, to)));
                }
                for (Future<Long> each : sums) {
                    sum += each.get();
                }
                double seconds = (System.nanoTime() - started) / 1e9;
                best = Math.max(best, (double) memory.length * PART * Long.BYTES / seconds);
            }
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while measuring the memory", stopped);
        } catch (ExecutionException failure) {
            throw new IllegalStateException(failure.getCause());
        }
        return best;
    }

    /** What was read, so that no compiler may leave the reading out. */
    public long sum() {
        return sum;
    }

    private long read(int from, int to) {
        long all = 0;
        for (int part = from; part < to; part++) {
            all += sum(memory[part]);
        }
        return all;
    }

    private long readFar(int from, int to) {
        long all = 0;
        int quarter = (to - from) / 4;
        for (int part = from; part < from + quarter; part++) {
            all += sum(memory[part], memory[part + quarter], memory[part + 2 * quarter], memory[part + 3 * quarter]);
        }
        return all;
    }

    private static long sum(long[] values) {
        long all = 0;
        for (long value : values) {
            all += value;
        }
        return all;
    }

    private static long sum(long[] a, long[] b, long[] c, long[] d) {
        long all = 0;
        for (int i = 0; i < PART; i++) {
            all += a[i] + b[i] + c[i] + d[i];
        }
        return all;
    }

    @Override
    public void close() {
        java.util.Arrays.fill(memory, null);
    }
}
