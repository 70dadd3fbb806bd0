package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Epoch;
import shoal.codec.base.NodeId;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.pipeline.Liveness;
import shoal.codec.pipeline.Placement;
import shoal.codec.pipeline.PlacementPlanner;
import shoal.codec.pipeline.PlanReport;
import shoal.codec.pipeline.Standing;
import shoal.codec.wire.Availability;
import shoal.codec.wire.ErrorCode;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;

/**
 * Keeps a pipeline standing while nodes come, go, die and rest. When one that computes is lost, who stands by takes over, and else the
 * layers are placed anew; one that wants to leave is replaced while it still computes; who is left over stands by. A pipeline is used
 * once a canary token has passed through it. One event loop.
 */
final class Upkeep implements Watch.Listener {
    private static final Logger LOG = LoggerFactory.getLogger(Upkeep.class);
    /** Somebody who names one above it lies, or the cluster is older than all others. */
    private static final int MAX_HEARD_EPOCH = 1 << 30;

    private static final long RETRY_MILLIS = 1000;
    private static final long LAST_ONE_MILLIS = 100;
    /** So long requests may wait for others to take over; later they are refused with the reason. */
    private static final long TAKE_OVER_MILLIS = 30_000;
    /** Through stages that may be cold. */
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    /** Where there is another way to try. */
    private static final Duration PATIENCE_WITH_CHOICE = Duration.ofSeconds(5);

    private final Vertx vertx;
    private final CommandBus bus;
    private final Commands commands;
    private final ModelFinder finder;
    private final Watch watch;
    private final Members members;
    private final Loading loading;
    private final Generations generations;
    private final Placing placing;
    private final Set<Standing.Spare> making = new HashSet<>();
    private final Set<Standing.Spare> failedSpares = new HashSet<>();
    private @Nullable Model model;
    private @Nullable Standing standing;
    private @Nullable Pipeline pipeline;
    /** What was interrupted a moment ago: requests may wait for those who take over. */
    private @Nullable Pipeline interrupted;
    /** The next that is given out: above all that were, here or by others. */
    private Epoch epoch = Epoch.FIRST;

    /** Whether this coordinator gives the work. */
    private boolean working;

    private boolean busy;
    private boolean again;
    private boolean mayImprove;
    private boolean closing;
    private int failures;
    private int needed;
    private String waitingFor = "the bootstrap";
    private @Nullable String trouble;

    Upkeep(
            Vertx vertx,
            shoal.verticles.quic.QuicEndpoint endpoint,
            CommandBus bus,
            Profile profile,
            Commands commands) {
        this.vertx = vertx;
        this.bus = bus;
        this.commands = commands;
        this.needed = profile.coordinator().nodes();
        placing = new Placing(vertx, endpoint, commands, profile);
        finder = new ModelFinder(vertx, endpoint, bus, profile);
        watch = new Watch(
                vertx, endpoint, () -> new Epoch(Math.max(0, epoch.number() - 1)), Liveness.Bounds.CLOSE, this);
        members = new Members(vertx, bus, commands, profile, watch, this::joined);
        loading = new Loading(endpoint, bus, commands, members);
        generations = new Generations(vertx, endpoint, commands, profile, this::faulty, this::slow);
    }

    /** Gets to know the nodes; another coordinator may give the work meanwhile. */
    void start() {
        members.start();
        bus.listen(Addresses.MEMBER_LOST, Local.MemberLost.class, gone -> watch.ended(gone.node()));
    }

    /** From now on this coordinator gives the work. */
    void work() {
        working = true;
        heal();
    }

    /** Why nothing stands, if that is known. */
    void troubled(@Nullable String reason) {
        if (reason != null && !reason.equals(trouble)) {
            LOG.warn("not ready: {} Trying again every {} ms.", reason, RETRY_MILLIS);
        }
        trouble = reason;
    }

    /** These compute, as another coordinator has placed them. */
    void inherit(Model cut, List<NodeId> computing) {
        model = cut;
        Standing placed = Standing.none(computing.size());
        for (int shard = 0; shard < computing.size(); shard++) {
            placed = placed.with(shard, computing.get(shard));
        }
        standing = placed.computedBy(computing);
        needed = 1;
    }

