package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.VerticleBase;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.text.Detokenizer;
import shoal.bridge.model.text.StopTexts;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.Tokenizers;
import shoal.bridge.model.text.grammar.Grammar;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.dht.DhtKeys;
import shoal.codec.gguf.VocabularyFile;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.pipeline.Placement;
import shoal.codec.pipeline.PlacementPlanner;
import shoal.codec.pipeline.Session;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SignedRecord;
import shoal.codec.wire.StreamKind;
import shoal.codec.wire.TokenLogprob;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Fetches the model's vocabulary file, finds nodes, gives each its shards, and takes requests once a canary token has passed through
 * every stage. The prompt's text stays here; stages see token ids and activations.
 */
public final class CoordinatorVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(CoordinatorVerticle.class);
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(10);
    private static final Duration LOAD_TIMEOUT = Duration.ofHours(24);
    private static final Duration TOKEN_TIMEOUT = Duration.ofSeconds(60);
    private static final long POLL_MILLIS = 300;
    private static final long RETRY_MILLIS = 3000;
    private static final int CHUNK = 64;

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final Commands commands;
    private final SecureRandom random = new SecureRandom();
    private final Map<Long, Generation> generations = new HashMap<>();
    private final Map<NodeId, Result.Capabilities> nodes = new LinkedHashMap<>();
    private final Map<NodeId, Future<FrameStream>> ways = new HashMap<>();
    private @Nullable Model model;
    private @Nullable Pipeline pipeline;
    private boolean discovered;
    private String waitingFor = "the bootstrap";
    private @Nullable String trouble;

    /** What the vocabulary file tells. */
    private record Model(ModelManifest manifest, ModelConfig config, Tokenizer tokenizer) {}

    /** One running session. */
    private record Generation(MachineDriver<Session.Input, Session.Effect> driver, Pipeline pipeline) {}

    /** Who hears a generation. */
    private interface Listener {
        /** Says whether that was enough. */
        boolean token(int token, float logprob, List<TokenLogprob> top);

        void finished(Frame.StopReason reason);

        void failed(ErrorCode code, String message);
    }

    public CoordinatorVerticle(QuicEndpoint endpoint, CommandBus bus, Profile profile) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.commands = new Commands(bus, endpoint.nodeId());
    }

    @Override
    public Future<?> start() {
        endpoint.onStream(StreamKind.STAGE, this::hear);
        endpoint.onStream(StreamKind.GENERATE, this::serve);
        endpoint.onPeerLost(this::lost);
        bus.listen(Addresses.MEMBER_LOST, Local.MemberLost.class, _ -> memberLost());
        bus.answerLocally(Addresses.GENERATE, Command.Generate.class, this::generate);
        prepare();
        return Future.succeededFuture();
    }

    // ------------------------------------------------------------------------------------- getting ready

    private void prepare() {
        findModel()
                .compose(found -> {
                    model = found;
                    waitingFor = profile.coordinator().nodes() + " node(s) to join";
                    return discover();
                })
                .compose(_ -> place())
                .onFailure(failure -> {
                    String reason = String.valueOf(failure.getMessage());
                    if (!reason.equals(trouble)) {
                        LOG.warn("not ready: {} Trying again every {} s.", reason, RETRY_MILLIS / 1000);
                    }
                    trouble = reason;
                    vertx.setTimer(RETRY_MILLIS, _ -> prepare());
                });
    }

    /** A process is gone. If it was a stage, the swarm is not ready until the layers are placed anew. */
    private void memberLost() {
        Pipeline before = pipeline;
        if (before == null) {
            return;
        }
        refresh().onSuccess(_ -> {
            boolean whole = before.hops().stream()
                    .allMatch(hop -> nodes.containsKey(hop.node().id()));
            if (!whole && pipeline == before) {
                pipeline = null;
                LOG.warn("a node that ran layers is gone; placing them anew");
                waitingFor = "layers to be placed anew";
                generations.forEach((id, generation) -> {
                    if (generation.pipeline() == before) {
                        fail(id, ErrorCode.LOST, "a node is gone in the middle of the answer. Ask again.");
                    }
                });
                place().onFailure(failure -> prepare());
            }
        });
    }

    private Future<Model> findModel() {
        Model known = model;
        if (known != null) {
            return Future.succeededFuture(known);
        }
        waitingFor = "the model's vocabulary file";
        return findVocabulary(0)
                .compose(file -> bus.ask(
                        Addresses.FETCH,
                        new Local.FetchFile(trusted(file), file.name(), List.of()),
                        Local.FileFetched.class))
                .compose(fetched -> vertx.executeBlocking(() -> readVocabulary(fetched.path())))
                .onSuccess(found -> LOG.info(
                        "model {}: {} layers in {} shards",
                        found.manifest().modelName(),
                        found.manifest().layerCount(),
                        found.manifest().shards().size()));
    }

    /** The hash to fetch by: the one that the profile names, rather than the one that a bootstrap says belongs to it. */
    private Hash256 trusted(Frame.FileEntry file) {
        boolean byInfoHash =
                file.infoHash().toHex().equals(profile.coordinator().model());
        return byInfoHash ? file.infoHash() : file.piecesRoot();
    }

    /** The vocabulary file that the profile names, or the only one that a bootstrap seeds. */
    private Future<Frame.FileEntry> findVocabulary(int index) {
        List<Endpoint> bootstrap = profile.bootstrapEndpoints();
        if (index >= bootstrap.size()) {
            return Future.failedFuture(new CommandException("no bootstrap seeds a vocabulary file"
                    + (profile.coordinator().model() == null
                            ? ""
                            : " of " + profile.coordinator().model())
                    + ". Run: shoal split MODEL --out SEED_DIRECTORY on the rendezvous."));
        }
        return endpoint.connect(bootstrap.get(index))
                .compose(peer -> peer.ask(StreamKind.PIECES, new Frame.ListFiles(), ASK_TIMEOUT))
                .compose(frame -> {
                    if (!(frame instanceof Frame.FileList(var files))) {
                        return findVocabulary(index + 1);
                    }
                    String wanted = profile.coordinator().model();
                    var found = files.stream()
                            .filter(file -> file.name().endsWith("vocabulary.gguf"))
                            .filter(file -> wanted == null
                                    || wanted.equals(file.infoHash().toHex())
                                    || wanted.equals(file.piecesRoot().toHex())
                                    || file.name().equals(wanted + "-vocabulary.gguf")
                                    || file.name().equals(wanted))
                            .toList();
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

    private static Model readVocabulary(Path file) throws IOException {
        try (ModelFile vocabulary = ModelFile.open(file)) {
            return new Model(
                    VocabularyFile.manifest(vocabulary.header()),
                    Architectures.config(vocabulary.header()),
                    Tokenizers.of(vocabulary.header()));
        } catch (MalformedException malformed) {
            throw new CommandException(String.valueOf(malformed.getMessage()));
        }
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
                    if (nodes.size() >= profile.coordinator().nodes()) {
                        return Future.<Void>succeededFuture();
                    }
                    waitingFor = profile.coordinator().nodes() + " nodes to join, " + nodes.size() + " are here";
                    if (!discovered) {
                        discovered = true;
                        LOG.info("waiting for {}", waitingFor);
                    }
                    return vertx.timer(POLL_MILLIS, TimeUnit.MILLISECONDS).compose(_ -> discover());
                });
    }

    private Future<Void> place() {
        Model known = Objects.requireNonNull(model);
        return refresh().compose(_ -> {
            List<ModelManifest.Shard> shards = known.manifest().shards();
            var candidates = nodes.values().stream()
                    .map(node -> new PlacementPlanner.Candidate(
                            node.node(), node.memoryBytes(), held(node, shards), node.pinnedShard()))
                    .toList();
            Placement placement = PlacementPlanner.plan(
                    shards.stream().map(ModelManifest.Shard::size).toList(), candidates);
            LOG.info("placing {} shards on {} nodes", shards.size(), candidates.size());
            bus.tell(Addresses.STEP, new Local.Step(4, "checked which nodes have their shards loaded"));
            waitingFor = "nodes to load their shards";
            return loadAll(known, placement, true)
                    .compose(_ -> loadAll(known, placement, false))
                    .compose(_ -> {
                        bus.tell(
                                Addresses.STEP,
                                new Local.Step(18, "every node has its shards; " + shards.size() + " are covered"));
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

    private static Set<Integer> held(Result.Capabilities node, List<ModelManifest.Shard> shards) {
        var held = new HashSet<Integer>();
        for (ModelManifest.Shard shard : shards) {
            boolean loaded =
                    node.loaded().stream().anyMatch(has -> has.piecesRoot().equals(shard.piecesRoot()));
            if (loaded || node.onDisk().contains(shard.piecesRoot())) {
                held.add(shard.index());
            }
        }
        return held;
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
            hops.add(new Pipeline.Hop(shard, node.contact()));
        }
        var planned = new Pipeline(hops);
        waitingFor = "a canary token to pass through all stages";
        Promise<Void> passed = Promise.promise();
        int token = Math.max(0, known.tokenizer().beginOfText());
        run(known, planned, List.of(token), 1, Sampling.GREEDY, new Listener() {
            @Override
            public boolean token(int sampled, float logprob, List<TokenLogprob> top) {
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
            trouble = null;
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

    // ------------------------------------------------------------------------------------- generations

    private String notReady() {
        String failed = trouble;
        return "the swarm is not ready: " + (failed == null ? "it waits for " + waitingFor + "." : failed);
    }

    /** Starts a generation; returns its session. */
    private long run(
            Model known, Pipeline through, List<Integer> prompt, int maxTokens, Sampling sampling, Listener listener) {
        long id = random.nextLong();
        int last = through.hops().size() - 1;
        var session = new Session(
                id,
                Epoch.FIRST,
                prompt,
                maxTokens,
                known.tokenizer().endOfGeneration(),
                CHUNK,
                sampling.needsHistory() ? last : -1,
                TOKEN_TIMEOUT);
        var holder = new ArrayList<FrameStream>(); // the ways to the first stage and to the last
        var driver =
                new MachineDriver<Session.Input, Session.Effect>(vertx, session, new Session.Input.Tick(), effect -> {
                    switch (effect) {
                        case Session.Effect.Send(Frame.TokenBatch batch) ->
                            holder.getFirst()
                                    .send(batch)
                                    .onFailure(
                                            failure -> fail(id, ErrorCode.LOST, String.valueOf(failure.getMessage())));
                        case Session.Effect.Tell(Frame.SequenceTokens tokens) ->
                            holder.getLast()
                                    .send(tokens)
                                    .onFailure(
                                            failure -> fail(id, ErrorCode.LOST, String.valueOf(failure.getMessage())));
                        case Session.Effect.Emit(int token, float logprob, List<TokenLogprob> top) -> {
                            if (listener.token(token, logprob, top)) {
                                enough(id);
                            }
                        }
                        case Session.Effect.Finish(Frame.StopReason reason) -> {
                            close(id);
                            listener.finished(reason);
                        }
                        case Session.Effect.Fail(ErrorCode code, String message) -> {
                            close(id);
                            listener.failed(code, message);
                        }
                    }
                });
        generations.put(id, new Generation(driver, through));
        openStages(known, through, id, sampling)
                .compose(_ -> wayTo(through.hops().getFirst()))
                .compose(stream -> {
                    holder.add(stream);
                    return wayTo(through.hops().get(last));
                })
                .onSuccess(stream -> {
                    holder.add(stream);
                    driver.feed(new Session.Input.Start());
                })
                .onFailure(failure ->
                        driver.feed(new Session.Input.Failed(ErrorCode.LOST, String.valueOf(failure.getMessage()))));
        return id;
    }

    private Future<?> openStages(Model known, Pipeline through, long id, Sampling sampling) {
        var opening = new ArrayList<Future<?>>();
        for (int stage = 0; stage < through.hops().size(); stage++) {
            opening.add(task(known, through, id, sampling, stage, false));
        }
        return Future.all(opening);
    }

    private Future<Result.TaskAccepted> task(
            Model known, Pipeline through, long id, Sampling sampling, int stage, boolean close) {
        List<Pipeline.Hop> hops = through.hops();
        Pipeline.Hop hop = hops.get(stage);
        var task = new Command.ExecuteTask(
                id,
                Epoch.FIRST,
                stage,
                hop.shard().index(),
                hop.shard().layers(),
                hop.shard().piecesRoot(),
                stage + 1 < hops.size() ? hops.get(stage + 1).node() : null,
                endpoint.contact(),
                sampling,
                profile.coordinator().activationType(),
                known.config().contextLength(),
                close);
        return commands.ask(hop.node().id(), task, Result.TaskAccepted.class, ASK_TIMEOUT);
    }

    /** One stream to each first stage, for all sessions. */
    private Future<FrameStream> wayTo(Pipeline.Hop hop) {
        NodeId id = hop.node().id();
        Future<FrameStream> known = ways.get(id);
        if (known != null && !known.failed()) {
            return known;
        }
        Future<FrameStream> opened = endpoint.connect(hop.node())
                .compose(peer -> peer.open(StreamKind.STAGE))
                .onSuccess(stream -> stream.onClose(() -> ways.remove(id)));
        ways.put(id, opened);
        return opened;
    }

    /** Frames from stages: tokens and failures. */
    private void hear(FrameStream stream) {
        stream.onFrame(frame -> {
            switch (frame) {
                case Frame.TokenSampled sampled -> {
                    Generation generation = generations.get(sampled.session());
                    if (generation != null) {
                        generation.driver().feed(new Session.Input.Sampled(sampled));
                    }
                }
                case Frame.StageFailed failed -> fail(failed.session(), failed.code(), failed.message());
                default ->
                    stream.refuse(ErrorCode.UNSUPPORTED, "a coordinator takes sampled tokens, not " + frame.type());
            }
        });
    }

    private void fail(long id, ErrorCode code, String message) {
        Generation generation = generations.get(id);
        if (generation != null) {
            generation.driver().feed(new Session.Input.Failed(code, message));
        }
    }

    private void enough(long id) {
        Generation generation = generations.get(id);
        if (generation != null) {
            generation.driver().feed(new Session.Input.Enough());
        }
    }

    private void lost(PeerConnection peer) {
        ways.remove(peer.id());
        generations.forEach((id, generation) -> {
            if (generation.pipeline().hops().stream()
                    .anyMatch(hop -> hop.node().id().equals(peer.id()))) {
                fail(id, ErrorCode.LOST, peer + " is gone in the middle of the answer. Ask again.");
            }
        });
    }

    private void close(long id) {
        Generation generation = generations.remove(id);
        Model known = model;
        if (generation == null || known == null) {
            return;
        }
        generation.driver().stop();
        for (int stage = 0; stage < generation.pipeline().hops().size(); stage++) {
            task(known, generation.pipeline(), id, Sampling.GREEDY, stage, true)
                    .onFailure(failure -> LOG.debug("a session was not closed: {}", failure.getMessage()));
        }
    }

    // ---------------------------------------------------------------------------------------- requests

    /** A prompt as token ids, once it is sure that it can be run. */
    private List<Integer> tokens(Model known, String prompt, int maxTokens, Sampling sampling) {
        if (!sampling.grammar().isEmpty()) {
            try {
                Grammar.parse(sampling.grammar(), known.tokenizer());
            } catch (MalformedException wrong) {
                throw new CommandException(String.valueOf(wrong.getMessage()));
            }
        }
        var tokens = new ArrayList<Integer>();
        for (int token : known.tokenizer().encode(prompt, true, true)) {
            tokens.add(token);
        }
        int context = contextLength(known);
        if (tokens.isEmpty()) {
            throw new CommandException("the prompt has no tokens; give some text");
        }
        if ((long) tokens.size() + maxTokens > context) {
            throw new CommandException("the prompt's " + tokens.size() + " tokens and " + maxTokens + " new ones are "
                    + ((long) tokens.size() + maxTokens) + ", but the context length is " + context
                    + "; shorten the prompt or ask for fewer tokens");
        }
        return tokens;
    }

    private int contextLength(Model known) {
        int own = profile.compute().contextLength();
        return own == 0
                ? known.config().contextLength()
                : Math.min(own, known.config().contextLength());
    }

    private void serve(FrameStream stream) {
        stream.onFrame(frame -> {
            if (!(frame instanceof Frame.Generate request)) {
                stream.refuse(ErrorCode.UNSUPPORTED, "a coordinator takes GENERATE here, not " + frame.type());
                return;
            }
            long begun = System.nanoTime();
            Model known = model;
            Pipeline through = pipeline;
            if (known == null || through == null) {
                stream.refuse(ErrorCode.NOT_READY, notReady());
                return;
            }
            vertx.executeBlocking(() -> tokens(known, request.prompt(), request.maxTokens(), request.sampling()))
                    .onFailure(failure -> stream.refuse(ErrorCode.CONTEXT, String.valueOf(failure.getMessage())))
                    .onSuccess(prompt -> {
                        stream.send(new Frame.GenerationStarted(prompt, through.entries()));
                        long id = run(
                                known,
                                through,
                                prompt,
                                request.maxTokens(),
                                request.sampling(),
                                streaming(stream, known, request.stop(), begun));
                        stream.onClose(() -> fail(id, ErrorCode.CANCELLED, ErrorCode.CANCELLED.sentence()));
                    });
        });
    }

    private static Listener streaming(FrameStream stream, Model known, List<String> stop, long begun) {
        return new Listener() {
            private final Detokenizer detokenizer = new Detokenizer(known.tokenizer(), true);
            private final StopTexts stops = new StopTexts(stop);
            private long firstNanos;
            private long lastNanos;

            @Override
            public boolean token(int token, float logprob, List<TokenLogprob> top) {
                lastNanos = System.nanoTime();
                if (firstNanos == 0) {
                    firstNanos = lastNanos;
                }
                stream.send(new Frame.GeneratedToken(token, stops.next(detokenizer.next(token)), logprob, top));
                return stops.stopped();
            }

            @Override
            public void finished(Frame.StopReason reason) {
                long first = firstNanos == 0 ? System.nanoTime() : firstNanos;
                long last = lastNanos == 0 ? first : lastNanos;
                String rest = stops.next(detokenizer.end()) + stops.end();
                stream.send(new Frame.GenerationDone(
                                stops.stopped() ? Frame.StopReason.STOP : reason,
                                rest,
                                (first - begun) / 1000,
                                (last - begun) / 1000))
                        .onSuccess(_ -> stream.end());
            }

            @Override
            public void failed(ErrorCode code, String message) {
                stream.refuse(code, message);
            }
        };
    }

    /** GENERATE over the event bus: the whole answer in one reply. */
    private Future<Result.Generated> generate(Command.Generate request) {
        Model known = model;
        Pipeline through = pipeline;
        if (known == null || through == null) {
            return Future.failedFuture(new CommandException(notReady()));
        }
        return vertx.executeBlocking(() -> tokens(known, request.prompt(), request.maxTokens(), request.sampling()))
                .compose(prompt -> {
                    Promise<Result.Generated> answered = Promise.promise();
                    var detokenizer = new Detokenizer(known.tokenizer(), true);
                    var text = new StringBuilder();
                    var tokens = new ArrayList<Integer>();
                    run(known, through, prompt, request.maxTokens(), request.sampling(), new Listener() {
                        @Override
                        public boolean token(int token, float logprob, List<TokenLogprob> top) {
                            tokens.add(token);
                            text.append(detokenizer.next(token));
                            return false;
                        }

                        @Override
                        public void finished(Frame.StopReason reason) {
                            text.append(detokenizer.end());
                            answered.tryComplete(new Result.Generated(
                                    prompt,
                                    tokens,
                                    text.toString(),
                                    reason.name().toLowerCase(Locale.ROOT)));
                        }

                        @Override
                        public void failed(ErrorCode code, String message) {
                            answered.tryFail(new CommandException(message));
                        }
                    });
                    return answered.future();
                });
    }
}
