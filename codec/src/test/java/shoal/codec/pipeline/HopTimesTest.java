package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Random;
import org.junit.jupiter.api.Test;

class HopTimesTest {
    @Test
    void nothingIsKnownAtFirst() {
        assertEquals(0, new HopTimes().micros(0.5));
        assertEquals(0, new HopTimes().seen());
    }

    @Test
    void partsOfTheLatestTokensByNearestRank() {
        var hops = new HopTimes();
        for (int i = 0; i < 5000; i++) {
            hops.add(1_000_000, 3); // long ago
        }
        var order = new ArrayList<Integer>();
        for (int i = 1; i <= 512; i++) {
            order.add(i);
        }
        Collections.shuffle(order, new Random(1));
        order.forEach(micros -> hops.add(3L * micros, 3));
        assertEquals(5512, hops.seen());
        assertEquals(256, hops.micros(0.5));
        assertEquals(507, hops.micros(0.99));
        assertEquals(512, hops.micros(1));
        assertEquals(1, hops.micros(0.001));
    }

    @Test
    void whatCannotBeIsBounded() {
        var hops = new HopTimes();
        hops.add(-5, 2);
        assertEquals(0, hops.micros(1), "busy times are rounded, so they may be more than the whole");
        hops.add(Long.MAX_VALUE, 1);
        assertEquals(Integer.MAX_VALUE, hops.micros(1));
    }
}
