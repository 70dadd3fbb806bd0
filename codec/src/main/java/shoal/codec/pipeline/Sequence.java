package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.wire.SamplingState;

/** One sequence, as the {@link Scheduler} sees it: the token ids, which are the truth, and how far the stages are with them. */
final class Sequence {
    final Scheduler.Request request;
    final List<PagePool.Page> pages = new ArrayList<>();

    /** Chain hashes of its whole blocks under which it stands in the index. */
    final List<Long> indexed = new ArrayList<>();

    private int[] tokens;
    private int size;
    SamplingState samplingState;

    /** Positions that all stages hold, and positions that are there or on their way. */
    int computed;

    int dispatched;

    /** Micro-batches under way that it is in. */
    int inFlight;

    /** Stages that took over and are to be filled up to what is computed, group after group. */
    List<Group> refill = List.of();

    int refilled;
    int refillDispatched;

    /** Positions that a stage which took over can have from copies that it was sent. */
    private final Map<Integer, Integer> copied = new HashMap<>();

    /** Whom it begins as a copy of, until that has happened. */
    @Nullable Sequence parent;

    /** Who begin as a copy of it and have not yet. */
    int children;

    boolean active;
    /** Nothing more is computed: it waits for what is under way, then its pages go. */
    boolean over;
    /** Its pages are wanted by others. */
    boolean putBack;
    /** Whether the last stage knows how to sample. */
    boolean told;
    /** The end came by itself, so that what was computed may serve others. */
    boolean whole;

    /** When it was last in a micro-batch, counted. */
    long turn;

    /** Share of drafted tokens that were right, of late. */
    private double guessed = 0.6;

    private int undrafted;
    int recoveries;

    Sequence(Scheduler.Request request) {
        this.request = request;
        this.tokens = request.tokens().stream().mapToInt(Integer::intValue).toArray();
        this.size = tokens.length;
        this.samplingState = request.state();
    }

    long id() {
        return request.session();
    }

    int size() {
        return size;
    }

    int token(int position) {
        return tokens[position];
    }

    void add(int token) {
        if (size == tokens.length) {
            tokens = Arrays.copyOf(tokens, 2 * size);
        }
        tokens[size++] = token;
    }

    List<Integer> tokens(int from, int to) {
        var part = new ArrayList<Integer>(to - from);
        for (int i = from; i < to; i++) {
            part.add(tokens[i]);
        }
        return part;
    }

    int[] toArray() {
        return Arrays.copyOf(tokens, size);
    }

    /** Guesses that are mostly wrong cost more than they save; now and then they are tried again. */
    boolean isWorthDrafting() {
        return guessed > 0.25 || ++undrafted % 16 == 0;
    }

    void drafted(int count, int right) {
        guessed = 0.8 * guessed + 0.2 * right / count;
    }

    int generated() {
        return size - request.promptSize();
    }

    /** Only the last token is to be computed, and all before it is there. */
    boolean decodes() {
        return computed == size - 1;
    }

    boolean isRefilled() {
        return refill.isEmpty();
    }

    /** A stage that took over can have these first positions from copies. */
    void copied(int stage, int positions) {
        copied.put(stage, positions);
    }

    /** What was copied is not there any more. */
    void withoutCopies() {
        copied.clear();
        refill(refill);
    }

    /** These lack what is computed, but for what they have copies of. */
    void refill(List<Group> groups) {
        refill = groups;
        refilled = fromCopies();
        refillDispatched = refilled;
    }

    /**
     * First positions of which all stages that are to be filled up next have copies. The last position is always computed: it tells that
     * the others are there.
     */
    int fromCopies() {
        if (refill.isEmpty() || computed == 0) {
            return 0;
        }
        int least = (computed - 1) / PagePool.PAGE_POSITIONS * PagePool.PAGE_POSITIONS;
        for (int stage = refill.getFirst().first(); stage <= refill.getFirst().last(); stage++) {
            least = Math.min(least, copied.getOrDefault(stage, 0));
        }
        return least;
    }

    /** The stages know nothing of it any more. */
    void forget() {
        computed = 0;
        dispatched = 0;
        refill = List.of();
        refilled = 0;
        refillDispatched = 0;
        copied.clear();
        told = false;
    }
}
