package shoal.verticles.inferencestage;

import io.vertx.core.Future;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.WeakHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.model.Stage;
import shoal.codec.base.Contact;
import shoal.codec.base.Epoch;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.Slice;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Makes a spare ready to take over at once: runs throw-away tokens through its layers, so that their weights are in memory and the
 * code is compiled, and opens connections to those who would be next to it. Between two tokens, whatever else the node computes goes
 * first.
 */
final class StandBy {
    private static final Logger LOG = LoggerFactory.getLogger(StandBy.class);
    private static final int CHUNK = 16;
    private static final int MAX_TOKENS = 256;
    private static final long ENOUGH_NANOS = 1_000_000_000;

    private static final long WARM_LOG_BYTES = 1 << 20;

    /** Names that no coordinator gives. */
    private static final long PIPELINE = 0;

    private static final long SESSION = 1;

    private final QuicEndpoint endpoint;
    private final StageHost host;
    private final ComputeThread compute;
    private final Set<Stage> warmed = Collections.newSetFromMap(new WeakHashMap<>());

    StandBy(QuicEndpoint endpoint, StageHost host, ComputeThread compute) {
        this.endpoint = endpoint;
        this.host = host;
        this.compute = compute;
    }

    /** Completes when all is done that could be; a neighbour that can't be reached now is no failure. */
    Future<Result.StandsBy> ready(Command.StandBy wish) {
        Stage stage = host.find(wish.infoHash(), wish.layers());
        if (stage == null) {
            return Future.failedFuture(CommandException.notLoaded());
        }
        var doing = new ArrayList<Future<?>>();
        for (Contact neighbour : wish.neighbours()) {
            if (!neighbour.id().equals(endpoint.nodeId())) {
                doing.add(endpoint.connect(neighbour)
                        .onFailure(failure -> LOG.debug("stands by without a neighbour: {}", failure.getMessage())));
            }
        }
        doing.add(warm(stage, wish).onFailure(failure -> LOG.warn("layers {}: {}", wish.layers(), failure.toString())));
        return Future.join(doing).transform(_ -> Future.succeededFuture(new Result.StandsBy(wish.shardId())));
    }

    /** Once for each stage: what is compiled stays so. */
    private Future<Void> warm(Stage stage, Command.StandBy wish) {
        if (!warmed.add(stage)) {
            return Future.succeededFuture();
        }
        var runs = new PipelineStage(
                stage,
                () -> {
                    throw new IllegalStateException("choosing the likeliest token needs no vocabulary");
                },
                WARM_LOG_BYTES,
                new CopyShelf(0),
                _ -> {});
        return compute.run(() -> runs.join(Epoch.FIRST))
                .compose(_ -> step(runs, wish, 0, 0, 0))
                .transform(done -> compute.run(() -> {
                            runs.close();
                            return null;
                        })
                        .transform(_ -> done.succeeded()
                                ? Future.<Void>succeededFuture()
                                : Future.<Void>failedFuture(done.cause())));
    }

    /** One computation, then the next: a chunk as of a prompt, then single tokens as of an answer. */
    private Future<Void> step(PipelineStage runs, Command.StandBy wish, int number, int position, long spentNanos) {
        Stage stage = runs.stage();
        if (position + 1 >= Math.min(MAX_TOKENS, stage.contextLength())
                || spentNanos >= ENOUGH_NANOS
                || host.find(wish.infoHash(), wish.layers()) != stage) {
            return Future.succeededFuture();
        }
        int count = position == 0 ? Math.min(CHUNK, stage.contextLength()) : 1;
        return compute.run(() -> {
                    long begun = System.nanoTime();
                    run(runs, wish, number, position, count);
                    return System.nanoTime() - begun;
                })
                .compose(nanos -> step(runs, wish, number + 1, position + count, spentNanos + nanos));
    }

    /** As of a pipeline, on the whole way from one frame to the next. */
    private void run(PipelineStage runs, Command.StandBy wish, int number, int position, int count) {
        Stage stage = runs.stage();
        var task = new Command.ExecuteTask(
                PIPELINE,
                Epoch.FIRST,
                0,
                wish.shardId(),
                wish.layers(),
                wish.infoHash(),
                null,
                endpoint.contact(),
                ActivationType.F16,
                stage.contextLength(),
                false,
                new Command.Term(wish.infoHash(), 1));
        if (position == 0 && stage.isLast()) {
            runs.open(
                    new Frame.OpenSequence(PIPELINE, Epoch.FIRST, 0, SESSION, 1, SamplingState.START, Sampling.GREEDY));
        }
        var head =
                new BatchHead(PIPELINE, Epoch.FIRST, number, 0, 1, List.of(new Slice(SESSION, position, count, true)));
        int hidden = stage.config().hidden();
        Frame made = stage.isFirst()
                ? runs.run(task, new Frame.TokenBatch(head, Collections.nCopies(count, 0)))
                : runs.run(
                        task,
                        new Frame.Activation(
                                head,
                                ActivationType.F16,
                                hidden,
                                List.of(),
                                ByteBuffer.allocateDirect(ActivationType.F16.sizeBytes(count * hidden))));
        if (made instanceof Frame.Activation activation) {
            runs.rows().giveBack(activation.values());
        }
    }
}