    /** Another coordinator gives the work: what runs here fails. */
    void rest(String why) {
        working = false;
        closing = false;
        pipeline = null;
        interrupted = null;
        trouble = null;
        Model known = model;
        standing =
                known == null ? null : Standing.none(known.manifest().shards().size());
        watch.serve(Set.of());
        generations.end(ErrorCode.LOST, why);
    }

    Generations generations() {
        return generations;
    }

    Members members() {
        return members;
    }

    Watch watch() {
        return watch;
    }

    @Nullable Model model() {
        return model;
    }

    /** What is ready to be used now, or null. */
    @Nullable Pipeline pipeline() {
        return closing ? null : pipeline;
    }

    /** What requests may be given to: it is ready now, or others are about to take over. Null if neither. */
    @Nullable Pipeline accepting() {
        Pipeline ready = pipeline();
        return ready != null || closing ? ready : interrupted;
    }

    /** Why there is none, for a reader. */
    String notReady() {
        String failed = trouble;
        return "the swarm is not ready: " + (failed == null ? "it waits for " + waitingFor + "." : failed);
    }

    // --------------------------------------------------------------------------------------------- what happens

    @Override
    public void lost(NodeId node, String why) {
        commands.lost(node);
        members.gone(node);
        making.removeIf(spare -> spare.node().equals(node));
        Standing before = standing;
        if (before != null) {
            standing = before.without(node);
        }
        Pipeline through = pipeline;
        again = true;
        if (through != null && through.runsOn(node)) {
            String message =
                    "node " + node.toShortHex() + ", which ran layers " + through.layersOf(node) + ", is lost: " + why;
            interrupt(through, message);
        } else {
            LOG.info("node {} is lost: {}", node.toShortHex(), why);
            tend();
        }
    }

    /** What runs waits until others took over, and goes on where it stood. */
    private void interrupt(Pipeline through, String message) {
        LOG.warn("{}", message);
        pipeline = null;
        interrupted = through;
        vertx.setTimer(TAKE_OVER_MILLIS, _ -> {
            if (interrupted == through) {
                interrupted = null;
            }
        });
        waitingFor = "others to take over; " + message;
        generations.suspend(through, message);
        heal();
    }

    /** A pipeline does not do what it should, though nobody is known to be lost. */
    private void faulty(Pipeline through) {
        if (pipeline == through) {
            interrupt(through, "a way between two machines is gone");
        }
    }

    /** A node that has become slow computes no more where another stands by for it. */
    private void slow(NodeId node) {
        Model known = model;
        Pipeline through = pipeline;
        Standing now = standing;
        if (known == null || through == null || now == null || busy || !through.runsOn(node)) {
            return;
        }
        List<NodeId> way = now.computingWithout(Set.of(node));
        LOG.warn(
                "node {}, which runs layers {}, computes much slower than it did{}",
                node.toShortHex(),
                through.layersOf(node),
                way == null ? "; nobody stands by for it" : "");
        if (way != null) {
            move(known, way, "node " + node.toShortHex() + " is slow");
        }
    }

    @Override
    public void back(NodeId node) {
        members.ask(node, "is there again");
    }

    private void joined(NodeId node) {
        failedSpares.clear();
        mayImprove = true;
        again = true;
        LOG.debug("{} takes work", node.toShortHex());
        tend();
    }

    @Override
    public void availability(NodeId node, Availability availability) {
        LOG.info("node {} is {}", node.toShortHex(), availability.text());
        if (availability == Availability.WORKING) {
            joined(node);
        } else {
            tend();
        }
    }

    @Override
    public void heardOf(Epoch other) {
        if (other.compareTo(epoch) >= 0 && other.number() < MAX_HEARD_EPOCH) {
            epoch = other.next();
        }
    }

    // ---------------------------------------------------------------------------------------- getting ready

    /** Tries until a pipeline stands. */
    private void heal() {
        if (!working || busy || pipeline != null) {
            return; // whoever is at it looks again
        }
        busy = true;
        again = false;
        attempt().onComplete(done -> {
            busy = false;
            if (pipeline != null) {
                tend();
            } else if (done.succeeded() || again) {
                heal();
            } else {
                troubled(String.valueOf(done.cause().getMessage()));
                vertx.setTimer(RETRY_MILLIS, _ -> heal());
            }
        });
    }

