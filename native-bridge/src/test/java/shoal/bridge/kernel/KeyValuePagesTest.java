package shoal.bridge.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import shoal.codec.base.MalformedException;

/** Copied keys and values from outside are taken for what they are, or refused with what is wrong. */
class KeyValuePagesTest {
    private static final CacheShape SHAPE = new CacheShape(3, 2, 32, CacheType.F16);

    private static MemorySegment sealed(Arena arena, CacheShape shape, int positions) {
        var pages = KeyValuePages.allocate(shape, positions, arena);
        var random = new Random(1);
        for (int layer = 0; layer < shape.layers(); layer++) {
            MemorySegment bytes = pages.layer(layer);
            for (long at = 0; at < bytes.byteSize(); at++) {
                bytes.set(ValueLayout.JAVA_BYTE, at, (byte) (1 + random.nextInt(255)));
            }
        }
        pages.clearBehind();
        return pages.sealed();
    }

    @Test
    void whatWasSealedIsRead() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment sealed = sealed(arena, SHAPE, 37);
            byte[] arrived = sealed.toArray(ValueLayout.JAVA_BYTE);
            assertEquals(KeyValuePages.HEADER_BYTES + 3 * SHAPE.pageBytes(), arrived.length);
            var read = KeyValuePages.read(MemorySegment.ofArray(arrived), SHAPE, 37);
            assertEquals(37, read.positions());
            assertEquals(SHAPE, read.shape());
        }
    }

    /** A word of the header that is not as it should be. */
    @ParameterizedTest
    @CsvSource({
        "0, 1, magic number",
        "1, 0, cache type",
        "2, 4, layers is 4",
        "3, 1, KV heads",
        "4, 64, head size",
        "5, -1, allowed are 0..40",
        "5, 41, allowed are 0..40",
        "5, 3, they should have",
        "7, 16, allowed are 0..40 in all",
        "7, 8, multiples of 16",
        "7, -16, multiples of 16",
        "6, 0, checksum"
    })
    void aWrongHeaderIsRefused(int word, int value, String message) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment sealed = sealed(arena, SHAPE, 37);
            sealed.setAtIndex(ValueLayout.JAVA_INT, word, value);
            String said = assertThrows(MalformedException.class, () -> KeyValuePages.read(sealed, SHAPE, 40))
                    .getMessage();
            assertTrue(said.contains(message), said);
        }
    }

    @Test
    void aFlippedBitOrAMissingEndIsRefused() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment sealed = sealed(arena, SHAPE, 16);
            for (long length : new long[] {0, 31, 32, sealed.byteSize() - 1}) {
                assertThrows(MalformedException.class, () -> KeyValuePages.read(sealed.asSlice(0, length), SHAPE, 40));
            }
            long last = sealed.byteSize() - 1;
            sealed.set(ValueLayout.JAVA_BYTE, last, (byte) (sealed.get(ValueLayout.JAVA_BYTE, last) ^ 4));
            assertThrows(MalformedException.class, () -> KeyValuePages.read(sealed, SHAPE, 40));
        }
    }

    /** What others left in a page does not travel: as many bytes are 0 as there are positions behind the last. */
    @ParameterizedTest
    @CsvSource({"F32, 37", "F16, 1", "Q8_0, 31", "Q8_0, 32"})
    void nothingOfOthersTravels(CacheType type, int positions) {
        try (Arena arena = Arena.ofConfined()) {
            CacheShape shape = SHAPE.withType(type);
            MemorySegment sealed = sealed(arena, shape, positions);
            long zeros = 0;
            for (long at = KeyValuePages.HEADER_BYTES; at < sealed.byteSize(); at++) {
                zeros += sealed.get(ValueLayout.JAVA_BYTE, at) == 0 ? 1 : 0;
            }
            int behind = (16 - positions % 16) % 16;
            assertEquals(behind * shape.bytesPerPosition(), zeros);
        }
    }
}
