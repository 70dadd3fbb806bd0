package shoal.codec.metainfo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.Hash256;
import shoal.codec.gguf.Shared;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class MerkleTest {
    /** BEP 52 as it is written: all leaves, padded with zero hashes to a power of two, and then by pairs. */
    private static Hash256 slowRoot(byte[] content, int fromBlocks) {
        var level = new ArrayList<Hash256>();
        for (int start = 0; start < content.length; start += Pieces.BLOCK_SIZE) {
            level.add(Hash256.sha256(
                    ByteBuffer.wrap(content, start, Math.min(Pieces.BLOCK_SIZE, content.length - start))));
        }
        while (level.size() < fromBlocks || Integer.bitCount(level.size()) != 1) {
            level.add(Hash256.ZERO);
        }
        while (level.size() > 1) {
            var next = new ArrayList<Hash256>();
            for (int i = 0; i < level.size(); i += 2) {
                next.add(Hash256.sha256(level.get(i).toBytes(), level.get(i + 1).toBytes()));
            }
            level = next;
        }
        return level.getFirst();
    }

    @ParameterizedTest
    @ValueSource(
            ints = {1, 16_383, 16_384, 16_385, 32_768, 49_153, 65_535, 65_536, 65_537, 131_072, 400_000, 1_048_577})
    void rootEqualsTheTextOfBep52(int size) {
        var content = new byte[size];
        new Random(size).nextBytes(content);
        for (int pieceLength : new int[] {16_384, 32_768, 65_536, 1 << 20}) {
            int blocks = pieceLength / Pieces.BLOCK_SIZE;
            Hash256 expected = slowRoot(content, size > pieceLength ? blocks : 1);
            for (int chunk : new int[] {16_384, 5 * 16_384, 1 << 21}) {
                assertEquals(
                        expected,
                        TorrentTest.hash(content, pieceLength, chunk).piecesRoot(),
                        size + " in pieces of " + pieceLength);
            }
        }
    }

    @Test
    void proofsHoldForTheirNodesAlone() {
        long seed = Long.getLong("shoal.seed", 3);
        var random = new Random(seed);
        for (int size = 1; size <= 33; size++) {
            var leaves = new ArrayList<Hash256>();
            var content = new byte[16_384 * (size - 1) + 1 + random.nextInt(16_384)];
            random.nextBytes(content);
            for (int start = 0; start < content.length; start += 16_384) {
                leaves.add(Hash256.sha256(ByteBuffer.wrap(content, start, Math.min(16_384, content.length - start))));
            }
            Hash256 root = slowRoot(content, 1);
            for (int count = 1; count <= size; count *= 2) {
                for (int index = 0; index + count <= size; index += count) {
                    MerkleProof proof = MerkleProof.of(leaves, Hash256.ZERO, index, count);
                    assertEquals(leaves.subList(index, index + count), proof.nodes());
                    assertTrue(proof.proves(root), size + " leaves, seed " + seed);
                    var nodes = new ArrayList<>(proof.nodes());
                    nodes.set(random.nextInt(count), Hash256.sha256(new byte[] {1}));
                    assertFalse(new MerkleProof(index, nodes, proof.uncles()).proves(root));
                    if (index >= count) {
                        assertFalse(new MerkleProof(index - count, proof.nodes(), proof.uncles()).proves(root));
                    }
                }
            }
        }
        Hash256 one = Hash256.ZERO;
        assertThrows(IllegalArgumentException.class, () -> new MerkleProof(1, List.of(one), List.of()));
        assertThrows(IllegalArgumentException.class, () -> new MerkleProof(0, List.of(one, one, one), List.of()));
    }

    /** SHA-256 as OpenSSL has it, of files of at most one block. */
    @Test
    void leavesEqualOpenSsl() {
        JsonNode references = JsonMapper.shared().readTree(Shared.bytes("testdata/hash/references.json"));
        int checked = 0;
        for (JsonNode reference : references.get("cases")) {
            int length = reference.get("length").asInt();
            if (length < 1 || length > Pieces.BLOCK_SIZE) {
                continue;
            }
            var content = new byte[length];
            for (int i = 0; i < length; i++) {
                content[i] = (byte) (i % 251);
            }
            var hashes = new byte[40];
            assertEquals(1, BlockHasher.plain().hash(ByteBuffer.wrap(content), hashes, 5));
            assertEquals(
                    reference.get("sha256").asString(), Hash256.of(hashes, 5).toHex());
            checked++;
        }
        assertTrue(checked > 5);
    }

    @Test
    void treeTakesExactlyTheFile() {
        var pieces = new Pieces(40_000, 16_384);
        var tree = new MerkleTree(pieces);
        BlockHasher hasher = BlockHasher.plain();
        assertThrows(IllegalArgumentException.class, () -> tree.add(ByteBuffer.allocate(100), hasher));
        tree.add(ByteBuffer.allocate(32_768), hasher);
        assertThrows(IllegalStateException.class, tree::finish);
        assertThrows(IllegalArgumentException.class, () -> tree.add(ByteBuffer.allocate(16_384), hasher));
        tree.add(ByteBuffer.allocate(40_000 - 32_768), hasher);
        assertThrows(IllegalArgumentException.class, () -> tree.add(ByteBuffer.allocate(1), hasher));
        assertEquals(
                TorrentTest.hash(new byte[40_000], 16_384, 16_384).piecesRoot(),
                tree.finish().piecesRoot());
    }

    @Test
    void geometryOfTheLastPiece() {
        var pieces = new Pieces(200_000, 65_536);
        assertEquals(4, pieces.count());
        assertEquals(13, pieces.blockCount());
        assertEquals(200_000 - 3 * 65_536, pieces.sizeOf(3));
        assertEquals(1, pieces.blockCountOf(3));
        assertEquals(12, pieces.firstBlockOf(3));
        assertEquals(3, pieces.pieceOfBlock(12));
        assertEquals(200_000 - 12 * 16_384, pieces.sizeOfBlock(12));
        assertThrows(IllegalArgumentException.class, () -> pieces.sizeOf(4));
        assertThrows(IllegalArgumentException.class, () -> new Pieces(0, 65_536));
        assertThrows(IllegalArgumentException.class, () -> new Pieces(1, 65_535));
        assertThrows(IllegalArgumentException.class, () -> new Pieces(1, 8_192));
    }
}
