package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.eventbus.ReplyException;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Envelope;
import shoal.codec.command.EnvelopeCodec;
import shoal.codec.command.Result;
import shoal.verticles.bus.CommandBus;

/** Sends commands to nodes and reads their replies. One event loop. */
final class Commands {
    private final CommandBus bus;
    private final NodeId self;
    private final Map<NodeId, Set<Promise<?>>> pending = new HashMap<>();

    Commands(CommandBus bus, NodeId self) {
        this.bus = bus;
        this.self = self;
    }

    /** A node does not answer; it may be gone. */
    static final class SilentException extends CommandException {
        private static final long serialVersionUID = 1L;

        SilentException(String message) {
            super(message);
        }
    }

    /**
     * Completes with the result; fails with the node's own error, or with who did not answer: at once where the node is known to be
     * gone, else when the time is up.
     */
    <T extends Result> Future<T> ask(NodeId node, Command command, Class<T> result, Duration timeout) {
        var request = new Envelope.Request(UUID.randomUUID().toString(), self.toHex(), node.toHex(), command);
        Promise<T> answered = Promise.promise();
        pending.computeIfAbsent(node, _ -> new HashSet<>()).add(answered);
        bus.request(node, EnvelopeCodec.write(request), timeout)
                .map(text -> switch (EnvelopeCodec.readReply(text)) {
                    case Envelope.Success success -> result.cast(success.result());
                    case Envelope.Failure failure ->
                        throw new CommandException("node " + node.toShortHex() + ": " + failure.error());
                    case Envelope.Request other ->
                        throw new CommandException("node " + node.toShortHex() + " answered with a request");
                })
                .onSuccess(answered::tryComplete)
                .onFailure(failure -> answered.tryFail(
                        failure instanceof ReplyException
                                ? new SilentException("node " + node.toShortHex() + " does not answer " + command.name()
                                        + ": " + failure.getMessage())
                                : failure));
        return answered.future().onComplete(_ -> {
            Set<Promise<?>> waiting = pending.get(node);
            if (waiting != null && waiting.remove(answered) && waiting.isEmpty()) {
                pending.remove(node);
            }
        });
    }

    /** Who waits for an answer of a node that is gone waits no longer. */
    void lost(NodeId node) {
        Set<Promise<?>> waiting = pending.remove(node);
        if (waiting != null) {
            List.copyOf(waiting)
                    .forEach(asker -> asker.tryFail(new SilentException("node " + node.toShortHex() + " is gone")));
        }
    }
}
