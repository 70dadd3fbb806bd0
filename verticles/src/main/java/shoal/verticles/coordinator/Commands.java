package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.eventbus.ReplyException;
import java.time.Duration;
import java.util.UUID;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Envelope;
import shoal.codec.command.EnvelopeCodec;
import shoal.codec.command.Result;
import shoal.verticles.bus.CommandBus;

/** Sends commands to nodes and reads their replies. */
final class Commands {
    private final CommandBus bus;
    private final NodeId self;

    Commands(CommandBus bus, NodeId self) {
        this.bus = bus;
        this.self = self;
    }

    /** Completes with the result; fails with the node's own error, or with who did not answer. */
    <T extends Result> Future<T> ask(NodeId node, Command command, Class<T> result, Duration timeout) {
        var request = new Envelope.Request(UUID.randomUUID().toString(), self.toHex(), node.toHex(), command);
        return bus.request(node, EnvelopeCodec.write(request), timeout)
                .map(text -> switch (EnvelopeCodec.readReply(text)) {
                    case Envelope.Success success -> result.cast(success.result());
                    case Envelope.Failure failure ->
                        throw new CommandException("node " + node.toShortHex() + ": " + failure.error());
                    case Envelope.Request other ->
                        throw new CommandException("node " + node.toShortHex() + " answered with a request");
                })
                .recover(failure -> Future.failedFuture(
                        failure instanceof ReplyException
                                ? new CommandException("node " + node.toShortHex() + " does not answer "
                                        + command.name() + ": " + failure.getMessage())
                                : failure));
    }
}
