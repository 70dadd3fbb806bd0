package shoal.verticles.cli;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.Role;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.client.Blocking;
import shoal.verticles.config.Profile;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.identity.ClusterSecret;
import shoal.verticles.identity.Identity;
import shoal.verticles.quic.NativeQuic;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.ShardStore;

/** What a command needs that moves files and belongs to no cluster: an endpoint with a key of its own, a store, a local bus. */
final class CommandPeer implements AutoCloseable {
    /** A key that nobody has yet. */
    private static final AtomicReference<@Nullable CompletableFuture<Identity>> BEGUN = new AtomicReference<>();

    final Vertx vertx;
    final CommandBus bus;
    final ShardStore store;
    final QuicEndpoint endpoint;
    final Profile profile;

    private CommandPeer(Vertx vertx, ShardStore store, QuicEndpoint endpoint, CommandBus bus, Profile profile) {
        this.vertx = vertx;
        this.store = store;
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
    }

    /**
     * Opens it all, blocking.
     *
     * @param bind where to listen, null for who only asks
     * @param secretFile of the cluster that is asked or served, null if it has none
     * @param settings what the profile says beside the store's directory
     */
    static CommandPeer open(
            Path storeDirectory, @Nullable Endpoint bind, @Nullable Path secretFile, ProfileReader settings)
            throws IOException {
        return open(storeDirectory, bind, secretFile, settings, newIdentity());
    }

    /** The same. @param settings {@code key=value} of the profile */
    static CommandPeer open(
            Path storeDirectory, @Nullable Endpoint bind, @Nullable Path secretFile, List<String> settings)
            throws IOException {
        var reader = new ProfileReader();
        settings.forEach(reader::set);
        return open(storeDirectory, bind, secretFile, reader);
    }

    /** For who only asks, and is known to others by a key that lasts. */
    static CommandPeer open(Path storeDirectory, @Nullable Path secretFile, Identity identity) throws IOException {
        return open(storeDirectory, null, secretFile, new ProfileReader(), CompletableFuture.completedFuture(identity));
    }

    /**
     * Begins, beside the caller, what takes a JVM that has just started as long as all else: a key, the transport's native library, the
     * choice of a hasher.
     */
    static void beginBeforehand() {
        BEGUN.set(CompletableFuture.supplyAsync(Identity::create, CommandPeer::beside));
        beside(() -> {
            NativeQuic.whyUnavailable(); // told when an endpoint is opened
            BlockHashers.best();
        });
    }

    private static CompletableFuture<Identity> newIdentity() {
        CompletableFuture<Identity> begun = BEGUN.getAndSet(null); // two peers are never one
        return begun != null ? begun : CompletableFuture.supplyAsync(Identity::create, CommandPeer::beside);
    }

    private static void beside(Runnable task) {
        Thread.ofPlatform().daemon().name("beforehand").start(task);
    }

    private static CommandPeer open(
            Path storeDirectory,
            @Nullable Endpoint bind,
            @Nullable Path secretFile,
            ProfileReader settings,
            CompletableFuture<Identity> identity)
            throws IOException {
        var hasher = CompletableFuture.supplyAsync(BlockHashers::best, CommandPeer::beside);
        ClusterSecret secret = secretFile == null ? null : ClusterSecret.read(secretFile);
        Profile profile =
                settings.storeDirectory(storeDirectory.toAbsolutePath()).read();
        Vertx vertx = Vertx.vertx(new VertxOptions().setPreferNativeTransport(true));
        ShardStore store;
        try {
            store = ShardStore.open(storeDirectory, hasher.join());
        } catch (IOException | RuntimeException failure) {
            vertx.close();
            throw failure;
        }
        try {
            CommandBus bus = CommandBus.install(vertx);
            var said = new QuicEndpoint.Settings(
                    bind,
                    List.of(),
                    bind == null ? Role.CLIENT : Role.NODE,
                    "",
                    secret,
                    "shoal " + ShoalCommand.Version.number(),
                    QuicEndpoint.PROTOCOL);
            QuicEndpoint endpoint = Blocking.await(QuicEndpoint.open(vertx, identity.join(), said));
            return new CommandPeer(vertx, store, endpoint, bus, profile);
        } catch (RuntimeException failure) {
            vertx.close();
            store.close();
            throw failure;
        }
    }

    @Override
    public void close() throws IOException {
        try {
            Blocking.await(Future.join(
                            vertx.deploymentIDs().stream().map(vertx::undeploy).toList())
                    .otherwiseEmpty());
            Blocking.await(endpoint.close().otherwiseEmpty());
            Blocking.await(vertx.close());
        } finally {
            store.close();
        }
    }
}
