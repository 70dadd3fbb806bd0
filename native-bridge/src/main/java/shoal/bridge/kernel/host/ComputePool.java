package shoal.bridge.kernel.host;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * A few platform threads that compute. Who runs a piece of work is left to chance, what it computes is not: each output belongs to
 * one piece. One caller at a time.
 */
public final class ComputePool implements AutoCloseable {
    /**
     * Looks for work before a thread sleeps: some two hundred microseconds. Within a token the next operation mostly comes sooner, and
     * to wake a thread costs up to fifty; there are ten operations in a layer.
     */
    private static final int SPINS = 6_000;

    private final List<Worker> workers = new ArrayList<>();
    private final int threads;
    private volatile @Nullable Job current;
    private volatile boolean closed;

    /** @param threads the caller's included */
    public ComputePool(int threads) {
        this.threads = threads;
        for (int i = 1; i < threads; i++) {
            Worker worker = new Worker();
            worker.setName("shoal-compute-" + i);
            worker.setDaemon(true);
            workers.add(worker);
            worker.start();
        }
    }

    public int threads() {
        return threads;
    }

    /** Calls body with 0..count-1, each once, and returns when all have returned. The first failure is thrown here. */
    public void run(int count, IntConsumer body) {
        if (count <= 1 || workers.isEmpty()) {
            for (int i = 0; i < count; i++) {
                body.accept(i);
            }
            return;
        }
        Job job = new Job(count, body, Thread.currentThread());
        current = job;
        for (Worker worker : workers) {
            if (worker.parked) {
                LockSupport.unpark(worker);
            }
        }
        job.work();
        job.await();
        current = null;
        Throwable failure = job.failure;
        if (failure instanceof RuntimeException unchecked) {
            throw unchecked;
        }
        if (failure instanceof Error error) {
            throw error;
        }
    }

    /** Splits 0..size-1 into up to pieces ranges, body gets from (inclusive) and to (exclusive). */
    public void ranges(int size, int pieces, RangeBody body) {
        int count = Math.max(1, Math.min(size, pieces));
        run(count, i -> body.accept((int) ((long) size * i / count), (int) ((long) size * (i + 1) / count)));
    }

    /** Work on a range. */
    public interface RangeBody {
        void accept(int from, int to);
    }

    @Override
    public void close() {
        closed = true;
        workers.forEach(LockSupport::unpark);
    }

    private static final class Job {
        private final int count;
        private final IntConsumer body;
        private final Thread caller;
        private final AtomicInteger next = new AtomicInteger();
        private final AtomicInteger done = new AtomicInteger();
        private volatile @Nullable Throwable failure;

        Job(int count, IntConsumer body, Thread caller) {
            this.count = count;
            this.body = body;
            this.caller = caller;
        }

        void work() {
            for (int i = next.getAndIncrement(); i < count; i = next.getAndIncrement()) {
                try {
                    body.accept(i);
                } catch (Throwable thrown) {
                    failure = thrown;
                }
                if (done.incrementAndGet() == count) {
                    LockSupport.unpark(caller);
                }
            }
        }

        void await() {
            for (int spin = 0; done.get() < count; spin++) {
                if (spin < SPINS) {
                    Thread.onSpinWait();
                } else {
                    LockSupport.park(this);
                }
            }
        }
    }

    private final class Worker extends Thread {
        private volatile boolean parked;

        @Override
        public void run() {
            Job seen = null;
            int spin = 0;
            while (!closed) {
                Job job = current;
                if (job != null && job != seen) {
                    job.work();
                    seen = job;
                    spin = 0;
                } else if (spin < SPINS) {
                    spin++;
                    Thread.onSpinWait();
                } else {
                    seen = null; // a finished job is not kept alive; meeting it again does no harm
                    parked = true;
                    Job late = current;
                    if (!closed && (late == null || late.next.get() >= late.count)) {
                        LockSupport.park(this);
                    }
                    parked = false;
                    spin = 0;
                }
            }
        }
    }
}
