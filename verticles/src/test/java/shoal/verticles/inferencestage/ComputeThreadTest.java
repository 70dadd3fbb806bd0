package shoal.verticles.inferencestage;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vertx.core.Context;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ComputeThreadTest {
    private final Vertx vertx = Vertx.vertx();
    private final ComputeThread compute = new ComputeThread(vertx);

    @AfterEach
    void close() {
        compute.close();
        await(vertx.close());
    }

    private static <T> T await(Future<T> future) {
        return future.toCompletionStage()
                .toCompletableFuture()
                .orTimeout(20, TimeUnit.SECONDS)
                .join();
    }

    @Test
    void doesAllInOrderOnOneThread() throws Exception {
        int count = 100_000;
        var done = new ArrayList<Integer>();
        var all = new CountDownLatch(1);
        for (int i = 0; i < count; i++) {
            int number = i;
            compute.execute(() -> {
                done.add(number);
                if (number == count - 1) {
                    all.countDown();
                }
            });
        }
        assertTrue(all.await(20, TimeUnit.SECONDS));
        assertEquals(IntStream.range(0, count).boxed().toList(), done);
    }

    /** Each task is handed over when the one before has just ended: the thread looks out, falls asleep, and is woken at any moment. */
    @Test
    void nothingThatIsHandedOverIsOverslept() throws Exception {
        for (int i = 0; i < 5000; i++) {
            var done = new CompletableFuture<Integer>();
            int number = i;
            compute.execute(() -> done.complete(number));
            assertEquals(number, done.get(20, TimeUnit.SECONDS));
            for (long until = System.nanoTime() + i % 100 * 1000L; System.nanoTime() - until < 0; ) {
                Thread.onSpinWait();
            }
        }
    }

    @Test
    void answersCompleteOnTheCallersContextAndFailuresStayThere() {
        var failure = new AtomicReference<Throwable>();
        Context caller = vertx.getOrCreateContext();
        var where = new CompletableFuture<Context>();
        caller.runOnContext(_ -> compute.run(() -> {
                    throw new StackOverflowError("too deep");
                })
                .onComplete(result -> {
                    failure.set(result.cause());
                    where.complete(Vertx.currentContext());
                }));
        assertSame(caller, where.orTimeout(20, TimeUnit.SECONDS).join());
        assertEquals("too deep", failure.get().getMessage());
        assertEquals(List.of(1), await(compute.run(() -> List.of(1))), "it goes on");
    }

    /** Waiting takes no processor time: far less than looking out all the while would. */
    @Test
    void sleepsWhileThereIsNothingToDo() throws Exception {
        var threads = ManagementFactory.getThreadMXBean();
        long id = await(compute.run(() -> Thread.currentThread().threadId()));
        long before = threads.getThreadCpuTime(id);
        long begun = System.nanoTime();
        for (int i = 0; i < 10; i++) {
            var later = new CompletableFuture<Void>();
            vertx.setTimer(20, _ -> later.complete(null));
            later.get(20, TimeUnit.SECONDS);
        }
        long waited = System.nanoTime() - begun;
        assertTrue(threads.getThreadCpuTime(id) - before < waited / 20, "it computes while it waits");
    }

    @Test
    void whatWasHandedOverIsDoneBeforeItEnds() throws Exception {
        var ended = new CountDownLatch(3);
        for (int i = 0; i < 3; i++) {
            compute.execute(ended::countDown);
        }
        compute.close();
        assertTrue(ended.await(20, TimeUnit.SECONDS));
    }
}
