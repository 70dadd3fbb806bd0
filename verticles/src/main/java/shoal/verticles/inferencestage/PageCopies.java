package shoal.verticles.inferencestage;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.KeyValuePages;
import shoal.bridge.kernel.SequenceMemory;
import shoal.codec.pipeline.StageLedger;
import shoal.codec.wire.Frame;

/** Which pages of a stage's sequences a node that stands by has not been sent yet. On the computing thread alone. */
final class PageCopies {
    /** As much as others wait for at most, if a page is not larger. */
    private static final long CHUNK_BYTES = 1 << 20;

    private final Map<Long, Integer> sent = new HashMap<>();
    private MemorySegment memory = MemorySegment.NULL;

    /**
     * The next pages of a session.
     *
     * @param pages in memory that the next call uses again
     */
    record Chunk(long session, KeyValuePages pages) {}

    /** Another node stands by, which has nothing yet. */
    void begin() {
        sent.clear();
    }

    void forget(long session) {
        sent.remove(session);
    }

    /** Final pages of the sequence of which most are missing; null if none are. They count as sent from then on. */
    @Nullable Chunk next(Map<Long, SequenceMemory> sequences, StageLedger ledger) {
        long session = 0;
        int most = 0;
        for (long each : sequences.keySet()) {
            int missing = ledger.confirmed(each) / CacheShape.PAGE_POSITIONS - pagesSent(each);
            if (missing > most) {
                most = missing;
                session = each;
            }
        }
        SequenceMemory of = most == 0 ? null : sequences.get(session);
        if (of == null || of.shape().pageBytes() == 0) {
            return null;
        }
        CacheShape shape = of.shape();
        int pages = Math.clamp(CHUNK_BYTES / shape.pageBytes(), 1, most);
        int positions = pages * CacheShape.PAGE_POSITIONS;
        long size = KeyValuePages.sealedBytes(shape, positions);
        if (size > Frame.KeyValues.MAX_BYTES) {
            return null; // of such large pages none travels
        }
        if (memory.byteSize() < size) {
            memory = Arena.ofAuto().allocate(size, 64);
        }
        int first = pagesSent(session) * CacheShape.PAGE_POSITIONS;
        KeyValuePages chunk = KeyValuePages.in(memory.asSlice(0, size), shape, first, positions);
        of.copyTo(chunk);
        sent.put(session, first + positions);
        return new Chunk(session, chunk);
    }

    private int pagesSent(long session) {
        return sent.getOrDefault(session, 0) / CacheShape.PAGE_POSITIONS;
    }
}
