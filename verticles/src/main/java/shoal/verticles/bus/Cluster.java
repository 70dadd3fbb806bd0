package shoal.verticles.bus;

import com.hazelcast.cluster.MembershipEvent;
import com.hazelcast.cluster.MembershipListener;
import com.hazelcast.config.Config;
import com.hazelcast.config.MapConfig;
import com.hazelcast.config.MultiMapConfig;
import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.instance.impl.DefaultNodeContext;
import com.hazelcast.instance.impl.DefaultNodeExtension;
import com.hazelcast.instance.impl.HazelcastInstanceFactory;
import com.hazelcast.instance.impl.Node;
import com.hazelcast.instance.impl.NodeExtension;
import com.hazelcast.internal.cluster.impl.JoinMessage;
import com.hazelcast.internal.cluster.impl.JoinRequest;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.eventbus.EventBusOptions;
import io.vertx.core.http.ClientAuth;
import io.vertx.core.net.PemKeyCertOptions;
import io.vertx.core.net.PemTrustOptions;
import io.vertx.spi.cluster.hazelcast.HazelcastClusterManager;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.base.NodeId;
import shoal.verticles.identity.ClusterSecret;

/**
 * The clustered event bus: one Hazelcast member per process, joined over TCP at addresses that a peer's welcome named. Hazelcast
 * keeps the bus's subscriptions and nothing else; who has which file is the DHT's matter.
 */
public final class Cluster {
    /** Copies of the bus's subscriptions beside the first: so many machines may die at once. */
    private static final int BACKUPS = 3;

    private static final String TOKEN = "shoal.token";
    private static final String NODE = "shoal.node";

    private final Vertx vertx;
    private final HazelcastInstance hazelcast;

    private Cluster(Vertx vertx, HazelcastInstance hazelcast) {
        this.vertx = vertx;
        this.hazelcast = hazelcast;
    }

    /**
     * What a member needs to join.
     *
     * @param self told to the others, so that they know who is gone when it is
     * @param port first TCP port to try for Hazelcast
     * @param busPort TCP port of the event bus, 0 for any free one
     * @param members where the cluster already is; empty to found it
     * @param secret checked when somebody joins, and source of the bus's TLS; null on loopback
     */
    public record Settings(
            NodeId self,
            String name,
            String host,
            int port,
            int busPort,
            List<Endpoint> members,
            @Nullable ClusterSecret secret) {}

    /**
     * Joins, or founds the cluster. Blocks while it does: call it on a thread that may. Fails if there are members to join and
     * none of them took this one in.
     */
    public static Future<Cluster> join(VertxOptions options, Settings settings) {
        System.setProperty("hazelcast.logging.type", "slf4j");
        HazelcastInstance hazelcast = HazelcastInstanceFactory.newHazelcastInstance(
                config(settings), "shoal-" + UUID.randomUUID(), new Gate(settings));
        if (!settings.members().isEmpty() && hazelcast.getCluster().getMembers().size() < 2) {
            hazelcast.getLifecycleService().terminate();
            return Future.failedFuture(
                    new IllegalStateException("cluster '" + settings.name() + "' did not take this machine in at "
                            + settings.members() + ". Check that its TCP ports can be reached from here."));
        }
        options.setEventBusOptions(busOptions(settings));
        var manager = new HazelcastClusterManager(hazelcast);
        return Vertx.builder()
                .with(options)
                .withClusterManager(manager)
                .buildClustered()
                .map(vertx -> new Cluster(vertx, hazelcast));
    }

