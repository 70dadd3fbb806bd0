package shoal.verticles.coordinator;

import io.vertx.core.Future;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.pipeline.PlacementPlanner;
import shoal.codec.pipeline.Standing;
import shoal.verticles.bus.Local;

/** The model as it is cut now, and who has which of its shards ready; has more of them loaded, and older cuts dropped. One event loop. */
final class Holdings {
    private static final Logger LOG = LoggerFactory.getLogger(Holdings.class);
    private static final Duration UNLOAD_TIMEOUT = Duration.ofSeconds(30);

    private final Commands commands;
    private final Members members;
    private final Loading loading;
    private final boolean spares;
    private final Set<Standing.Spare> making = new HashSet<>();
    private final Set<Standing.Spare> failedSpares = new HashSet<>();
    private @Nullable Model model;
    private @Nullable Standing standing;

    /** @param spares whether nodes that are left over stand by */
    Holdings(Commands commands, Members members, Loading loading, boolean spares) {
        this.spares = spares;
        this.commands = commands;
        this.members = members;
        this.loading = loading;
    }

    @Nullable Model model() {
        return model;
    }

    /** Who has what. @throws NullPointerException while the model is not known */
    Standing standing() {
        return Objects.requireNonNull(standing);
    }

    boolean isWhole() {
        return standing != null && standing.isWhole();
    }

    /** A model whose shards nobody has ready yet. */
    Model begin(Model known) {
        model = known;
        standing = Standing.none(known.manifest().shards().size());
        return known;
    }

    /** A model whose shards these have ready, and compute. */
    void inherit(Model known, List<NodeId> computing) {
        Standing placed = Standing.none(computing.size());
        for (int shard = 0; shard < computing.size(); shard++) {
            placed = placed.with(shard, computing.get(shard));
        }
        model = known;
        standing = placed.computedBy(computing);
    }

    /** An unsplit model is cut as the plan says; what stood by for another cut does not any more. */
    Model cutAs(Placing.Planned planned) {
        Model known = Objects.requireNonNull(model);
        return planned.model().shardRanges().equals(known.shardRanges()) ? known : begin(planned.model());
    }

    void lost(NodeId node) {
        making.removeIf(spare -> spare.node().equals(node));
        without(node);
    }

    /** A node computes nothing and stands by for nothing. */
    void without(NodeId node) {
        if (standing != null) {
            standing = standing.without(node);
        }
    }

    /** What could not be loaded may be tried again. */
    void forgiveFailures() {
        failedSpares.clear();
    }

    void computedBy(List<NodeId> way) {
        standing = standing().computedBy(way);
    }

    /** Completes when each shard is ready on its node. @param warm whether others compute meanwhile */
    Future<?> load(Model known, List<NodeId> computing, boolean warm) {
        var all = new ArrayList<Future<?>>();
        for (int i = 0; i < computing.size(); i++) {
            int shard = i;
            NodeId node = computing.get(shard);
            if (warm && standing().holds(shard, node)) {
                continue;
            }
            Future<?> loaded = warm
                    ? loading.makeSpare(known, shard, node, standing().computedBy(computing))
                    : loading.load(known, shard, node);
            all.add(loaded.onSuccess(_ -> holds(known, shard, node)));
        }
        return Future.join(all).map(_ -> {
            if (!computing.stream().allMatch(node -> members.get(node) != null)) {
                throw new CommandException("a node that was given layers is gone.");
            }
            if (!warm) {
                computedBy(computing);
            }
            return null;
        });
    }

    private void holds(Model known, int shard, NodeId node) {
        if (members.get(node) != null && known == model) {
            standing = standing().with(shard, node);
        }
    }

