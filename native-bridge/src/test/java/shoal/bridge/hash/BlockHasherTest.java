package shoal.bridge.hash;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.Pieces;
import tools.jackson.databind.JsonNode;

/** All providers of this machine against reference values made by OpenSSL, and against the JDK one block at a time. */
class BlockHasherTest {
    private static final int BLOCK = Pieces.BLOCK_SIZE;
    private static final long SEED = Long.getLong("shoal.seed", 20_261);

    static List<BlockHasher> hashers() {
        return BlockHashers.all();
    }

    private static byte[] jdk(byte[] bytes) throws Exception {
        return MessageDigest.getInstance("SHA-256").digest(bytes);
    }

    private static byte[] blockwise(byte[] bytes) throws Exception {
        var all = new byte[32 * Math.ceilDiv(bytes.length, BLOCK)];
        for (int i = 0; i < all.length / 32; i++) {
            byte[] block = Arrays.copyOfRange(bytes, i * BLOCK, Math.min(bytes.length, (i + 1) * BLOCK));
            System.arraycopy(jdk(block), 0, all, 32 * i, 32);
        }
        return all;
    }

    @ParameterizedTest
    @MethodSource("hashers")
    void givesTheReferences(BlockHasher hasher) throws Exception {
        int whole = 0;
        for (JsonNode reference : HashReferences.cases()) {
            byte[] input = HashReferences.input(reference);
            if (input.length > 0 && input.length <= BLOCK) {
                var found = new byte[32];
                assertEquals(1, hasher.hash(ByteBuffer.wrap(input), found, 0));
                assertEquals(reference.get("sha256").asString(), HexFormat.of().formatHex(found));
                whole += input.length == BLOCK ? 1 : 0;
            }
        }
        assertTrue(whole > 0, "no reference has the size of a block");
    }

    /** Every number of blocks around the number of lanes, from odd addresses, on the heap and off it. */
    @ParameterizedTest
    @MethodSource("hashers")
    void givesTheHashOfEachBlock(BlockHasher hasher) throws Exception {
        var random = new SplittableRandom(SEED);
        for (int count : new int[] {1, 2, 3, 4, 7, 8, 9, 11, 12, 13, 15, 16, 17, 31, 33, 63, 64, 65, 80, 130}) {
            for (int rest : new int[] {0, 1, 55, 56, 63, 64, BLOCK - 1}) {
                var bytes = new byte[count * BLOCK + rest];
                random.nextBytes(bytes);
                byte[] expected = blockwise(bytes);
                boolean onHeap = random.nextBoolean();
                int skew = random.nextInt(65);
                ByteBuffer data = onHeap
                        ? ByteBuffer.allocate(bytes.length + skew)
                        : ByteBuffer.allocateDirect(bytes.length + skew);
                data.position(skew).put(bytes).position(skew);
                var found = new byte[expected.length + 5];
                String what = hasher + ", " + count + " blocks and " + rest + " bytes, skew " + skew + ", seed " + SEED;
                assertEquals(expected.length / 32, hasher.hash(data, found, 5), what);
                assertArrayEquals(expected, Arrays.copyOfRange(found, 5, found.length), what);
                assertEquals(data.limit(), data.position(), what);
            }
        }
    }

    /** One level of a tree, with more nodes than go in one call. */
    @ParameterizedTest
    @MethodSource("hashers")
    void givesTheParentsOfPairs(BlockHasher hasher) throws Exception {
        var random = new SplittableRandom(SEED);
        for (int count : new int[] {0, 1, 2, 12, 16, 31, 32, 33, 4096, 4097, 9000}) {
            var nodes = new byte[64 * count + 32];
            random.nextBytes(nodes);
            var expected = new byte[32 * count];
            for (int i = 0; i < count; i++) {
                System.arraycopy(jdk(Arrays.copyOfRange(nodes, 64 * i, 64 * i + 64)), 0, expected, 32 * i, 32);
            }
            byte[] behind = Arrays.copyOfRange(nodes, 64 * count, nodes.length);
            hasher.parents(nodes, count);
            assertArrayEquals(
                    expected, Arrays.copyOf(nodes, 32 * count), hasher + ", " + count + " pairs, seed " + SEED);
            assertArrayEquals(behind, Arrays.copyOfRange(nodes, 64 * count, nodes.length));
        }
    }

