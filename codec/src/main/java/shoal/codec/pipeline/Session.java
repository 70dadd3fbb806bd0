package shoal.codec.pipeline;

import static shoal.codec.base.Bounds.requireRange;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import shoal.codec.base.Epoch;
import shoal.codec.base.Machine;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.TokenLogprob;

/**
 * One generation, as the coordinator sees it. The prompt goes to the first stage in micro-batches, so that stages overlap; the
 * last stage's token comes straight back and is the next input. The token ids kept here are the truth about the sequence: when a
 * stage is lost, they are sent once more through the stages that take over, and the generation goes on where it stood.
 */
public final class Session implements Machine<Session.Input, Session.Effect> {
    /** What can happen. */
    public sealed interface Input {
        /** The stages are ready. */
        record Start() implements Input {}

        record Sampled(Frame.TokenSampled token) implements Input {}

        /** A stage failed in a way that no other machine would mend. */
        record Failed(ErrorCode code, String message) implements Input {}

        /** A stage, or the way to it, is gone. */
        record Lost(String message) implements Input {}

        /** Stages are ready again, under a newer epoch, and know nothing of the sequence. */
        record Resumed(Epoch epoch) implements Input {}

        /** Whoever asked has what they want: a stop text came. */
        record Enough() implements Input {}

        /** Whoever asked is gone. */
        record Cancel() implements Input {}

        record Tick() implements Input {}
    }

    /** What the session wants. */
    public sealed interface Effect {
        /** To the first stage. */
        record Send(Frame.TokenBatch batch) implements Effect {}

        /** To the last stage, which looks back at tokens when it samples. */
        record Tell(Frame.SequenceTokens tokens) implements Effect {}

        /** One more token for whoever asked. */
        record Emit(int token, float logProbability, List<TokenLogprob> top) implements Effect {}

        /** The generation is over; the stages may drop the sequence. */
        record Finish(Frame.StopReason reason) implements Effect {}

        /** The generation can't go on; the stages may drop the sequence. */
        record Fail(ErrorCode code, String message) implements Effect {}
    }

    private enum State {
        WAITING,
        RUNNING,
        SUSPENDED,
        OVER
    }

    private final long id;
    private Epoch epoch;
    private final List<Integer> tokens;
    private final int promptSize;
    private final int maxTokens;
    private final Set<Integer> endTokens;
    private final int chunk;
    private final int lookingBack;
    private final long stallNanos;
    private final int maxRecoveries;
    private final List<Effect> effects = new ArrayList<>();
    private State state = State.WAITING;
    private int microBatch;
    private SamplingState samplingState = SamplingState.START;
    private int recoveries;
    private String lost = "";
    private long deadlineNanos = Long.MAX_VALUE;

    /**
     * @param prompt token ids, at least one
     * @param maxTokens how many may be generated
     * @param endTokens ids that end the generation; they are not emitted
     * @param chunk tokens in one micro-batch of the prompt
     * @param lookingBack index of the last stage, if its sampling needs to know the tokens before; else -1
     * @param stall how long a token may take, and how long others may take to stand in for a lost stage
     * @param maxRecoveries how often stages may be lost
     */
    public Session(
            long id,
            Epoch epoch,
            List<Integer> prompt,
            int maxTokens,
            Set<Integer> endTokens,
            int chunk,
            int lookingBack,
            Duration stall,
            int maxRecoveries) {
        requireRange("prompt tokens", prompt.size(), 1, Frame.Activation.MAX_POSITION);
        requireRange("max tokens", maxTokens, 1, Frame.Generate.MAX_TOKENS);
        requireRange("chunk", chunk, 1, Frame.TokenBatch.MAX_TOKENS);
        this.id = id;
        this.epoch = epoch;
        this.tokens = new ArrayList<>(prompt);
        this.promptSize = prompt.size();
        this.maxTokens = maxTokens;
        this.endTokens = Set.copyOf(endTokens);
        this.chunk = chunk;
        this.lookingBack = lookingBack;
        this.stallNanos = stall.toNanos();
        this.maxRecoveries = maxRecoveries;
    }

    public long id() {
        return id;
    }

