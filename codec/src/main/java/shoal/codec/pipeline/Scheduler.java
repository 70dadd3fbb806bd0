package shoal.codec.pipeline;

import static shoal.codec.base.Bounds.requireRange;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Epoch;
import shoal.codec.base.Machine;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.Slice;
import shoal.codec.wire.TokenLogprob;

/**
 * All generations of one model over its stages, step by step (iteration-level scheduling: Yu et al., Orca, OSDI 2022). What is ready goes
 * out in micro-batches, so many at a time that each stage has one. The token ids kept here are the truth about each sequence: stages that
 * take over are filled up from them, or from what the stage before has logged, and each generation goes on where it stood.
 */
public final class Scheduler implements Machine<Scheduler.Input, Scheduler.Effect> {
    /** Names the sequence of the token that tries a pipeline. */
    private static final long CANARY = 0;

    /** A micro-batch is overdue after so many times the time that it should take, */
    private static final int PATIENCE = 16;

    /** and this beside it. */
    private static final long LEAST_PATIENCE_NANOS = Duration.ofSeconds(2).toNanos();

    /**
     * One generation.
     *
     * @param session unique, not 0
     * @param tokens of the prompt, and what was generated before if it is gone on with here
     * @param promptSize how many of the tokens are the prompt's
     * @param state with which the next token is chosen
     * @param maxTokens how many may be generated, with those that were before
     * @param endTokens ids that end the generation; they are not emitted
     * @param maxRecoveries how often stages may be lost
     * @param user generations of one user share what others leave
     */
    public record Request(
            long session,
            List<Integer> tokens,
            int promptSize,
            SamplingState state,
            int maxTokens,
            Set<Integer> endTokens,
            Sampling sampling,
            int maxRecoveries,
            String user) {
        public Request {
            requireRange("prompt tokens", promptSize, 1, tokens.size());
            requireRange("tokens", tokens.size(), promptSize, Frame.Activation.MAX_POSITION);
            requireRange("max tokens", maxTokens, 1 + tokens.size() - promptSize, Frame.Generate.MAX_TOKENS);
            if (session == CANARY) {
                throw new IllegalArgumentException("session is 0, allowed is any other number");
            }
            tokens = List.copyOf(tokens);
            endTokens = Set.copyOf(endTokens);
        }
    }

    /**
     * Bounds of one model's scheduling.
     *
     * @param canaryToken goes through every new pipeline before anything else
     * @param maxActive sequences that run at a time
     * @param maxQueued sequences that wait
     * @param maxKept sequences that are over and whose pages stay for others, as long as there is room
     * @param stall how long others may take to stand in for a lost stage, and how long a first micro-batch may take
     */
    public record Settings(int canaryToken, int maxActive, int maxQueued, int maxKept, Duration stall) {}

    /** What can happen. */
    public sealed interface Input {
        record Submit(Request request) implements Input {}

        /**
         * Stages are ready under a newer epoch.
         *
         * @param pages of keys and values that the stage with the least room can hold
         * @param fresh stages that know nothing of earlier sequences
         * @param copies what those among them were sent of keys and values before
         * @param tried whether a token has passed them just now; else one does before all others
         */
        record Ready(
                Epoch epoch, int stages, int pages, Set<Integer> fresh, Map<Integer, CopiedPages> copies, boolean tried)
                implements Input {}

        /** A stage, or the way to it, is gone. */
        record Lost(String message) implements Input {}

        record Done(Frame.TokensSampled result) implements Input {}

        record Failed(Frame.StageFailed failure) implements Input {}

        /** Whoever asked has what they want: a stop text came. */
        record Enough(long session) implements Input {}

        /** Whoever asked is gone. */
        record Cancel(long session) implements Input {}

        record Tick() implements Input {}
    }

    /** What the scheduler wants. */
    public sealed interface Effect {
        /** To the first stage: work, or how to sample what will come. */
        record Send(Frame frame) implements Effect {}

        /** To the stage that the frame names: send once more what you sent. */
        record SendAgain(Frame.Replay replay) implements Effect {}

        /** To every stage. */
        record Release(Frame.Release release) implements Effect {}

        /** One more token for whoever asked. */
        record Emit(long session, int token, float logProbability, List<TokenLogprob> top, SamplingState state)
                implements Effect {}

        record Finish(long session, Frame.StopReason reason) implements Effect {}

