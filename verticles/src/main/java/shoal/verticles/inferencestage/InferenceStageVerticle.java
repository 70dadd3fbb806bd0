package shoal.verticles.inferencestage;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.VerticleBase;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.kernel.StageLostException;
import shoal.bridge.model.Stage;
import shoal.codec.base.Epoch;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Slice;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.Lease;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Runs this node's layers. EXECUTE_TASK makes it a stage of a pipeline; after it, tokens or activations come by QUIC and the result goes
 * on, to the next stage or, sampled, to the coordinator. Computing has a thread of its own, which keeps frames in order.
 */
public final class InferenceStageVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(InferenceStageVerticle.class);
    private static final int MAX_MEMBERS = 64;

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final StageHost host;
    private final Map<Key, Member> members = new HashMap<>();
    private final Terms terms = new Terms();
    private final Receipts receipts = new Receipts();
    private final CopyShelf shelf;
    private ComputeThread compute;
    private IdleSlices slices;

    /** A place in a pipeline. */
    private record Key(long pipeline, int stage) {}

    /** What this node is in a pipeline, and who is beside it in the present epoch. */
    private record Member(Command.ExecuteTask task, PipelineStage stage, CopySender copies, Ways ways) {
        @Nullable FrameStream next() {
            return ways.next();
        }

        FrameStream coordinator() {
            return ways.coordinator();
        }
    }

    @SuppressWarnings("NullAway.Init") // the executor and what uses it are made when the verticle starts
    public InferenceStageVerticle(QuicEndpoint endpoint, CommandBus bus, Profile profile, StageHost host) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.host = host;
        this.shelf = new CopyShelf(profile.compute().copyBytes());
    }

    @Override
    public Future<?> start() {
        compute = new ComputeThread(vertx);
        slices = new IdleSlices(vertx, compute, host);
        slices.start();
        endpoint.onStream(StreamKind.STAGE, this::serve);
        endpoint.onPeerLost(this::dropSessionsOf);
        bus.answerLocally(
                Addresses.OPEN_STAGE,
                Local.OpenStage.class,
                wish -> (wish.coming() == null ? compute.run(() -> host.open(wish)) : openComing(wish))
                        .onSuccess(_ -> slices.opened())
                        .onFailure(this::endIfLost)
                        .map(shard -> new Local.StageOpened(shard.layers(), shard.memoryBytes(), shard.kernels())));
        bus.answerLocally(Addresses.CLOSE_STAGE, Local.CloseStage.class, this::closeStage);
        bus.answerLocally(Addresses.EXECUTE_TASK, Command.ExecuteTask.class, this::executeTask);
        var standBy = new StandBy(endpoint, host, compute);
        bus.answerLocally(Addresses.STAND_BY, Command.StandBy.class, standBy::ready);
        bus.answerLocally(Addresses.TRACE, Command.Trace.class, wish -> {
            receipts.trace(wish.seconds(), System.nanoTime());
            return Future.succeededFuture(new Result.Receipts(receipts.all()));
        });
        bus.answerLocally(
                Addresses.LOADED,
                Local.AskLoaded.class,
                _ -> vertx.executeBlocking(() -> new Local.Loaded(host.loaded())));
        return Future.succeededFuture();
    }

    @Override
    public Future<?> stop() {
        List.copyOf(members.keySet()).forEach(this::drop);
        return compute.run(() -> {
                    shelf.close();
                    host.close();
                    return null;
                })
                .onComplete(_ -> compute.close());
    }

    /** It waits for what is not here yet, so it has a thread of its own; sessions run meanwhile. */
    private Future<Local.LoadedShard> openComing(Local.OpenStage wish) {
        Promise<Local.LoadedShard> opened = Promise.promise();
        Thread.ofPlatform().daemon().name("open-" + wish.layers()).start(() -> {
            try {
                opened.complete(host.open(wish));
            } catch (IOException | RuntimeException failure) {
                opened.fail(failure);
            }
        });
        return opened.future();
    }

    // ------------------------------------------------------------------------------------------- set-up

    private Future<Result.TaskAccepted> executeTask(Command.ExecuteTask task) {
        var key = new Key(task.pipeline(), task.stage());
        if (task.close()) {
            Member known = members.get(key);
            if (known != null && known.task().epoch().compareTo(task.epoch()) <= 0) {
                drop(key);
            }
            return Future.succeededFuture(Result.TaskAccepted.closed(task.pipeline(), task.stage()));
        }
        int outrankedBy = terms.outranks(task);
        if (outrankedBy != 0) {
            return Future.succeededFuture(Result.TaskAccepted.outranked(task.pipeline(), task.stage(), outrankedBy));
        }
        dropOutranked(task);
        LOG.info("[EXECUTE_TASK] Processing inference for shard {}", task.shardId());
        if (members.size() >= MAX_MEMBERS && !members.containsKey(key)) {
            return Future.failedFuture(new CommandException(
                    "this node is part of " + MAX_MEMBERS + " pipelines already; ask again when one has ended"));
        }
        return stageOf(task).compose(stage -> Ways.open(endpoint, task).compose(ways -> join(key, task, stage, ways)));
    }

    /** What the same stage held under an older epoch stays. */
    private Future<Result.TaskAccepted> join(Key key, Command.ExecuteTask task, Stage stage, Ways ways) {
        Member known = members.get(key);
        if (known != null && known.task().epoch().compareTo(task.epoch()) > 0) {
            ways.end();
            return Future.failedFuture(new CommandException("stage " + task.stage() + " is in epoch "
                    + known.task().epoch().number() + " already, the task is of epoch "
                    + task.epoch().number()));
        }
        if (known != null && known.stage().stage() != stage) {
            drop(key);
            known = null;
        }
        if (known != null) {
            known.ways().end();
        }
        PipelineStage runs = known != null ? known.stage() : pipelineStage(task, stage);
        CopySender copies =
                known != null ? known.copies() : new CopySender(vertx, endpoint, compute, runs, host.order());
        members.put(key, new Member(task, runs, copies, ways));
        return compute.run(() -> {
            boolean fresh = runs.join(task.epoch());
            return new Result.TaskAccepted(
                    task.pipeline(),
                    task.stage(),
                    true,
                    host.pages(stage),
                    fresh,
                    host.order(),
                    0,
                    fresh ? shelf.held(task.pipeline(), stage) : Result.HeldCopies.NONE);
        });
    }

    /** What another coordinator, which this task's outranks, has given here for the model is computed no more. */
    private void dropOutranked(Command.ExecuteTask task) {
        Predicate<Member> outranked =
                member -> member.task().term().model().equals(task.term().model())
                        && member.task().term().number() < task.term().number();
        for (Member member : members.values()) {
            if (outranked.test(member)) {
                lost(
                        member,
                        "coordinator " + task.coordinator().id().toShortHex() + " works for the model now, under term "
                                + task.term().number());
            }
        }
        dropIf(outranked);
    }

    private PipelineStage pipelineStage(Command.ExecuteTask task, Stage stage) {
        return new PipelineStage(
                stage,
                () -> Objects.requireNonNull(host.tokenizer(task.infoHash(), task.layers())),
                profile.compute().replayBytes(),
                shelf,
                nanos -> host.computed(stage, nanos));
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

    private Future<Object> closeStage(Local.CloseStage wish) {
        Stage closing = host.find(wish.piecesRoot(), wish.layers());
        for (Member member : members.values()) {
            if (member.stage().stage() == closing) {
                lost(member, "node " + endpoint.nodeId().toShortHex() + " has dropped layers " + wish.layers());
            }
        }
        dropIf(member -> member.stage().stage() == closing);
        return compute.run(() -> {
            if (closing != null) {
                shelf.drop(closing);
            }
            return (Object) host.close(wish.piecesRoot(), wish.layers());
        });
    }

    private void dropSessionsOf(PeerConnection lost) {
        dropIf(member -> member.task().coordinator().id().equals(lost.id()));
    }

    private void dropIf(Predicate<Member> condition) {
        members.entrySet().stream()
                .filter(entry -> condition.test(entry.getValue()))
                .map(Map.Entry::getKey)
                .toList()
                .forEach(this::drop);
    }

    private void drop(Key key) {
        Member member = members.remove(key);
        if (member != null) {
            member.ways().end();
            member.copies().end();
            compute.run(() -> {
                member.stage().close();
                return null;
            });
        }
    }

    // -------------------------------------------------------------------------------------------- frames

    private void serve(FrameStream stream) {
        stream.lendBulk().onFrame(frame -> {
            Lease lease = stream.lease();
            if (lease != null) {
                lease.retain();
            }
            Runnable done = lease == null ? () -> {} : lease::release;
            if (frame instanceof Frame.KeyValues pages) {
                shelve(pages, stream, done);
            } else if (!take(frame, done)) {
                done.run();
                stream.refuse(ErrorCode.UNSUPPORTED, "a stage takes tokens and activations, not " + frame.type());
            }
        });
    }

    /**
     * What came in, or what another stage of this node hands on.
     *
     * @param done runs once the frame's bytes are not needed any more
     * @return false for what is nothing for a stage
     */
    private boolean take(Frame frame, Runnable done) {
        switch (frame) {
            case Frame.TokenBatch batch ->
                work(
                        batch.head(),
                        batch.head().stage(),
                        done,
                        member -> receipts.after(
                                member.task(), batch, member.stage().run(member.task(), batch)));
            case Frame.Activation batch ->
                work(
                        batch.head(),
                        batch.head().stage(),
                        done,
                        member -> receipts.after(
                                member.task(), batch, member.stage().run(member.task(), batch)));
            case Frame.Replay(BatchHead head) ->
                work(head, head.stage(), done, member -> member.stage().replay(member.task(), head));
            case Frame.OpenSequence open ->
                learn(open.pipeline(), open.epoch(), open.stage(), open.session(), member -> {
                    if (!member.stage().stage().isLast()) {
                        return open.next();
                    }
                    member.stage().open(open);
                    return null;
                });
            case Frame.SequenceTokens tokens ->
                learn(tokens.pipeline(), tokens.epoch(), tokens.stage(), tokens.session(), member -> {
                    if (!member.stage().stage().isLast()) {
                        return tokens.next();
                    }
                    member.stage().learn(tokens);
                    return null;
                });
            case Frame.Release release -> release(release);
            case Frame.CopyTo copies -> {
                Member member = member(copies.pipeline(), copies.epoch(), copies.stage());
                if (member != null) {
                    member.copies().to(copies.to(), member.task());
                }
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    private void release(Frame.Release release) {
        compute.execute(() -> shelf.release(release));
        members.forEach((key, member) -> {
            if (key.pipeline() == release.pipeline()) {
                compute.run(() -> member.stage().release(release))
                        .onSuccess(dropped ->
                                member.copies().release(release.pipeline(), release.beforeMicroBatch(), dropped));
            }
        });
    }

    /** Copies of a stage that this node stands by for. Those of unlike kernels would not be what is computed here. */
    private void shelve(Frame.KeyValues pages, FrameStream from, Runnable done) {
        Stage stage = host.find(pages.shard(), pages.layers());
        if (stage == null || !pages.order().equals(host.order())) {
            done.run();
            from.refuse(
                    ErrorCode.UNSUPPORTED,
                    stage == null
                            ? "layers " + pages.layers() + " are not loaded here"
                            : "numbers are added in the order " + host.order() + " here, not " + pages.order());
            return;
        }
        compute.run(() -> {
                    shelf.put(stage, pages);
                    return null;
                })
                .onComplete(_ -> done.run())
                .onFailure(failure -> from.refuse(ErrorCode.MALFORMED, bounded(failure)));
    }

    /** What is done on the computing thread: gives a frame to send, or null. */
    private interface Task {
        @Nullable Frame run(Member member);
    }

    private @Nullable Member member(long pipeline, Epoch epoch, int stage) {
        Member member = members.get(new Key(pipeline, stage));
        if (member == null || !member.task().epoch().equals(epoch)) {
            LOG.debug("a frame for stage {} of an epoch that is not here: {}", stage, epoch.number());
            return null;
        }
        return member;
    }

    private void work(BatchHead head, int stage, Runnable done, Task task) {
        Member member = member(head.pipeline(), head.epoch(), stage);
        if (member == null) {
            done.run();
            return;
        }
        slices.workBegins();
        compute.run(() -> task.run(member)).onComplete(result -> {
            slices.workEnds();
            done.run();
            if (result.succeeded()) {
                handOn(member, result.result());
                member.copies().look(member.task());
            } else {
                List<Long> all = head.slices().stream().map(Slice::session).toList();
                tellFailure(member, head.number(), all, result.cause());
            }
        });
    }

    private void learn(long pipeline, Epoch epoch, int stage, long session, Task task) {
        Member member = member(pipeline, epoch, stage);
        if (member != null) {
            compute.run(() -> task.run(member))
                    .onSuccess(result -> handOn(member, result))
                    .onFailure(failure ->
                            LOG.warn("session {} stage {}: {}", Long.toHexString(session), stage, failure.toString()));
        }
    }

    private void tellFailure(Member member, int microBatch, List<Long> sessions, Throwable failure) {
        Command.ExecuteTask task = member.task();
        LOG.warn("stage {} of layers {}: {}", task.stage(), task.layers(), failure.toString());
        member.coordinator()
                .send(new Frame.StageFailed(
                        task.pipeline(), task.epoch(), microBatch, sessions, codeOf(failure), bounded(failure)))
                .onComplete(_ -> endIfLost(failure));
    }

    /** A process whose device is lost computes nothing any more; the launcher ends it, so that others take over for good. */
    private void endIfLost(Throwable failure) {
        if (failure instanceof StageLostException) {
            bus.tell(Addresses.DEVICE_LOST, new Local.DeviceLost(bounded(failure)));
        }
    }

    private static ErrorCode codeOf(Throwable failure) {
        return switch (failure) {
            case StageLostException _ -> ErrorCode.LOST;
            case IllegalArgumentException _ -> ErrorCode.CONTEXT;
            default -> ErrorCode.INTERNAL;
        };
    }

    private static String bounded(Throwable failure) {
        String message = String.valueOf(failure.getMessage());
        return message.length() > 300 ? message.substring(0, 300) : message;
    }

    private void handOn(Member member, @Nullable Frame result) {
        switch (result) {
            case null -> {}
            case Frame.Activation activation -> {
                WireRows rows = member.stage().rows();
                Runnable sent = () -> rows.giveBack(activation.values());
                FrameStream next = member.next();
                if (next == null) {
                    take(activation, sent);
                } else {
                    next.send(activation).onComplete(_ -> sent.run()).onFailure(failure -> lostNext(member, failure));
                }
            }
            case Frame.OpenSequence open -> pass(member, open);
            case Frame.SequenceTokens tokens -> pass(member, tokens);
            default -> member.coordinator().send(result);
        }
    }

    private void pass(Member member, Frame frame) {
        FrameStream next = member.next();
        if (next == null) {
            take(frame, () -> {});
        } else {
            next.send(frame).onFailure(failure -> lostNext(member, failure));
        }
    }

    private static void lostNext(Member member, Throwable failure) {
        lost(
                member,
                "the next stage " + Objects.requireNonNull(member.task().next()) + " is gone: " + bounded(failure));
    }

    private static void lost(Member member, String message) {
        Command.ExecuteTask task = member.task();
        member.coordinator()
                .send(new Frame.StageFailed(task.pipeline(), task.epoch(), 0, List.of(), ErrorCode.LOST, message));
    }
}
