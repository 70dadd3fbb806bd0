package shoal.codec.swarm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.sim.SeedSource;

class UploadSchedulerTest {
    private static final long SECOND = 1_000_000_000L;
    private static final UploadScheduler.Settings SETTINGS = UploadScheduler.Settings.DEFAULT;

    private static List<UploadScheduler.Effect> feed(UploadScheduler uploads, UploadScheduler.Input input, long now) {
        return List.copyOf(uploads.handle(input, now));
    }

    /** Sends everything at once, always: the bytes in any time from the start are those of the rate, give or take one burst. */
    @ParameterizedTest
    @SeedSource(20)
    void keepsTheRateExactly(long seed) {
        Random random = new Random(seed);
        long rate = 1000 + random.nextInt(10_000_000);
        UploadScheduler uploads = new UploadScheduler(SETTINGS.withBytesPerSecond(rate));
        long total = 0;
        long now = 0;
        int last = 0;
        Map<Long, Long> sizes = new HashMap<>();
        for (long id = 0; id < 500; id++) {
            long bytes = 1 + random.nextInt(262_144);
            sizes.put(id, bytes);
            PeerKey peer = new PeerKey(id % 3);
            List<UploadScheduler.Effect> effects =
                    feed(uploads, new UploadScheduler.Input.Requested(peer, id, bytes), now);
            while (true) {
                for (UploadScheduler.Effect effect : effects) {
                    UploadScheduler.Effect.Send send = (UploadScheduler.Effect.Send) effect;
                    double allowed = rate * (now / 1e9);
                    assertTrue(total <= allowed + 1, "sent " + total + " of " + allowed + ", seed " + seed);
                    total += sizes.get(send.request());
                    last = sizes.get(send.request()).intValue();
                    feed(uploads, new UploadScheduler.Input.Sent(send.peer(), send.request()), now);
                }
                if (uploads.queued() == 0) {
                    break;
                }
                now = uploads.deadlineNanos(); // the next request comes only when this is sent: no pause
                effects = feed(uploads, new UploadScheduler.Input.Tick(), now);
            }
        }
        assertEquals(total - last, rate * (now / 1e9), total * 1e-9 + 1, "seed " + seed);
    }

    @Test
    void forgivesOnlyABurstAfterAPause() {
        UploadScheduler uploads = new UploadScheduler(SETTINGS.withBytesPerSecond(64 * 1024));
        PeerKey peer = new PeerKey(1);
        feed(uploads, new UploadScheduler.Input.Tick(), 0);
        int sent = 0;
        for (long id = 0; id < 10; id++) {
            sent += feed(uploads, new UploadScheduler.Input.Requested(peer, id, 16 * 1024), 100 * SECOND)
                    .size();
        }
        assertEquals(5, sent); // 64 KiB forgiven, and one that goes into debt
        assertEquals(100 * SECOND + SECOND / 4, uploads.deadlineNanos());
    }

    @Test
    void givesEachRequesterTheSameShareHoweverMuchItAsks() {
        UploadScheduler uploads = new UploadScheduler(SETTINGS.withBytesPerSecond(1 << 20));
        long[] sizes = {16 * 1024, 64 * 1024, 256 * 1024};
        long[] sent = new long[3];
        long id = 0;
        List<UploadScheduler.Effect> effects = new ArrayList<>();
        for (int peer = 0; peer < 3; peer++) {
            for (int i = 0; i < 40 / (1 + peer * peer); i++) {
                effects.addAll(feed(
                        uploads,
                        new UploadScheduler.Input.Requested(new PeerKey(peer), id++ * 3 + peer, sizes[peer]),
                        0));
            }
        }
        long now = 0;
        while (now < 60 * SECOND) {
            for (UploadScheduler.Effect effect : effects) {
                UploadScheduler.Effect.Send send = (UploadScheduler.Effect.Send) effect;
                int peer = (int) send.peer().value();
                sent[peer] += sizes[peer];
                feed(uploads, new UploadScheduler.Input.Sent(send.peer(), send.request()), now);
                feed(uploads, new UploadScheduler.Input.Requested(send.peer(), id++ * 3 + peer, sizes[peer]), now);
            }
            now = uploads.deadlineNanos();
            effects = feed(uploads, new UploadScheduler.Input.Tick(), now);
        }
        for (long bytes : sent) {
            assertEquals(20 << 20, bytes, 512 * 1024, List.of(sent[0], sent[1], sent[2])::toString);
        }
    }

    @Test
    void refusesWhatDoesNotFitAndForgetsWhoLeft() {
        UploadScheduler uploads = new UploadScheduler(
                new UploadScheduler.Settings(1000, RateLimit.UNLIMITED, 0, 3, 1 << 20, 1 << 20, 1 << 20, 2, 8, SECOND));
        PeerKey peer = new PeerKey(1);
        List<String> results = new ArrayList<>();
        for (long id = 0; id < 6; id++) {
            feed(uploads, new UploadScheduler.Input.Requested(peer, id, 1000), 0)
                    .forEach(effect -> results.add(effect.getClass().getSimpleName()));
        }
        assertEquals(List.of("Send", "Refuse", "Refuse"), results);
        feed(uploads, new UploadScheduler.Input.Withdrawn(peer, 2), 0);
        assertEquals(2, uploads.queued());
        feed(uploads, new UploadScheduler.Input.PeerLeft(peer), 0);
        assertEquals(0, uploads.queued());
        assertEquals(List.of(), feed(uploads, new UploadScheduler.Input.Tick(), SECOND));
        assertEquals(Long.MAX_VALUE, uploads.deadlineNanos());
        feed(uploads, new UploadScheduler.Input.Requested(new PeerKey(2), 7, 10), SECOND);
        feed(uploads, new UploadScheduler.Input.Requested(new PeerKey(3), 8, 10), SECOND);
        assertEquals(
                List.of(new UploadScheduler.Effect.Refuse(new PeerKey(4), 9)),
                feed(uploads, new UploadScheduler.Input.Requested(new PeerKey(4), 9, 10), SECOND));
    }

