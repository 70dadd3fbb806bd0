package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.wire.Frame;

/**
 * The answers that are under way, or were whole a moment ago, token by token: what another coordinator needs to go on with them. Kept
 * alike by the one that works and by those that follow it.
 *
 * <p>Its law: whoever goes on with an answer computes the same bits as the one who began it, who may still be telling it somewhere. So
 * only answers that were computed in one order of sums, and will be, are inherited ({@link Answer#mayGoOn}). And where the order changes,
 * the one that works tells no client before all that follow have heard of it ({@link #heard}), and ends the answers that somebody may
 * inherit who has not ({@link #write}, {@link #left}).
 */
public final class Journal {
    /** Answers that are whole; the oldest goes first. */
    static final int MAX_WHOLE = 256;

    /** Answers at once; more are not journalled. */
    static final int MAX_ANSWERS = 16_384;

    /** Token ids of all answers; what is begun beyond is not journalled. */
    static final long MAX_TOKENS = 16 << 20;

    private final Map<String, Answer> answers = new LinkedHashMap<>();
    private final Map<NodeId, Long> heardBy = new HashMap<>();
    private Frame.@Nullable JournalPlaced placed;
    private long tokens;
    private long written;
    private long changed;

    /** One answer. */
    public static final class Answer {
        private final Frame.JournalBegun begun;
        private final List<Frame.JournalToken> tokens = new ArrayList<>();
        private Frame.@Nullable JournalEnded ended;
        private boolean mixed;
        /** Whether somebody may tell it, or may have told it, who does not hear of what happens here. */
        private boolean forsaken;

        private Answer(Frame.JournalBegun begun) {
            this.begun = begun;
        }

        public Frame.JournalBegun begun() {
            return begun;
        }

        public List<Frame.JournalToken> tokens() {
            return List.copyOf(tokens);
        }

        /** Null while it is under way. */
        public Frame.@Nullable JournalEnded ended() {
            return ended;
        }

        /** Whether all of it was computed in one order of sums. */
        public boolean isExact() {
            return !mixed;
        }

        /** Whether a successor may tell it. @param sameOrder whether numbers are added in the journal's last order from now on */
        public boolean mayGoOn(boolean sameOrder) {
            return ended != null || (sameOrder && !mixed);
        }

        private int size() {
            return begun.prompt().size() + tokens.size();
        }
    }

    /**
     * Takes down what happens here, or what another coordinator says that happens there.
     *
     * @return ids of answers that must end now, with an error
     * @throws MalformedException if it is more than a journal may hold, or no frame of a journal
     */
    public List<String> write(Frame frame) {
        List<String> over = List.of();
        switch (frame) {
            case Frame.JournalPlaced now -> over = place(now);
            case Frame.JournalBegun begun -> {
                forget(begun.id());
                if (answers.size() >= MAX_ANSWERS || tokens + begun.prompt().size() + begun.maxTokens() > MAX_TOKENS) {
                    throw new MalformedException("a journal has " + answers.size() + " answers with " + tokens
                            + " tokens, allowed are " + MAX_ANSWERS + " and " + MAX_TOKENS);
                }
                answers.put(begun.id(), new Answer(begun));
                tokens += begun.prompt().size();
            }
            case Frame.JournalToken token -> {
                Answer answer = answers.get(token.id());
                if (answer != null && answer.ended == null) {
                    if (answer.tokens.size() >= answer.begun.maxTokens()) {
                        throw new MalformedException("answer " + token.id() + " has more than "
                                + answer.begun.maxTokens() + " tokens in the journal");
                    }
                    answer.tokens.add(token);
                    tokens++;
                }
            }
            case Frame.JournalEnded ended -> end(ended);
            default -> throw new MalformedException(frame.type() + " is nothing for a journal");
        }
        written++;
        return over;
    }

    /** Whether an answer with so many tokens can still be journalled. */
    public boolean hasRoom(int promptTokens, int maxTokens) {
        return answers.size() < MAX_ANSWERS && tokens + promptTokens + maxTokens <= MAX_TOKENS;
    }

