package shoal.bridge.library;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Asking for large pages changes no byte, and what the system tells of them is read as proc(5) says. */
class LargePagesTest {
    private static final String SMAPS = """
            7f0ff7600000-7f1003e00000 r--s 00000000 fe:00 123   /models/a model: one.gguf
            Size:             204800 kB
            Rss:              206320 kB
            FilePmdMapped:    122880 kB
            VmFlags: rd mr mw me ms hg
            7f1003e00000-7f1004000000 r--s 0c800000 fe:00 123   /models/a model: one.gguf
            FilePmdMapped:      2048 kB
            7f1010000000-7f1020000000 r--s 00000000 fe:00 124   /models/another.gguf
            FilePmdMapped:     65536 kB
            """;

    @TempDir
    Path folder;

    @Test
    void countsWhatLiesInTheMapping() {
        assertEquals((122_880L + 2_048) << 10, LargePages.seen(SMAPS.lines(), 0x7f0ff7600000L, 0xca00000L));
        assertEquals(65_536L << 10, LargePages.seen(SMAPS.lines(), 0x7f1010000000L, 0x10000000L));
        assertEquals(0, LargePages.seen(SMAPS.lines(), 0x7f2000000000L, 1L << 30));
    }

    @Test
    void bytesStayWhatTheyAre() throws IOException {
        Path file = folder.resolve("file");
        byte[] bytes = new byte[5 * LargePages.BYTES / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (i * 31 >> 5);
        }
        try (FileChannel out = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (int at = 0; at < bytes.length; at += LargePages.BYTES) {
                out.write(ByteBuffer.wrap(bytes, at, Math.min(LargePages.BYTES, bytes.length - at)));
            }
        }
        try (Arena arena = Arena.ofConfined();
                FileChannel in = FileChannel.open(file, StandardOpenOption.READ)) {
            MemorySegment mapped = in.map(FileChannel.MapMode.READ_ONLY, 0, bytes.length, arena);
            LargePages.ask(mapped);
            assertEquals(-1, mapped.mismatch(MemorySegment.ofArray(bytes)));
            long seen = LargePages.seen(mapped);
            assertTrue(seen >= 0 && seen <= mapped.byteSize() && seen % LargePages.BYTES == 0, () -> "seen: " + seen);
        }
    }

    @Test
    void asksNothingForSmallMappings() {
        try (Arena arena = Arena.ofConfined()) {
            assertFalse(LargePages.ask(arena.allocate(ValueLayout.JAVA_LONG)));
        }
    }
}
