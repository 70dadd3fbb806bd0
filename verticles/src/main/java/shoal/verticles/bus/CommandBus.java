package shoal.verticles.bus;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.eventbus.DeliveryOptions;
import io.vertx.core.eventbus.MessageConsumer;
import io.vertx.core.eventbus.ReplyException;
import io.vertx.core.eventbus.ReplyFailure;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.function.Consumer;
import java.util.function.Function;
import shoal.codec.base.NodeId;

/** The event bus as Shoal uses it: bounded JSON text between machines, records within one. */
public final class CommandBus {
    /** What leaves the process by bus is small; prompts and token lists go by QUIC. */
    public static final int MAX_ENVELOPE_BYTES = 64 * 1024;

    private static final int FAILED = 1;

    private final Vertx vertx;

    public CommandBus(Vertx vertx) {
        this.vertx = vertx;
    }

    /** Once for each Vertx, before the first message. */
    public static CommandBus install(Vertx vertx) {
        vertx.eventBus().registerCodec(new LocalCodec());
        return new CommandBus(vertx);
    }

    // ------------------------------------------------------------------------------------- between machines

    /** Sends an envelope to a node; completes with the envelope that it answers. Fails if nobody answers in time. */
    public Future<String> request(NodeId to, String envelope, Duration timeout) {
        requireSmall(envelope);
        return vertx.eventBus()
                .<String>request(Addresses.node(to), envelope, new DeliveryOptions().setSendTimeout(timeout.toMillis()))
                .map(message -> {
                    requireSmall(message.body());
                    return message.body();
                });
    }

    /** Answers the envelopes that are meant for a node. */
    public Future<Void> answer(NodeId self, Function<String, Future<String>> handler) {
        return vertx.eventBus()
                .<String>consumer(
                        Addresses.node(self),
                        message -> handler.apply(message.body())
                                .onSuccess(reply -> {
                                    requireSmall(reply);
                                    message.reply(reply);
                                })
                                .onFailure(failure -> message.fail(FAILED, String.valueOf(failure.getMessage()))))
                .completion();
    }

    /** Sends an envelope to every process of the cluster, this one included. */
    public void broadcast(String envelope) {
        requireSmall(envelope);
        vertx.eventBus().publish(Addresses.BROADCAST, envelope);
    }

    /** Hears what is broadcast. */
    public Future<Void> onBroadcast(Consumer<String> handler) {
        return vertx.eventBus()
                .<String>consumer(Addresses.BROADCAST, message -> handler.accept(message.body()))
                .completion();
    }

    private static void requireSmall(String envelope) {
        int size = envelope.getBytes(StandardCharsets.UTF_8).length;
        if (size > MAX_ENVELOPE_BYTES) {
            throw new IllegalArgumentException(
                    "an envelope has " + size + " bytes, allowed 0.." + MAX_ENVELOPE_BYTES + "; send bulk by QUIC");
        }
    }

    // --------------------------------------------------------------------------------------- within the process

    /** Asks whoever answers at a local address; the answer takes as long as it takes. */
    public <T> Future<T> ask(String address, Object question, Class<T> answer) {
        var options = new DeliveryOptions()
                .setLocalOnly(true)
                .setCodecName(LocalCodec.NAME)
                .setSendTimeout(Duration.ofDays(7).toMillis());
        return vertx.eventBus()
                .request(address, question, options)
                .map(message -> answer.cast(message.body()))
                .recover(failure -> Future.failedFuture(
                        failure instanceof ReplyException reply && reply.failureType() == ReplyFailure.RECIPIENT_FAILURE
                                ? new LocalFailure(messageOf(reply))
                                : failure));
    }

    /** Answers at a local address. A failure's message becomes the asker's {@link LocalFailure}. */
    public <T> void answerLocally(String address, Class<T> question, Function<T, ? extends Future<?>> handler) {
        vertx.eventBus().localConsumer(address, message -> {
            Future<?> answer;
            try {
                answer = handler.apply(question.cast(message.body()));
            } catch (RuntimeException failure) {
                answer = Future.failedFuture(failure);
            }
            answer.onSuccess(value -> message.reply(value, new DeliveryOptions().setCodecName(LocalCodec.NAME)))
                    .onFailure(failure -> message.fail(FAILED, messageOf(failure)));
        });
    }

    /** Tells every listener at a local address. */
    public void tell(String address, Object news) {
        vertx.eventBus()
                .publish(address, news, new DeliveryOptions().setLocalOnly(true).setCodecName(LocalCodec.NAME));
    }

    /** Hears what is told at a local address, until unregistered. */
    public <T> MessageConsumer<?> listen(String address, Class<T> news, Consumer<T> handler) {
        return vertx.eventBus().localConsumer(address, message -> handler.accept(news.cast(message.body())));
    }

    private static String messageOf(Throwable failure) {
        String message = failure.getMessage();
        return message == null ? failure.getClass().getSimpleName() : message;
    }

    /** Another verticle of this process could not do what it was asked; the message is for the reader. */
    public static final class LocalFailure extends RuntimeException {
        private static final long serialVersionUID = 1L;

        public LocalFailure(String message) {
            super(message);
        }
    }
}
