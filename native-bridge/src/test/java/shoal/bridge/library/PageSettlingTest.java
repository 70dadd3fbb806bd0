package shoal.bridge.library;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.BitSet;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Bytes that come to memory again are the same, in large pages where the system has them, and only those that were asked for. */
class PageSettlingTest {
    private static final int BLOCKS = 12;
    private static final int PIECE_BYTES = 64 << 10;
    private static final long FOREVER = Long.MAX_VALUE / 4;

    @TempDir
    Path folder;

    private final byte[] bytes = new byte[BLOCKS * LargePages.BYTES + 12_345];

    /** A file as a transfer leaves it, or as it is written from front to back. */
    private Path written(String name, int step) throws IOException {
        new Random(1).nextBytes(bytes);
        Path file = folder.resolve(name);
        try (FileChannel out = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (int at = 0; at < bytes.length; at += step) {
                out.write(ByteBuffer.wrap(bytes, at, Math.min(step, bytes.length - at)));
            }
            out.force(false);
        }
        return file;
    }

    private static MemorySegment map(Path file, Arena arena) throws IOException {
        try (FileChannel in = FileChannel.open(file, StandardOpenOption.READ)) {
            MemorySegment mapped = in.map(FileChannel.MapMode.READ_ONLY, 0, in.size(), arena);
            LargePages.ask(mapped);
            return mapped;
        }
    }

    private static BitSet blocks(int first, int last) {
        var blocks = new BitSet();
        blocks.set(first, last + 1);
        return blocks;
    }

    private boolean systemHasLargePages() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment mapped = map(written("control", LargePages.BYTES), arena);
            assertEquals(-1, mapped.mismatch(MemorySegment.ofArray(bytes)));
            return LargePages.seen(mapped) > 0;
        }
    }

    @Test
    void piecesSettleInLargePages() throws IOException {
        assumeTrue(systemHasLargePages(), "this file system keeps nothing in large pages");
        try (Arena arena = Arena.ofConfined()) {
            Path file = written("fetched", PIECE_BYTES);
            MemorySegment mapped = map(file, arena);
            assertEquals(-1, mapped.mismatch(MemorySegment.ofArray(bytes)));
            assertEquals(0, LargePages.seen(mapped));
            try (var settling = new PageSettling(file, mapped, blocks(1, BLOCKS))) {
                Files.move(file, folder.resolve("moved"));
                settling.step(FOREVER);
            }
            assertEquals((BLOCKS - 1L) * LargePages.BYTES, LargePages.seen(mapped));
            assertEquals(-1, mapped.mismatch(MemorySegment.ofArray(bytes)));
        }
    }

    @Test
    void aStepStopsInTimeAndTheNextGoesOn() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            Path file = written("fetched", PIECE_BYTES);
            MemorySegment mapped = map(file, arena);
            assertEquals(-1, mapped.mismatch(MemorySegment.ofArray(bytes)));
            int steps = 0;
            try (var settling = new PageSettling(file, mapped, blocks(0, 3))) {
                while (settling.isDue(System.nanoTime())) {
                    settling.step(1);
                    steps++;
                }
            }
            assertTrue(steps <= 4, "steps: " + steps);
            assertEquals(-1, mapped.mismatch(MemorySegment.ofArray(bytes)));
        }
    }

    @Test
    void whatLiesInLargePagesIsLeft() throws IOException {
        assumeTrue(systemHasLargePages(), "this file system keeps nothing in large pages");
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment mapped = map(folder.resolve("control"), arena);
            assertEquals(-1, mapped.mismatch(MemorySegment.ofArray(bytes)));
            try (var settling = new PageSettling(folder.resolve("control"), mapped, blocks(0, BLOCKS - 1))) {
                settling.step(FOREVER);
                assertFalse(settling.isDue(FOREVER), "it is done at the first look");
            }
        }
    }

    @Test
    void nothingIsDoneWhereThereIsNothingToDo() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment small = arena.allocate(LargePages.BYTES / 2);
            try (var settling = new PageSettling(folder.resolve("none"), small, blocks(0, 0))) {
                assertFalse(settling.isDue(System.nanoTime()));
            }
        }
    }
}
