package shoal.codec.sim;

import java.util.ArrayDeque;
import java.util.List;
import java.util.function.Consumer;
import shoal.codec.base.Machine;

/**
 * Feeds one machine in virtual time: inputs that arrive while effects are carried out wait, and the machine gets its tick when
 * its deadline comes. Stopped, it is deaf: a process that died.
 */
public final class SimMachine<I, O> {
    private final Simulation simulation;
    private final Machine<I, O> machine;
    private final I tick;
    private final Consumer<? super O> effects;
    private final ArrayDeque<I> waiting = new ArrayDeque<>();
    private boolean busy;
    private boolean stopped;
    private long plannedNanos = Long.MAX_VALUE;
    private long plan;

    SimMachine(Simulation simulation, Machine<I, O> machine, I tick, Consumer<? super O> effects) {
        this.simulation = simulation;
        this.machine = machine;
        this.tick = tick;
        this.effects = effects;
    }

    public void feed(I input) {
        waiting.add(input);
        if (busy) {
            return;
        }
        busy = true;
        try {
            for (I next = waiting.poll(); next != null && !stopped; next = waiting.poll()) {
                List<O> wanted = List.copyOf(machine.handle(next, simulation.nowNanos()));
                for (O effect : wanted) {
                    effects.accept(effect);
                }
            }
        } finally {
            busy = false;
        }
        planTick();
    }

    public void stop() {
        stopped = true;
        waiting.clear();
    }

    public boolean stopped() {
        return stopped;
    }

    private void planTick() {
        long deadline = stopped ? Long.MAX_VALUE : machine.deadlineNanos();
        if (deadline == plannedNanos) {
            return;
        }
        plannedNanos = deadline;
        long thisPlan = ++plan;
        if (deadline != Long.MAX_VALUE) {
            simulation.at(deadline, () -> {
                if (thisPlan == plan && !stopped) {
                    plannedNanos = Long.MAX_VALUE;
                    feed(tick);
                }
            });
        }
    }
}
