package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.sim.SeedSource;

class ReplayLogTest {
    private static final int ROW = 6;

    /** The log says what an array would say that is written in the same way. */
    @ParameterizedTest
    @SeedSource(50)
    void keepsWhatWasWrittenLast(long seed) {
        var random = new Random(seed);
        var log = new ReplayLog(1 << 20);
        Map<Long, byte[]> expected = new HashMap<>();
        Map<Long, Integer> lengths = new HashMap<>();
        for (int step = 0; step < 300; step++) {
            long session = 1 + random.nextInt(3);
            int length = lengths.getOrDefault(session, 0);
            if (random.nextInt(20) == 0 && length >= 16) {
                long child = 1 + random.nextInt(3);
                if (child != session) {
                    int positions = length / 16 * 16;
                    log.fork(session, child, positions);
                    expected.put(child, expected.get(session).clone());
                    lengths.put(child, positions);
                }
                continue;
            }
            int first = random.nextInt(4) == 0 ? random.nextInt(length + 1) : length;
            byte[] rows = new byte[ROW * (1 + random.nextInt(40))];
            random.nextBytes(rows);
            log.write(session, first, rows.length / ROW, ROW, ByteBuffer.wrap(rows));
            byte[] all = expected.computeIfAbsent(session, _ -> new byte[ROW * 20_000]);
            System.arraycopy(rows, 0, all, first * ROW, rows.length);
            lengths.put(session, first + rows.length / ROW);
            for (Map.Entry<Long, Integer> known : lengths.entrySet()) {
                int end = known.getValue();
                assertTrue(log.holds(known.getKey(), 0, end), "seed " + seed);
                assertFalse(log.holds(known.getKey(), 0, end + 1), "seed " + seed);
                int from = random.nextInt(end + 1);
                var into = ByteBuffer.allocate(ROW * (end - from));
                log.read(known.getKey(), from, end - from, into);
                byte[] wanted = new byte[ROW * (end - from)];
                System.arraycopy(expected.get(known.getKey()), from * ROW, wanted, 0, wanted.length);
                assertArrayEquals(wanted, into.array(), "seed " + seed + ", step " + step);
            }
        }
        lengths.keySet().forEach(log::drop);
        assertEquals(0, log.sizeBytes());
    }

    @Test
    void whoWroteLongestAgoGoesFirst() {
        var log = new ReplayLog(3 * 16 * ROW);
        for (long session = 1; session <= 3; session++) {
            log.write(session, 0, 4, ROW, ByteBuffer.allocate(4 * ROW));
        }
        log.write(1, 4, 1, ROW, ByteBuffer.allocate(ROW));
        log.write(4, 0, 1, ROW, ByteBuffer.allocate(ROW));
        assertTrue(log.holds(1, 0, 5));
        assertFalse(log.holds(2, 0, 1));
        assertTrue(log.holds(3, 0, 4));
        log.write(2, 4, 1, ROW, ByteBuffer.allocate(ROW));
        assertFalse(log.holds(2, 4, 1), "without its beginning it is of no use");
        log.write(5, 0, 64, ROW, ByteBuffer.allocate(64 * ROW));
        assertEquals(0, log.sizeBytes(), "one that is larger than all keeps nothing");
        var none = new ReplayLog(0);
        none.write(1, 0, 1, ROW, ByteBuffer.allocate(ROW));
        assertFalse(none.holds(1, 0, 1));
    }

    /** A stage that took up copies has sent nothing of the positions before. */
    @Test
    void aSequenceMayBeginLater() {
        var log = new ReplayLog(1 << 20);
        byte[] rows = new byte[40 * ROW];
        new Random(1).nextBytes(rows);
        log.write(7, 30, 40, ROW, ByteBuffer.wrap(rows)); // positions 30..69, kept from 32 on
        assertFalse(log.holds(7, 30, 1));
        assertFalse(log.holds(7, 31, 5));
        assertTrue(log.holds(7, 32, 38));
        assertFalse(log.holds(7, 32, 39));
        log.write(7, 66, 1, ROW, ByteBuffer.wrap(rows, 0, ROW));
        assertTrue(log.holds(7, 32, 35));
        assertFalse(log.holds(7, 32, 36), "what was there behind is replaced");
        var into = ByteBuffer.allocate(3 * ROW);
        log.read(7, 64, 3, into);
        byte[] wanted = new byte[3 * ROW];
        System.arraycopy(rows, 34 * ROW, wanted, 0, 2 * ROW);
        System.arraycopy(rows, 0, wanted, 2 * ROW, ROW);
        assertArrayEquals(wanted, into.array());
        log.fork(7, 8, 48);
        assertTrue(log.holds(8, 32, 16));
        assertFalse(log.holds(8, 16, 16));
        log.write(7, 16, 1, ROW, ByteBuffer.wrap(rows, 0, ROW));
        assertTrue(log.holds(7, 16, 1), "begun anew before");
        assertFalse(log.holds(7, 32, 1));
        log.drop(7);
        log.drop(8);
        assertEquals(0, log.sizeBytes());
    }
}
