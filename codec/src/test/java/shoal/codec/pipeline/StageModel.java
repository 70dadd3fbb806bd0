package shoal.codec.pipeline;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import shoal.codec.base.Epoch;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.Slice;

/**
 * A machine that runs one stage of an invented model: the output at a position is a hash of all inputs up to it, so a key or value that
 * is missing, stale or another sequence's shows in the tokens. What it decides it decides with the real ledger and the real log.
 */
final class StageModel {
    static final int VOCABULARY = 97;
    static final int END = 0;
    static final int PAGE = PagePool.PAGE_POSITIONS;

    private static final int ROW_BYTES = 8;
    private static final int HIDDEN = 2;

    final int slot;
    final int stages;
    boolean alive = true;
    int batches;

    /** What it was sent of the stage that it stands by for: inputs of each session. */
    Map<Long, List<Long>> shelf = Map.of();

    private final StageLedger ledger = new StageLedger();
    private final ReplayLog log;
    private final Map<Long, List<Long>> inputs = new HashMap<>();
    private final Map<Long, Frame.OpenSequence> opened = new HashMap<>();
    private final Map<Long, List<Integer>> histories = new HashMap<>();

    StageModel(int slot, int stages, long logBytes) {
        this.slot = slot;
        this.stages = stages;
        this.log = new ReplayLog(logBytes);
    }

    void join(Epoch epoch) {
        ledger.join(epoch);
    }

    Set<Long> sessions() {
        return inputs.keySet();
    }

    boolean isLast() {
        return slot == stages - 1;
    }

    /** Takes a frame; what is to be sent goes to the next stage or to the coordinator. */
    void take(Frame frame, int micros, Consumer<Frame> toNext, Consumer<Frame> toCoordinator) {
        switch (frame) {
            case Frame.TokenBatch(BatchHead head, List<Integer> tokens) -> {
                if (ledger.take(head)) {
                    work(
                            head,
                            tokens.stream().map(Integer::longValue).toList(),
                            List.of(),
                            micros,
                            toNext,
                            toCoordinator);
                }
            }
            case Frame.Activation activation -> {
                if (ledger.take(activation.head())) {
                    var rows = new ArrayList<Long>();
                    ByteBuffer values = activation.values().duplicate();
                    while (values.hasRemaining()) {
                        rows.add(values.getLong());
                    }
                    work(activation.head(), rows, activation.busyMicros(), micros, toNext, toCoordinator);
                }
            }
            case Frame.OpenSequence open -> {
                if (!ledger.isOf(open.epoch())) {
                    return;
                }
                if (isLast()) {
                    opened.put(open.session(), open);
                    histories.put(open.session(), new ArrayList<>());
                } else {
                    toNext.accept(open.next());
                }
            }
            case Frame.SequenceTokens tokens -> {
                if (!ledger.isOf(tokens.epoch())) {
                    return;
                }
                if (isLast()) {
                    List<Integer> history = histories.get(tokens.session());
                    if (history != null && history.size() >= tokens.firstPosition()) {
                        history.subList(tokens.firstPosition(), history.size()).clear();
                        history.addAll(tokens.tokens());
                    }
                } else {
                    toNext.accept(tokens.next());
                }
            }
            case Frame.Replay(BatchHead head) -> {
                if (ledger.take(head)) {
                    replay(head, toNext, toCoordinator);
                }
            }
            case Frame.Release release ->
                ledger.release(release).forEach(session -> {
                    inputs.remove(session);
                    opened.remove(session);
                    histories.remove(session);
                    log.drop(session);
                });
            default -> throw new AssertionError("a stage got " + frame);
        }
    }

    private void replay(BatchHead head, Consumer<Frame> toNext, Consumer<Frame> toCoordinator) {
        ByteBuffer rows = ByteBuffer.allocate(head.tokenCount() * ROW_BYTES);
        var gone = new ArrayList<Long>();
        for (Slice slice : head.slices()) {
            if (log.holds(slice.session(), slice.firstPosition(), slice.tokenCount())) {
                log.read(slice.session(), slice.firstPosition(), slice.tokenCount(), rows);
            } else {
                gone.add(slice.session());
            }
        }
        if (gone.isEmpty()) {
            toNext.accept(new Frame.Activation(head.next(), ActivationType.F32, HIDDEN, List.of(), rows.flip()));
        } else {
            toCoordinator.accept(failed(head, gone, "evicted"));
        }
    }

    private Frame failed(BatchHead head, List<Long> sessions, String why) {
        return new Frame.StageFailed(
                head.pipeline(),
                head.epoch(),
                head.number(),
                sessions,
                ErrorCode.NOT_FOUND,
                "stage " + slot + ": " + why);
    }