    private Future<Void> attempt() {
        return findModel().compose(known -> {
            Standing now = standing;
            if (now != null && now.isWhole() && failures == 0) {
                return tryWays(known, now.ways(), 0);
            }
            return gather(known, suspect()).compose(ways -> tryWays(Objects.requireNonNull(model), ways, 0));
        });
    }

    Future<Model> findModel() {
        Model found = model;
        if (found != null) {
            return Future.succeededFuture(found);
        }
        waitingFor = "the model's vocabulary file";
        return finder.find().onSuccess(known -> {
            model = known;
            standing = Standing.none(known.manifest().shards().size());
            waitingFor = needed + " node(s) to join";
        });
    }

    /** When all ways failed though all are there: one after another is left out, in case it is the one at fault. */
    private @Nullable NodeId suspect() {
        var all = new ArrayList<>(members.ids());
        all.sort(null);
        return failures == 0 || all.size() < 2 ? null : all.get((failures - 1) % all.size());
    }

    /** Waits for nodes, places the layers on them, and has them loaded. Gives the ways to compute then. */
    private Future<List<List<NodeId>>> gather(Model known, @Nullable NodeId without) {
        return members.await(needed, waiting -> {
                    if (!waiting.equals(waitingFor)) {
                        LOG.info("waiting for {}", waiting);
                    }
                    waitingFor = waiting;
                })
                .compose(_ -> members.refresh())
                .compose(_ -> placed(known, without).recover(failure -> {
                    boolean needsIt = without != null && failure instanceof PlacementPlanner.NoPlacementException;
                    return needsIt ? placed(known, null) : Future.failedFuture(failure);
                }))
                .compose(planned -> {
                    Model cut = cutAs(planned);
                    List<NodeId> computing = planned.computing();
                    LOG.info(
                            "placing {} shards on {} nodes, {} ms a token expected",
                            computing.size(),
                            Set.copyOf(computing).size(),
                            String.format(
                                    java.util.Locale.ROOT,
                                    "%.2f",
                                    planned.plan().tokenNanos() / 1e6));
                    bus.tell(Addresses.STEP, new Local.Step(4, "checked which nodes have their shards loaded"));
                    waitingFor = "nodes to load their shards";
                    return load(cut, computing, false).map(_ -> {
                        bus.tell(
                                Addresses.STEP,
                                new Local.Step(18, "every node has its shards; " + computing.size() + " are covered"));
                        makeSpares(cut);
                        return Objects.requireNonNull(standing).ways();
                    });
                });
    }

    private Future<Placing.Planned> placed(Model known, @Nullable NodeId without) {
        return placing.plan(
                known,
                members.working().stream()
                        .filter(node -> !node.node().equals(without))
                        .toList(),
                placing.sequences(),
                Objects.requireNonNull(standing).holders().stream().anyMatch(nodes -> !nodes.isEmpty()),
                false);
    }

    /** An unsplit model is cut as the plan says; what stood by for another cut does not any more. */
    private Model cutAs(Placing.Planned planned) {
        Model known = planned.model();
        if (!known.shardRanges().equals(Objects.requireNonNull(model).shardRanges())) {
            model = known;
            standing = Standing.none(known.manifest().shards().size());
        }
        return Objects.requireNonNull(model);
    }

    /** How layers would be placed now, and what each node is worth. @throws CommandException if the model is not known yet */
    Future<Local.PlanTold> plan(@Nullable Integer sequences) {
        Model known = model;
        if (known == null) {
            throw new CommandException(notReady());
        }
        return members.refresh()
                .compose(_ -> placing.plan(
                        known, members.working(), sequences == null ? placing.sequences() : sequences, false, true))
                .map(planned -> new Local.PlanTold(PlanReport.of(
                        known.name(), planned.parts(), planned.question(), planned.plan(), NodeId::toHex)));
    }

    /** Who computes when one leaves; what others hold stays. @throws PlacementPlanner.NoPlacementException if nobody can */
    private List<NodeId> planKeeping(Model known) {
        Placement placement =
                PlacementPlanner.planKeeping(Placing.sizes(known), Placing.candidates(known, members.working()));
        return placement.nodesByShard().stream().map(List::getFirst).toList();
    }

