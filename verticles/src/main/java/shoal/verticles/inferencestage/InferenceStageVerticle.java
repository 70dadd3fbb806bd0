package shoal.verticles.inferencestage;

import io.vertx.core.Future;
import io.vertx.core.VerticleBase;
import io.vertx.core.WorkerExecutor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.Stage;
import shoal.codec.base.Contact;
import shoal.codec.base.Epoch;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Runs this node's layers. EXECUTE_TASK opens a session; after it, tokens or activations come by QUIC and the result goes on, to the
 * next stage or, sampled, to the coordinator. Computing has a thread of its own, which keeps each session's frames in order.
 */
public final class InferenceStageVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(InferenceStageVerticle.class);
    private static final int MAX_SESSIONS = 256;
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final StageHost host;
    private final Map<Key, Running> sessions = new HashMap<>();
    private final Receipts receipts = new Receipts();
    private WorkerExecutor compute;

    /** One session on one of this node's stages. */
    private record Key(long session, int stage) {}

    private record Running(
            Command.ExecuteTask task,
            Stage stage,
            SequenceMemory sequence,
            NodeId owner,
            @Nullable FrameStream next,
            FrameStream coordinator,
            @Nullable StageSampling sampling) {}

    /** Input of one computation. */
    private record Work(
            Epoch epoch,
            int microBatch,
            int firstPosition,
            int count,
            boolean sample,
            Batch.Input input,
            ByteBuffer wire) {}

    @SuppressWarnings("NullAway.Init") // the executor is made when the verticle starts
    public InferenceStageVerticle(QuicEndpoint endpoint, CommandBus bus, Profile profile, StageHost host) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.host = host;
    }

    @Override
    public Future<?> start() {
        compute = vertx.createSharedWorkerExecutor("compute", 1, 1, TimeUnit.HOURS);
        endpoint.onStream(StreamKind.STAGE, this::serve);
        endpoint.onPeerLost(this::dropSessionsOf);
        bus.answerLocally(
                Addresses.OPEN_STAGE,
                Local.OpenStage.class,
                wish -> compute.executeBlocking(() -> host.open(wish))
                        .map(shard -> new Local.StageOpened(shard.layers(), shard.memoryBytes(), shard.kernels())));
        bus.answerLocally(Addresses.TRACE, Command.Trace.class, wish -> {
            receipts.trace(wish.seconds(), System.nanoTime());
            return Future.succeededFuture(new Result.Receipts(receipts.all()));
        });
        bus.answerLocally(Addresses.CLOSE_STAGE, Local.CloseStage.class, this::closeStage);
        bus.answerLocally(Addresses.EXECUTE_TASK, Command.ExecuteTask.class, this::executeTask);
        var standBy = new StandBy(endpoint, host, compute);
        bus.answerLocally(Addresses.STAND_BY, Command.StandBy.class, standBy::ready);
        bus.answerLocally(
                Addresses.LOADED,
                Local.AskLoaded.class,
                _ -> vertx.executeBlocking(() -> new Local.Loaded(host.loaded())));
        return Future.succeededFuture();
    }

    @Override
    public Future<?> stop() {
        new ArrayList<>(sessions.keySet()).forEach(this::drop);
        return compute.executeBlocking(() -> {
            host.close();
            return null;
        });
    }

    // ------------------------------------------------------------------------------------------- set-up

    private Future<Result.TaskAccepted> executeTask(Command.ExecuteTask task) {
        var key = new Key(task.session(), task.stage());
        if (task.close()) {
            drop(key);
            return Future.succeededFuture(new Result.TaskAccepted(task.session(), task.stage(), false));
        }
        LOG.info("[EXECUTE_TASK] Processing inference for shard {}", task.shardId());
        if (sessions.size() >= MAX_SESSIONS) {
            return Future.failedFuture(new CommandException(
                    "this node has " + MAX_SESSIONS + " sessions already; ask again when one has ended"));
        }
        return stageOf(task)
                .compose(stage -> samplingOf(task, stage)
                        .compose(sampling -> connect(task).map(ways -> {
                            drop(key);
                            var running = new Running(
                                    task,
                                    stage,
                                    stage.openSequence(),
                                    task.coordinator().id(),
                                    ways.next(),
                                    ways.coordinator(),
                                    sampling);
                            sessions.put(key, running);
                            return new Result.TaskAccepted(task.session(), task.stage(), true);
                        })));
    }

    /** Null for a stage that does not sample. */
    private Future<@Nullable StageSampling> samplingOf(Command.ExecuteTask task, Stage stage) {
        if (!stage.isLast()) {
            return Future.succeededFuture(null);
        }
        if (!task.sampling().needsVocabulary()) {
            return Future.succeededFuture(new StageSampling(task.sampling(), null));
        }
        return vertx.executeBlocking(() -> new StageSampling(
                task.sampling(), Objects.requireNonNull(host.tokenizer(task.infoHash(), task.layers()))));
    }

    private Future<Stage> stageOf(Command.ExecuteTask task) {
        Stage known = host.find(task.infoHash(), task.layers());
        if (known != null) {
            return Future.succeededFuture(known);
        }
        if (!profile.torrent().autoLoad()) {
            return Future.failedFuture(CommandException.notLoaded());
        }
        var load = new Command.LoadShard(task.shardId(), null, task.layers(), task.infoHash());
        return bus.ask(Addresses.LOAD_SHARD, load, Result.ShardReady.class).map(_ -> {
            Stage loaded = host.find(task.infoHash(), task.layers());
            if (loaded == null) {
                throw CommandException.notLoaded();
            }
            return loaded;
        });
    }

    private record Ways(@Nullable FrameStream next, FrameStream coordinator) {}

    /** The way to the coordinator is opened by every stage, so that each can say why it failed. */
    private Future<Ways> connect(Command.ExecuteTask task) {
        Contact next = task.next();
        Future<@Nullable FrameStream> toNext = next == null || next.id().equals(endpoint.nodeId())
                ? Future.succeededFuture(null)
                : endpoint.connect(next).compose(peer -> peer.open(StreamKind.STAGE));
        return toNext.compose(stream -> endpoint.connect(task.coordinator())
                .compose(peer -> peer.open(StreamKind.STAGE))
                .map(coordinator -> new Ways(stream, coordinator)));
    }

    private Future<Object> closeStage(Local.CloseStage wish) {
        sessions.entrySet().stream()
                .filter(entry -> entry.getValue().task().layers().equals(wish.layers()))
                .map(Map.Entry::getKey)
                .toList()
                .forEach(this::drop);
        return compute.executeBlocking(() -> (Object) host.close(wish.piecesRoot(), wish.layers()));
    }

    private void dropSessionsOf(PeerConnection lost) {
        sessions.entrySet().stream()
                .filter(entry -> entry.getValue().owner().equals(lost.id()))
                .map(Map.Entry::getKey)
                .toList()
                .forEach(this::drop);
    }

    private void drop(Key key) {
        Running running = sessions.remove(key);
        if (running != null) {
            if (running.next() != null) {
                running.next().end();
            }
            running.coordinator().end();
            compute.executeBlocking(() -> {
                running.sequence().close();
                return null;
            });
        }
    }

    // -------------------------------------------------------------------------------------------- frames

    private void serve(FrameStream stream) {
        stream.onFrame(frame -> {
            switch (frame) {
                case Frame.TokenBatch batch -> {
                    int[] ids =
                            batch.tokens().stream().mapToInt(Integer::intValue).toArray();
                    work(
                            new Key(batch.session(), 0),
                            new Work(
                                    batch.epoch(),
                                    batch.microBatch(),
                                    batch.firstPosition(),
                                    ids.length,
                                    batch.sample(),
                                    new Batch.Input.Tokens(ids),
                                    ByteBuffer.allocate(0)));
                }
                case Frame.Activation activation ->
                    work(new Key(activation.session(), activation.stage()), workOf(activation));
                case Frame.SequenceTokens tokens -> learn(tokens);
                default ->
                    stream.refuse(ErrorCode.UNSUPPORTED, "a stage takes tokens and activations, not " + frame.type());
            }
        });
    }

    private static Work workOf(Frame.Activation activation) {
        MemorySegment values = switch (activation.activationType()) {
            case F32 -> MemorySegment.ofBuffer(activation.values());
            case F16 -> fromHalf(activation.values());
        };
        return new Work(
                activation.epoch(),
                activation.microBatch(),
                activation.firstPosition(),
                activation.tokenCount(),
                activation.sample(),
                new Batch.Input.Activations(values),
                activation.values());
    }

    private void work(Key key, Work work) {
        Running running = sessions.get(key);
        if (running == null) {
            LOG.debug("a frame for session {} stage {}, which is not open here", key.session(), key.stage());
            return;
        }
        if (!work.epoch().equals(running.task().epoch())) {
            return;
        }
        note(running, work);
        compute.executeBlocking(() -> run(running, work))
                .onSuccess(result -> handOn(running, result))
                .onFailure(failure -> tellFailure(key, running, failure));
    }

    private void note(Running running, Work work) {
        if (receipts.isOn(System.nanoTime())) {
            Command.ExecuteTask task = running.task();
            switch (work.input()) {
                case Batch.Input.Tokens(int[] ids) ->
                    receipts.tokens(task.session(), task.stage(), task.layers(), ids, true);
                case Batch.Input.Activations _ ->
                    receipts.in(task.session(), task.stage(), task.layers(), work.count(), work.wire());
            }
        }
    }

    private void note(Running running, Frame result) {
        if (receipts.isOn(System.nanoTime())) {
            Command.ExecuteTask task = running.task();
            switch (result) {
                case Frame.Activation activation ->
                    receipts.out(
                            task.session(), task.stage(), task.layers(), activation.tokenCount(), activation.values());
                case Frame.TokenSampled sampled ->
                    receipts.tokens(task.session(), task.stage(), task.layers(), new int[] {sampled.token()}, false);
                default -> {}
            }
        }
    }

    /** What came before, for a stage that looks back. */
    private void learn(Frame.SequenceTokens tokens) {
        var key = new Key(tokens.session(), tokens.stage());
        Running running = sessions.get(key);
        if (running == null || !tokens.epoch().equals(running.task().epoch())) {
            LOG.debug("tokens of session {} stage {}, which is not open here", key.session(), key.stage());
            return;
        }
        StageSampling sampling = running.sampling();
        if (sampling == null) {
            return;
        }
        compute.executeBlocking(() -> {
                    sampling.learn(tokens, running.task().contextLength());
                    return sampling.sampleIfKnown(running.task());
                })
                .onSuccess(result -> handOn(running, result))
                .onFailure(failure -> tellFailure(key, running, failure));
    }

    private static void tellFailure(Key key, Running running, Throwable failure) {
        LOG.warn("session {} stage {}: {}", key.session(), key.stage(), failure.toString());
        running.coordinator()
                .send(new Frame.StageFailed(
                        key.session(),
                        running.task().epoch(),
                        failure instanceof IllegalArgumentException ? ErrorCode.CONTEXT : ErrorCode.INTERNAL,
                        bounded(failure)));
    }

    private static String bounded(Throwable failure) {
        String message = String.valueOf(failure.getMessage());
        return message.length() > 300 ? message.substring(0, 300) : message;
    }

    /** On the computing thread. Gives the frame to send, or null if nothing is to be said. */
    private static @Nullable Frame run(Running running, Work work) {
        Stage stage = running.stage();
        Command.ExecuteTask task = running.task();
        boolean isFirst = work.input() instanceof Batch.Input.Tokens;
        if (isFirst != stage.isFirst()) {
            throw new IllegalStateException("layers " + stage.range() + " got the input of another stage");
        }
        Batch.Wanted wanted = work.sample() ? Batch.Wanted.LAST : Batch.Wanted.NONE;
        var batch = new Batch(
                List.of(new Batch.Slice(running.sequence(), work.firstPosition(), work.count(), wanted)), work.input());
        byte[] bytes = new byte[Math.toIntExact(stage.outputBytes(batch))];
        stage.run(batch, MemorySegment.ofArray(bytes));
        if (!stage.isLast()) {
            return new Frame.Activation(
                    task.session(),
                    task.epoch(),
                    work.microBatch(),
                    work.firstPosition(),
                    work.count(),
                    task.activations(),
                    work.sample(),
                    stage.outputWidth(),
                    task.stage() + 1,
                    task.activations() == ActivationType.F32 ? ByteBuffer.wrap(bytes) : toHalf(bytes));
        }
        if (!work.sample()) {
            return null;
        }
        StageSampling sampling = Objects.requireNonNull(running.sampling(), "a last stage samples");
        sampling.take(MemorySegment.ofArray(bytes).toArray(FLOAT), work.firstPosition() + work.count());
        return sampling.sampleIfKnown(task);
    }

    private void handOn(Running running, @Nullable Frame result) {
        if (result != null) {
            note(running, result);
        }
        switch (result) {
            case null -> {}
            case Frame.Activation activation -> {
                FrameStream next = running.next();
                if (next != null) {
                    next.send(activation).onFailure(failure -> lost(running, failure));
                } else {
                    work(new Key(activation.session(), activation.stage()), workOf(activation));
                }
            }
            default -> running.coordinator().send(result);
        }
    }

    private static void lost(Running running, Throwable failure) {
        running.coordinator()
                .send(new Frame.StageFailed(
                        running.task().session(),
                        running.task().epoch(),
                        ErrorCode.LOST,
                        "the next stage "
                                + Objects.requireNonNull(running.task().next()) + " is gone: " + bounded(failure)));
    }

    // ---------------------------------------------------------------------------------------------- F16

    private static ByteBuffer toHalf(byte[] floats) {
        ByteBuffer in = ByteBuffer.wrap(floats).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer out = ByteBuffer.allocate(floats.length / 2).order(ByteOrder.LITTLE_ENDIAN);
        while (in.hasRemaining()) {
            out.putShort(Float.floatToFloat16(in.getFloat()));
        }
        return out.flip();
    }

    private static MemorySegment fromHalf(ByteBuffer halves) {
        ByteBuffer in = halves.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer out = ByteBuffer.allocate(2 * in.remaining()).order(ByteOrder.LITTLE_ENDIAN);
        while (in.hasRemaining()) {
            out.putFloat(Float.float16ToFloat(in.getShort()));
        }
        return MemorySegment.ofBuffer(out.flip());
    }
}
