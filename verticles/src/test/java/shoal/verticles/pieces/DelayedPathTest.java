package shoal.verticles.pieces;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;
import static shoal.verticles.pieces.Peer.await;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.base.Endpoint;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Local;
import shoal.verticles.path.UdpPath;

/** A path with a rate and a delay, as between two towns: what it allows is what the path itself counts. */
class DelayedPathTest {
    private static final long BYTES_PER_SECOND = 12_000_000;
    private static final int ROUND_TRIP_MILLIS = 50;
    /** What is under way at that rate within a round trip, and as much again waits in the router. */
    private static final int QUEUE_BYTES = (int) (BYTES_PER_SECOND * ROUND_TRIP_MILLIS / 1000);

    /** More than the transport's first windows hold, so that they must be opened again in time. */
    private static final int SIZE = (44 << 20) + 77;

    /** Whatever else the machine does can slow a transfer down, and never make it faster. */
    private static final int ATTEMPTS = 3;

    @TempDir
    Path directory;

    @Test
    void aFileTakesAtLeastFourFifthsOfThePath() throws Exception {
        byte[] bytes = new byte[SIZE];
        new Random(SIZE).nextBytes(bytes);
        var tree = new MerkleTree(new Pieces(bytes.length, 1 << 18));
        tree.add(java.nio.ByteBuffer.wrap(bytes), BlockHasher.plain());
        Metainfo file = Metainfo.of("shard-0.gguf", tree.finish());
        Path seeds = directory.resolve("seeder/shards");
        Peer.write(seeds.resolve("shard-0.gguf"), bytes);
        var told = new ArrayList<String>();
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            try (Peer seeder = new Peer(directory.resolve("seeder"), "0.0.0.0", Role.NODE, List.of());
                    UdpPath path = new UdpPath(
                            new Endpoint("127.0.0.1", seeder.endpoint.bound().port()),
                            new UdpPath.Conditions(0, ROUND_TRIP_MILLIS * 500_000L, BYTES_PER_SECOND, QUEUE_BYTES),
                            1);
                    Peer node = new Peer(
                            directory.resolve("node" + attempt), "0.0.0.0", Role.NODE, List.of(path.entrance()))) {
                Local.FileFetched fetched = await(node.fetch(file.piecesRoot(), "shard-0.gguf"));
                assertEquals(-1, Files.mismatch(seeds.resolve("shard-0.gguf"), fetched.path()));
                String what = String.format(
                        "used %.2f of the rate for %,d bytes, lost %d datagrams",
                        path.usedBack(), path.usedBackBytes(), path.lostDatagrams());
                if (path.usedBackBytes() > SIZE / 2 && path.usedBack() >= 0.8) {
                    return;
                }
                told.add(what);
            }
        }
        fail("the path was never well used: " + told);
    }
}