    /** Completes when each shard is ready on its node. @param warm whether others compute meanwhile */
    private Future<?> load(Model known, List<NodeId> computing, boolean warm) {
        var all = new ArrayList<Future<?>>();
        for (int i = 0; i < computing.size(); i++) {
            int shard = i;
            NodeId node = computing.get(shard);
            if (warm && Objects.requireNonNull(standing).holds(shard, node)) {
                continue;
            }
            Future<?> loaded =
                    warm ? loading.makeSpare(known, shard, node, computing) : loading.load(known, shard, node);
            all.add(loaded.onSuccess(_ -> holds(shard, node)));
        }
        return Future.join(all).map(_ -> {
            if (!computing.stream().allMatch(node -> members.get(node) != null)) {
                throw new CommandException("a node that was given layers is gone.");
            }
            if (!warm) {
                standing = Objects.requireNonNull(standing).computedBy(computing);
            }
            return null;
        });
    }

    private void holds(int shard, NodeId node) {
        if (members.get(node) != null) {
            standing = Objects.requireNonNull(standing).with(shard, node);
        }
    }

    private Future<Void> tryWays(Model known, List<List<NodeId>> ways, int index) {
        if (index >= ways.size()) {
            return Future.failedFuture(new CommandException("no way through the machines that are here works."));
        }
        return use(known, ways.get(index), ways.size() > 1 ? PATIENCE_WITH_CHOICE : PATIENCE)
                .recover(failure -> {
                    if (again) {
                        return Future.failedFuture(failure); // what is known has changed
                    }
                    LOG.warn("{}", failure.getMessage());
                    if (index + 1 == ways.size()) {
                        failures++;
                        return Future.failedFuture(failure);
                    }
                    return tryWays(known, ways, index + 1);
                });
    }

    /** A canary token passes, then all that runs moves here. What stood before serves until then. */
    private Future<Void> use(Model known, List<NodeId> way, Duration patience) {
        var hops = new ArrayList<Pipeline.Hop>();
        for (ModelManifest.Shard shard : known.manifest().shards()) {
            Result.Capabilities node = members.get(way.get(shard.index()));
            if (node == null) {
                return Future.failedFuture(
                        new CommandException("a node that was given shard " + shard.index() + " is gone."));
            }
            hops.add(new Pipeline.Hop(shard, node.contact(), node.kernels()));
        }
        var planned = new Pipeline(epoch, hops);
        epoch = epoch.next();
        if (pipeline == null) {
            waitingFor = "a canary token to pass through all stages";
        }
        var watched = new HashSet<>(way);
        Pipeline before = pipeline;
        if (before != null) {
            watched.addAll(before.nodes());
        }
        watch.serve(watched);
        return Canary.fly(vertx, generations, known, planned, patience).map(_ -> {
            if (!working) {
                throw new CommandException("another coordinator works for the model.");
            }
            if (!way.stream().allMatch(node -> members.get(node) != null)) {
                throw new CommandException("a node was lost just after the canary token had passed.");
            }
            begin(known, planned, way);
            return null;
        });
    }

    private void begin(Model known, Pipeline planned, List<NodeId> way) {
        Pipeline before = pipeline;
        pipeline = planned;
        interrupted = null;
        standing = Objects.requireNonNull(standing).computedBy(way);
        trouble = null;
        failures = 0;
        needed = 1; // whoever is left must do, should some be lost
        watch.serve(planned.nodes());
        if (before != null) {
            generations.suspend(before, "layers move to another node");
        }
        LOG.info(
                "ready: {} on {}, epoch {}",
                known.manifest().modelName(),
                planned.entries().stream()
                        .map(entry -> entry.layers() + "@" + entry.node().toShortHex())
                        .collect(Collectors.joining(", ")),
                planned.epoch().number());
        bus.tell(Addresses.STEP, new Local.Step(19, "the swarm is ready: a canary token passed through every stage"));
        bus.tell(Addresses.SWARM_READY, swarmReady(known));
        generations.resume(planned);
    }

