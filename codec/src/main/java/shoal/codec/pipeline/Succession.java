package shoal.codec.pipeline;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Machine;
import shoal.codec.base.NodeId;

/**
 * Which of the coordinators of a model works, as one of them sees it: it looks for one that works and follows its journal, works itself
 * when that one is lost or there is none, and works no more when it is outranked. Who takes over does so under a later term, and nodes
 * that have heard of a later term refuse the work of an earlier one: so a coordinator that was only frozen or cut off gets no more tokens
 * from any node that its successor uses.
 *
 * <p>Two may still work at once, each with nodes of its own, while the network between them is cut. That they tell nobody different tokens
 * for the same answer is the law of the {@link Journal}.
 */
public final class Succession implements Machine<Succession.Input, Succession.Effect> {
    /** What can happen. */
    public sealed interface Input {
        /** @param works whether to work without looking for others first */
        record Begin(boolean works) implements Input {}

        /** Another coordinator works for the model, and lets itself be followed. */
        record Works(NodeId other, int term) implements Input {}

        /** Another coordinator stands by for the model. */
        record StandsBy(NodeId other) implements Input {}

        /** The journal of the one that is followed has broken off. */
        record Broken() implements Input {}

        /** It has ended, or is silent for too long. */
        record Lost(NodeId other) implements Input {}

        /** A node works for another coordinator under this term. */
        record Outranked(int term) implements Input {}

        record Tick() implements Input {}
    }

    /** What to do. */
    public sealed interface Effect {
        /** Ask all coordinators that can be found whether they work. */
        record Look() implements Effect {}

        /** Keep a copy of this one's journal, and watch it; forget what is known of others' answers. */
        record Follow(NodeId leader) implements Effect {}

        /** Give the work, and go on with what the journal has. */
        record Work(int term) implements Effect {}

        /** Work no more; whatever runs here ends. */
        record Rest() implements Effect {}
    }

    /** How long one that works is looked for. */
    static final Duration PATIENCE = Duration.ofSeconds(3);

    private static final long LOOK_NANOS = Duration.ofMillis(300).toNanos();
    private static final long LATER_LOOK_NANOS = Duration.ofSeconds(10).toNanos();
    /** Somebody who stood by so long ago may still do. */
    private static final long REMEMBER_NANOS = Duration.ofSeconds(25).toNanos();

    /** An answer to the last look or the one before. */
    private static final long LATELY_NANOS = Duration.ofSeconds(2).toNanos();

    private enum State {
        NEW,
        LOOKING,
        FOLLOWING,
        WORKING
    }

    private final NodeId self;
    private final List<Effect> effects = new ArrayList<>();
    private final Map<NodeId, Long> standingBy = new HashMap<>();
    private State state = State.NEW;
    private int term;
    private @Nullable NodeId leader;
    private long patientUntil = Long.MAX_VALUE;
    private long nextLook = Long.MAX_VALUE;

    public Succession(NodeId self) {
        this.self = self;
    }

    public boolean isWorking() {
        return state == State.WORKING;
    }

    /** Who is followed, or null. */
    public @Nullable NodeId leader() {
        return leader;
    }

    /** The one under which this one works, or the latest that it has heard of. */
    public int term() {
        return term;
    }

    @Override
    public List<Effect> handle(Input input, long nowNanos) {
        effects.clear();
        switch (input) {
            case Input.Begin(boolean works) -> {
                if (works) {
                    work(nowNanos);
                } else {
                    look(nowNanos);
                }
            }
            case Input.Works(NodeId other, int theirs) -> works(other, theirs, nowNanos);
            case Input.StandsBy(NodeId other) -> {
                standingBy.put(other, nowNanos);
                if (state == State.FOLLOWING && other.equals(leader)) {
                    look(nowNanos); // it works no more
                }
            }
            case Input.Broken() -> {
                if (state == State.FOLLOWING) {
                    nextLook = Math.min(nextLook, nowNanos + LOOK_NANOS);
                }
            }
            case Input.Lost(NodeId other) -> lost(other, nowNanos);
            case Input.Outranked(int theirs) -> {
                if (theirs >= term) {
                    term = theirs;
                    if (state == State.WORKING) {
                        effects.add(new Effect.Rest());
                        look(nowNanos);
                    }
                }
            }
            case Input.Tick() -> {}
        }
        if (state == State.LOOKING && nowNanos >= patientUntil) {
            if (isAnElderThere(nowNanos, LATELY_NANOS)) {
                patientUntil = nowNanos + PATIENCE.toNanos();
            } else {
                work(nowNanos);
            }
        }
        if (nowNanos >= nextLook) {
            effects.add(new Effect.Look());
            nextLook = nowNanos + (state == State.LOOKING ? LOOK_NANOS : LATER_LOOK_NANOS);
        }
        return effects;
    }

    @Override
    public long deadlineNanos() {
        return state == State.LOOKING ? Math.min(patientUntil, nextLook) : nextLook;
    }

    private void works(NodeId other, int theirs, long now) {
        standingBy.remove(other);
        boolean outranks = theirs > term || (theirs == term && (state != State.WORKING || other.compareTo(self) < 0));
        if (state == State.NEW || !outranks) {
            return;
        }
        if (state == State.WORKING) {
            effects.add(new Effect.Rest());
        }
        state = State.FOLLOWING;
        term = theirs;
        leader = other;
        nextLook = now + LATER_LOOK_NANOS;
        effects.add(new Effect.Follow(other));
    }

    private void lost(NodeId other, long now) {
        standingBy.remove(other);
        if (state != State.FOLLOWING || !other.equals(leader)) {
            return;
        }
        if (isAnElderThere(now, REMEMBER_NANOS)) {
            look(now);
        } else {
            work(now);
        }
    }

    /** Of several who stand by, the one with the smallest id takes over. */
    private boolean isAnElderThere(long now, long within) {
        return standingBy.entrySet().stream()
                .anyMatch(other -> other.getKey().compareTo(self) < 0 && now - other.getValue() <= within);
    }

    private void look(long now) {
        state = State.LOOKING;
        leader = null;
        patientUntil = now + PATIENCE.toNanos();
        nextLook = now;
    }

    private void work(long now) {
        state = State.WORKING;
        term++;
        leader = null;
        patientUntil = Long.MAX_VALUE;
        nextLook = now + LATER_LOOK_NANOS;
        effects.add(new Effect.Work(term));
    }
}