        record Fail(long session, ErrorCode code, String message) implements Effect {}

        /** Stages of this epoch are ready, and a token has passed all of them. */
        record Proven(Epoch epoch) implements Effect {}

        /** The stages of this epoch do not do what they should. Stages are to be found anew. */
        record Trouble(Epoch epoch, String message) implements Effect {}
    }

    private enum State {
        DOWN,
        TRYING,
        RUNNING
    }

    private final Framing framing;
    private final Settings settings;
    private final Residents residents;
    private final CostModel cost = new CostModel();
    private final Batching batching;
    private final StageLoad load = new StageLoad();
    private final Map<Long, Sequence> sequences = new HashMap<>();
    private final Map<Integer, MicroBatch> underWay = new LinkedHashMap<>();
    /** For stages: they wait for it, so it goes before the news. */
    private final List<Effect> effects = new ArrayList<>();

    /** For those who hear the generations. */
    private final List<Effect> news = new ArrayList<>();

    private final HopTimes hops = new HopTimes();
    private State state = State.DOWN;
    private @Nullable Epoch epoch;
    private int stages;
    private int nextNumber;
    private String lost = "the swarm has no stages yet";
    private long downUntilNanos = Long.MAX_VALUE;
    private long replayed;
    private long takenUp;

    /**
     * @param pipeline what frames call it
     * @param drafting guesses, where the way between stages is slow
     */
    public Scheduler(long pipeline, Settings settings, Drafting drafting) {
        this.framing = new Framing(pipeline);
        this.settings = settings;
        this.residents = new Residents(settings.maxActive(), settings.maxKept());
        this.batching = new Batching(residents, cost, drafting);
    }

    /** Generations that run or wait. */
    public int size() {
        return sequences.size();
    }

    /** Generations that wait to be let in. */
    public int queued() {
        return residents.queue.size();
    }

    /** Pages that sequences hold now in each stage, those of kept ones included. */
    public int pagesUsed() {
        return residents.pool.used();
    }

    /** Generations that are over and whose pages may serve others. */
    public int kept() {
        return residents.kept();
    }

    /** Positions of prompts that needed no computing, since another sequence began with the same tokens. */
    public long reusedPositions() {
        return residents.reusedPositions();
    }

    /** Positions that were sent once more to stages that took over. */
    public long replayedPositions() {
        return replayed;
    }

    /** Positions that stages which took over had copies of. */
    public long takenUpPositions() {
        return takenUp;
    }

    /** What stages were measured to take, since the last time that their number changed. */
    public StageLoad load() {
        return load;
    }

    /** What the way between two machines adds to a token. */
    public HopTimes hops() {
        return hops;
    }

    @Override
    public List<Effect> handle(Input input, long nowNanos) {
        effects.clear();
        news.clear();
        switch (input) {
            case Input.Submit(Request request) -> submit(request, nowNanos);
            case Input.Ready ready -> ready(ready, nowNanos);
            case Input.Lost(String message) -> lost(message, nowNanos);
            case Input.Done(Frame.TokensSampled result) -> done(result, nowNanos);
            case Input.Failed(Frame.StageFailed failure) -> failed(failure);
            case Input.Enough(long session) -> {
                Sequence sequence = sequences.get(session);
                if (sequence != null) {
                    finish(sequence, Frame.StopReason.STOP);
                }
            }
            case Input.Cancel(long session) -> {
                Sequence sequence = sequences.get(session);
                if (sequence != null) {
                    fail(sequence, ErrorCode.CANCELLED, ErrorCode.CANCELLED.sentence());
                }
            }
            case Input.Tick() -> tick(nowNanos);
        }
        if (state == State.RUNNING) {
            schedule(nowNanos);
        }
        effects.addAll(news);
        return effects;
    }

    @Override
    public long deadlineNanos() {
        if (state == State.DOWN) {
            return sequences.isEmpty() ? Long.MAX_VALUE : downUntilNanos;
        }
        long deadline = Long.MAX_VALUE;
        for (MicroBatch batch : underWay.values()) {
            deadline = Math.min(deadline, batch.deadlineNanos);
        }
        return deadline;
    }

    // ---------------------------------------------------------------------------------------- generations

