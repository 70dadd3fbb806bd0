package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.pipeline.Succession.Effect;
import shoal.codec.pipeline.Succession.Input;

final class SuccessionTest {
    private static final NodeId LEADER = id('5');
    private static final NodeId ELDER = id('1');
    private static final NodeId YOUNGER = id('9');

    private final Succession succession = new Succession(id('3'));
    private long now;

    private static NodeId id(char digit) {
        return new NodeId(Hash256.parse(String.valueOf(digit).repeat(64)));
    }

    private List<Effect> feed(Input input) {
        return List.copyOf(succession.handle(input, now));
    }

    private void follow() {
        assertEquals(List.of(new Effect.Look()), feed(new Input.Begin(false)));
        assertEquals(List.of(new Effect.Follow(LEADER)), feed(new Input.Works(LEADER, 4)));
    }

    @Test
    void worksAtOnceWhereItIsToldTo() {
        assertEquals(List.of(new Effect.Work(1)), feed(new Input.Begin(true)));
    }

    @Test
    void looksForAWhileBeforeItWorks() {
        feed(new Input.Begin(false));
        now = Succession.PATIENCE.toNanos() - 1;
        assertFalse(feed(new Input.Tick()).contains(new Effect.Work(1)));
        now++;
        assertTrue(feed(new Input.Tick()).contains(new Effect.Work(1)));
    }

    @Test
    void takesOverUnderTheNextTerm() {
        follow();
        feed(new Input.Broken());
        assertEquals(List.of(), feed(new Input.Lost(YOUNGER)));
        assertEquals(List.of(new Effect.Work(5)), feed(new Input.Lost(LEADER)));
    }

    @Test
    void leavesItToTheOneWithTheSmallestId() {
        follow();
        feed(new Input.StandsBy(YOUNGER));
        feed(new Input.StandsBy(ELDER));
        assertEquals(List.of(new Effect.Look()), feed(new Input.Lost(LEADER)));
        now += Duration.ofSeconds(1).toNanos();
        assertEquals(List.of(new Effect.Follow(ELDER)), feed(new Input.Works(ELDER, 5)));
    }

    @Test
    void looksAnewWhenTheOneThatItFollowsWorksNoMore() {
        follow();
        assertEquals(List.of(new Effect.Look()), feed(new Input.StandsBy(LEADER)));
    }

    @Test
    void worksWhenTheElderDoesNot() {
        follow();
        feed(new Input.StandsBy(ELDER));
        feed(new Input.Lost(LEADER));
        now += Succession.PATIENCE.toNanos();
        assertTrue(feed(new Input.Tick()).contains(new Effect.Work(5)));
    }

    @Test
    void restsWhenItIsOutranked() {
        feed(new Input.Begin(true));
        assertEquals(List.of(new Effect.Rest(), new Effect.Look()), feed(new Input.Outranked(7)));
        now += Succession.PATIENCE.toNanos();
        assertTrue(feed(new Input.Tick()).contains(new Effect.Work(8)), "whoever it was is gone");
    }

    @Test
    void ofTwoThatWorkUnderOneTermTheSmallerIdGoesOn() {
        feed(new Input.Begin(true));
        assertEquals(List.of(), feed(new Input.Works(YOUNGER, 1)));
        assertEquals(List.of(new Effect.Rest(), new Effect.Follow(ELDER)), feed(new Input.Works(ELDER, 1)));
    }
}
