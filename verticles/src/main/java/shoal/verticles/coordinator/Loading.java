package shoal.verticles.coordinator;

import io.vertx.core.Future;
import java.time.Duration;
import java.util.ArrayList;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.Result;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.pipeline.Standing;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.quic.QuicEndpoint;

/** Has nodes load shards, and makes spares ready to take over. */
final class Loading {
    private static final Logger LOG = LoggerFactory.getLogger(Loading.class);
    private static final Duration LOAD_TIMEOUT = Duration.ofHours(24);
    private static final Duration STAND_BY_TIMEOUT = Duration.ofSeconds(60);

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Commands commands;
    private final Members members;

    Loading(QuicEndpoint endpoint, CommandBus bus, Commands commands, Members members) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.commands = commands;
        this.members = members;
    }

    /** Completes when the shard's layers are ready on the node, however long that takes. */
    Future<Result.ShardReady> load(Model model, int shardIndex, NodeId node) {
        ModelManifest.Shard shard = model.manifest().shards().get(shardIndex);
        var load =
                new Command.LoadShard(shard.index(), model.manifest().modelName(), shard.layers(), shard.piecesRoot());
        bus.tell(
                Addresses.STEP,
                new Local.Step(5, "sent LOAD_SHARD { shard_id: " + shard.index() + " } to " + node.toShortHex()));
        return commands.ask(node, load, Result.ShardReady.class, LOAD_TIMEOUT)
                .onSuccess(_ -> LOG.info(
                        "shard {} (layers {}) is loaded on {}", shard.index(), shard.layers(), node.toShortHex()));
    }

    /** Loads a shard and makes the node ready to compute it at once, next to those who compute the others. */
    Future<?> makeSpare(Model model, int shardIndex, NodeId node, Standing standing) {
        return load(model, shardIndex, node)
                .compose(_ -> standBy(model, shardIndex, node, standing)
                        .onSuccess(_ -> LOG.info(
                                "{} stands by for layers {}",
                                node.toShortHex(),
                                model.manifest().shards().get(shardIndex).layers())));
    }

    /** Has a node that has a shard ready open connections to those who are, or may come to be, next to it. */
    Future<Result.StandsBy> standBy(Model model, int shardIndex, NodeId node, Standing standing) {
        var neighbours = new ArrayList<Contact>();
        neighbours.add(endpoint.contact());
        for (NodeId next : standing.besides(shardIndex)) {
            Result.Capabilities known = members.get(next);
            if (known != null && !next.equals(node) && neighbours.size() < Command.StandBy.MAX_NEIGHBOURS) {
                neighbours.add(known.contact());
            }
        }
        ModelManifest.Shard shard = model.manifest().shards().get(shardIndex);
        var ready = new Command.StandBy(shard.index(), shard.layers(), shard.piecesRoot(), neighbours);
        return commands.ask(node, ready, Result.StandsBy.class, STAND_BY_TIMEOUT);
    }
}