    private void submit(Request request, long nowNanos) {
        if (residents.queue.size() >= settings.maxQueued()) {
            news.add(new Effect.Fail(
                    request.session(),
                    ErrorCode.BUSY,
                    "the queue is full: " + settings.maxQueued()
                            + " requests wait already. Ask again later, or raise coordinator.queue"));
            return;
        }
        if (sequences.isEmpty() && state == State.DOWN) {
            downUntilNanos = nowNanos + settings.stall().toNanos();
        }
        var sequence = new Sequence(request);
        sequences.put(request.session(), sequence);
        residents.queue.add(sequence);
    }

    private void finish(Sequence sequence, Frame.StopReason reason) {
        sequence.whole = true;
        end(sequence);
        news.add(new Effect.Finish(sequence.id(), reason));
    }

    private void fail(Sequence sequence, ErrorCode code, String message) {
        end(sequence);
        news.add(new Effect.Fail(sequence.id(), code, message));
    }

    private void end(Sequence sequence) {
        sequences.remove(sequence.id());
        residents.end(sequence);
    }

    // --------------------------------------------------------------------------------------------- stages

    private void lost(String message, long nowNanos) {
        if (state == State.DOWN) {
            return;
        }
        boolean ran = state == State.RUNNING;
        interrupt();
        state = State.DOWN;
        lost = message;
        downUntilNanos = nowNanos + settings.stall().toNanos();
        if (!ran) {
            return;
        }
        for (Sequence sequence : List.copyOf(residents.active())) {
            if (++sequence.recoveries > sequence.request.maxRecoveries()) {
                fail(sequence, ErrorCode.LOST, message + ". Ask again.");
            }
        }
    }

    private void interrupt() {
        underWay.clear();
        residents.interrupt();
    }

    private void ready(Input.Ready ready, long nowNanos) {
        Epoch before = epoch;
        if (before != null && ready.epoch().compareTo(before) <= 0) {
            return;
        }
        interrupt();
        var fresh = new TreeSet<>(ready.fresh());
        if (ready.stages() != stages) {
            for (int stage = 0; stage < ready.stages(); stage++) {
                fresh.add(stage);
            }
        }
        epoch = ready.epoch();
        stages = ready.stages();
        batching.setStages(stages);
        load.reset(stages, fresh);
        residents.pool.setCapacity(ready.pages());
        takeOver(fresh, ready.copies());
        residents.shrink();
        state = ready.tried() ? State.RUNNING : State.TRYING;
        tellReleased(); // of earlier epochs: whoever is told now takes nothing of them any more
        if (ready.tried()) {
            news.add(new Effect.Proven(ready.epoch()));
            return;
        }
        var canary = new MicroBatch(
                nextNumber++,
                List.of(new Slice(CANARY, 0, 1, true)),
                List.of(),
                null,
                nowNanos,
                nowNanos + settings.stall().toNanos());
        underWay.put(canary.number, canary);
        framing.canary(canary, settings.canaryToken(), ready.epoch(), stages, effects);
    }

    /** What the stages that took over lack is sent to them once more, or computed again from the first token. */
    private void takeOver(SortedSet<Integer> fresh, Map<Integer, CopiedPages> copies) {
        List<Group> groups = Group.of(fresh);
        for (Sequence sequence : List.copyOf(residents.active())) {
            if (sequence.computed == 0) {
                continue;
            }
            for (int stage : fresh) {
                CopiedPages sent = copies.get(stage);
                sequence.copied(stage, sent == null ? 0 : sent.worthTaking(sequence.id(), cost));
            }
            sequence.refill(Group.join(sequence.refill, groups));
            if (fresh.size() == stages && sequence.fromCopies() == 0) {
                residents.recompute(sequence);
            }
        }
    }

    private void tick(long nowNanos) {
        Epoch now = epoch;
        if (state == State.DOWN) {
            if (nowNanos >= downUntilNanos) {
                String message = lost + ", and no machine took over within "
                        + settings.stall().toSeconds() + " s. Ask again.";
                for (Sequence sequence : List.copyOf(sequences.values())) {
                    fail(sequence, ErrorCode.LOST, message);
                }
            }
            return;
        }
        for (MicroBatch batch : underWay.values()) {
            if (nowNanos >= batch.deadlineNanos && now != null) {
                batch.deadlineNanos = Long.MAX_VALUE;
                long millis = (nowNanos - batch.sentNanos) / 1_000_000;
                news.add(new Effect.Trouble(now, "a step did not come back within " + millis + " ms"));
            }
        }
    }

