package shoal.bridge.hash;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

/** Against values made by b3sum, and all providers of this machine against one another. */
class Blake3Test {
    private static final int CHUNK = ChunkHasher.CHUNK_BYTES;
    private static final long SEED = Long.getLong("shoal.seed", 20_261);

    static List<ChunkHasher> hashers() {
        return BlockHashers.chunkHashers();
    }

    @ParameterizedTest
    @MethodSource("hashers")
    void givesTheReferences(ChunkHasher hasher) {
        int count = 0;
        for (JsonNode reference : HashReferences.cases()) {
            byte[] input = HashReferences.input(reference);
            String what = hasher.name() + ", " + input.length + " bytes";
            assertEquals(
                    reference.get("blake3").asString(),
                    HexFormat.of()
                            .formatHex(new Blake3(hasher)
                                    .update(ByteBuffer.wrap(input))
                                    .finish()),
                    what);
            ByteBuffer direct = ByteBuffer.allocateDirect(input.length + 3)
                    .position(3)
                    .put(input)
                    .position(3);
            var longer = new byte[100];
            new Blake3(hasher).update(direct).finish(longer);
            assertEquals(
                    reference.get("blake3_100_bytes").asString(), HexFormat.of().formatHex(longer), what);
            count++;
        }
        assertTrue(count > 20, count + " references");
    }

    /** Sizes around those of chunks, lanes, subtrees and of more than one subtree, in parts of any size. */
    @ParameterizedTest
    @MethodSource("hashers")
    void partsMakeTheSameWhole(ChunkHasher hasher) {
        var random = new SplittableRandom(SEED);
        for (int chunks : new int[] {0, 1, 2, 3, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 192, 321}) {
            for (int more : new int[] {-1, 0, 1, 700}) {
                var bytes = new byte[Math.max(0, chunks * CHUNK + more)];
                random.nextBytes(bytes);
                byte[] expected = new Blake3(new ChunkHasher.Scalar())
                        .update(ByteBuffer.wrap(bytes))
                        .finish();
                var hash = new Blake3(hasher);
                for (int at = 0; at < bytes.length; ) {
                    int size = Math.min(bytes.length - at, random.nextInt(1, 200 * CHUNK));
                    ByteBuffer part = random.nextBoolean()
                            ? ByteBuffer.wrap(bytes, at, size)
                            : ByteBuffer.allocateDirect(size)
                                    .put(bytes, at, size)
                                    .flip();
                    hash.update(part);
                    at += size;
                }
                assertArrayEquals(expected, hash.finish(), hasher.name() + ", " + bytes.length + ", seed " + SEED);
            }
        }
    }

    @Test
    void oneCallDoes() {
        assertEquals(
                "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
                HexFormat.of().formatHex(Blake3.hash(ByteBuffer.allocate(0))));
    }
}
