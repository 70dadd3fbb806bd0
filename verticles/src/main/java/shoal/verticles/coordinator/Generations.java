package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.pipeline.Session;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.StreamKind;
import shoal.codec.wire.TokenLogprob;
import shoal.verticles.config.Profile;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.QuicEndpoint;

/** Runs sessions through pipelines: opens them on the stages, feeds them what comes back, and closes them. One event loop. */
final class Generations {
    private static final Logger LOG = LoggerFactory.getLogger(Generations.class);
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(10);
    private static final Duration TOKEN_TIMEOUT = Duration.ofSeconds(60);
    private static final int CHUNK = 64;

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final Commands commands;
    private final Profile profile;
    private final Consumer<Pipeline> trouble;
    private final SecureRandom random = new SecureRandom();
    private final Map<Long, Generation> generations = new HashMap<>();
    private final Map<NodeId, Future<FrameStream>> ways = new HashMap<>();

    /** One running session, and the pipeline that it runs through now. */
    private static final class Generation {
        private final long id;
        private final Model model;
        private final Sampling sampling;
        private final Listener listener;
        private final MachineDriver<Session.Input, Session.Effect> driver;
        private Pipeline pipeline;
        private @Nullable FrameStream toFirst;
        private @Nullable FrameStream toLast;

        Generation(
                long id,
                Model model,
                Sampling sampling,
                Listener listener,
                Pipeline pipeline,
                Function<Generation, MachineDriver<Session.Input, Session.Effect>> driver) {
            this.id = id;
            this.model = model;
            this.sampling = sampling;
            this.listener = listener;
            this.pipeline = pipeline;
            this.driver = driver.apply(this);
        }
    }

    /** Who hears a generation. */
    interface Listener {
        /** @return whether that is all that is wanted */
        boolean token(int token, float logProbability, List<TokenLogprob> top);

        /** Other machines took over from here on. */
        default void moved(Pipeline now) {}

        void finished(Frame.StopReason reason);

        void failed(ErrorCode code, String message);
    }