    private Local.SwarmReady swarmReady(Model known) {
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

    // ------------------------------------------------------------------------------------------------ tending

    /** All that is better done while a pipeline stands, or while others see to it that one does. */
    private void tend() {
        Model known = model;
        if (known == null || !working) {
            return;
        }
        retire(known);
        Standing now = standing;
        if (now != null && now.isWhole()) {
            makeSpares(known);
        }
        if (pipeline == null) {
            heal();
        } else if (mayImprove && !busy && members.retiring().isEmpty()) {
            mayImprove = false;
            improve(pipeline);
        }
    }

    /** Lets those go who want to, once they compute nothing. */
    private void retire(Model known) {
        Set<NodeId> retiring = members.retiring();
        Pipeline through = pipeline;
        var computing = new HashSet<NodeId>();
        for (NodeId node : retiring) {
            if (through != null && through.runsOn(node)) {
                computing.add(node);
            } else if (through != null || !busy) {
                standing = Objects.requireNonNull(standing).without(node);
                watch.relieve(node);
            }
        }
        if (through == null || computing.isEmpty() || busy) {
            return;
        }
        List<NodeId> way = Objects.requireNonNull(standing).computingWithout(retiring);
        if (way != null) {
            move(known, way, "hands over");
            return;
        }
        try {
            move(known, planKeeping(known), "hands over");
        } catch (PlacementPlanner.NoPlacementException nobody) {
            endWithTheLast(through);
        }
    }

    /** Nobody can take over: answers that run are finished, no new ones begun. */
    private void endWithTheLast(Pipeline through) {
        if (!closing) {
            LOG.warn("a node wants to go and nobody can take its layers over; no new requests are taken");
        }
        closing = true;
        waitingFor = "nodes to join";
        if (generations.running() > 0) {
            vertx.setTimer(LAST_ONE_MILLIS, _ -> tend());
            return;
        }
        closing = false;
        if (pipeline == through) {
            pipeline = null;
            watch.serve(Set.of());
            tend();
        }
    }

    /** Loads what is missing while the present pipeline computes, then moves. */
    private void move(Model known, List<NodeId> way, String why) {
        closing = false;
        busy = true;
        again = false;
        LOG.info("layers move: {}", why);
        load(known, way, true).compose(_ -> use(known, way, PATIENCE)).onComplete(done -> {
            busy = false;
            if (done.failed()) {
                LOG.warn("layers stay where they are: {}", done.cause().getMessage());
                vertx.setTimer(RETRY_MILLIS, _ -> tend());
            } else {
                tend();
            }
        });
    }

    /** A plan that is expected to give clearly more, on more nodes, is taken; with fewer it might be a mistake of measuring. */
    private void improve(Pipeline through) {
        members.refresh()
                .compose(_ -> placing.plan(
                        Objects.requireNonNull(model), members.working(), placing.sequences(), false, false))
                .onSuccess(planned -> {
                    if (pipeline == through
                            && !busy
                            && members.retiring().isEmpty()
                            && Set.copyOf(planned.computing()).size()
                                    > through.nodes().size()
                            && planned.isWorthMoving(through)) {
                        move(cutAs(planned), planned.computing(), "that is faster");
                    }
                })
                .onFailure(stays -> LOG.debug("no better placement: {}", stays.getMessage()));
    }

    /** What will stand when all spares are made. */
    private Standing withSpares(Model known) {
        Standing planned = Objects.requireNonNull(standing);
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

    private void makeSpares(Model known) {
        Standing now = Objects.requireNonNull(standing);
        Standing planned = withSpares(known);
        for (int i = 0; i < planned.holders().size(); i++) {
            int shard = i;
            for (NodeId node : planned.holders().get(shard)) {
                var spare = new Standing.Spare(node, shard);
                if (!now.holds(shard, node) && making.add(spare)) {
                    loading.makeSpare(known, shard, node, now.computing())
                            .onSuccess(_ -> holds(shard, node))
                            .onFailure(failure -> {
                                failedSpares.add(spare);
                                LOG.warn("a spare for shard {} is missing: {}", shard, failure.getMessage());
                            })
                            .onComplete(_ -> {
                                making.remove(spare);
                                tend();
                            });
                }
            }
        }
    }
}