    // ------------------------------------------------------------------------------------------ what is back

    private void done(Frame.TokensSampled result, long nowNanos) {
        MicroBatch batch = result.epoch().equals(epoch) ? underWay.remove(result.microBatch()) : null;
        if (batch == null) {
            return; // an older epoch's, or a repeated one
        }
        if (state == State.TRYING) {
            state = State.RUNNING;
            news.add(new Effect.Proven(result.epoch()));
            framing.release(List.of(CANARY), nextNumber, effects);
            return;
        }
        learn(batch, result, nowNanos);
        Map<Long, List<Frame.SampledToken>> sampled = new HashMap<>();
        for (Frame.SampledToken token : result.tokens()) {
            sampled.computeIfAbsent(token.session(), _ -> new ArrayList<>()).add(token);
        }
        for (int i = 0; i < batch.slices.size(); i++) {
            Sequence sequence = batch.sequences.get(i);
            Slice slice = batch.slices.get(i);
            sequence.inFlight--;
            if (batch.refill != null) {
                refilled(sequence, slice);
            } else {
                computed(sequence, slice, sampled.getOrDefault(slice.session(), List.of()));
            }
            isBack(sequence);
        }
    }

    /** One micro-batch fewer is under way with it. What went out behind a part that did not come back goes out once more. */
    private void isBack(Sequence sequence) {
        if (sequence.inFlight == 0) {
            sequence.dispatched = sequence.computed;
            sequence.refillDispatched = sequence.refilled;
        }
        residents.settle(sequence);
    }

    private void learn(MicroBatch batch, Frame.TokensSampled result, long nowNanos) {
        if (batch.refill != null || result.busyMicros().size() != stages) {
            return;
        }
        long sum = 0;
        long slowest = 0;
        for (int micros : result.busyMicros()) {
            sum += micros;
            slowest = Math.max(slowest, micros);
        }
        long between = (nowNanos - batch.sentNanos) / 1000 - sum;
        cost.learn(batch.tokens, slowest, between);
        if (batch.alone && batch.tokens == 1) {
            hops.add(between, stages + 1);
        }
        load.add(batch.tokens, result.busyMicros());
    }

    private void refilled(Sequence sequence, Slice slice) {
        if (sequence.isRefilled() || slice.firstPosition() != sequence.refilled) {
            return;
        }
        replayed += slice.tokenCount();
        takenUp += slice.copied() ? slice.firstPosition() : 0;
        sequence.refilled = slice.end();
        if (sequence.refilled >= sequence.computed) {
            sequence.refill(sequence.refill.subList(1, sequence.refill.size()));
        }
    }

    private void computed(Sequence sequence, Slice slice, List<Frame.SampledToken> tokens) {
        if (slice.firstPosition() != sequence.computed) {
            return; // behind a part that failed
        }
        if (slice.parent() != 0) {
            residents.detach(sequence);
        }
        if (sequence.over || !slice.sample()) {
            sequence.computed = slice.end() - slice.drafted().size();
            residents.computed(sequence);
            return;
        }
        int right = rightlyDrafted(sequence, slice, tokens);
        if (right < 0) {
            retry(sequence, ErrorCode.INTERNAL, "the last stage left out a token");
            return;
        }
        if (!slice.drafted().isEmpty()) {
            sequence.drafted(slice.drafted().size(), right);
        }
        for (int i = 0; i <= right && !sequence.over; i++) {
            sequence.computed = slice.end() - slice.drafted().size() + i;
            residents.computed(sequence);
            take(sequence, tokens.get(i));
        }
    }

    /** How many drafted tokens were what the last stage chose; -1 if the token behind them is missing. */
    private static int rightlyDrafted(Sequence sequence, Slice slice, List<Frame.SampledToken> tokens) {
        for (int i = 0; i < tokens.size(); i++) {
            if (tokens.get(i).position() != sequence.size() + i) {
                return -1;
            }
            if (i == slice.drafted().size()
                    || tokens.get(i).token() != slice.drafted().get(i)) {
                return i;
            }
        }
        return -1;
    }

    private void take(Sequence sequence, Frame.SampledToken sampled) {
        if (sequence.request.endTokens().contains(sampled.token())) {
            finish(sequence, Frame.StopReason.EOS);
            return;
        }
        sequence.add(sampled.token());
        sequence.samplingState = sampled.state();
        news.add(new Effect.Emit(
                sequence.id(), sampled.token(), sampled.logProbability(), sampled.top(), sampled.state()));
        if (sequence.generated() == sequence.request.maxTokens()) {
            finish(sequence, Frame.StopReason.LENGTH);
        }
    }