    private static Config config(Settings settings) {
        var config = new Config();
        config.setClusterName(settings.name());
        config.setProperty("hazelcast.wait.seconds.before.join", "0");
        config.setProperty("hazelcast.phone.home.enabled", "false");
        config.setProperty("hazelcast.shutdownhook.enabled", "false");
        config.setProperty("hazelcast.socket.bind.any", "false");
        config.setProperty("hazelcast.partition.count", "31");
        config.setProperty("hazelcast.operation.thread.count", "2");
        config.setProperty("hazelcast.operation.generic.thread.count", "2");
        config.setProperty("hazelcast.event.thread.count", "1");
        config.setProperty("hazelcast.io.thread.count", "1");
        // a connection that breaks means a process that died, unless it can be made anew at once
        config.setProperty("hazelcast.connection.monitor.interval", "20");
        config.setProperty("hazelcast.connection.monitor.max.faults", "2");
        config.setProperty("hazelcast.heartbeat.interval.seconds", "1");
        config.setProperty("hazelcast.max.no.heartbeat.seconds", "15");
        // who was frozen for longer and was let go is a cluster of its own then, which comes back soon
        config.setProperty("hazelcast.merge.first.run.delay.seconds", "5");
        config.setProperty("hazelcast.merge.next.run.delay.seconds", "5");
        config.setProperty("hazelcast.max.join.seconds", "20");
        config.setProperty("hazelcast.initial.min.cluster.size", "1");
        if (settings.host().contains(":")) {
            config.setProperty("hazelcast.prefer.ipv4.stack", "false");
        }
        config.getJetConfig().setEnabled(false);
        config.getMemberAttributeConfig()
                .setAttribute("__vertx.nodeId", UUID.randomUUID().toString());
        config.getMemberAttributeConfig().setAttribute(NODE, settings.self().toHex());
        if (settings.secret() != null) {
            config.getMemberAttributeConfig()
                    .setAttribute(TOKEN, settings.secret().joinToken(settings.name()));
        }
        var network = config.getNetworkConfig();
        network.setPort(settings.port())
                .setPortAutoIncrement(true)
                .setPortCount(200)
                .setReuseAddress(false);
        network.getInterfaces().setEnabled(true).addInterface(settings.host());
        var join = network.getJoin();
        join.getAutoDetectionConfig().setEnabled(false);
        join.getMulticastConfig().setEnabled(false);
        join.getTcpIpConfig()
                .setEnabled(true)
                .setConnectionTimeoutSeconds(5)
                .setMembers(settings.members().stream().map(Endpoint::toString).toList());
        config.addMultiMapConfig(new MultiMapConfig("__vertx.subs")
                .setBackupCount(BACKUPS)
                .setValueCollectionType(MultiMapConfig.ValueCollectionType.SET));
        config.addMapConfig(new MapConfig("__vertx.haInfo").setBackupCount(BACKUPS));
        config.addMapConfig(new MapConfig("__vertx.nodeInfo").setBackupCount(BACKUPS));
        return config;
    }

    private static EventBusOptions busOptions(Settings settings) {
        var options = new EventBusOptions().setHost(settings.host()).setPort(settings.busPort());
        options.setClusterPublicHost(settings.host());
        if (settings.secret() != null) {
            var credentials = settings.secret().busCredentials();
            options.setSsl(true)
                    .setTrustAll(false)
                    .setClientAuth(ClientAuth.REQUIRED)
                    .setKeyCertOptions(new PemKeyCertOptions()
                            .addKeyValue(Buffer.buffer(credentials.keyPem()))
                            .addCertValue(Buffer.buffer(credentials.certificatePem())))
                    .setTrustOptions(new PemTrustOptions().addCertValue(Buffer.buffer(credentials.certificatePem())));
        }
        return options;
    }

    public Vertx vertx() {
        return vertx;
    }

    /** TCP addresses of the members, this one first; what a welcome hands out. */
    public List<Endpoint> members() {
        var local = hazelcast.getCluster().getLocalMember();
        return hazelcast.getCluster().getMembers().stream()
                .sorted((a, b) -> Boolean.compare(b.equals(local), a.equals(local)))
                .limit(shoal.codec.wire.Frame.Welcome.MAX_BUS_MEMBERS)
                .map(member -> new Endpoint(
                        member.getAddress().getHost(), member.getAddress().getPort()))
                .toList();
    }

    /** Tells which member is gone; called on a thread of Hazelcast's. */
    public void onMemberLost(Consumer<NodeId> listener) {
        hazelcast.getCluster().addMembershipListener(new MembershipListener() {
            @Override
            public void memberAdded(MembershipEvent event) {}

            @Override
            public void memberRemoved(MembershipEvent event) {
                String node = event.getMember().getAttribute(NODE);
                if (node != null) {
                    listener.accept(NodeId.parse(node));
                }
            }
        });
    }

    /** Closes Vert.x and leaves. */
    public Future<Void> leave() {
        return vertx.close().onComplete(_ -> hazelcast.getLifecycleService().terminate());
    }

    /** Checks the token of who joins. Hazelcast's internal API; its open-source edition has no other place for this. */
    private static final class Gate extends DefaultNodeContext {
        private final Settings settings;

        Gate(Settings settings) {
            this.settings = settings;
        }

        @Override
        public NodeExtension createNodeExtension(Node node) {
            return new DefaultNodeExtension(node) {
                @Override
                public void validateJoinRequest(JoinMessage message) {
                    super.validateJoinRequest(message);
                    ClusterSecret secret = settings.secret();
                    if (secret != null && message instanceof JoinRequest request) {
                        String token = request.getAttributes().get(TOKEN);
                        if (!Objects.equals(token, secret.joinToken(settings.name()))) {
                            throw new SecurityException(
                                    "the cluster's secret is missing or another one. Set cluster.secretFile to a copy of the cluster's file.");
                        }
                    }
                }
            };
        }
    }
}
