package shoal.verticles.cli;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import shoal.codec.base.Endpoint;
import shoal.verticles.client.Blocking;
import shoal.verticles.pieceserver.PieceServerVerticle;
import shoal.verticles.store.StoredFile;

/**
 * Fetches a file from itself, so that a JVM that takes notes ({@code -XX:AOTCacheOutput}) sees what seeding and fetching need. The
 * build runs it; {@link Relaunch} hands the notes to those commands.
 */
@Command(name = "rehearse", hidden = true, description = "Fetch a file from this process itself.")
final class RehearseCommand implements Callable<Integer> {
    /** Enough that the JVM compiles, and so notes, what a transfer runs often. */
    private static final long SIZE = 256L << 20;

    @Override
    public Integer call() throws IOException {
        Path directory = Files.createTempDirectory("shoal-rehearse-");
        try {
            Path file = directory.resolve("model.gguf");
            try (var sparse = new RandomAccessFile(file.toFile(), "rw")) {
                sparse.setLength(SIZE);
            }
            try (CommandPeer peer =
                    CommandPeer.open(directory.resolve("store"), new Endpoint("127.0.0.1", 0), null, List.of())) {
                StoredFile seeded = peer.store.adopt(file);
                Blocking.await(peer.vertx.deployVerticle(
                        new PieceServerVerticle(peer.endpoint, peer.store, peer.bus, peer.profile)));
                return new CommandLine(new FetchCommand())
                        .execute(
                                seeded.metainfo().infoHash().toHex(),
                                "--from",
                                peer.endpoint.bound().toString(),
                                "--out",
                                directory.resolve("out").toString(),
                                "--json");
            }
        } finally {
            SeedCommand.delete(directory);
        }
    }
}
