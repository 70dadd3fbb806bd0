package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
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
    private final SecureRandom random = new SecureRandom();
    private final Map<Long, Generation> generations = new HashMap<>();
    private final Map<NodeId, Future<FrameStream>> ways = new HashMap<>();

    /** One running session. */
    private record Generation(MachineDriver<Session.Input, Session.Effect> driver, Model model, Pipeline pipeline) {}

    /** Who hears a generation. */
    interface Listener {
        /** Says whether that was enough. @param top the likeliest tokens, as many as were asked for */
        boolean token(int token, float logProbability, List<TokenLogprob> top);

        void finished(Frame.StopReason reason);

        void failed(ErrorCode code, String message);
    }

    Generations(Vertx vertx, QuicEndpoint endpoint, Commands commands, Profile profile) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.commands = commands;
        this.profile = profile;
        endpoint.onStream(StreamKind.STAGE, this::hear);
        endpoint.onPeerLost(this::lost);
    }

    int running() {
        return generations.size();
    }

    /** Starts a generation; returns its session. */
    long run(Model known, Pipeline through, List<Integer> prompt, int maxTokens, Sampling sampling, Listener listener) {
        long id = random.nextLong();
        int last = through.hops().size() - 1;
        var session = new Session(
                id,
                through.epoch(),
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
                        case Session.Effect.Emit(int token, float logProbability, List<TokenLogprob> top) -> {
                            if (listener.token(token, logProbability, top)) {
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
        generations.put(id, new Generation(driver, known, through));
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
                through.epoch(),
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

    /** One stream to each first stage and each last one, for all sessions. */
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

    void fail(long id, ErrorCode code, String message) {
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

    /** Fails whatever runs through a pipeline that is no more. */
    void failAll(Pipeline pipeline, String message) {
        generations.forEach((id, generation) -> {
            if (generation.pipeline() == pipeline) {
                fail(id, ErrorCode.LOST, message);
            }
        });
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
        if (generation == null) {
            return;
        }
        generation.driver().stop();
        for (int stage = 0; stage < generation.pipeline().hops().size(); stage++) {
            task(generation.model(), generation.pipeline(), id, Sampling.GREEDY, stage, true)
                    .onFailure(failure -> LOG.debug("a session was not closed: {}", failure.getMessage()));
        }
    }
}
