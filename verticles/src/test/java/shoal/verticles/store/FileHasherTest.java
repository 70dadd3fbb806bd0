package shoal.verticles.store;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Pieces;

class FileHasherTest {
    private static final int PIECE = 64 * 1024;

    @TempDir
    Path directory;

    /** Around pieces and around what a thread takes at a time, which is three pieces here. */
    @ParameterizedTest
    @ValueSource(
            ints = {
                PIECE + 1,
                2 * PIECE - 1,
                2 * PIECE,
                3 * PIECE - 16_384,
                3 * PIECE,
                3 * PIECE + 1,
                3 * PIECE + 16_385,
                31 * PIECE + 77
            })
    void severalThreadsFindWhatTheJdkFindsBlockByBlock(int size) throws IOException {
        var bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        Path file = Files.write(directory.resolve("model.gguf"), bytes);
        Pieces pieces = Pieces.of(size);
        assertEquals(PIECE, pieces.pieceLength());
        var tree = new MerkleTree(pieces);
        tree.add(ByteBuffer.wrap(bytes), BlockHasher.plain());
        MerkleTree.Result right = tree.finish();
        try (FileChannel channel = FileChannel.open(file)) {
            for (int threads : new int[] {1, 2, 5}) {
                MerkleTree.Result found =
                        new FileHasher(BlockHashers.best()).hashTogether(channel, file, pieces, 3 * PIECE - 5, threads);
                assertEquals(right.piecesRoot(), found.piecesRoot(), threads + " threads");
                assertArrayEquals(right.pieceLayer(), found.pieceLayer(), threads + " threads");
            }
        }
    }

    @Test
    void aFileThatEndsEarlyIsAnErrorInOneLine() throws IOException {
        Path file = Files.write(directory.resolve("model.gguf"), new byte[5 * PIECE]);
        try (FileChannel channel = FileChannel.open(file)) {
            var failure = assertThrows(
                    IOException.class,
                    () -> new FileHasher(BlockHasher.plain())
                            .hashTogether(channel, file, Pieces.of(9 * PIECE), PIECE, 2));
            assertTrue(failure.getMessage().contains("model.gguf ends at byte "), failure.getMessage());
            assertEquals(1, failure.getMessage().lines().count());
        }
    }

    @Test
    void aLargeFileIsHashedAsASmallOneIs() throws IOException {
        Path file = directory.resolve("model.gguf");
        long size = (64L << 20) + 3 * PIECE + 5;
        try (FileChannel channel = FileChannel.open(
                file, java.nio.file.StandardOpenOption.CREATE_NEW, java.nio.file.StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(new byte[] {1, 2, 3}), size - 3); // the rest is a hole
        }
        var tree = new MerkleTree(Pieces.of(size));
        var zeros = ByteBuffer.allocate(64 << 20);
        BlockHasher hasher = BlockHashers.best();
        tree.add(zeros, hasher);
        var end = new byte[(int) (size - (64L << 20))];
        System.arraycopy(new byte[] {1, 2, 3}, 0, end, end.length - 3, 3);
        tree.add(ByteBuffer.wrap(end), hasher);
        assertEquals(
                tree.finish().piecesRoot(),
                new FileHasher(hasher).hash(file, Fingerprint.of(file)).piecesRoot());
    }
}
