package shoal.codec.swarm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import shoal.codec.swarm.Download.Effect;
import shoal.codec.swarm.Download.Input;

class DownloadTest {
    private static final PeerKey A = new PeerKey(1);
    private static final PeerKey B = new PeerKey(2);
    private static final long SECOND = 1_000_000_000L;

    private static Download download(int pieces) {
        return new Download(
                new Download.Shape(pieces * 65_536L, 65_536),
                Bitfield.all(pieces),
                Bitfield.none(pieces),
                Download.Settings.DEFAULT,
                new Random(1));
    }

    private static List<Effect> feed(Download download, Input input, long now) {
        return List.copyOf(download.handle(input, now));
    }

    private static <T> List<T> only(Class<T> type, List<Effect> effects) {
        return effects.stream().filter(type::isInstance).map(type::cast).toList();
    }

    @Test
    void hasNothingToDoWhenAllIsThere() {
        Download download = new Download(
                new Download.Shape(100, 16_384),
                Bitfield.all(1),
                Bitfield.all(1),
                Download.Settings.DEFAULT,
                new Random(1));
        assertEquals(
                1,
                only(Effect.Finished.class, feed(download, new Input.Tick(), 0)).size());
        assertTrue(download.isOver());
        assertEquals(Long.MAX_VALUE, download.deadlineNanos());
    }

    @Test
    void asksAheadForFourPiecesAtFirst() {
        List<Effect> effects = feed(download(100), new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(100)), 0);
        assertEquals(
                16,
                only(Effect.Request.class, effects).stream()
                        .mapToInt(Effect.Request::blockCount)
                        .sum());
    }

    @Test
    void splitsALargePieceIntoRequests() {
        Download download = new Download(
                new Download.Shape(12L << 20, 8 << 20),
                Bitfield.all(2),
                Bitfield.none(2),
                Download.Settings.DEFAULT,
                new Random(1));
        List<Effect> effects = feed(
                download,
                new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(2).without(1)),
                0);
        assertEquals(
                List.of(new Effect.Request(A, 0, 256), new Effect.Request(A, 256, 256)),
                only(Effect.Request.class, effects));
    }

    @Test
    void bansWhoSentAWrongPieceAndAsksSomebodyElse() {
        Download download = download(1);
        feed(download, new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(1)), 0);
        feed(download, new Input.PeerJoined(B, SourceClass.PEER, Bitfield.all(1)), 0);
        assertEquals(
                List.of(new Effect.Verify(A, 0)),
                only(Effect.Verify.class, feed(download, new Input.BlocksArrived(A, 0, 4), 1000)));
        List<Effect> effects = feed(download, new Input.PieceRefused(A, 0), 2000);
        assertEquals(List.of(new Effect.Request(B, 0, 4)), only(Effect.Request.class, effects));
        Effect.Ban ban = only(Effect.Ban.class, effects).getFirst();
        assertEquals(new Effect.Ban(A, Download.BanReason.BAD_DATA, 2000 + 60 * SECOND), ban);
        feed(download, new Input.PeerLeft(B), 3000);
        List<Effect> back = feed(download, new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(1)), 10 * SECOND);
        assertEquals(List.of(), only(Effect.Request.class, back));
        List<Effect> later = feed(download, new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(1)), 61 * SECOND);
        assertEquals(1, only(Effect.Request.class, later).size());
    }

    @Test
    void asksSomebodyElseWhenNothingComes() {
        Download download = download(1);
        feed(download, new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(1)), 0);
        feed(download, new Input.PeerJoined(B, SourceClass.PEER, Bitfield.all(1)), 0);
        long now = 0;
        while (now < 10 * SECOND) {
            now = download.deadlineNanos();
            List<Effect> effects = feed(download, new Input.Tick(), now);
            if (!only(Effect.Request.class, effects).isEmpty()) {
                assertEquals(List.of(new Effect.Request(B, 0, 4)), only(Effect.Request.class, effects));
                return;
            }
        }
        throw new AssertionError("nobody else was asked within 10 s");
    }

    @Test
    void takesNoNonsenseFromOutside() {
        Download download = download(4);
        feed(download, new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(4)), 0);
        feed(download, new Input.PeerJoined(B, SourceClass.PEER, Bitfield.all(5)), 0); // of another file
        feed(download, new Input.PeerHas(A, -1, 2), 0);
        feed(download, new Input.PeerHas(A, 3, Integer.MAX_VALUE), 0);
        feed(download, new Input.RequestRefused(A, Long.MAX_VALUE, 1, true), 0);
        feed(download, new Input.PieceVerified(A, 2), 0);
        feed(download, new Input.PieceVerified(B, 99), 0);
        feed(download, new Input.Prioritise(3, 9), 0);
        assertEquals("....", download.verified().picture());
        List<Effect> effects = feed(download, new Input.BlocksArrived(A, Long.MAX_VALUE - 1, 2), 0);
        assertEquals(
                Download.BanReason.UNASKED_DATA,
                only(Effect.Ban.class, effects).getFirst().reason());
    }

    @Test
    void asksAgainWhoWasBusyButNotWhoHasItNoLonger() {
        Download download = download(1);
        feed(download, new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(1)), 0);
        assertEquals(
                List.of(), only(Effect.Request.class, feed(download, new Input.RequestRefused(A, 0, 4, false), 1000)));
        long again = download.deadlineNanos();
        assertEquals(1000 + SECOND, again);
        assertEquals(
                1,
                only(Effect.Request.class, feed(download, new Input.Tick(), again))
                        .size());
        List<Effect> gone = feed(download, new Input.RequestRefused(A, 0, 4, true), again + 1);
        assertEquals(
                "#", only(Effect.NeedPeers.class, gone).getFirst().missing().picture());
        assertTrue(only(Effect.Request.class, feed(download, new Input.Tick(), again + 20 * SECOND))
                .isEmpty());
    }

    @Test
    void staysBelowItsMemory() {
        Download.Settings small = new Download.Settings(
                64, 1 << 30, 10 * 65_536, 0, SECOND, SECOND, SECOND, SECOND, RateLimit.UNLIMITED, 8);
        Download download = new Download(
                new Download.Shape(100 * 65_536L, 65_536), Bitfield.all(100), Bitfield.none(100), small, new Random(1));
        List<Effect> effects = feed(download, new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(100)), 0);
        assertEquals(
                40,
                only(Effect.Request.class, effects).stream()
                        .mapToInt(Effect.Request::blockCount)
                        .sum());
        Effect.Request first = only(Effect.Request.class, effects).getFirst();
        List<Effect> arrived = feed(download, new Input.BlocksArrived(A, first.firstBlock(), 4), 1000);
        assertEquals(1, only(Effect.Verify.class, arrived).size());
        assertEquals(List.of(), only(Effect.Request.class, arrived)); // a piece that is being hashed takes memory, too
        int piece = only(Effect.Verify.class, arrived).getFirst().piece();
        feed(download, new Input.PieceVerified(A, piece), 2000);
        assertTrue(download.verified().get(piece));
    }

    @Test
    void endsWithTheCauseWhenTheDiskFails() {
        Download download = download(2);
        feed(download, new Input.PeerJoined(A, SourceClass.PEER, Bitfield.all(2)), 0);
        List<Effect> effects = feed(download, new Input.StorageFailed("no space left"), 1);
        assertEquals(
                "no space left", only(Effect.Failed.class, effects).getFirst().cause());
        assertFalse(only(Effect.CancelRequest.class, effects).isEmpty());
        assertEquals(List.of(), feed(download, new Input.BlocksArrived(A, 0, 4), 2));
    }
}
