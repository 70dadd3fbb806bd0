package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Epoch;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Slice;

class StageLedgerTest {
    private static final Epoch SECOND = Epoch.FIRST.next();

    private final StageLedger ledger = new StageLedger();

    private static BatchHead head(Epoch epoch, int number, Slice... slices) {
        return new BatchHead(1, epoch, number, 0, 0, List.of(slices));
    }

    @Test
    void whatIsOfAnotherEpochOrCameTwiceIsDropped() {
        assertFalse(ledger.take(head(Epoch.FIRST, 0, new Slice(5, 0, 1, true))), "it has not joined");
        assertTrue(ledger.join(Epoch.FIRST));
        assertTrue(ledger.take(head(Epoch.FIRST, 0, new Slice(5, 0, 1, true))));
        assertFalse(ledger.take(head(Epoch.FIRST, 0, new Slice(5, 0, 1, true))));
        assertTrue(ledger.join(SECOND));
        assertFalse(ledger.join(Epoch.FIRST), "an older epoch does not come back");
        assertFalse(ledger.take(head(Epoch.FIRST, 1, new Slice(5, 1, 1, true))));
        assertTrue(ledger.take(head(SECOND, 1, new Slice(5, 1, 1, true))));
        assertTrue(ledger.take(head(SECOND, Integer.MIN_VALUE, new Slice(5, 1, 1, true))), "numbers go round");
        assertTrue(ledger.take(head(SECOND, -1, new Slice(5, 1, 1, true))));
        assertFalse(ledger.take(head(SECOND, -1, new Slice(5, 1, 1, true))));
    }

    @Test
    void aGapIsSeen() {
        ledger.join(Epoch.FIRST);
        BatchHead first = head(Epoch.FIRST, 0, new Slice(5, 0, 16, false));
        assertEquals(List.of(), ledger.lacking(first));
        ledger.computed(first);
        assertEquals(List.of(), ledger.lacking(head(Epoch.FIRST, 1, new Slice(5, 16, 1, true))));
        assertEquals(List.of(), ledger.lacking(head(Epoch.FIRST, 1, new Slice(5, 3, 1, true))), "anew from there on");
        assertEquals(
                List.of(5L, 7L),
                ledger.lacking(head(
                        Epoch.FIRST,
                        1,
                        new Slice(5, 17, 1, true),
                        new Slice(6, 16, 1, true, List.of(), 5),
                        new Slice(7, 16, 1, true, List.of(), 8))));
    }

    @Test
    void whatWasTouchedSinceStays() {
        ledger.join(Epoch.FIRST);
        ledger.computed(head(Epoch.FIRST, Integer.MAX_VALUE, new Slice(5, 0, 4, true)));
        ledger.computed(head(Epoch.FIRST, Integer.MIN_VALUE, new Slice(6, 0, 4, true)));
        assertEquals(List.of(5L), ledger.release(new Frame.Release(1, Integer.MIN_VALUE, List.of(5L, 6L, 7L))));
        assertEquals(0, ledger.length(5));
        assertEquals(4, ledger.length(6));
        assertEquals(1, ledger.sequences());
    }
}
