package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;

final class JournalTest {
    private static final NodeId ONE = new NodeId(Hash256.sha256("one".getBytes()));
    private static final NodeId TWO = new NodeId(Hash256.sha256("two".getBytes()));

    private final Journal journal = new Journal();

    @Test
    void aClientIsToldWhatAllFollowersHave() {
        journal.write(begun("a", 4));
        assertEquals(1, journal.heard(), "nobody follows");
        assertEquals(1, journal.followedBy(ONE).size());
        assertEquals(0, journal.heard());
        journal.heard(ONE, 1);
        journal.write(token("a"));
        journal.followedBy(TWO);
        journal.heard(TWO, 2);
        assertEquals(1, journal.heard());
        assertEquals(List.of(ONE), journal.behind(2));
        journal.heard(ONE, 1_000_000);
        assertEquals(2, journal.heard(), "nobody hears what was not written");
        journal.write(token("a"));
        journal.left(ONE);
        journal.left(TWO);
        assertEquals(3, journal.heard());
    }

    @Test
    void anotherOrderOfSumsIsNotLetInWhereAFollowerWasDropped() {
        journal.write(placed("x"));
        journal.write(begun("a", 4));
        journal.followedBy(ONE);
        assertEquals(List.of(), journal.left(ONE));
        journal.write(begun("unknown to it", 4));
        assertEquals(List.of(), journal.write(placed("x")));
        assertEquals(List.of("a"), journal.write(placed("y")));
    }

    @Test
    void aFollowerThatDidNotHearOfTheChangeEndsWhatItKnows() {
        journal.write(placed("x"));
        journal.write(begun("a", 4));
        journal.heard(ONE, journal.followedBy(ONE).size());
        assertEquals(List.of(), journal.write(placed("y")), "it is told, and what follows waits for it");
        assertEquals(List.of("a"), journal.left(ONE));
    }

    @Test
    void oneThatComesBackIsToldAll() {
        journal.write(placed("x"));
        journal.write(begun("a", 4));
        journal.followedBy(ONE);
        journal.left(ONE);
        assertEquals(2, journal.followedBy(ONE).size());
        assertEquals(List.of("a"), journal.write(placed("y")), "it may have taken over meanwhile");
        assertEquals(1, journal.followedBy(TWO).size(), "whoever did not see the change may not go on with it");
    }

    @Test
    void onlyTheSameBitsAreInherited() {
        journal.write(placed("x"));
        journal.write(begun("a", 4));
        Journal.Answer answer = journal.answers().getFirst();
        assertTrue(answer.mayGoOn(true));
        assertFalse(answer.mayGoOn(false));
        journal.write(placed("y"));
        assertFalse(answer.mayGoOn(true), "it has bits of two orders");
        journal.write(new Frame.JournalEnded("a", true, Frame.StopReason.EOS));
        assertTrue(answer.mayGoOn(false), "nothing is computed any more");
    }

    @Test
    void anInheritedAnswerMayStillBeToldByTheOneBefore() {
        journal.write(placed("x"));
        journal.write(begun("a", 4));
        journal.inherit();
        journal.write(begun("of its own", 4));
        assertEquals(List.of("a"), journal.write(placed("y")));
    }

    @Test
    void holdsNoMoreThanItMay() {
        journal.write(begun("a", 1));
        journal.write(token("a"));
        assertThrows(MalformedException.class, () -> journal.write(token("a")));
        assertThrows(MalformedException.class, () -> journal.write(new Frame.Ping()));
        journal.write(token("of nobody"));
        for (int i = 1; i < Journal.MAX_ANSWERS; i++) {
            journal.write(begun("answer" + i, 1));
        }
        assertFalse(journal.hasRoom(1, 1));
        assertThrows(MalformedException.class, () -> journal.write(begun("one more", 1)));
        journal.write(new Frame.JournalEnded("a", false, Frame.StopReason.STOP));
        assertTrue(journal.hasRoom(1, 1));
        assertFalse(journal.hasRoom((int) Journal.MAX_TOKENS, 1));
    }

    @Test
    void keepsSoManyThatAreWhole() {
        for (int i = 0; i <= Journal.MAX_WHOLE; i++) {
            journal.write(begun("answer" + i, 1));
            journal.write(new Frame.JournalEnded("answer" + i, true, Frame.StopReason.STOP));
        }
        assertFalse(journal.has("answer0"));
        assertEquals(Journal.MAX_WHOLE, journal.answers().size());
    }

    private static Frame placed(String order) {
        return new Frame.JournalPlaced(order, List.of(new Frame.StageEntry(ONE, new LayerRange(0, 1))));
    }

    private static Frame begun(String id, int maxTokens) {
        return new Frame.JournalBegun(
                id, "", "", Collections.nCopies(3, 1), maxTokens, Sampling.GREEDY, List.of(), false);
    }

    private static Frame token(String id) {
        return new Frame.JournalToken(id, 1, 0, List.of(), SamplingState.START);
    }
}
