package shoal.verticles.inferencestage;

import io.vertx.core.Future;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.Stage;
import shoal.codec.base.Contact;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Result;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Makes a spare ready to take over at once: runs throw-away tokens through its layers, so that their weights are in memory and the
 * code is compiled, and opens connections to those who would be next to it. Between two tokens, whatever else the node computes goes
 * first.
 */
final class StandBy {
    private static final Logger LOG = LoggerFactory.getLogger(StandBy.class);
    private static final int CHUNK = 16;
    private static final int MAX_TOKENS = 48;
    private static final long ENOUGH_NANOS = 1_000_000_000;

    private final QuicEndpoint endpoint;
    private final StageHost host;
    private final ComputeThread compute;

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

    private Future<Void> warm(Stage stage, Command.StandBy wish) {
        return compute.run(stage::openSequence)
                .compose(sequence -> step(stage, wish, sequence, 0, 0)
                        .transform(done -> compute.run(() -> {
                                    sequence.close();
                                    return null;
                                })
                                .transform(_ -> done.succeeded()
                                        ? Future.<Void>succeededFuture()
                                        : Future.<Void>failedFuture(done.cause()))));
    }

    /** One computation, then the next: a chunk as of a prompt, then single tokens as of an answer. */
    private Future<Void> step(
            Stage stage, Command.StandBy wish, SequenceMemory sequence, int position, long spentNanos) {
        if (position + 1 >= Math.min(MAX_TOKENS, stage.contextLength())
                || spentNanos >= ENOUGH_NANOS
                || host.find(wish.infoHash(), wish.layers()) != stage) {
            return Future.succeededFuture();
        }
        int count = position == 0 ? Math.min(CHUNK, stage.contextLength()) : 1;
        return compute.run(() -> {
                    long begun = System.nanoTime();
                    run(stage, sequence, position, count);
                    return System.nanoTime() - begun;
                })
                .compose(nanos -> step(stage, wish, sequence, position + count, spentNanos + nanos));
    }

    private static void run(Stage stage, SequenceMemory sequence, int position, int count) {
        Batch.Input input = stage.isFirst()
                ? new Batch.Input.Tokens(new int[count])
                : new Batch.Input.Activations(MemorySegment.ofArray(
                        new byte[Float.BYTES * count * stage.config().hidden()]));
        var batch = new Batch(List.of(new Batch.Slice(sequence, position, count, Batch.Wanted.LAST)), input);
        stage.run(batch, MemorySegment.ofArray(new byte[Math.toIntExact(stage.outputBytes(batch))]));
    }
}