    /** What will stand when all spares are made. */
    private Standing withSpares(Model known) {
        Standing planned = standing();
        if (!spares) {
            return planned;
        }
        List<Long> sizes = Placing.sizes(known);
        List<PlacementPlanner.Candidate> candidates = Placing.candidates(known, members.working());
        for (Standing.Spare spare : making) {
            planned = planned.with(spare.shard(), spare.node());
        }
        for (Standing.Spare next = planned.nextSpare(sizes, candidates, failedSpares);
                next != null;
                next = planned.nextSpare(sizes, candidates, failedSpares)) {
            planned = planned.with(next.shard(), next.node());
        }
        return planned;
    }

    /** Has what is left over stand by. @param made run after each, whether it could be made or not */
    void makeSpares(Runnable made) {
        Model known = Objects.requireNonNull(model);
        Standing now = standing();
        Standing planned = withSpares(known);
        for (int i = 0; i < planned.holders().size(); i++) {
            int shard = i;
            for (NodeId node : planned.holders().get(shard)) {
                var spare = new Standing.Spare(node, shard);
                if (!now.holds(shard, node) && making.add(spare)) {
                    loading.makeSpare(known, shard, node, now)
                            .onSuccess(_ -> holds(known, shard, node))
                            .onFailure(failure -> {
                                failedSpares.add(spare);
                                LOG.warn("a spare for shard {} is missing: {}", shard, failure.getMessage());
                            })
                            .onComplete(_ -> {
                                making.remove(spare);
                                made.run();
                            });
                }
            }
        }
    }

    /** For each shard who would compute it next, null for nobody. */
    List<@Nullable Contact> spares() {
        var next = new ArrayList<@Nullable Contact>();
        for (List<NodeId> nodes : standing().holders()) {
            Result.Capabilities spare = nodes.size() < 2 ? null : members.get(nodes.get(1));
            next.add(spare == null ? null : spare.contact());
        }
        return next;
    }

    /** Others compute than before: those who stand by get to know them. */
    void introduceSpares() {
        Model known = Objects.requireNonNull(model);
        Standing now = standing();
        for (int i = 0; i < now.holders().size(); i++) {
            int shard = i;
            now.holders().get(shard).stream()
                    .skip(1)
                    .forEach(node -> loading.standBy(known, shard, node, now)
                            .onFailure(failure -> LOG.debug("{}", failure.getMessage())));
        }
    }

    /** Nodes drop layers of the model that are not as it is cut now: their memory is for those that are. */
    void dropOlderCuts() {
        Model known = Objects.requireNonNull(model);
        if (!known.isUnsplit()) {
            return;
        }
        Hash256 root = known.manifest().shards().getFirst().piecesRoot();
        members.refresh().onSuccess(_ -> {
            for (Result.Capabilities node : members.working()) {
                for (Result.LoadedShard has : node.loaded()) {
                    if (known == model
                            && has.piecesRoot().equals(root)
                            && !known.shardRanges().contains(has.layers())) {
                        var unload = new Command.UnloadShard(has.shardId(), has.layers(), root);
                        commands.ask(node.node(), unload, Result.ShardDropped.class, UNLOAD_TIMEOUT)
                                .onSuccess(_ -> LOG.info(
                                        "layers {} of an older cut are dropped by {}",
                                        has.layers(),
                                        node.node().toShortHex()))
                                .onFailure(failure -> LOG.warn("{}", failure.getMessage()));
                    }
                }
            }
        });
    }

    Local.SwarmReady swarmReady() {
        Model known = Objects.requireNonNull(model);
        Standing now = withSpares(known);
        var stages = new ArrayList<Local.StageOf>();
        var spares = new ArrayList<Local.StageOf>();
        for (ModelManifest.Shard shard : known.manifest().shards()) {
            List<NodeId> all = now.holders().get(shard.index());
            stages.add(new Local.StageOf(all.getFirst(), shard.layers()));
            all.stream().skip(1).forEach(node -> spares.add(new Local.StageOf(node, shard.layers())));
        }
        return new Local.SwarmReady(known.manifest().modelName(), stages, spares);
    }
}
