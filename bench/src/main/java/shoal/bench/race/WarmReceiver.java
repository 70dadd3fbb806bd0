package shoal.bench.race;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.identity.Identity;
import shoal.verticles.piecefetcher.PieceFetcherVerticle;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.ShardStore;

/**
 * What of a node fetches shards, in a process of its own: fetches one file after the other, and prints a line for each: milliseconds
 * from the wish until the first piece is verified and can be read, and until the file is whole.
 */
public final class WarmReceiver {
    private WarmReceiver() {}

    /** Arguments: host:port of the one who seeds, the store's directory, pieces roots or info-hashes. */
    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[1]);
        var profile = new ProfileReader()
                .set("store.directory=" + directory.toAbsolutePath())
                .read();
        Vertx vertx = Vertx.vertx(new VertxOptions().setPreferNativeTransport(true));
        CommandBus bus = CommandBus.install(vertx);
        try (ShardStore store = ShardStore.open(directory, BlockHashers.best())) {
            QuicEndpoint endpoint = await(QuicEndpoint.open(
                    vertx,
                    Identity.create(),
                    new QuicEndpoint.Settings(
                            new Endpoint("127.0.0.1", 0),
                            List.of(),
                            Role.NODE,
                            "",
                            null,
                            "bench",
                            QuicEndpoint.PROTOCOL)));
            await(vertx.deployVerticle(
                    new PieceFetcherVerticle(endpoint, store, bus, profile, List.of(Endpoint.parse(arguments[0])))));
            var first = new AtomicLong();
            bus.listen(
                    Addresses.PIECES_VERIFIED,
                    Local.PiecesVerified.class,
                    _ -> first.compareAndSet(0, System.nanoTime()));
            for (String hash : Arrays.asList(arguments).subList(2, arguments.length)) {
                first.set(0);
                long start = System.nanoTime();
                await(bus.ask(
                        Addresses.FETCH,
                        new Local.FetchFile(Hash256.parse(hash), hash, List.of()),
                        Local.FileFetched.class));
                long end = System.nanoTime();
                System.out.printf(Locale.ROOT, "%.3f %.3f%n", (first.get() - start) / 1e6, (end - start) / 1e6);
            }
            await(endpoint.close());
        } finally {
            await(vertx.close());
        }
    }

    private static <T> T await(Future<T> future) {
        return future.toCompletionStage().toCompletableFuture().join();
    }
}
