package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.codec.wire.Slice;

/**
 * Cuts what is ready into micro-batches of like length. Tokens of those who wait for their next one come first, an equal share in each
 * micro-batch; beside them goes a part of one prompt, short enough that nobody waits for more than it. A sequence is in one micro-batch
 * at a time, but for the parts of a prompt that has the stages for itself, which follow one another.
 */
final class Batching {
    /** While nothing is known about times. */
    private static final int FIRST_CHUNK = 64;

    private static final int LEAST_CHUNK = 16;
    private static final int LEAST_LONE_CHUNK = 32;
    static final int MOST_CHUNK = 256;

    /** From here on, guesses pay. */
    private static final int SLOW_LINK_MICROS = 3000;

    private static final int[] NONE = {};

    private final Residents residents;
    private final CostModel cost;
    private final Drafting drafting;
    private final List<Slice> slices = new ArrayList<>();
    private final List<Sequence> sequences = new ArrayList<>();
    private @Nullable Group refill;
    private int stages = 1;
    private long turn;

    Batching(Residents residents, CostModel cost, Drafting drafting) {
        this.residents = residents;
        this.cost = cost;
        this.drafting = drafting;
    }

    void setStages(int count) {
        stages = count;
    }

    List<Slice> slices() {
        return List.copyOf(slices);
    }

    List<Sequence> sequences() {
        return List.copyOf(sequences);
    }

    @Nullable Group refill() {
        return refill;
    }

    /**
     * Micro-batches that are to be under way: one per stage, and one more where what lies between the stages takes longer than a
     * micro-batch more, or where prompts alone are computed.
     */
    int limit() {
        return decoding() == 0 || cost.isKnown() && cost.fixedMicros() < cost.betweenMicros() ? stages + 1 : stages;
    }

    /** Sequences whose next token is awaited. */
    private int decoding() {
        int count = 0;
        for (Sequence sequence : residents.active()) {
            if (sequence.isRefilled() && sequence.decodes()) {
                count++;
            }
        }
        return count;
    }

    /** Fills slices and sequences with what is to be computed next. @return false if nothing is ready */
    boolean next(int limit) {
        slices.clear();
        sequences.clear();
        refill = null;
        if (fillUp()) {
            return true;
        }
        int decoding = decoding();
        int share = Math.min(Math.ceilDiv(decoding, limit), Slice.MAX_SLICES - 1);
        decode(share, decoding > stages ? 0 : window());
        prefill(decoding, share);
        return !slices.isEmpty();
    }

    private void add(Sequence sequence, Slice slice) {
        slices.add(slice);
        sequences.add(sequence);
        sequence.turn = ++turn;
    }

    private List<Sequence> inTurn() {
        var ready = new ArrayList<Sequence>();
        for (Sequence sequence : residents.active()) {
            if (!sequence.putBack && sequence.isRefilled()) {
                ready.add(sequence);
            }
        }
        ready.sort(Comparator.comparingLong(sequence -> sequence.turn));
        return ready;
    }

    /**
     * Drafted tokens behind a token. Only where the way between stages takes long, and then as many as take no longer to compute than the
     * way does: if they were right, the way was gone once instead of so many times.
     */
    private int window() {
        if (!cost.isKnown() || cost.betweenMicros() < SLOW_LINK_MICROS) {
            return 0;
        }
        return (int) Math.min(Slice.MAX_DRAFTED, cost.betweenMicros() / (stages * cost.perTokenMicros()));
    }

    private void decode(int share, int window) {
        for (Sequence sequence : inTurn()) {
            if (slices.size() == share) {
                return;
            }
            boolean isReady = sequence.inFlight == 0 && sequence.decodes();
            if (isReady && sequence.active && !sequence.putBack && residents.grow(sequence)) {
                add(sequence, drafted(sequence, window));
            }
        }
        // who was put back to make room may have been chosen before
        for (int i = slices.size() - 1; i >= 0; i--) {
            if (!sequences.get(i).active) {
                slices.remove(i);
                sequences.remove(i);
            }
        }
    }