    private List<String> place(Frame.JournalPlaced now) {
        Frame.JournalPlaced before = placed;
        placed = now;
        if (before == null || before.order().equals(now.order())) {
            return List.of();
        }
        changed = written + 1;
        var over = new ArrayList<String>();
        answers.values().stream().filter(answer -> answer.ended == null).forEach(answer -> {
            answer.mixed = true;
            if (answer.forsaken) {
                over.add(answer.begun.id());
            }
        });
        return over;
    }

    private void end(Frame.JournalEnded ended) {
        Answer answer = answers.get(ended.id());
        if (answer == null) {
            return;
        }
        if (!ended.whole()) {
            forget(ended.id());
            return;
        }
        answer.ended = ended;
        List<String> whole = answers.values().stream()
                .filter(each -> each.ended != null)
                .map(each -> each.begun.id())
                .toList();
        whole.stream().limit(Math.max(0, whole.size() - MAX_WHOLE)).forEach(this::forget);
    }

    /** This coordinator goes on with what is under way; the one before may be doing so, too. */
    public void inherit() {
        answers.values().stream().filter(answer -> answer.ended == null).forEach(answer -> answer.forsaken = true);
    }

    /** Nobody asks for it any more. */
    public void forget(String id) {
        Answer gone = answers.remove(id);
        if (gone != null) {
            tokens -= gone.size();
        }
    }

    public void clear() {
        answers.clear();
        heardBy.clear();
        placed = null;
        tokens = 0;
    }

    public List<Answer> answers() {
        return List.copyOf(answers.values());
    }

    public boolean has(String id) {
        return answers.containsKey(id);
    }

    /** Who computes, and in which order numbers are added; null before that is known. */
    public Frame.@Nullable JournalPlaced placed() {
        return placed;
    }

    // --------------------------------------------------------------------------------- at the one that works

    /** Somebody follows from now on. @return all that is to be told first */
    public List<Frame> followedBy(NodeId follower) {
        var told = new ArrayList<Frame>();
        if (placed != null) {
            told.add(placed);
        }
        for (Answer answer : answers.values()) {
            if (answer.mixed && answer.ended == null) {
                continue; // whoever did not see the change might go on with it in one order
            }
            told.add(answer.begun);
            told.addAll(answer.tokens);
            if (answer.ended != null) {
                told.add(answer.ended);
            }
        }
        heardBy.put(follower, written - told.size());
        return told;
    }

    public boolean isFollowed() {
        return !heardBy.isEmpty();
    }

    public boolean isFollowedBy(NodeId follower) {
        return heardBy.containsKey(follower);
    }

    /** Who has not heard all up to a frame. */
    public List<NodeId> behind(long number) {
        return heardBy.entrySet().stream()
                .filter(follower -> follower.getValue() < number)
                .map(Map.Entry::getKey)
                .toList();
    }

    /** A follower has so many frames more than it had. */
    public void heard(NodeId follower, long frames) {
        heardBy.computeIfPresent(follower, (_, before) -> Math.min(written, before + frames));
    }

    /** So many frames were written. */
    public long written() {
        return written;
    }

    /** So many frames all followers have: what they tell may be told to clients. */
    public long heard() {
        return heardBy.values().stream().mapToLong(Long::longValue).min().orElse(written);
    }

    /**
     * A follower is gone, or taken for gone: it may still take over, with what it has.
     *
     * @return ids of answers that must end now, with an error: they may come to differ from what it would go on with
     */
    public List<String> left(NodeId follower) {
        Long had = heardBy.remove(follower);
        if (had == null) {
            return List.of();
        }
        var over = new ArrayList<String>();
        for (Answer answer : answers.values()) {
            answer.forsaken |= answer.ended == null;
            if (answer.mixed && had < changed) {
                over.add(answer.begun.id()); // even one that is whole: its last tokens may not be told yet
            }
        }
        return over;
    }
}
