package shoal.verticles.inferencestage;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Has the open stages measured for some milliseconds now and then, while nothing else computes: every two seconds at first, then less
 * often, and never more than a hundredth of the time. In between, weights that were fetched settle in large pages. One event loop.
 */
final class IdleSlices {
    private static final Logger LOG = LoggerFactory.getLogger(IdleSlices.class);
    private static final long LOOK_MILLIS = 250;

    /** So long after work ended there may be more of it. */
    private static final long QUIET_NANOS = 400_000_000;

    private static final long FIRST_PAUSE_NANOS = 2_000_000_000L;
    private static final long LAST_PAUSE_NANOS = 10_000_000_000L;
    private static final int PAUSE_TO_SLICE = 100;

    /** So many slices are taken at the first pace. */
    private static final int FIRST_SLICES = 8;

    private final Vertx vertx;
    private final ComputeThread compute;
    private final StageHost host;
    private int working;
    private int taken;
    private long workedNanos;
    private long nextNanos;

    IdleSlices(Vertx vertx, ComputeThread compute, StageHost host) {
        this.vertx = vertx;
        this.compute = compute;
        this.host = host;
        workedNanos = System.nanoTime();
        nextNanos = workedNanos;
    }

    void start() {
        vertx.setPeriodic(LOOK_MILLIS, _ -> look());
    }

    /** Other stages are open than before: what they give is looked at soon. */
    void opened() {
        taken = 0;
        nextNanos = System.nanoTime();
    }

    /** Somebody waits for the computing thread. */
    void workBegins() {
        working++;
    }

    void workEnds() {
        working--;
        workedNanos = System.nanoTime();
    }

    private void look() {
        long now = System.nanoTime();
        if (working > 0 || now - workedNanos < QUIET_NANOS || !host.hasStages()) {
            return;
        }
        if (now - nextNanos >= 0) {
            idle(host::measure).onComplete(_ -> {
                long took = System.nanoTime() - now;
                long pause = ++taken < FIRST_SLICES ? FIRST_PAUSE_NANOS : LAST_PAUSE_NANOS;
                nextNanos = System.nanoTime() + Math.max(pause, PAUSE_TO_SLICE * took);
            });
        } else if (host.isUnsettled(now)) {
            idle(host::settle);
        }
    }

    /** Does a little on the computing thread; that is no work that more of is likely to follow. */
    private Future<?> idle(Runnable task) {
        workBegins();
        return compute.run(() -> {
                    task.run();
                    return null;
                })
                .onFailure(failure -> LOG.debug("what is done when nothing else is failed: {}", failure.toString()))
                .onComplete(_ -> working--);
    }
}
