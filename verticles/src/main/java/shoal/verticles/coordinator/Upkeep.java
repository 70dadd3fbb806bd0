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
import shoal.codec.pipeline.PlacementPlanner;
import shoal.codec.pipeline.PlanReport;
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
final class Upkeep implements Watch.Listener, Improving.Moves {
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
    private final Holdings holdings;
    private final Generations generations;
    private final Placing placing;
    private final Improving improving;
    private @Nullable Pipeline pipeline;
    /** What was interrupted a moment ago: requests may wait for those who take over. */
    private @Nullable Pipeline interrupted;
    /** The next that is given out: above all that were, here or by others. */
    private Epoch epoch = Epoch.FIRST;

    /** Whether this coordinator gives the work. */
    private boolean working;

    private boolean busy;
    private boolean again;

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
        holdings = new Holdings(
                commands,
                members,
                new Loading(endpoint, bus, commands, members),
                profile.coordinator().spares());
        improving = new Improving(vertx, members, placing, holdings, this);
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
        holdings.inherit(cut, computing);
        needed = 1;
    }

    /** Another coordinator gives the work: what runs here fails. */
    void rest(String why) {
        working = false;
        closing = false;
        pipeline = null;
        interrupted = null;
        trouble = null;
        Model known = holdings.model();
        if (known != null) {
            holdings.begin(known);
        }
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
        return holdings.model();
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
        holdings.lost(node);
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
        Model known = holdings.model();
        Pipeline through = pipeline;
        if (known == null || through == null || busy || !through.runsOn(node)) {
            return;
        }
        List<NodeId> way = holdings.standing().computingWithout(Set.of(node));
        LOG.warn(
                "node {}, which runs layers {}, computes much slower than it did{}",
                node.toShortHex(),
                through.layersOf(node),
                way == null ? "; nobody stands by for it" : "");
        placing.slow(node);
        if (way != null) {
            move(known, way, "node " + node.toShortHex() + " is slow");
        } else {
            improving.look(through);
        }
    }

    @Override
    public void back(NodeId node) {
        members.ask(node, "is there again");
    }

    private void joined(NodeId node) {
        holdings.forgiveFailures();
        improving.joined();
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
            if (holdings.isWhole() && failures == 0) {
                return tryWays(known, holdings.standing().ways(), 0);
            }
            return gather(known, suspect()).compose(ways -> tryWays(Objects.requireNonNull(holdings.model()), ways, 0));
        });
    }

    Future<Model> findModel() {
        Model found = holdings.model();
        if (found != null) {
            return Future.succeededFuture(found);
        }
        waitingFor = "the model's vocabulary file";
        return finder.find().map(known -> {
            waitingFor = needed + " node(s) to join";
            return holdings.begin(known);
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
                    Model cut = holdings.cutAs(planned);
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
                    return holdings.load(cut, computing, false).map(_ -> {
                        bus.tell(
                                Addresses.STEP,
                                new Local.Step(18, "every node has its shards; " + computing.size() + " are covered"));
                        holdings.makeSpares(this::tend);
                        return holdings.standing().ways();
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
                holdings.standing().holders().stream().anyMatch(nodes -> !nodes.isEmpty()),
                false);
    }

    /** How layers would be placed now, and what each node is worth. @throws CommandException if the model is not known yet */
    Future<Local.PlanTold> plan(@Nullable Integer sequences) {
        Model known = holdings.model();
        if (known == null) {
            throw new CommandException(notReady());
        }
        return members.refresh()
                .compose(_ -> placing.plan(
                        known, members.working(), sequences == null ? placing.sequences() : sequences, false, true))
                .map(planned -> new Local.PlanTold(PlanReport.of(
                        known.name(), planned.parts(), planned.question(), planned.plan(), NodeId::toHex)));
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
        holdings.computedBy(way);
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
        bus.tell(Addresses.SWARM_READY, holdings.swarmReady());
        generations.resume(planned);
        generations.standBy(known, holdings.spares());
        holdings.introduceSpares();
        holdings.dropOlderCuts();
        improving.stands();
    }

    // ------------------------------------------------------------------------------------------------ tending

    /** All that is better done while a pipeline stands, or while others see to it that one does. */
    private void tend() {
        Model known = holdings.model();
        if (known == null || !working) {
            return;
        }
        retire(known);
        if (holdings.isWhole()) {
            holdings.makeSpares(this::tend);
            generations.standBy(known, holdings.spares());
        }
        if (pipeline == null) {
            heal();
        } else {
            improving.tend();
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
                holdings.without(node);
                watch.relieve(node);
            }
        }
        if (through == null || computing.isEmpty() || busy) {
            return;
        }
        List<NodeId> way = holdings.standing().computingWithout(retiring);
        if (way != null) {
            move(known, way, "hands over");
            return;
        }
        busy = true;
        placing.keeping(known, members.working()).onComplete(planned -> {
            busy = false;
            if (pipeline != through
                    || !holdings.isWhole()
                    || !members.retiring().equals(retiring)) {
                tend(); // what is known has changed
            } else if (planned.succeeded()) {
                move(known, planned.result(), "hands over");
            } else if (planned.cause() instanceof PlacementPlanner.NoPlacementException) {
                endWithTheLast(through);
            } else {
                LOG.warn("no plan to hand layers over: {}", planned.cause().toString());
                vertx.setTimer(RETRY_MILLIS, _ -> tend());
            }
        });
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

    @Override
    public @Nullable Pipeline movable() {
        return busy || !members.retiring().isEmpty() ? null : pipeline;
    }

    /** Loads what is missing while the present pipeline computes, then moves. */
    @Override
    public void move(Model known, List<NodeId> way, String why) {
        closing = false;
        busy = true;
        again = false;
        LOG.info("layers move: {}", why);
        holdings.load(known, way, true).compose(_ -> use(known, way, PATIENCE)).onComplete(done -> {
            busy = false;
            if (done.failed()) {
                LOG.warn("layers stay where they are: {}", done.cause().getMessage());
                vertx.setTimer(RETRY_MILLIS, _ -> tend());
            } else {
                tend();
            }
        });
    }
}
