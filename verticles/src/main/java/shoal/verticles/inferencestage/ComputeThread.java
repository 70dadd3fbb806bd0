package shoal.verticles.inferencestage;

import io.vertx.core.Context;
import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.LockSupport;

/**
 * The one thread that computes: does what it is handed, in order. When there is nothing to do it looks out for a moment before it
 * sleeps, since the next micro-batch often follows at once and waking a thread takes longer than handing work to one that is awake. A
 * thread of its own instead of Vert.x's workers: theirs pass each task through two queues.
 */
final class ComputeThread implements AutoCloseable {
    /** Its processor time is lost to nobody as long as each computing thread has a core of its own. */
    private static final long LOOKOUT_NANOS = 50_000;

    private static final int LOOKS_AT_CLOCK = 32;

    private final Vertx vertx;
    private final ConcurrentLinkedQueue<Runnable> waiting = new ConcurrentLinkedQueue<>();
    private final Thread thread;
    private volatile boolean asleep;
    private volatile boolean closed;

    ComputeThread(Vertx vertx) {
        this.vertx = vertx;
        thread = Thread.ofPlatform().daemon().name("compute").start(this::work);
    }

    /** Does it when all that was handed over before is done; a task may not throw. For any thread. */
    void execute(Runnable task) {
        waiting.add(task);
        if (asleep) {
            LockSupport.unpark(thread);
        }
    }

    /** The same; the future completes on the caller's context. */
    <T> Future<T> run(Callable<T> task) {
        Context caller = vertx.getOrCreateContext();
        Promise<T> done = Promise.promise();
        execute(() -> {
            try {
                T result = task.call();
                caller.runOnContext(_ -> done.complete(result));
            } catch (Throwable failure) {
                caller.runOnContext(_ -> done.fail(failure));
            }
        });
        return done.future();
    }

    private void work() {
        while (true) {
            Runnable task = waiting.poll();
            if (task != null) {
                task.run();
            } else if (closed) {
                return;
            } else if (!lookOut()) {
                sleep();
            }
        }
    }

    /** @return whether there is something to do */
    private boolean lookOut() {
        long until = System.nanoTime() + LOOKOUT_NANOS;
        do {
            for (int i = 0; i < LOOKS_AT_CLOCK; i++) {
                if (!waiting.isEmpty()) {
                    return true;
                }
                Thread.onSpinWait();
            }
        } while (System.nanoTime() - until < 0);
        return false;
    }

    private void sleep() {
        asleep = true;
        try {
            while (waiting.isEmpty() && !closed) {
                LockSupport.park(this);
            }
        } finally {
            asleep = false;
        }
    }

    /** It ends when all that was handed over is done. */
    @Override
    public void close() {
        closed = true;
        LockSupport.unpark(thread);
    }
}