    private Slice drafted(Sequence sequence, int window) {
        int most = Math.min(window, sequence.request.maxTokens() - sequence.generated() - 1);
        int[] draft = most > 0 && sequence.isWorthDrafting() ? drafting.draft(sequence.toArray(), most) : NONE;
        Slice plain = slice(sequence, 1);
        if (draft.length == 0 || !residents.pool.grow(sequence.pages, sequence.size() + draft.length)) {
            return plain;
        }
        return new Slice(
                sequence.id(),
                plain.firstPosition(),
                1 + draft.length,
                true,
                Arrays.stream(draft).boxed().toList(),
                plain.parent());
    }

    private void prefill(int decoding, int share) {
        int prompts = 0;
        Sequence last = null;
        for (Sequence sequence : inTurn()) {
            if (sequence.decodes()) {
                continue;
            }
            if (sequence.inFlight == 0) {
                add(sequence, slice(sequence, chunk(sequence, decoding, share)));
                return;
            }
            prompts++;
            last = sequence;
        }
        if (decoding == 0 && prompts == 1 && last != null && last.dispatched < last.size()) {
            add(last, slice(last, chunk(last, 0, 0)));
        }
    }

    private static Slice slice(Sequence sequence, int most) {
        int from = sequence.dispatched;
        int to = Math.min(sequence.size(), from + most);
        Sequence parent = sequence.parent;
        long begunFrom = parent != null && sequence.inFlight == 0 ? parent.id() : 0;
        return new Slice(sequence.id(), from, to - from, to == sequence.size(), List.of(), begunFrom);
    }

    /**
     * Tokens of a part of a prompt. Beside tokens that others wait for, a micro-batch takes at most about twice as long for it. Alone,
     * a prompt of P tokens takes (P / c + S - 1) * (fixed + perToken * c) over S stages in parts of c tokens, which is least for
     * c = sqrt(P * fixed / perToken / (S - 1)); what is left of it then goes in like parts of at most that, so that none is small.
     */
    private int chunk(Sequence sequence, int decoding, int share) {
        if (!cost.isKnown()) {
            return FIRST_CHUNK;
        }
        double ratio = cost.fixedMicros() / cost.perTokenMicros();
        if (decoding > 0) {
            return rounded(ratio + share, LEAST_CHUNK);
        }
        int most =
                stages == 1 ? MOST_CHUNK : rounded(Math.sqrt(ratio * sequence.size() / (stages - 1)), LEAST_LONE_CHUNK);
        int left = sequence.size() - sequence.dispatched;
        return Math.ceilDiv(Math.ceilDiv(left, Math.ceilDiv(left, most)), PagePool.PAGE_POSITIONS)
                * PagePool.PAGE_POSITIONS;
    }

    private static int rounded(double tokens, int least) {
        long pages = Math.round(tokens / PagePool.PAGE_POSITIONS);
        return Math.clamp(pages * PagePool.PAGE_POSITIONS, least, MOST_CHUNK);
    }

    /** Positions that stages that took over lack, of as many sequences as lack them in the same stages. */
    private boolean fillUp() {
        int tokens = 0;
        for (Sequence sequence : residents.active()) {
            if (sequence.putBack || sequence.isRefilled() || sequence.refillDispatched == sequence.computed) {
                continue;
            }
            Group group = sequence.refill.getFirst();
            if (refill != null && !refill.equals(group)) {
                continue;
            }
            refill = group;
            int count = Math.min(sequence.computed - sequence.refillDispatched, MOST_CHUNK - tokens);
            add(sequence, refilling(sequence, count));
            tokens += count;
            if (tokens == MOST_CHUNK || slices.size() == Slice.MAX_SLICES) {
                break;
            }
        }
        return !slices.isEmpty();
    }

    /** The first of the slices has the stages take up what they have copies of. */
    private static Slice refilling(Sequence sequence, int count) {
        int from = sequence.refillDispatched;
        boolean copied = from > 0 && from == sequence.fromCopies();
        return new Slice(sequence.id(), from, count, false, List.of(), 0, copied);
    }
}
