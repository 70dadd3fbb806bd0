package shoal.verticles.bus;

import io.vertx.core.buffer.Buffer;
import io.vertx.core.eventbus.MessageCodec;

/** Passes immutable objects within the process as they are, and refuses to let them leave it. */
final class LocalCodec implements MessageCodec<Object, Object> {
    static final String NAME = "shoal-local";

    @Override
    public void encodeToWire(Buffer buffer, Object message) {
        throw new IllegalStateException(
                message.getClass() + " was sent to another process; it may only be passed locally");
    }

    @Override
    public Object decodeFromWire(int position, Buffer buffer) {
        throw new IllegalStateException("a local message came from another process");
    }

    @Override
    public Object transform(Object message) {
        return message;
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public byte systemCodecID() {
        return -1;
    }
}
