package shoal.verticles.cli;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.wire.Role;
import shoal.codec.wire.SignedRecord;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.Cluster;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.dht.DhtVerticle;
import shoal.verticles.identity.ClusterSecret;
import shoal.verticles.identity.Identity;
import shoal.verticles.quic.QuicEndpoint;
import tools.jackson.databind.JsonNode;

/** A program that joins a running cluster, knowing one bootstrap address, to send envelopes and to ask the DHT. */
final class BusMember implements AutoCloseable {
    private static final Duration BOUND = Duration.ofSeconds(120);

    private final Cluster cluster;
    private final CommandBus bus;
    private final QuicEndpoint endpoint;

    private BusMember(Cluster cluster, CommandBus bus, QuicEndpoint endpoint) {
        this.cluster = cluster;
        this.bus = bus;
        this.endpoint = endpoint;
    }

    /** Learns the bus's addresses from the bootstrap's welcome, joins, and takes part in the DHT as a client. */
    static BusMember join(Endpoint bootstrap, String name, @Nullable ClusterSecret secret) {
        var settings =
                new QuicEndpoint.Settings(null, List.of(), Role.CLIENT, name, secret, "a test", QuicEndpoint.PROTOCOL);
        Vertx asking = Vertx.vertx();
        List<Endpoint> members;
        try {
            QuicEndpoint once = await(QuicEndpoint.open(asking, Identity.create(), settings));
            members = Objects.requireNonNull(await(once.connect(bootstrap)).welcome())
                    .busMembers();
            await(once.close());
        } finally {
            await(asking.close());
        }
        Identity identity = Identity.create();
        Cluster cluster = await(Cluster.join(
                new VertxOptions(),
                new Cluster.Settings(identity.nodeId(), name, "127.0.0.1", 5701, 0, members, secret)));
        QuicEndpoint endpoint = await(QuicEndpoint.open(cluster.vertx(), identity, settings));
        CommandBus bus = CommandBus.install(cluster.vertx());
        await(cluster.vertx().deployVerticle(new DhtVerticle(endpoint, bus, List.of(bootstrap), name, Role.CLIENT)));
        return new BusMember(cluster, bus, endpoint);
    }

    String id() {
        return endpoint.nodeId().toHex();
    }

    /** Sends JSON text as it is; returns the reply as it is. */
    JsonNode send(String to, String envelope) {
        return Program.JSON.readTree(await(bus.request(node(to), envelope, BOUND)));
    }

    /** Sends a command and does not wait. */
    void begin(String to, String envelope) {
        bus.request(node(to), envelope, BOUND);
    }

    /** Ids of the providers that the DHT knows for a key. */
    List<String> providers(Hash256 key) {
        return await(bus.ask(Addresses.FIND_PROVIDERS, new Local.FindProviders(key), Local.ProvidersFound.class))
                .records()
                .stream()
                .map(SignedRecord::record)
                .map(record -> record.provider().id().toHex())
                .sorted()
                .toList();
    }

    private static NodeId node(String hex) {
        return NodeId.parse(hex);
    }

    static <T> T await(Future<T> future) {
        return future.toCompletionStage()
                .toCompletableFuture()
                .orTimeout(BOUND.toSeconds(), TimeUnit.SECONDS)
                .join();
    }

    @Override
    public void close() {
        await(endpoint.close());
        await(cluster.leave());
    }
}
