package shoal.verticles.inferencestage;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.KeyValuePages;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Stage;
import shoal.codec.base.MalformedException;
import shoal.codec.command.Result;
import shoal.codec.wire.Frame;

/**
 * Copies of the keys and values of stages that this node stands by for: of each session whole pages, from its first position on. Bounded:
 * what was added to longest ago goes first. On the computing thread alone.
 */
final class CopyShelf implements AutoCloseable {
    /** How much the latest measurement counts. */
    private static final double GAIN = 0.125;

    private final long maxBytes;
    private final LinkedHashMap<Key, Held> copies = new LinkedHashMap<>();
    private final Map<Stage, CacheShape> shapes = new WeakHashMap<>();
    private final Map<Stage, Double> nanosPerPosition = new WeakHashMap<>();
    private long bytes;

    private record Key(long pipeline, Stage stage, long session) {}

    /** Owns the memory of one session's pages; closed when it leaves the shelf. */
    private static final class Held {
        private final Arena arena = Arena.ofShared(); // a verticle that stops closes it on another thread
        private final List<KeyValuePages> parts = new ArrayList<>();
        private int positions;
        private long bytes;
    }

    /** @param maxBytes what all copies may take; 0 keeps none */
    CopyShelf(long maxBytes) {
        this.maxBytes = maxBytes;
    }

    /**
     * Keeps pages that go on where those that are here end; others are of no use, and passed over.
     *
     * @param stage of this node, for whose layers they are
     * @throws MalformedException if they are not such a stage's
     */
    void put(Stage stage, Frame.KeyValues pages) {
        var key = new Key(pages.pipeline(), stage, pages.session());
        Held held = copies.get(key);
        if (pages.firstPosition() != (held == null ? 0 : held.positions)) {
            return;
        }
        MemorySegment sent = MemorySegment.ofBuffer(pages.pages());
        KeyValuePages whole = KeyValuePages.read(sent, shape(stage), stage.contextLength());
        if (whole.first() != pages.firstPosition()
                || whole.positions() != pages.positions()
                || whole.positions() % CacheShape.PAGE_POSITIONS != 0) {
            throw new MalformedException("keys and values are of positions " + whole.first() + " to "
                    + (whole.first() + whole.positions()) + ", their frame says " + pages.firstPosition() + " to "
                    + pages.end());
        }
        if (sent.byteSize() > maxBytes) {
            return;
        }
        if (held == null) {
            held = new Held();
            tryOut(stage, whole);
        } else {
            copies.remove(key); // added to last, so behind all others
        }
        copies.put(key, held);
        MemorySegment own = held.arena.allocate(sent.byteSize(), 64).copyFrom(sent);
        held.parts.add(KeyValuePages.in(own, whole.shape(), whole.first(), whole.positions()));
        held.positions = pages.end();
        held.bytes += own.byteSize();
        bytes += own.byteSize();
        while (bytes > maxBytes) {
            drop(copies.firstEntry().getKey());
        }
    }

    private CacheShape shape(Stage stage) {
        return shapes.computeIfAbsent(stage, _ -> {
            try (SequenceMemory empty = stage.openSequence()) {
                return empty.shape();
            }
        });
    }

    /** Takes up the beginning of a sequence, to know how long that takes here. */
    private void tryOut(Stage stage, KeyValuePages beginning) {
        try (SequenceMemory memory = stage.openSequence()) {
            long begun = System.nanoTime();
            memory.copyFrom(beginning);
            measured(stage, System.nanoTime() - begun, beginning.positions());
        }
    }

    private void measured(Stage stage, long nanos, int positions) {
        double each = (double) nanos / positions;
        nanosPerPosition.merge(stage, each, (old, now) -> old + GAIN * (now - old));
    }

    /** What is here of a pipeline's stage; of the sessions that were added to last, if there are very many. */
    Result.HeldCopies held(long pipeline, Stage stage) {
        var positions = new HashMap<Long, Integer>();
        for (Map.Entry<Key, Held> each : copies.reversed().entrySet()) {
            boolean isIts =
                    each.getKey().pipeline() == pipeline && each.getKey().stage() == stage;
            if (isIts && positions.size() < Result.HeldCopies.MAX_SESSIONS) {
                positions.put(each.getKey().session(), each.getValue().positions);
            }
        }
        return positions.isEmpty()
                ? Result.HeldCopies.NONE
                : new Result.HeldCopies(positions, Math.round(nanosPerPosition.getOrDefault(stage, 0.0)));
    }

    /**
     * The first positions of a session, in memory of the stage's, which is the caller's; they leave the shelf. Null if so many are not
     * here.
     */
    @Nullable SequenceMemory take(long pipeline, Stage stage, long session, int positions) {
        var key = new Key(pipeline, stage, session);
        Held held = copies.get(key);
        if (held == null || held.positions < positions) {
            return null;
        }
        SequenceMemory memory = stage.openSequence();
        try {
            long begun = System.nanoTime();
            for (KeyValuePages part : held.parts) {
                if (part.first() < positions) {
                    memory.copyFrom(part);
                }
            }
            memory.truncate(positions);
            measured(stage, System.nanoTime() - begun, positions);
            drop(key);
            return memory;
        } catch (RuntimeException failure) {
            memory.close();
            throw failure;
        }
    }

    /** Nobody needs these sessions any more. */
    void release(Frame.Release release) {
        for (Key key : List.copyOf(copies.keySet())) {
            if (key.pipeline() == release.pipeline() && release.sessions().contains(key.session())) {
                drop(key);
            }
        }
    }

    /** The stage is about to be closed. */
    void drop(Stage stage) {
        for (Key key : List.copyOf(copies.keySet())) {
            if (key.stage() == stage) {
                drop(key);
            }
        }
    }

    private void drop(Key key) {
        Held held = copies.remove(key);
        if (held != null) {
            bytes -= held.bytes;
            held.arena.close();
        }
    }

    long sizeBytes() {
        return bytes;
    }

    @Override
    public void close() {
        List.copyOf(copies.keySet()).forEach(this::drop);
    }
}