    @Test
    void readsNoMoreAheadThanTheTransportTakes() {
        UploadScheduler uploads = new UploadScheduler(new UploadScheduler.Settings(
                RateLimit.UNLIMITED, RateLimit.UNLIMITED, 0, 100, 1 << 20, 250, 150, 10, 8, SECOND));
        int sent = 0;
        for (long id = 0; id < 9; id++) {
            PeerKey peer = new PeerKey(id % 3);
            sent += feed(uploads, new UploadScheduler.Input.Requested(peer, id, 100), 0)
                    .size();
        }
        assertEquals(2, sent);
        assertEquals(
                List.of(new UploadScheduler.Effect.Send(new PeerKey(2), 2)),
                feed(uploads, new UploadScheduler.Input.Sent(new PeerKey(0), 0), 0));
    }

    /** What the transport has can't be withdrawn: a slow one gets half a second's worth, and no less than 1 MiB. */
    @Test
    void aSlowTransportIsNotGivenMoreThanItTakesInAShortWhile() {
        long part = 256 * 1024;
        for (long millis : new long[] {256, 1}) { // 1 MB/s, 256 MB/s
            UploadScheduler uploads = new UploadScheduler(UploadScheduler.Settings.DEFAULT);
            var sending = new ArrayDeque<Long>();
            long now = 0;
            for (long request = 0; request < 200; request++) {
                take(uploads.handle(new UploadScheduler.Input.Requested(new PeerKey(1), request, part), now), sending);
            }
            for (int sent = 0; sent < 100; sent++) {
                now += millis * 1_000_000;
                take(uploads.handle(new UploadScheduler.Input.Sent(new PeerKey(1), sending.remove()), now), sending);
            }
            assertEquals(millis == 256 ? 4 : 64, sending.size(), "parts on their way, one each " + millis + " ms");
        }
    }

    private static void take(List<UploadScheduler.Effect> effects, Queue<Long> sending) {
        for (UploadScheduler.Effect effect : effects) {
            if (effect instanceof UploadScheduler.Effect.Send(PeerKey _, long request)) {
                sending.add(request);
            }
        }
    }

    @Test
    void eachPeerHasALimitOfItsOwn() {
        UploadScheduler uploads = new UploadScheduler(new UploadScheduler.Settings(
                RateLimit.UNLIMITED, 1000, 0, 100, 1 << 20, 1 << 20, 1 << 20, 10, 8, SECOND));
        PeerKey one = new PeerKey(1);
        PeerKey two = new PeerKey(2);
        assertEquals(
                1,
                feed(uploads, new UploadScheduler.Input.Requested(one, 1, 500), 0)
                        .size());
        feed(uploads, new UploadScheduler.Input.Sent(one, 1), 0);
        assertEquals(
                0,
                feed(uploads, new UploadScheduler.Input.Requested(one, 2, 500), 0)
                        .size());
        assertEquals(
                1,
                feed(uploads, new UploadScheduler.Input.Requested(two, 3, 500), 0)
                        .size());
        assertEquals(SECOND / 2, uploads.deadlineNanos());
        assertEquals(
                List.of(new UploadScheduler.Effect.Send(one, 2)),
                feed(uploads, new UploadScheduler.Input.Tick(), SECOND / 2));
    }

    @Test
    void slotsGoRoundWhenMoreWantOneThanThereAre() {
        UploadScheduler uploads = new UploadScheduler(new UploadScheduler.Settings(
                RateLimit.UNLIMITED, RateLimit.UNLIMITED, 0, 100, 1 << 20, 1 << 20, 100, 10, 2, SECOND));
        for (int peer = 0; peer < 3; peer++) {
            for (int i = 0; i < 2; i++) {
                List<UploadScheduler.Effect> sent = feed(
                        uploads, new UploadScheduler.Input.Requested(new PeerKey(peer), 10L * peer + i, 100), peer);
                assertEquals(peer < 2 && i == 0 ? 1 : 0, sent.size(), "peer " + peer + ", request " + i);
            }
        }
        assertEquals(SECOND, uploads.deadlineNanos());
        assertEquals( // the third takes the place of the first, who has been served longest
                List.of(new UploadScheduler.Effect.Send(new PeerKey(2), 20)),
                feed(uploads, new UploadScheduler.Input.Tick(), SECOND));
        assertEquals( // and gets that of the second, whose time is over too
                List.of(new UploadScheduler.Effect.Send(new PeerKey(0), 1)),
                feed(uploads, new UploadScheduler.Input.Sent(new PeerKey(0), 0), SECOND + 1));
    }

    @Test
    void aFreeSlotIsTakenAtOnce() {
        UploadScheduler uploads = new UploadScheduler(new UploadScheduler.Settings(
                RateLimit.UNLIMITED, RateLimit.UNLIMITED, 0, 100, 1 << 20, 1 << 20, 100, 10, 1, SECOND));
        feed(uploads, new UploadScheduler.Input.Requested(new PeerKey(1), 1, 100), 0);
        assertEquals(
                0,
                feed(uploads, new UploadScheduler.Input.Requested(new PeerKey(2), 2, 100), 1)
                        .size());
        assertEquals(
                List.of(new UploadScheduler.Effect.Send(new PeerKey(2), 2)),
                feed(uploads, new UploadScheduler.Input.Sent(new PeerKey(1), 1), 2));
    }
}