    @Override
    public List<Effect> handle(Input input, long nowNanos) {
        effects.clear();
        switch (input) {
            case Input.Start() -> start(nowNanos);
            case Input.Sampled(Frame.TokenSampled token) -> sampled(token, nowNanos);
            case Input.Failed(ErrorCode code, String message) -> fail(code, message);
            case Input.Lost(String message) -> lost(message, nowNanos);
            case Input.Resumed(Epoch newer) -> resumed(newer, nowNanos);
            case Input.Enough() -> {
                if (state == State.RUNNING) {
                    state = State.OVER;
                    effects.add(new Effect.Finish(Frame.StopReason.STOP));
                }
            }
            case Input.Cancel() -> fail(ErrorCode.CANCELLED, ErrorCode.CANCELLED.sentence());
            case Input.Tick() -> {
                if (nowNanos < deadlineNanos) {
                    return effects;
                }
                long seconds = Duration.ofNanos(stallNanos).toSeconds();
                if (state == State.RUNNING) {
                    fail(
                            ErrorCode.LOST,
                            "No token came back within " + seconds + " s; a stage may be gone. Ask again.");
                } else if (state == State.SUSPENDED) {
                    fail(ErrorCode.LOST, lost + ", and no machine took over within " + seconds + " s. Ask again.");
                }
            }
        }
        return effects;
    }

    @Override
    public long deadlineNanos() {
        return state == State.RUNNING || state == State.SUSPENDED ? deadlineNanos : Long.MAX_VALUE;
    }

    private void start(long nowNanos) {
        if (state != State.WAITING) {
            return;
        }
        sendAll(nowNanos);
    }

    /** All tokens in micro-batches; behind the last one a token is to be sampled. */
    private void sendAll(long nowNanos) {
        state = State.RUNNING;
        int size = tokens.size();
        if (lookingBack >= 0) {
            for (int from = 0; from < size; from += Frame.TokenBatch.MAX_TOKENS) {
                int to = Math.min(size, from + Frame.TokenBatch.MAX_TOKENS);
                effects.add(new Effect.Tell(new Frame.SequenceTokens(
                        id, epoch, lookingBack, from, promptSize, samplingState, tokens.subList(from, to))));
            }
        }
        for (int from = 0; from < size; from += chunk) {
            int to = Math.min(size, from + chunk);
            send(from, to, to == size);
        }
        deadlineNanos = nowNanos + stallNanos;
    }

    private void lost(String message, long nowNanos) {
        if (state == State.OVER || state == State.SUSPENDED) {
            return;
        }
        if (recoveries == maxRecoveries) {
            fail(ErrorCode.LOST, message + ". Ask again.");
            return;
        }
        recoveries++;
        lost = message;
        state = State.SUSPENDED;
        deadlineNanos = nowNanos + stallNanos;
    }

    private void resumed(Epoch newer, long nowNanos) {
        if (state == State.SUSPENDED && newer.compareTo(epoch) > 0) {
            epoch = newer;
            sendAll(nowNanos);
        }
    }

    private void send(int from, int to, boolean sample) {
        var part = List.copyOf(tokens.subList(from, to));
        effects.add(new Effect.Send(new Frame.TokenBatch(id, epoch, microBatch++, from, sample, part)));
    }

    private void sampled(Frame.TokenSampled sampled, long nowNanos) {
        boolean isNext = sampled.epoch().equals(epoch) && sampled.position() == tokens.size();
        if (state != State.RUNNING || sampled.session() != id || !isNext) {
            return; // an older epoch's, or a repeated one
        }
        if (endTokens.contains(sampled.token())) {
            state = State.OVER;
            effects.add(new Effect.Finish(Frame.StopReason.EOS));
            return;
        }
        tokens.add(sampled.token());
        samplingState = sampled.state();
        effects.add(new Effect.Emit(sampled.token(), sampled.logProbability(), sampled.top()));
        if (tokens.size() - promptSize == maxTokens) {
            state = State.OVER;
            effects.add(new Effect.Finish(Frame.StopReason.LENGTH));
            return;
        }
        send(tokens.size() - 1, tokens.size(), true);
        deadlineNanos = nowNanos + stallNanos;
    }

    private void fail(ErrorCode code, String message) {
        if (state != State.OVER) {
            state = State.OVER;
            effects.add(new Effect.Fail(code, message));
        }
    }
}