    /** @param trouble told when a pipeline seems to have lost a stage */
    Generations(Vertx vertx, QuicEndpoint endpoint, Commands commands, Profile profile, Consumer<Pipeline> trouble) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.commands = commands;
        this.profile = profile;
        this.trouble = trouble;
        endpoint.onStream(StreamKind.STAGE, this::hear);
        endpoint.onPeerLost(this::lost);
    }

    int running() {
        return generations.size();
    }

    /**
     * Starts a generation; returns its session.
     *
     * @param recoveries how often other machines may take over
     */
    long run(
            Model model,
            Pipeline through,
            List<Integer> prompt,
            int maxTokens,
            Sampling sampling,
            int recoveries,
            Listener listener) {
        long id = random.nextLong();
        var session = new Session(
                id,
                through.epoch(),
                prompt,
                maxTokens,
                model.tokenizer().endOfGeneration(),
                CHUNK,
                sampling.needsHistory() ? through.hops().size() - 1 : -1,
                TOKEN_TIMEOUT,
                recoveries);
        var generation = new Generation(
                id,
                model,
                sampling,
                listener,
                through,
                made -> new MachineDriver<>(
                        vertx, session, new Session.Input.Tick(), effect -> carryOut(made, effect)));
        generations.put(id, generation);
        open(generation, new Session.Input.Start());
        return id;
    }

    private void carryOut(Generation generation, Session.Effect effect) {
        switch (effect) {
            case Session.Effect.Send(Frame.TokenBatch batch) -> send(generation, generation.toFirst, batch);
            case Session.Effect.Tell(Frame.SequenceTokens tokens) -> send(generation, generation.toLast, tokens);
            case Session.Effect.Emit(int token, float logProbability, List<TokenLogprob> top) -> {
                if (generation.listener.token(token, logProbability, top)) {
                    generation.driver.feed(new Session.Input.Enough());
                }
            }
            case Session.Effect.Finish(Frame.StopReason reason) -> {
                close(generation);
                generation.listener.finished(reason);
            }
            case Session.Effect.Fail(ErrorCode code, String message) -> {
                close(generation);
                generation.listener.failed(code, message);
            }
        }
    }

    private void send(Generation generation, @Nullable FrameStream way, Frame frame) {
        Pipeline through = generation.pipeline;
        Objects.requireNonNull(way)
                .send(frame)
                .onFailure(failure -> lost(generation, through, String.valueOf(failure.getMessage())));
    }

    /** Opens the session on every stage of its pipeline, then begins. */
    private void open(Generation generation, Session.Input begin) {
        Pipeline through = generation.pipeline;
        openStages(generation)
                .compose(_ -> Future.all(
                        wayTo(through.hops().getFirst()), wayTo(through.hops().getLast())))
                .onSuccess(ways -> {
                    if (generation.pipeline == through) {
                        generation.toFirst = ways.resultAt(0);
                        generation.toLast = ways.resultAt(1);
                        generation.driver.feed(begin);
                    }
                })
                .onFailure(failure -> {
                    String message = String.valueOf(failure.getMessage());
                    if (failure instanceof CommandException && !(failure instanceof Commands.SilentException)) {
                        generation.driver.feed(new Session.Input.Failed(ErrorCode.BUSY, message));
                    } else {
                        lost(generation, through, message);
                    }
                });
    }

    /** A stage of what was its pipeline is gone: it waits until {@link #resume}. */
    private void lost(Generation generation, Pipeline through, String message) {
        if (generations.containsKey(generation.id) && generation.pipeline == through) {
            generation.driver.feed(new Session.Input.Lost(message));
            trouble.accept(through);
        }
    }

    /** Whatever runs through a pipeline that lost a stage waits until {@link #resume}. */
    void suspend(Pipeline before, String message) {
        for (Generation generation : List.copyOf(generations.values())) {
            if (generation.pipeline == before) {
                generation.driver.feed(new Session.Input.Lost(message));
            }
        }
    }

    /** Whatever ran through older pipelines goes on through this one. */
    void resume(Pipeline now) {
        for (Generation generation : List.copyOf(generations.values())) {
            Pipeline before = generation.pipeline;
            if (before.epoch().compareTo(now.epoch()) < 0) {
                generation.pipeline = now;
                for (int stage = 0; stage < before.hops().size(); stage++) {
                    NodeId node = before.hops().get(stage).node().id();
                    boolean again = stage < now.hops().size()
                            && now.hops().get(stage).node().id().equals(node);
                    if (!again) {
                        closeStage(generation, before, stage);
                    }
                }
                generation.listener.moved(now);
                open(generation, new Session.Input.Resumed(now.epoch()));
            }
        }
    }

    private Future<?> openStages(Generation generation) {
        var opening = new ArrayList<Future<?>>();
        for (int stage = 0; stage < generation.pipeline.hops().size(); stage++) {
            opening.add(task(generation, generation.pipeline, stage, false));
        }
        return Future.all(opening);
    }

    private Future<Result.TaskAccepted> task(Generation generation, Pipeline through, int stage, boolean close) {
        List<Pipeline.Hop> hops = through.hops();
        Pipeline.Hop hop = hops.get(stage);
        var task = new Command.ExecuteTask(
                generation.id,
                through.epoch(),
                stage,
                hop.shard().index(),
                hop.shard().layers(),
                hop.shard().piecesRoot(),
                stage + 1 < hops.size() ? hops.get(stage + 1).node() : null,
                endpoint.contact(),
                generation.sampling,
                profile.coordinator().activationType(),
                generation.model.config().contextLength(),
                close);
        return commands.ask(hop.node().id(), task, Result.TaskAccepted.class, ASK_TIMEOUT);
    }

    /** One stream to each first and last stage, for all sessions. */
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
                        generation.driver.feed(new Session.Input.Sampled(sampled));
                    }
                }
                case Frame.StageFailed failed -> {
                    Generation generation = generations.get(failed.session());
                    if (generation == null || !failed.epoch().equals(generation.pipeline.epoch())) {
                        return;
                    }
                    if (failed.code() == ErrorCode.LOST) {
                        lost(generation, generation.pipeline, failed.message());
                    } else {
                        generation.driver.feed(new Session.Input.Failed(failed.code(), failed.message()));
                    }
                }
                default ->
                    stream.refuse(ErrorCode.UNSUPPORTED, "a coordinator takes sampled tokens, not " + frame.type());
            }
        });
    }

    /** Nobody wants the rest. */
    void cancel(long id) {
        Generation generation = generations.get(id);
        if (generation != null) {
            generation.driver.feed(new Session.Input.Cancel());
        }
    }

    private void lost(PeerConnection peer) {
        ways.remove(peer.id());
        for (Generation generation : List.copyOf(generations.values())) {
            if (generation.pipeline.runsOn(peer.id())) {
                lost(generation, generation.pipeline, peer + " is gone");
            }
        }
    }

    private void close(Generation generation) {
        if (generations.remove(generation.id) == null) {
            return;
        }
        generation.driver.stop();
        for (int stage = 0; stage < generation.pipeline.hops().size(); stage++) {
            closeStage(generation, generation.pipeline, stage);
        }
    }

    private void closeStage(Generation generation, Pipeline through, int stage) {
        task(generation, through, stage, true)
                .onFailure(failure -> LOG.debug("a session was not closed: {}", failure.getMessage()));
    }
}
