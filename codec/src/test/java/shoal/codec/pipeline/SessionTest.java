package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Epoch;
import shoal.codec.pipeline.Session.Effect;
import shoal.codec.pipeline.Session.Input;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.SamplingState;

class SessionTest {
    private static final int END = 2;

    @Test
    void thePromptGoesInMicroBatchesAndOnlyTheLastSamples() {
        var session = session(List.of(1, 10, 11, 12, 13), 3, 2);
        assertEquals(
                List.of(
                        new Effect.Send(new Frame.TokenBatch(7, Epoch.FIRST, 0, 0, false, List.of(1, 10))),
                        new Effect.Send(new Frame.TokenBatch(7, Epoch.FIRST, 1, 2, false, List.of(11, 12))),
                        new Effect.Send(new Frame.TokenBatch(7, Epoch.FIRST, 2, 4, true, List.of(13)))),
                session.handle(new Input.Start(), 0));
    }

    @Test
    void eachTokenIsEmittedOnceAndFedBackUntilTheLimit() {
        var session = session(List.of(1, 10), 2, 8);
        session.handle(new Input.Start(), 0);
        assertEquals(
                List.of(
                        new Effect.Emit(20, -1, List.of()),
                        new Effect.Send(new Frame.TokenBatch(7, Epoch.FIRST, 1, 2, true, List.of(20)))),
                session.handle(sampled(2, 20), 1));
        assertEquals(List.of(), session.handle(sampled(2, 20), 2), "a repeated token");
        assertEquals(
                List.of(new Effect.Emit(21, -1, List.of()), new Effect.Finish(Frame.StopReason.LENGTH)),
                session.handle(sampled(3, 21), 3));
        assertEquals(List.of(), session.handle(sampled(4, 22), 4), "after the end");
    }

    @Test
    void theEndTokenIsNotEmitted() {
        var session = session(List.of(1), 5, 8);
        session.handle(new Input.Start(), 0);
        assertEquals(List.of(new Effect.Finish(Frame.StopReason.EOS)), session.handle(sampled(1, END), 1));
    }

    @Test
    void aStageThatLooksBackIsToldThePrompt() {
        var session = new Session(7, Epoch.FIRST, List.of(1, 10, 11), 5, Set.of(END), 8, 2, Duration.ofSeconds(30), 1);
        assertEquals(
                List.of(
                        new Effect.Tell(new Frame.SequenceTokens(
                                7, Epoch.FIRST, 2, 0, 3, SamplingState.START, List.of(1, 10, 11))),
                        new Effect.Send(new Frame.TokenBatch(7, Epoch.FIRST, 0, 0, true, List.of(1, 10, 11)))),
                session.handle(new Input.Start(), 0));
    }

    @Test
    void whoHasEnoughGetsNoMore() {
        var session = session(List.of(1), 5, 8);
        session.handle(new Input.Start(), 0);
        session.handle(sampled(1, 20), 1);
        assertEquals(List.of(new Effect.Finish(Frame.StopReason.STOP)), session.handle(new Input.Enough(), 2));
        assertEquals(List.of(), session.handle(sampled(2, 21), 3));
        assertEquals(List.of(), session.handle(new Input.Enough(), 4));
    }

    @Test
    void anOlderEpochIsDropped() {
        var session = new Session(7, Epoch.FIRST.next(), List.of(1), 5, Set.of(END), 8, -1, Duration.ofSeconds(30), 1);
        session.handle(new Input.Start(), 0);
        assertEquals(List.of(), session.handle(sampled(1, 20), 1));
    }

    @Test
    void silenceIsAFailureAfterItsTime() {
        var session = session(List.of(1), 5, 8);
        session.handle(new Input.Start(), 100);
        long deadline = session.deadlineNanos();
        assertEquals(100 + Duration.ofSeconds(30).toNanos(), deadline);
        assertEquals(List.of(), session.handle(new Input.Tick(), deadline - 1));
        var effects = session.handle(new Input.Tick(), deadline);
        assertEquals(
                ErrorCode.LOST,
                assertInstanceOf(Effect.Fail.class, effects.getFirst()).code());
        assertEquals(Long.MAX_VALUE, session.deadlineNanos());
        assertTrue(session.handle(new Input.Cancel(), deadline + 1).isEmpty(), "it fails once");
    }

    @Test
    void aLostStageCostsNoTokenAndDoublesNone() {
        var session = session(List.of(1, 10), 3, 2);
        session.handle(new Input.Start(), 0);
        session.handle(sampled(2, 20), 1);
        assertEquals(List.of(), session.handle(new Input.Lost("node a is gone"), 2));
        assertEquals(List.of(), session.handle(sampled(3, 21), 3), "a token that was under way belongs to nobody");
        assertEquals(List.of(), session.handle(new Input.Resumed(Epoch.FIRST), 4), "the epoch must be newer");
        Epoch next = Epoch.FIRST.next();
        assertEquals(
                List.of(
                        new Effect.Send(new Frame.TokenBatch(7, next, 2, 0, false, List.of(1, 10))),
                        new Effect.Send(new Frame.TokenBatch(7, next, 3, 2, true, List.of(20)))),
                session.handle(new Input.Resumed(next), 5));
        assertEquals(List.of(), session.handle(sampled(3, 21), 6), "of the old epoch");
        assertEquals(
                List.of(
                        new Effect.Emit(21, -1, List.of()),
                        new Effect.Send(new Frame.TokenBatch(7, next, 4, 3, true, List.of(21)))),
                session.handle(
                        new Input.Sampled(new Frame.TokenSampled(7, next, 3, 21, -1, List.of(), SamplingState.START)),
                        7));
        var effects = session.handle(new Input.Lost("node b is gone"), 8);
        assertEquals(
                "node b is gone. Ask again.",
                assertInstanceOf(Effect.Fail.class, effects.getFirst()).message(),
                "more often than allowed");
    }

    @Test
    void whoWaitsForStagesInVainIsTold() {
        var session = session(List.of(1), 5, 8);
        session.handle(new Input.Lost("node a is gone"), 100);
        long deadline = session.deadlineNanos();
        assertEquals(List.of(), session.handle(new Input.Tick(), deadline - 1));
        var effects = session.handle(new Input.Tick(), deadline);
        assertEquals(
                "node a is gone, and no machine took over within 30 s. Ask again.",
                assertInstanceOf(Effect.Fail.class, effects.getFirst()).message());
    }

    private static Session session(List<Integer> prompt, int maxTokens, int chunk) {
        return new Session(7, Epoch.FIRST, prompt, maxTokens, Set.of(END), chunk, -1, Duration.ofSeconds(30), 1);
    }

    private static Input sampled(int position, int token) {
        return new Input.Sampled(
                new Frame.TokenSampled(7, Epoch.FIRST, position, token, -1, List.of(), SamplingState.START));
    }
}
