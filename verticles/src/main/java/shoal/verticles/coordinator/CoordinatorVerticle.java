package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.VerticleBase;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.dht.DhtKeys;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.pipeline.Placement;
import shoal.codec.pipeline.PlanReport;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SignedRecord;
import shoal.codec.wire.StreamKind;
import shoal.codec.wire.TokenLogprob;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Fetches the model's vocabulary file, finds nodes, gives each its shards, and takes requests once a canary token has passed through
 * every stage. The prompt's text stays here; stages see token ids and activations.
 */
public final class CoordinatorVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(CoordinatorVerticle.class);
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(10);
    private static final Duration STATUS_TIMEOUT = Duration.ofSeconds(1);
    private static final Duration LOAD_TIMEOUT = Duration.ofHours(24);
    private static final long POLL_MILLIS = 300;
    private static final long RETRY_MILLIS = 3000;

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final Commands commands;
    private final Map<NodeId, Result.Capabilities> nodes = new LinkedHashMap<>();
    private @Nullable Model model;
    private @Nullable Pipeline pipeline;
    private @Nullable Placement placed;
    private Generations generations;
    private Placing placing;
    private Epoch epoch = Epoch.FIRST;
    private boolean discovered;
    private int needed;
    private String waitingFor = "the bootstrap";
    private @Nullable String trouble;

    @SuppressWarnings("NullAway.Init") // generations run on the verticle's event loop, which is known when it starts
    public CoordinatorVerticle(QuicEndpoint endpoint, CommandBus bus, Profile profile) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.needed = profile.coordinator().nodes();
        this.commands = new Commands(bus, endpoint.nodeId());
    }

    @Override
    public Future<?> start() {
        placing = new Placing(vertx, endpoint, commands, profile);
        generations = new Generations(vertx, endpoint, commands, profile, this::placeAnew);
        new Requests(vertx, endpoint, bus, profile, generations, this::serving).start();
        bus.listen(Addresses.MEMBER_LOST, Local.MemberLost.class, lost -> memberLost(lost.node()));
        bus.answerLocally(
                Addresses.SWARM_STATE,
                Local.AskSwarm.class,
                wish -> wish.machines()
                        ? machines().map(this::swarmState)
                        : Future.succeededFuture(swarmState(List.of())));
        bus.answerLocally(Addresses.PLAN, Local.AskPlan.class, this::plan);
        bus.answerLocally(Addresses.PROOF, Local.AskProof.class, this::prove);
        prepare();
        return Future.succeededFuture();
    }

    // ------------------------------------------------------------------------------------- getting ready

    private void prepare() {
        findModel()
                .compose(found -> {
                    model = found;
                    waitingFor = needed + " node(s) to join";
                    return discover();
                })
                .compose(_ -> place(false))
                .onFailure(failure -> {
                    String reason = String.valueOf(failure.getMessage());
                    if (!reason.equals(trouble)) {
                        LOG.warn("not ready: {} Trying again every {} s.", reason, RETRY_MILLIS / 1000);
                    }
                    trouble = reason;
                    vertx.setTimer(RETRY_MILLIS, _ -> prepare());
                });
    }

    /** A process is gone. If it was a stage, its layers are placed anew. */
    private void memberLost(NodeId gone) {
        nodes.remove(gone);
        commands.lost(gone);
        Pipeline before = pipeline;
        if (before != null && before.runsOn(gone)) {
            placeAnew(before);
        }
    }

    /** What runs waits meanwhile, and goes on where it stood. */
    private void placeAnew(Pipeline before) {
        if (pipeline != before) {
            return; // somebody saw it earlier
        }
        pipeline = null;
        LOG.warn("a node that ran layers is gone; placing them anew");
        waitingFor = "layers to be placed anew";
        generations.suspend(before, "a node is gone in the middle of the answer");
        place(true).onFailure(failure -> prepare());
    }

    private Future<Model> findModel() {
        Model known = model;
        if (known != null) {
            return Future.succeededFuture(known);
        }
        waitingFor = "the model's vocabulary file";
        return findVocabulary(0)
                .compose(this::fetchModel)
                .onSuccess(found -> LOG.info(
                        "model {}: {} layers in {} shards",
                        found.manifest().modelName(),
                        found.manifest().layerCount(),
                        found.manifest().shards().size()));
    }

    /** Of an unsplit model the header is enough. */
    private Future<Model> fetchModel(Frame.FileEntry file) {
        boolean isCut = !isVocabulary(file.name());
        var wish = new Local.FetchFile(
                trusted(file), file.name(), List.of(), isCut ? new Local.Part.Header() : new Local.Part.Whole());
        int stages = profile.coordinator().nodes();
        return bus.ask(Addresses.FETCH, wish, Local.FileFetched.class)
                .compose(fetched -> vertx.executeBlocking(() -> isCut
                        ? Model.cut(
                                fetched.path(),
                                file.name(),
                                fetched.piecesRoot(),
                                new InfoHash(file.infoHash()),
                                stages)
                        : Model.read(fetched.path())));
    }

    private static boolean isVocabulary(String name) {
        return name.endsWith("vocabulary.gguf");
    }

    /** A file that is neither a shard nor a vocabulary file, by its name. */
    private static boolean mayBeWholeModel(String name) {
        return name.endsWith(".gguf") && !isVocabulary(name) && !name.matches(".*shard-\\d+\\.gguf");
    }

    private static boolean isCalled(Frame.FileEntry file, @Nullable String wanted) {
        return wanted == null
                || wanted.equals(file.infoHash().toHex())
                || wanted.equals(file.piecesRoot().toHex())
                || file.name().equals(wanted)
                || file.name().equals(wanted + "-vocabulary.gguf")
                || file.name().equals(wanted + ".gguf");
    }

    /** The hash to fetch by: the one that the profile names, rather than the one that a bootstrap says belongs to it. */
    private Hash256 trusted(Frame.FileEntry file) {
        boolean byInfoHash =
                file.infoHash().toHex().equals(profile.coordinator().model());
        return byInfoHash ? file.infoHash() : file.piecesRoot();
    }

    /** The vocabulary file that the profile names, or the only one that a bootstrap seeds; else a model that is not split. */
    private Future<Frame.FileEntry> findVocabulary(int index) {
        List<Endpoint> bootstrap = profile.bootstrapEndpoints();
        if (index >= bootstrap.size()) {
            return Future.failedFuture(
                    new CommandException(
                            "no bootstrap seeds a vocabulary file or a model"
                                    + (profile.coordinator().model() == null
                                            ? ""
                                            : " of " + profile.coordinator().model())
                                    + ". Put a model into the rendezvous' seed directory, or run there: shoal split MODEL --out SEED_DIRECTORY."));
        }
        return endpoint.connect(bootstrap.get(index))
                .compose(peer -> peer.ask(StreamKind.PIECES, new Frame.ListFiles(), ASK_TIMEOUT))
                .compose(frame -> {
                    if (!(frame instanceof Frame.FileList(var files))) {
                        return findVocabulary(index + 1);
                    }
                    String wanted = profile.coordinator().model();
                    var named = files.stream()
                            .filter(file -> isCalled(file, wanted))
                            .toList();
                    var found = named.stream()
                            .filter(file -> isVocabulary(file.name()))
                            .toList();
                    if (found.isEmpty()) {
                        found = named.stream()
                                .filter(file -> mayBeWholeModel(file.name()))
                                .toList();
                    }
                    if (found.size() > 1) {
                        return Future.failedFuture(new CommandException("the bootstrap seeds several models: "
                                + String.join(
                                        ", ",
                                        found.stream()
                                                .map(Frame.FileEntry::name)
                                                .toList())
                                + ". Name one with coordinator.model."));
                    }
                    return found.isEmpty() ? findVocabulary(index + 1) : Future.succeededFuture(found.getFirst());
                });
    }

    /** Asks the DHT who is in the cluster until there are enough nodes. */
    private Future<Void> discover() {
        return bus.ask(
                        Addresses.FIND_PROVIDERS,
                        new Local.FindProviders(
                                DhtKeys.cluster(profile.cluster().name())),
                        Local.ProvidersFound.class)
                .compose(providers -> {
                    var asking = new ArrayList<Future<?>>();
                    for (SignedRecord signed : providers.records()) {
                        NodeId id = signed.record().provider().id();
                        boolean isNode = new String(signed.record().payload(), StandardCharsets.UTF_8).equals("node");
                        if (isNode && !nodes.containsKey(id)) {
                            asking.add(commands.ask(
                                            id, new Command.GetCapabilities(), Result.Capabilities.class, ASK_TIMEOUT)
                                    .onSuccess(capabilities -> {
                                        nodes.put(id, capabilities);
                                        bus.tell(
                                                Addresses.STEP,
                                                new Local.Step(
                                                        3, "discovered node " + id.toShortHex() + " in the DHT"));
                                        LOG.info("discovered {}", capabilities.contact());
                                    })
                                    .onFailure(failure -> LOG.debug("{}", failure.getMessage())));
                        }
                    }
                    return Future.join(asking).transform(_ -> Future.<Void>succeededFuture());
                })
                .compose(_ -> {
                    if (nodes.size() >= needed) {
                        return Future.<Void>succeededFuture();
                    }
                    waitingFor = needed + " nodes to join, " + nodes.size() + " are here";
                    if (!discovered) {
                        discovered = true;
                        LOG.info("waiting for {}", waitingFor);
                    }
                    return vertx.timer(POLL_MILLIS, TimeUnit.MILLISECONDS).compose(_ -> discover());
                });
    }

    /** @param keep whether people wait for a stage that was lost: then what is loaded stays where it is */
    private Future<Void> place(boolean keep) {
        return refresh()
                .compose(_ ->
                        placing.plan(Objects.requireNonNull(model), nodes.values(), placing.sequences(), keep, false))
                .compose(planned -> {
                    Model known = planned.model();
                    model = known;
                    Placement placement = planned.placement();
                    int shards = known.manifest().shards().size();
                    LOG.info(
                            "placing {} shards on {} nodes, {} ms a token expected",
                            shards,
                            nodes.size(),
                            String.format(
                                    java.util.Locale.ROOT,
                                    "%.2f",
                                    planned.plan().tokenNanos() / 1e6));
                    bus.tell(Addresses.STEP, new Local.Step(4, "checked which nodes have their shards loaded"));
                    waitingFor = "nodes to load their shards";
                    return loadAll(known, placement, true).compose(_ -> {
                        loadAll(known, placement, false);
                        bus.tell(
                                Addresses.STEP,
                                new Local.Step(18, "every node has its shards; " + shards + " are covered"));
                        return canary(known, placement);
                    });
                });
    }

    private Future<Void> refresh() {
        var asking = new ArrayList<Future<?>>();
        for (NodeId id : List.copyOf(nodes.keySet())) {
            asking.add(commands.ask(id, new Command.GetCapabilities(), Result.Capabilities.class, ASK_TIMEOUT)
                    .onSuccess(capabilities -> nodes.put(id, capabilities))
                    .onFailure(failure -> {
                        LOG.warn("{}; it is left out", failure.getMessage());
                        nodes.remove(id);
                    }));
        }
        return Future.join(asking).transform(_ -> Future.succeededFuture());
    }

    /** First copies load first; replicas after them, so that they find peers to fetch from. */
    private Future<?> loadAll(Model known, Placement placement, boolean first) {
        var loading = new ArrayList<Future<?>>();
        for (ModelManifest.Shard shard : known.manifest().shards()) {
            List<NodeId> all = placement.nodesByShard().get(shard.index());
            List<NodeId> chosen = first ? all.subList(0, 1) : all.subList(1, all.size());
            for (NodeId node : chosen) {
                var load = new Command.LoadShard(
                        shard.index(), known.manifest().modelName(), shard.layers(), shard.piecesRoot());
                bus.tell(
                        Addresses.STEP,
                        new Local.Step(
                                5, "sent LOAD_SHARD { shard_id: " + shard.index() + " } to " + node.toShortHex()));
                Future<?> loaded = commands.ask(node, load, Result.ShardReady.class, LOAD_TIMEOUT)
                        .onSuccess(ready -> LOG.info(
                                "shard {} (layers {}) is loaded on {}",
                                shard.index(),
                                shard.layers(),
                                node.toShortHex()));
                loading.add(
                        first
                                ? loaded
                                : loaded.otherwise(failure -> {
                                    LOG.warn(
                                            "a replica of shard {} is missing: {}",
                                            shard.index(),
                                            failure.getMessage());
                                    return null;
                                }));
            }
        }
        return Future.join(loading);
    }

    /** Ready is said only after a token has passed through every stage. */
    private Future<Void> canary(Model known, Placement placement) {
        var hops = new ArrayList<Pipeline.Hop>();
        for (ModelManifest.Shard shard : known.manifest().shards()) {
            Result.Capabilities node = nodes.get(placement.first(shard.index()));
            if (node == null) {
                return Future.failedFuture(
                        new CommandException("a node that was given shard " + shard.index() + " is gone."));
            }
            hops.add(new Pipeline.Hop(shard, node.contact(), node.kernels()));
        }
        var planned = new Pipeline(epoch, hops);
        epoch = epoch.next();
        waitingFor = "a canary token to pass through all stages";
        Promise<Void> passed = Promise.promise();
        int token = Math.max(0, known.tokenizer().beginOfText());
        generations.run(known, planned, List.of(token), 1, Sampling.GREEDY, 0, new Generations.Listener() {
            @Override
            public boolean token(int sampled, float logProbability, List<TokenLogprob> top) {
                return false;
            }

            @Override
            public void finished(Frame.StopReason reason) {
                passed.tryComplete();
            }

            @Override
            public void failed(ErrorCode code, String message) {
                passed.tryFail(new CommandException("the canary token did not pass: " + message));
            }
        });
        return passed.future().onSuccess(_ -> {
            pipeline = planned;
            placed = placement;
            trouble = null;
            needed = 1; // whoever is left must do, should some be lost
            LOG.info(
                    "ready: {} on {}",
                    known.manifest().modelName(),
                    String.join(
                            ", ",
                            planned.entries().stream()
                                    .map(entry ->
                                            entry.layers() + "@" + entry.node().toShortHex())
                                    .toList()));
            bus.tell(
                    Addresses.STEP,
                    new Local.Step(19, "the swarm is ready: a canary token passed through every stage"));
            bus.tell(Addresses.SWARM_READY, ready(known, placement));
            generations.resume(planned);
        });
    }

    private static Local.SwarmReady ready(Model known, Placement placement) {
        var stages = new ArrayList<Local.StageOf>();
        var spares = new ArrayList<Local.StageOf>();
        for (ModelManifest.Shard shard : known.manifest().shards()) {
            List<NodeId> all = placement.nodesByShard().get(shard.index());
            stages.add(new Local.StageOf(all.getFirst(), shard.layers()));
            all.stream().skip(1).forEach(node -> spares.add(new Local.StageOf(node, shard.layers())));
        }
        return new Local.SwarmReady(known.manifest().modelName(), stages, spares);
    }

    // ------------------------------------------------------------------------------------ plans and proofs

    private Future<Local.PlanTold> plan(Local.AskPlan wish) {
        Model known = model;
        if (known == null) {
            throw new CommandException(notReady());
        }
        Integer sequences = wish.sequences();
        return refresh()
                .compose(_ -> placing.plan(
                        known, nodes.values(), sequences == null ? placing.sequences() : sequences, false, true))
                .map(planned -> new Local.PlanTold(PlanReport.of(
                        known.name(), planned.parts(), planned.question(), planned.plan(), NodeId::toHex)));
    }

    private Future<Local.Proof> prove(Local.AskProof wish) {
        Requests.Serving serving = serving();
        return new Proving(generations, commands, profile).prove(serving.model(), serving.pipeline(), placed, wish);
    }

    // ------------------------------------------------------------------------------------------- status

    /** What requests may use. @throws CommandException if the swarm is not ready, with the reason */
    private Requests.Serving serving() {
        Model known = model;
        Pipeline through = pipeline;
        if (known == null || through == null) {
            throw new CommandException(notReady());
        }
        return new Requests.Serving(known, through);
    }

    private String notReady() {
        String failed = trouble;
        return "the swarm is not ready: " + (failed == null ? "it waits for " + waitingFor + "." : failed);
    }

    private Local.SwarmState swarmState(List<Local.NodeState> machines) {
        Model known = model;
        return new Local.SwarmState(
                known == null ? null : known.name(),
                pipeline != null,
                pipeline != null ? "" : notReady(),
                generations.running(),
                machines);
    }

    /** Asks every machine that the DHT lists, so that who does not answer is not shown. */
    private Future<List<Local.NodeState>> machines() {
        return bus.ask(
                        Addresses.FIND_PROVIDERS,
                        new Local.FindProviders(
                                DhtKeys.cluster(profile.cluster().name())),
                        Local.ProvidersFound.class)
                .compose(providers -> {
                    var ids = new TreeSet<NodeId>(nodes.keySet());
                    providers
                            .records()
                            .forEach(
                                    signed -> ids.add(signed.record().provider().id()));
                    ids.add(endpoint.nodeId());
                    var states = new ArrayList<Local.NodeState>();
                    var asking = new ArrayList<Future<?>>();
                    for (NodeId id : ids) {
                        asking.add(commands.ask(
                                        id, new Command.GetCapabilities(), Result.Capabilities.class, STATUS_TIMEOUT)
                                .onSuccess(machine -> states.add(stateOf(machine))));
                    }
                    return Future.join(asking).transform(_ -> {
                        states.sort(Comparator.comparing(Local.NodeState::role).thenComparing(Local.NodeState::node));
                        return Future.succeededFuture(states);
                    });
                });
    }

    private Local.NodeState stateOf(Result.Capabilities machine) {
        Pipeline through = pipeline;
        var layers = machine.loaded().stream().map(Result.LoadedShard::layers).toList();
        boolean serves = through != null
                && through.hops().stream().anyMatch(hop -> hop.node().id().equals(machine.node()));
        String state = !machine.role().equals(Role.NODE.text())
                ? "ready"
                : serves ? "serving" : layers.isEmpty() ? "idle" : "standby";
        return new Local.NodeState(
                machine.node(),
                machine.pid(),
                machine.role(),
                layers,
                through != null && serves ? through.epoch() : null,
                state,
                machine.kernels());
    }
}