    /** Pieces that lie apart, some read-only, some on the heap, go in one call. */
    @ParameterizedTest
    @MethodSource("hashers")
    void takesRunsFromEverywhere(BlockHasher hasher) throws Exception {
        var random = new SplittableRandom(SEED);
        var runs = new ArrayList<ByteBuffer>();
        var expected = new ArrayList<byte[]>();
        int count = 0;
        try (Arena arena = Arena.ofShared()) {
            for (int i = 0; i < 40; i++) {
                var bytes = new byte[i == 17 ? 0 : random.nextInt(1, 5 * BLOCK)];
                random.nextBytes(bytes);
                ByteBuffer run = switch (i % 4) {
                    case 0 -> ByteBuffer.wrap(bytes.clone());
                    case 1 -> ByteBuffer.wrap(bytes.clone()).asReadOnlyBuffer();
                    case 2 -> ByteBuffer.allocateDirect(bytes.length).put(bytes).flip();
                    default ->
                        arena.allocate(bytes.length + 3L)
                                .asSlice(3)
                                .asByteBuffer()
                                .put(bytes)
                                .flip()
                                .asReadOnlyBuffer();
                };
                runs.add(run);
                byte[] hashes = blockwise(bytes);
                count += hashes.length / 32;
                expected.add(hashes);
            }
            var found = new byte[32 * count];
            assertEquals(count, hasher.hash(runs, found, 0), "seed " + SEED);
            int at = 0;
            for (byte[] hashes : expected) {
                assertArrayEquals(hashes, Arrays.copyOfRange(found, at, at + hashes.length), "seed " + SEED);
                at += hashes.length;
            }
        }
    }

    @ParameterizedTest
    @MethodSource("hashers")
    void refusesATargetThatIsTooSmall(BlockHasher hasher) {
        ByteBuffer data = ByteBuffer.allocateDirect(2 * BLOCK);
        assertThrows(IndexOutOfBoundsException.class, () -> hasher.hash(data.duplicate(), new byte[63], 0));
        assertThrows(IndexOutOfBoundsException.class, () -> hasher.hash(data.duplicate(), new byte[64], 1));
        assertEquals(0, hasher.hash(ByteBuffer.allocate(0), new byte[0], 0));
    }

    private record Liar(BlockHasher honest, int wrongAt) implements BlockHasher {
        @Override
        public int hash(ByteBuffer data, byte[] hashes, int offset) {
            int count = honest.hash(data, hashes, offset);
            hashes[offset + Math.min(wrongAt, count - 1) * 32] ^= 1;
            return count;
        }

        @Override
        public String name() {
            return "liar";
        }
    }

    @org.junit.jupiter.api.Test
    void takesNoneThatIsWrong() {
        var liar = new Liar(BlockHasher.plain(), 30);
        assertNotNull(BlockHashers.whyWrong(liar));
        var choice = BlockHashers.choose(new BlockHashers.Candidates(List.of(liar), liar, true, "a note"));
        assertSame(BlockHasher.plain(), choice.hasher());
        assertTrue(choice.reason().contains("liar gives other hashes than the JDK"), choice.reason());
        assertTrue(choice.reason().contains("a note"), choice.reason());
    }

    @org.junit.jupiter.api.Test
    void choosesOneThatIsRight() {
        assertEquals(null, BlockHashers.whyWrong(BlockHashers.best()));
        assertTrue(BlockHashers.all().contains(BlockHasher.plain()));
    }
}
