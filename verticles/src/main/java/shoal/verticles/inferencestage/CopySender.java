package shoal.verticles.inferencestage;

import io.vertx.core.Vertx;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.command.Command;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Sends the keys and values of a stage to the node that stands by for it, so that little must be computed again when that takes over.
 * Nothing waits for it: one frame is under way at a time, for a quarter of the time at most, and what could not be sent in time is not
 * missed. One event loop.
 */
final class CopySender {
    private static final Logger LOG = LoggerFactory.getLogger(CopySender.class);

    /** After a frame the way is left to others for so many times the time that it took. */
    private static final int PAUSE_TO_FRAME = 3;

    private static final long LEAST_PAUSE_MILLIS = 1;
    private static final long RETRY_MILLIS = 5000;

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final ComputeThread compute;
    private final PipelineStage stage;
    private final String order;
    private @Nullable Contact target;
    private @Nullable FrameStream stream;
    private boolean busy;

    /** @param order in which the kernels here add numbers */
    CopySender(Vertx vertx, QuicEndpoint endpoint, ComputeThread compute, PipelineStage stage, String order) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.compute = compute;
        this.stage = stage;
        this.order = order;
    }

    /** This node stands by from now on; null for none. */
    void to(@Nullable Contact node, Command.ExecuteTask task) {
        if (Objects.equals(node, target)) {
            return;
        }
        end();
        target = node;
        open(task);
    }

    private void open(Command.ExecuteTask task) {
        Contact node = target;
        if (node == null || node.id().equals(endpoint.nodeId())) {
            return;
        }
        endpoint.connect(node)
                .compose(peer -> peer.open(StreamKind.STAGE))
                .onSuccess(opened -> {
                    if (target != node) {
                        opened.end();
                        return;
                    }
                    opened.onFrame(frame -> refused(opened, frame));
                    opened.onClose(() -> closed(opened, task));
                    compute.execute(stage::copyAnew);
                    stream = opened;
                    look(task);
                })
                .onFailure(failure -> {
                    LOG.debug("no copies to {}: {}", node, failure.getMessage());
                    retry(node, task);
                });
    }

    private void closed(FrameStream gone, Command.ExecuteTask task) {
        Contact node = target;
        if (stream == gone && node != null) {
            stream = null;
            retry(node, task);
        }
    }

    private void retry(Contact node, Command.ExecuteTask task) {
        vertx.setTimer(RETRY_MILLIS, _ -> {
            if (target == node && stream == null) {
                open(task);
            }
        });
    }

    private void refused(FrameStream from, Frame frame) {
        if (frame instanceof Frame.Refused refusal && stream == from) {
            LOG.info(
                    "{} takes no copies of layers {}: {}", target, stage.stage().range(), refusal.message());
            end();
        }
    }

    /** Sends what is new, if nothing is under way. */
    void look(Command.ExecuteTask task) {
        FrameStream open = stream;
        if (open == null || busy) {
            return;
        }
        busy = true;
        compute.run(() -> stage.nextCopy(task, order))
                .onFailure(failure -> {
                    busy = false;
                    LOG.warn("layers {} are not copied: {}", stage.stage().range(), failure.toString());
                    end();
                })
                .onSuccess(pages -> {
                    if (pages == null || stream != open) {
                        busy = false;
                        return;
                    }
                    long begun = System.nanoTime();
                    open.send(pages).onComplete(_ -> {
                        long millis = (System.nanoTime() - begun) / 1_000_000;
                        vertx.setTimer(Math.max(LEAST_PAUSE_MILLIS, PAUSE_TO_FRAME * millis), _ -> {
                            busy = false;
                            look(task);
                        });
                    });
                });
    }

    /** Nobody needs these sessions any more. */
    void release(long pipeline, int beforeMicroBatch, List<Long> sessions) {
        FrameStream open = stream;
        if (open != null && !sessions.isEmpty()) {
            open.send(new Frame.Release(pipeline, beforeMicroBatch, sessions));
        }
    }

    /** Nobody stands by any more. */
    void end() {
        target = null;
        FrameStream open = stream;
        stream = null;
        if (open != null) {
            open.end();
        }
    }
}
