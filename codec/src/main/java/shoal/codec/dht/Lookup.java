package shoal.codec.dht;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;
import shoal.codec.base.Machine;
import shoal.codec.base.NodeId;

/**
 * One iterative lookup (paper, section 2.3): asks the closest candidates, {@link #ALPHA} at a time, until the {@link KBucket#K}
 * closest that live have answered. Ends after {@link #MAX_ASKED} questions at the latest, whatever others say.
 */
final class Lookup implements Machine<Lookup.Input, Lookup.Effect> {
    static final int ALPHA = 3;

    /** Who is silent this long no longer holds up the others; its answer still counts while the lookup goes on. */
    static final long PATIENCE_NANOS = 1_000_000_000L;

    static final int MAX_ASKED = 256;
    static final int MAX_CANDIDATES = 1024;

    /** After so many dead contacts and not more living ones, what a node tells is tried last. */
    static final int MAX_DEAD_HINTS = 3;

    /** So many of those are tried in one lookup: liars cost seconds, not minutes. */
    static final int MAX_DOUBTFUL_ASKED = 2 * KBucket.K;

    sealed interface Input {}

    record Start() implements Input {}

    /** The node answered and named contacts; at most K of them are looked at. */
    record Answered(NodeId from, List<Contact> closer) implements Input {}

    record Failed(NodeId from) implements Input {}

    record Tick() implements Input {}

    sealed interface Effect {}

    record Ask(Contact contact) implements Effect {}

    /** The closest that answered, closest first, at most K. Nothing comes after this. */
    record Done(List<Contact> closest) implements Effect {}

    private enum State {
        NEW,
        ASKED,
        SLOW,
        ANSWERED,
        FAILED
    }

    private static final class Candidate {
        Contact contact;

        @Nullable NodeId introducer;

        State state = State.NEW;
        long askedNanos;

        Candidate(Contact contact, @Nullable NodeId introducer) {
            this.contact = contact;
            this.introducer = introducer;
        }
    }

    private static final class Standing {
        int living;
        int dead;

        boolean isDoubtful() {
            return dead >= MAX_DEAD_HINTS && dead > living;
        }
    }

    private final Hash256 target;
    private final NodeId self;
    private final TreeMap<Hash256, Candidate> byDistance = new TreeMap<>();
    private final Map<NodeId, Standing> standings = new HashMap<>();
    private int asked;
    private int doubtfulAsked;
    private boolean done;

    /** @param known from the routing table, in any order */
    Lookup(Hash256 target, NodeId self, List<Contact> known) {
        this.target = target;
        this.self = self;
        for (Contact contact : known) {
            learn(contact, null);
        }
    }

    /** One more candidate, by hearsay; before the start. */
    void suggest(Contact contact) {
        learn(contact, null);
    }

    Hash256 target() {
        return target;
    }

    int askedCount() {
        return asked;
    }

    @Override
    public List<Effect> handle(Input input, long nowNanos) {
        if (done) {
            return List.of();
        }
        switch (input) {
            case Start() -> {}
            case Answered(NodeId from, List<Contact> closer) -> {
                Candidate candidate = byDistance.get(from.hash().xor(target));
                if (candidate != null && candidate.state != State.ANSWERED) {
                    candidate.state = State.ANSWERED;
                    standingOf(candidate).living++;
                    for (Contact contact : closer.subList(0, Math.min(KBucket.K, closer.size()))) {
                        learn(contact, from);
                    }
                }
            }
            case Failed(NodeId from) -> {
                Candidate candidate = byDistance.get(from.hash().xor(target));
                if (candidate != null && (candidate.state == State.ASKED || candidate.state == State.SLOW)) {
                    if (candidate.state == State.ASKED) {
                        standingOf(candidate).dead++;
                    }
                    candidate.state = State.FAILED;
                }
            }
            case Tick() -> {}
        }
        for (Candidate candidate : byDistance.values()) {
            if (candidate.state == State.ASKED && nowNanos - candidate.askedNanos >= PATIENCE_NANOS) {
                candidate.state = State.SLOW;
                standingOf(candidate).dead++;
            }
        }
        return nextQuestions(nowNanos);
    }

    @Override
    public long deadlineNanos() {
        long deadline = Long.MAX_VALUE;
        if (!done) {
            for (Candidate candidate : byDistance.values()) {
                if (candidate.state == State.ASKED) {
                    deadline = Math.min(deadline, candidate.askedNanos + PATIENCE_NANOS);
                }
            }
        }
        return deadline;
    }

    private List<Effect> nextQuestions(long nowNanos) {
        var effects = new ArrayList<Effect>();
        if (!choose(false, nowNanos, effects) && !choose(true, nowNanos, effects)) {
            done = true;
            effects.add(new Done(byDistance.values().stream()
                    .filter(candidate -> candidate.state == State.ANSWERED)
                    .limit(KBucket.K)
                    .map(candidate -> candidate.contact)
                    .toList()));
        }
        return effects;
    }

    /**
     * Asks among the K closest that live or may live.
     *
     * @param doubtful also those that doubtful nodes named: last, but not never, since a swarm may have died around an honest one
     * @return whether an answer is still to come
     */
    private boolean choose(boolean doubtful, long nowNanos, List<Effect> effects) {
        int inFlight = 0;
        for (Candidate candidate : byDistance.values()) {
            inFlight += candidate.state == State.ASKED ? 1 : 0;
        }
        int ahead = 0;
        boolean waiting = false;
        for (Candidate candidate : byDistance.values()) {
            if (ahead == KBucket.K) {
                break;
            }
            switch (candidate.state) {
                case ANSWERED -> ahead++;
                case ASKED -> {
                    ahead++;
                    waiting = true;
                }
                case NEW -> {
                    boolean doubted = standingOf(candidate).isDoubtful();
                    if (asked < MAX_ASKED && (!doubted || doubtful && doubtfulAsked < MAX_DOUBTFUL_ASKED)) {
                        ahead++;
                        waiting = true;
                        if (inFlight < ALPHA) {
                            inFlight++;
                            asked++;
                            doubtfulAsked += doubted ? 1 : 0;
                            candidate.state = State.ASKED;
                            candidate.askedNanos = nowNanos;
                            effects.add(new Ask(candidate.contact));
                        }
                    }
                }
                case SLOW, FAILED -> {}
            }
        }
        return waiting;
    }

    private void learn(Contact contact, @Nullable NodeId introducer) {
        if (contact.id().equals(self)) {
            return;
        }
        Hash256 distance = contact.id().hash().xor(target);
        Candidate known = byDistance.get(distance);
        if (known != null) {
            if (known.state == State.NEW && standingOf(known).isDoubtful()) {
                known.introducer = introducer;
                known.contact = contact;
            }
            return;
        }
        byDistance.put(distance, new Candidate(contact, introducer));
        if (byDistance.size() > MAX_CANDIDATES) {
            dropFarthestNew();
        }
    }

    private void dropFarthestNew() {
        for (var entry : byDistance.descendingMap().entrySet()) {
            if (entry.getValue().state != State.ASKED && entry.getValue().state != State.ANSWERED) {
                byDistance.remove(entry.getKey());
                return;
            }
        }
    }

    /** Of who named the candidate; those from our own table stand apart and are never doubted together. */
    private Standing standingOf(Candidate candidate) {
        return candidate.introducer == null
                ? new Standing()
                : standings.computeIfAbsent(candidate.introducer, _ -> new Standing());
    }
}
