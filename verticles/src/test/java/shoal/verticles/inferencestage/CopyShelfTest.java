package shoal.verticles.inferencestage;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.KeyValuePages;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.wire.Frame;

/** What a node that stands by keeps of another one's keys and values, and what it refuses. */
class CopyShelfTest {
    private static final LayerRange LAYERS = new LayerRange(0, 3);

    private static Kernels kernels;
    private static ModelFile file;
    private static Stage stage;

    @BeforeAll
    static void open() throws Exception {
        var settings = new KernelSettings(null, 1);
        kernels = KernelChoice.of(settings).provider().open(settings);
        file = ModelFile.open(Path.of(System.getProperty("shoal.repository"))
                .resolve("verticles/src/main/resources/models/stories-q8_0.gguf"));
        stage = Architectures.open(file, LAYERS, new StageSettings(kernels, 512, CacheType.F16));
    }

    @AfterAll
    static void close() {
        stage.close();
        file.close();
        kernels.close();
    }

    /** A sequence of some positions that was computed here. */
    private static SequenceMemory computed(int positions) {
        SequenceMemory memory = stage.openSequence();
        int[] ids = new int[positions];
        for (int i = 0; i < positions; i++) {
            ids[i] = 5 + 7 * i % 400;
        }
        var batch = new Batch(
                List.of(new Batch.Slice(memory, 0, positions, Batch.Wanted.NONE)), new Batch.Input.Tokens(ids));
        stage.run(batch, MemorySegment.ofArray(new byte[Math.toIntExact(stage.outputBytes(batch))]));
        return memory;
    }

    private static byte[] bytes(SequenceMemory memory, int first, int positions) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment whole = arena.allocate(KeyValuePages.sealedBytes(memory.shape(), positions), 64);
            var pages = KeyValuePages.in(whole, memory.shape(), first, positions);
            memory.copyTo(pages);
            return pages.sealed().toArray(ValueLayout.JAVA_BYTE);
        }
    }

    private static Frame.KeyValues frame(long session, int first, int positions, byte[] pages) {
        return new Frame.KeyValues(7, Hash256.ZERO, LAYERS, session, first, positions, "order", ByteBuffer.wrap(pages));
    }

    /** To the last bit, though they came in parts. */
    @Test
    void whatIsTakenUpIsWhatWasComputed() {
        try (var shelf = new CopyShelf(1 << 26);
                SequenceMemory memory = computed(70)) {
            shelf.put(stage, frame(5, 0, 16, bytes(memory, 0, 16)));
            shelf.put(stage, frame(5, 16, 48, bytes(memory, 16, 48)));
            assertEquals(Map.of(5L, 64), shelf.held(7, stage).positions());
            assertTrue(shelf.held(7, stage).nanosPerPosition() > 0, "measured");
            assertEquals(Map.of(), shelf.held(8, stage).positions(), "of another pipeline");
            assertNull(shelf.take(7, stage, 5, 65), "more than is here");
            try (SequenceMemory taken = shelf.take(7, stage, 5, 48)) {
                assertNotNull(taken);
                assertEquals(48, taken.length());
                assertArrayEquals(bytes(memory, 0, 48), bytes(taken, 0, 48));
            }
            assertEquals(0, shelf.sizeBytes());
            assertNull(shelf.take(7, stage, 5, 16), "it was taken");
        }
    }

    @Test
    void onlyWhatGoesOnIsKept() {
        try (var shelf = new CopyShelf(1 << 26);
                SequenceMemory memory = computed(64)) {
            shelf.put(stage, frame(5, 16, 16, bytes(memory, 16, 16)));
            assertEquals(Map.of(), shelf.held(7, stage).positions(), "without its beginning");
            shelf.put(stage, frame(5, 0, 32, bytes(memory, 0, 32)));
            shelf.put(stage, frame(5, 0, 32, bytes(memory, 0, 32)));
            shelf.put(stage, frame(5, 48, 16, bytes(memory, 48, 16)));
            assertEquals(Map.of(5L, 32), shelf.held(7, stage).positions());
            shelf.release(new Frame.Release(8, 0, List.of(5L)));
            assertEquals(Map.of(5L, 32), shelf.held(7, stage).positions(), "another pipeline's");
            shelf.release(new Frame.Release(7, 0, List.of(5L)));
            assertEquals(Map.of(), shelf.held(7, stage).positions());
            assertEquals(0, shelf.sizeBytes());
        }
    }

    @Test
    void whatWasAddedToLongestAgoGoesFirst() {
        try (SequenceMemory memory = computed(64)) {
            byte[] page = bytes(memory, 0, 16);
            try (var shelf = new CopyShelf(3L * page.length)) {
                for (long session = 1; session <= 3; session++) {
                    shelf.put(stage, frame(session, 0, 16, page));
                }
                shelf.put(stage, frame(1, 16, 16, bytes(memory, 16, 16)));
                assertEquals(Map.of(1L, 32, 3L, 16), shelf.held(7, stage).positions());
                shelf.put(stage, frame(9, 0, 64, bytes(memory, 0, 64)));
                assertEquals(Map.of(1L, 32, 3L, 16), shelf.held(7, stage).positions(), "larger than all");
                assertEquals(3L * page.length, shelf.sizeBytes());
                shelf.drop(stage);
                assertEquals(0, shelf.sizeBytes());
            }
            try (var none = new CopyShelf(0)) {
                none.put(stage, frame(1, 0, 16, page));
                assertEquals(Map.of(), none.held(7, stage).positions());
            }
        }
    }

    @Test
    void whatIsNoSuchPageIsRefused() {
        try (var shelf = new CopyShelf(1 << 26);
                SequenceMemory memory = computed(64)) {
            byte[] page = bytes(memory, 0, 16);
            byte[] flipped = page.clone();
            flipped[flipped.length - 1] ^= 1;
            assertThrows(MalformedException.class, () -> shelf.put(stage, frame(1, 0, 16, flipped)));
            assertThrows(MalformedException.class, () -> shelf.put(stage, frame(1, 0, 32, page)));
            assertThrows(MalformedException.class, () -> shelf.put(stage, frame(1, 0, 16, bytes(memory, 16, 16))));
            assertThrows(MalformedException.class, () -> shelf.put(stage, frame(1, 0, 17, bytes(memory, 0, 17))));
            assertThrows(MalformedException.class, () -> shelf.put(stage, frame(1, 0, 16, new byte[10])));
            assertEquals(0, shelf.sizeBytes());
        }
    }
}
