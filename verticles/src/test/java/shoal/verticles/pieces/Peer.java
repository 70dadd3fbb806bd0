package shoal.verticles.pieces;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.dht.DhtVerticle;
import shoal.verticles.identity.Identity;
import shoal.verticles.piecefetcher.PieceFetcherVerticle;
import shoal.verticles.pieceserver.PieceServerVerticle;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.ShardStore;

/** What one process has: its own Vert.x, endpoint, store, piece server and piece fetcher, on loopback. */
final class Peer implements AutoCloseable {
    final Vertx vertx = Vertx.vertx();
    final CommandBus bus = CommandBus.install(vertx);
    final Path root;
    final ShardStore store;
    final QuicEndpoint endpoint;
    final Profile profile;
    final BlockingQueue<Object> news = new LinkedBlockingQueue<>();
    private final List<Contact> hints = new CopyOnWriteArrayList<>();
    private boolean closed;

    /** @param settings as {@code --set} takes them */
    Peer(Path root, Role role, List<Endpoint> origins, String... settings) {
        this(root, "127.0.0.1", role, origins, settings);
    }

    /** @param host to listen on: datagrams beyond loopback are as small as a network wants them */
    Peer(Path root, String host, Role role, List<Endpoint> origins, String... settings) {
        this.root = root;
        var reader = new ProfileReader();
        reader.set("store.directory=" + root);
        for (String setting : settings) {
            reader.set(setting);
        }
        profile = reader.read();
        try {
            store = ShardStore.open(root, BlockHasher.plain());
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        endpoint = await(QuicEndpoint.open(
                vertx,
                Identity.create(),
                new QuicEndpoint.Settings(
                        new Endpoint(host, 0), List.of(), role, "test", null, "test", QuicEndpoint.PROTOCOL)));
        bus.listen(Addresses.STEP, Local.Step.class, news::add);
        bus.listen(Addresses.PIECES_VERIFIED, Local.PiecesVerified.class, news::add);
        bus.listen(Addresses.FILE_STORED, Local.FileStored.class, news::add);
        bus.listen(Addresses.FETCH_PROGRESS, Local.FetchProgress.class, news::add);
        await(vertx.deployVerticle(new PieceServerVerticle(endpoint, store, bus, profile)));
        await(vertx.deployVerticle(new PieceFetcherVerticle(endpoint, store, bus, profile, origins)));
    }

    void joinDht(Role role, List<Endpoint> bootstrap) {
        await(vertx.deployVerticle(new DhtVerticle(endpoint, bus, bootstrap, "test", role)));
    }

    Contact contact() {
        return endpoint.contact();
    }

    Future<Local.FileFetched> fetch(Hash256 hash, String name, Contact... hints) {
        return bus.ask(Addresses.FETCH, new Local.FetchFile(hash, name, List.of(hints)), Local.FileFetched.class);
    }

    /** From now on the DHT, as this peer sees it, names one more provider for whatever is asked. */
    void hint(Contact contact) {
        if (hints.isEmpty()) {
            bus.answerLocally(Addresses.FIND_PROVIDERS, Local.FindProviders.class, this::providers);
        }
        hints.add(contact);
    }

    private Future<Local.ProvidersFound> providers(Local.FindProviders asked) {
        return Future.succeededFuture(new Local.ProvidersFound(hints.stream()
                .map(hint -> endpoint.identity().sign(new ProviderRecord(asked.key(), hint, new byte[0], 1, 2)))
                .toList()));
    }

    /** Waits for news of a kind, and takes all that came before it. */
    <T> T awaitNews(Class<T> kind, Predicate<T> right) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        try {
            while (true) {
                Object next = news.poll(end - System.nanoTime(), TimeUnit.NANOSECONDS);
                assertTrue(next != null, "no " + kind.getSimpleName() + " came in 20 s");
                if (kind.isInstance(next) && right.test(kind.cast(next))) {
                    return kind.cast(next);
                }
            }
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    static <T> T await(Future<T> future) {
        return future.toCompletionStage()
                .toCompletableFuture()
                .orTimeout(30, TimeUnit.SECONDS)
                .join();
    }

    static void write(Path file, byte[] bytes) {
        try {
            Files.createDirectories(file.getParent());
            Files.write(file, bytes);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        await(endpoint.close().otherwiseEmpty());
        await(vertx.close());
        try {
            store.close();
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
