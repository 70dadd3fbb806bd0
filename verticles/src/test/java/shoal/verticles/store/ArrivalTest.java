package shoal.verticles.store;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;

/** Waiting for bytes of a file that is still coming. */
class ArrivalTest {
    private static final int PIECE = 65_536;

    @TempDir
    Path directory;

    private final byte[] bytes = new byte[4 * PIECE + 9];
    private final List<String> wishes = new ArrayList<>();
    private Metainfo file;
    private ShardStore store;
    private Arrival arrival;

    @BeforeEach
    void open() throws IOException {
        new Random(2).nextBytes(bytes);
        var tree = new MerkleTree(Pieces.of(bytes.length));
        tree.add(ByteBuffer.wrap(bytes), BlockHasher.plain());
        file = Metainfo.of("shard-0.gguf", tree.finish());
        store = ShardStore.open(directory.resolve("store"), BlockHasher.plain());
        store.begin(file);
        arrival = store.arrival(file.piecesRoot(), (first, count) -> wishes.add(first + "+" + count));
    }

    @AfterEach
    void close() throws IOException {
        store.close();
    }

    private void write(int piece) throws IOException {
        int from = piece * PIECE;
        assertTrue(store.write(
                file.piecesRoot(), piece, ByteBuffer.wrap(bytes, from, Math.min(PIECE, bytes.length - from))));
    }

    /** Waits on a thread of its own, and is known to wait when its wish has been told. */
    private CompletableFuture<Void> waiting(long offset, long size) {
        var done = new CompletableFuture<Void>();
        Thread.ofVirtual().start(() -> {
            try {
                arrival.await(offset, size);
                done.complete(null);
            } catch (IOException | InterruptedException failure) {
                done.completeExceptionally(failure);
            }
        });
        return done;
    }

    private static String reason(CompletableFuture<Void> waiting) {
        return String.valueOf(assertThrows(ExecutionException.class, () -> waiting.get(20, TimeUnit.SECONDS))
                .getCause()
                .getMessage());
    }

    @Test
    void whoWaitsGoesOnWhenAllOfItsPiecesAreHere() throws Exception {
        write(1);
        CompletableFuture<Void> waiting = waiting(PIECE + 5, 2 * PIECE);
        write(3);
        assertFalse(waiting.isDone());
        assertFalse(arrival.holds(PIECE + 5, 2 * PIECE));
        write(2);
        waiting.get(20, TimeUnit.SECONDS);
        assertTrue(arrival.holds(PIECE + 5, 2 * PIECE));
        arrival.await(PIECE, 0);
        arrival.await(PIECE, 3 * PIECE);
        assertFalse(arrival.isOver());
        assertTrue(wishes.size() <= 1, wishes.toString());
    }

    @Test
    void whatIsMissingIsWishedForOnceWithWhatFollows() throws Exception {
        write(0);
        write(1);
        arrival.fail("nobody has it");
        assertEquals("nobody has it", reason(waiting(0, 3 * PIECE)));
        assertEquals("nobody has it", reason(waiting(3 * PIECE, 1)));
        assertEquals(List.of("2+3"), wishes);
        arrival.await(0, 2 * PIECE);
    }

    @Test
    void afterTheEndNobodyWaits() throws Exception {
        CompletableFuture<Void> waiting = waiting(0, bytes.length);
        Path elsewhere = Files.write(directory.resolve("shard-0.gguf"), bytes);
        store.adopt(elsewhere);
        assertEquals("shard-0.gguf is not fetched here any more", reason(waiting));
        assertTrue(arrival.isOver());
    }

    @Test
    void aFileThatBecomesWholeIsOverAndAllHere() throws Exception {
        Path before = arrival.path();
        for (int piece = 0; piece < 5; piece++) {
            write(piece);
        }
        store.finish(file.piecesRoot());
        assertTrue(arrival.isOver());
        arrival.await(0, bytes.length);
        assertFalse(Files.exists(before));
        assertTrue(Files.exists(arrival.path()));
    }

    @Test
    void bytesThatAreNotInTheFileAreRefused() {
        assertThrows(IOException.class, () -> arrival.await(bytes.length, 1));
        assertThrows(IOException.class, () -> arrival.await(-1, 2));
        assertThrows(IOException.class, () -> arrival.await(1, Long.MAX_VALUE));
        assertThrows(IOException.class, () -> store.arrival(shoal.codec.base.Hash256.sha256(bytes), (_, _) -> {}));
    }
}
