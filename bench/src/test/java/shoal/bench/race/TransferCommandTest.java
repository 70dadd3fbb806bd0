package shoal.bench.race;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;

class TransferCommandTest {
    @Test
    void readsTheShellsTimes() {
        assertEquals(0.75, TransferCommand.childSeconds("0m0.000000s 0m0.010000s\n0m0.500000s 0m0.250000s\n"), 1e-9);
        assertEquals(125.5, TransferCommand.childSeconds("0m1s 0m1s\n2m5.25s 0m0.25s"), 1e-9);
    }

    /** The torrent that libtorrent makes of a file has the info-hash and the piece layer that ours has. */
    @ParameterizedTest
    @ValueSource(ints = {1, 16_383, 16_384, 16_385, 65_536, 65_537, 131_072, 3_000_017})
    void libtorrentComputesTheSameHashes(int size, @TempDir Path directory) throws Exception {
        String missing = new Rivals.Libtorrent(false, 65_536).whyMissing();
        assumeTrue(missing == null, "libtorrent: " + missing);
        var bytes = new byte[size];
        new SplittableRandom(size).nextBytes(bytes);
        Path file = Files.write(directory.resolve("model.gguf"), bytes);
        Path torrent = directory.resolve("theirs.torrent");
        Path script = Rivals.Libtorrent.script(directory);
        Process making = new ProcessBuilder(
                        Rivals.Libtorrent.python(),
                        script.toString(),
                        "make",
                        file.toString(),
                        torrent.toString(),
                        "65536")
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        String infoHash = new String(making.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        assertEquals(0, making.waitFor());

        var tree = new MerkleTree(new Pieces(size, 65_536));
        tree.add(ByteBuffer.wrap(bytes), BlockHashers.best());
        Metainfo ours = Metainfo.of("model.gguf", tree.finish());
        assertEquals(ours.infoHash().toHex(), infoHash);
        Metainfo theirs = Metainfo.parse(Files.readAllBytes(torrent));
        assertEquals(ours.piecesRoot(), theirs.piecesRoot());
        assertArrayEquals(ours.pieceLayer(), theirs.pieceLayer());
    }
}
