package shoal.verticles.inferencestage;

import io.vertx.core.Future;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.command.Command;
import shoal.codec.wire.StreamKind;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;

/** Where a stage's frames go. @param next null for the last stage, and where this node runs the next one too */
record Ways(@Nullable FrameStream next, FrameStream coordinator) {
    /** The way to the coordinator is opened by every stage, so that each can say why it failed. */
    static Future<Ways> open(QuicEndpoint endpoint, Command.ExecuteTask task) {
        Contact next = task.next();
        Future<@Nullable FrameStream> toNext = next == null || next.id().equals(endpoint.nodeId())
                ? Future.succeededFuture(null)
                : endpoint.connect(next).compose(peer -> peer.open(StreamKind.STAGE));
        return toNext.compose(stream -> endpoint.connect(task.coordinator())
                .compose(peer -> peer.open(StreamKind.STAGE))
                .map(coordinator -> new Ways(stream, coordinator)));
    }

    void end() {
        if (next != null) {
            next.end();
        }
        coordinator.end();
    }
}
