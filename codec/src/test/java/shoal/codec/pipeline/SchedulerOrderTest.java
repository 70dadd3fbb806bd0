package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Epoch;
import shoal.codec.pipeline.Scheduler.Effect;
import shoal.codec.pipeline.Scheduler.Input;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;

/** What is on its way first, and what is noted of the way. */
class SchedulerOrderTest {
    private static final long PIPELINE = 7;
    private static final long SESSION = 5;
    private static final List<Integer> PROMPT = List.of(11, 12, 13);

    private final Scheduler scheduler = new Scheduler(
            PIPELINE, new Scheduler.Settings(1, 4, 4, 0, Duration.ofSeconds(60)), (tokens, most) -> new int[0]);
    private long nowNanos;

    private List<Effect> feed(Input input, long micros) {
        nowNanos += micros * 1000;
        return List.copyOf(scheduler.handle(input, nowNanos));
    }

    private static int number(List<Effect> effects) {
        return effects.stream()
                .filter(effect -> effect instanceof Effect.Send(Frame.TokenBatch _))
                .map(effect -> (Frame.TokenBatch) ((Effect.Send) effect).frame())
                .findFirst()
                .orElseThrow()
                .head()
                .number();
    }

    private List<Effect> back(List<Effect> sent, int position, long micros) {
        var token = new Frame.SampledToken(SESSION, position, 20, 0, List.of(), SamplingState.START);
        return feed(
                new Input.Done(new Frame.TokensSampled(
                        PIPELINE,
                        Epoch.FIRST,
                        number(sent),
                        List.of(100, 200),
                        position == 0 ? List.of() : List.of(token))),
                micros);
    }

    @Test
    void theNextStepGoesOutBeforeTheTokenIsTold() {
        feed(
                new Input.Submit(new Scheduler.Request(
                        SESSION, PROMPT, PROMPT.size(), SamplingState.START, 3, Set.of(), Sampling.GREEDY, 0, "user")),
                0);
        List<Effect> canary = feed(new Input.Ready(Epoch.FIRST, 2, 100, Set.of(0, 1), Map.of(), false), 0);
        List<Effect> prompt = back(canary, 0, 50_000);
        List<Effect> second = back(prompt, PROMPT.size(), 40_000);
        assertInstanceOf(Effect.Send.class, second.getFirst());
        assertInstanceOf(Effect.Emit.class, second.getLast());
        assertEquals(0, scheduler.hops().seen(), "neither the canary nor the prompt is a token of an answer");
        List<Effect> third = back(second, PROMPT.size() + 1, 3_300);
        assertEquals(1, scheduler.hops().seen());
        assertEquals(1_000, scheduler.hops().micros(0.5), "3,300 less 300 of computing, over three ways");
        List<Effect> last = back(third, PROMPT.size() + 2, 900);
        assertEquals(2, scheduler.hops().seen());
        assertEquals(200, scheduler.hops().micros(0.5));
        assertInstanceOf(Effect.Finish.class, last.getLast());
    }
}