    private void work(
            BatchHead head,
            List<Long> rows,
            List<Integer> before,
            int micros,
            Consumer<Frame> toNext,
            Consumer<Frame> toCoordinator) {
        batches++;
        head.slices().stream().filter(Slice::copied).forEach(this::takeUp);
        List<Long> lacking = ledger.lacking(head);
        if (!lacking.isEmpty()) {
            toCoordinator.accept(failed(head, lacking, "earlier positions are missing"));
            return;
        }
        ByteBuffer out = ByteBuffer.allocate(rows.size() * ROW_BYTES);
        int row = 0;
        for (Slice slice : head.slices()) {
            List<Long> own = inputs.computeIfAbsent(slice.session(), _ -> new ArrayList<>());
            if (slice.parent() != 0) {
                own.clear();
                own.addAll(inputs.get(slice.parent()).subList(0, slice.firstPosition()));
                log.fork(slice.parent(), slice.session(), slice.firstPosition());
            }
            own.subList(slice.firstPosition(), own.size()).clear();
            int from = out.position();
            for (int i = 0; i < slice.tokenCount(); i++) {
                own.add(rows.get(row++));
                out.putLong(output(slot, own));
            }
            if (!isLast()) {
                log.write(
                        slice.session(),
                        slice.firstPosition(),
                        slice.tokenCount(),
                        ROW_BYTES,
                        out.duplicate().position(from));
            }
        }
        ledger.computed(head);
        var times = new ArrayList<>(before);
        times.add(micros);
        if (head.stage() < head.lastStage()) {
            toNext.accept(new Frame.Activation(head.next(), ActivationType.F32, HIDDEN, times, out.flip()));
        } else {
            finish(head, out, times, toCoordinator);
        }
    }

    private void takeUp(Slice slice) {
        List<Long> held = shelf.getOrDefault(slice.session(), List.of());
        if (ledger.length(slice.session()) < slice.firstPosition() && held.size() >= slice.firstPosition()) {
            inputs.put(slice.session(), new ArrayList<>(held.subList(0, slice.firstPosition())));
            ledger.takenUp(slice.session(), slice.firstPosition());
        }
    }

    /** Whole pages that are final, of each session. */
    Map<Long, List<Long>> copy() {
        var copy = new HashMap<Long, List<Long>>();
        inputs.forEach((session, all) -> {
            int positions = ledger.confirmed(session) / PAGE * PAGE;
            if (positions > 0) {
                copy.put(session, List.copyOf(all.subList(0, positions)));
            }
        });
        return copy;
    }

    private void finish(BatchHead head, ByteBuffer out, List<Integer> times, Consumer<Frame> toCoordinator) {
        var tokens = new ArrayList<Frame.SampledToken>();
        var unknown = new ArrayList<Long>();
        int end = 0;
        for (Slice slice : head.slices()) {
            end += slice.tokenCount();
            if (!slice.sample()) {
                continue;
            }
            int known = slice.end() - slice.drafted().size();
            Frame.OpenSequence how = opened.get(slice.session());
            List<Integer> history = histories.get(slice.session());
            boolean looksBack = how != null && how.sampling().needsHistory();
            if (how == null || history == null || looksBack && history.size() < known) {
                unknown.add(slice.session());
                continue;
            }
            for (int i = 0; i <= slice.drafted().size(); i++) {
                long logits = out.getLong((end - slice.drafted().size() + i - 1) * ROW_BYTES);
                int token;
                if (looksBack) {
                    history.subList(known + i, history.size()).clear();
                    token = token(logits, history);
                    history.add(token);
                } else {
                    token = token(logits, List.of());
                }
                tokens.add(
                        new Frame.SampledToken(slice.session(), known + i, token, 0, List.of(), SamplingState.START));
                if (i < slice.drafted().size() && token != slice.drafted().get(i)) {
                    break;
                }
            }
        }
        toCoordinator.accept(
                unknown.isEmpty()
                        ? new Frame.TokensSampled(head.pipeline(), head.epoch(), head.number(), times, tokens)
                        : failed(head, unknown, "how to sample is not known"));
    }

    // -------------------------------------------------------------------------------- the model, as it should be

    private static long output(int slot, List<Long> inputs) {
        return mix(inputs.hashCode() * 31L + inputs.size(), slot);
    }

    private static int token(long output, List<Integer> history) {
        return (int) Long.remainderUnsigned(mix(output, history.hashCode()), VOCABULARY);
    }

    private static long mix(long value, long more) {
        long hash = (value ^ more * 0x9e3779b97f4a7c15L) * 0xbf58476d1ce4e5b9L;
        hash ^= hash >>> 31;
        return hash * 0x94d049bb133111ebL;
    }

    /** What the model says behind a prompt, computed in one piece. */
    static List<Integer> undisturbed(Scheduler.Request request, int stages) {
        var tokens = new ArrayList<>(request.tokens());
        List<List<Long>> inputs = new ArrayList<>();
        for (int i = 0; i < stages; i++) {
            inputs.add(new ArrayList<>());
        }
        var said = new ArrayList<Integer>();
        int fed = 0;
        while (tokens.size() - request.promptSize() < request.maxTokens()) {
            long value = 0;
            for (; fed < tokens.size(); fed++) {
                value = tokens.get(fed);
                for (int stage = 0; stage < stages; stage++) {
                    inputs.get(stage).add(value);
                    value = output(stage, inputs.get(stage));
                }
            }
            int token = token(value, request.sampling().needsHistory() ? tokens : List.of());
            if (request.endTokens().contains(token)) {
                break;
            }
            tokens.add(token);
            said.add(token);
        }
        return said;
    }
}
