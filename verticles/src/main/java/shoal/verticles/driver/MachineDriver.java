package shoal.verticles.driver;

import io.vertx.core.Context;
import io.vertx.core.Vertx;
import java.util.ArrayDeque;
import java.util.function.Consumer;
import shoal.codec.base.Machine;

/**
 * Feeds a machine what really happens and has its effects carried out, on the context that is current when it is made. What
 * comes in while effects are carried out waits its turn, so the machine is never entered twice; one timer wakes it at its
 * deadline.
 *
 * @param <I> what can happen
 * @param <O> what the machine can want
 */
public final class MachineDriver<I, O> {
    private static final long START_NANOS = System.nanoTime();
    private static final long NANOS_PER_MILLI = 1_000_000;
    private static final long MAX_TIMER_MILLIS = 3_600_000;

    private final Vertx vertx;
    private final Context context;
    private final Machine<I, O> machine;
    private final I tick;
    private final Consumer<O> effects;
    private final ArrayDeque<I> waiting = new ArrayDeque<>();
    private boolean running;
    private boolean stopped;
    private long timer = -1;
    private long timerAtNanos;

    /**
     * @param tick what the machine takes when its deadline has come
     * @param effects carries out one effect; may feed
     */
    public MachineDriver(Vertx vertx, Machine<I, O> machine, I tick, Consumer<O> effects) {
        this.vertx = vertx;
        this.context = vertx.getOrCreateContext();
        this.machine = machine;
        this.tick = tick;
        this.effects = effects;
    }

    /** The clock of all driven machines: nanoseconds since the process began to have one. */
    public static long nowNanos() {
        return System.nanoTime() - START_NANOS;
    }

    /** Hands in what happened; from any thread. Nothing happens after {@link #stop}. */
    public void feed(I input) {
        if (Vertx.currentContext() == context) {
            take(input);
        } else {
            context.runOnContext(_ -> take(input));
        }
    }

    /** No input is taken and no effect carried out any more. On the driver's context. */
    public void stop() {
        stopped = true;
        waiting.clear();
        vertx.cancelTimer(timer);
    }

    private void take(I input) {
        if (stopped) {
            return;
        }
        waiting.add(input);
        if (running) {
            return;
        }
        running = true;
        try {
            while (!waiting.isEmpty()) {
                for (O effect : machine.handle(waiting.remove(), nowNanos())) {
                    effects.accept(effect);
                    if (stopped) {
                        return;
                    }
                }
            }
        } finally {
            running = false;
        }
        setTimer();
    }

    /** A deadline that moves away lets the timer be: it looks again when it fires. */
    private void setTimer() {
        long deadline = machine.deadlineNanos();
        if (deadline == Long.MAX_VALUE || timer >= 0 && timerAtNanos <= deadline) {
            return;
        }
        if (timer >= 0) {
            vertx.cancelTimer(timer);
        }
        long now = nowNanos();
        long millis = Math.ceilDiv(Math.max(0, deadline - now), NANOS_PER_MILLI);
        timerAtNanos = deadline;
        timer = vertx.setTimer(Math.clamp(millis, 1, MAX_TIMER_MILLIS), _ -> {
            timer = -1;
            if (!stopped && machine.deadlineNanos() <= nowNanos()) {
                take(tick);
            } else if (!stopped) {
                setTimer();
            }
        });
    }
}