    private void failed(Frame.StageFailed failure) {
        Epoch now = epoch;
        if (now == null || !failure.epoch().equals(now) || state == State.DOWN) {
            return;
        }
        if (failure.code() == ErrorCode.LOST) {
            news.add(new Effect.Trouble(now, failure.message()));
            return;
        }
        MicroBatch batch = underWay.remove(failure.microBatch());
        if (batch == null) {
            return;
        }
        if (state == State.TRYING) {
            news.add(new Effect.Trouble(now, failure.message()));
            return;
        }
        Set<Long> named = Set.copyOf(failure.sessions());
        for (int i = 0; i < batch.slices.size(); i++) {
            Sequence sequence = batch.sequences.get(i);
            Slice slice = batch.slices.get(i);
            sequence.inFlight--;
            if (!sequence.over && named.contains(slice.session())) {
                switch (failure.code()) {
                    case NOT_FOUND, BUSY -> {
                        if (slice.copied()) {
                            sequence.withoutCopies(); // then all of what was logged
                        } else if (batch.refill != null) {
                            residents.recompute(sequence); // what was logged is gone: from the token ids, then
                        } else {
                            retry(sequence, failure.code(), failure.message());
                        }
                    }
                    default -> fail(sequence, failure.code(), failure.message());
                }
            }
            isBack(sequence);
        }
    }

    /** Once more from the first token, if it may. */
    private void retry(Sequence sequence, ErrorCode code, String message) {
        if (++sequence.recoveries > sequence.request.maxRecoveries()) {
            fail(sequence, code, message);
        } else {
            residents.recompute(sequence);
        }
    }

    // ------------------------------------------------------------------------------------------ what goes out

    private void schedule(long nowNanos) {
        Epoch now = epoch;
        if (now == null) {
            return;
        }
        refuseWhatNeverFits();
        residents.admit();
        tellReleased(); // before what was put back goes out anew
        int limit = batching.limit();
        while (underWay.size() < limit && batching.next(limit)) {
            dispatch(now, nowNanos);
        }
        tellReleased();
    }

    private void refuseWhatNeverFits() {
        for (Sequence next = residents.queue.peek(); next != null; next = residents.queue.peek()) {
            Request request = next.request;
            long positions = (long) request.promptSize() + request.maxTokens();
            long room = (long) residents.pool.capacity() * PagePool.PAGE_POSITIONS;
            if (positions <= room) {
                return;
            }
            fail(
                    next,
                    ErrorCode.CONTEXT,
                    "the request may take " + positions + " positions, the stages have room for " + room
                            + ". Ask for fewer tokens, or give the nodes more compute.memoryBytes");
        }
    }

    private void dispatch(Epoch now, long nowNanos) {
        Group group = batching.refill();
        List<Slice> slices = batching.slices();
        List<Sequence> chosen = batching.sequences();
        int tokens = slices.stream().mapToInt(Slice::tokenCount).sum();
        var batch = new MicroBatch(nextNumber++, slices, chosen, group, nowNanos, deadline(tokens, nowNanos));
        batch.alone = underWay.isEmpty();
        underWay.values().forEach(other -> other.alone = false);
        underWay.put(batch.number, batch);
        for (int i = 0; i < slices.size(); i++) {
            Sequence sequence = chosen.get(i);
            sequence.inFlight++;
            if (group != null) {
                sequence.refillDispatched = slices.get(i).end();
            } else {
                sequence.dispatched = slices.get(i).end();
                if (slices.get(i).sample() && !sequence.told) {
                    sequence.told = true;
                    framing.tell(sequence, now, effects);
                }
            }
        }
        framing.work(batch, now, stages, effects);
    }

    private long deadline(int tokens, long nowNanos) {
        if (!cost.isKnown()) {
            return nowNanos + settings.stall().toNanos();
        }
        double ahead = cost.micros(tokens) * (stages + underWay.size()) + cost.betweenMicros();
        return nowNanos + LEAST_PATIENCE_NANOS + (long) (PATIENCE * 1000 * ahead);
    }

    private void tellReleased() {
        framing.release(residents.takeReleased(), nextNumber, effects);
    }
}
