package shoal.verticles.quic;

import io.vertx.core.Context;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.internal.VertxInternal;
import io.vertx.core.net.QuicConnection;
import io.vertx.core.net.QuicStream;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.FrameEncoder;
import shoal.codec.wire.Role;
import shoal.codec.wire.StreamKind;

/** A connection whose hello is done: the peer's id is proven by its certificate, the rest is its own word. */
public final class PeerConnection {
    private final QuicEndpoint endpoint;
    private final QuicConnection connection;
    private final NodeId id;
    private final Role role;
    private final String cluster;
    private final String software;
    private final Endpoint remote;
    private final List<Endpoint> endpoints;
    private final boolean outgoing;
    private volatile boolean open = true;
    private volatile Frame.@Nullable Welcome welcome;
    private final AtomicInteger openStreams = new AtomicInteger();
    private volatile long usedNanos = System.nanoTime();
    private @Nullable QuicStream control;

    PeerConnection(
            QuicEndpoint endpoint,
            QuicConnection connection,
            NodeId id,
            Role role,
            String cluster,
            String software,
            Endpoint remote,
            List<Endpoint> endpoints,
            boolean outgoing) {
        this.endpoint = endpoint;
        this.connection = connection;
        this.id = id;
        this.role = role;
        this.cluster = cluster;
        this.software = software;
        this.remote = remote;
        this.endpoints = endpoints;
        this.outgoing = outgoing;
    }

    public NodeId id() {
        return id;
    }

    public Role role() {
        return role;
    }

    public String cluster() {
        return cluster;
    }

    /**
     * Whether it may act as a coordinator of the cluster.
     *
     * @param hasSecret whether who connects must have proven the cluster's secret; without one, only this machine is trusted
     */
    public boolean isCoordinatorOf(String cluster, boolean hasSecret) {
        String host = remote().host();
        return (hasSecret || host.startsWith("127.") || host.equals("::1"))
                && role == Role.COORDINATOR
                && this.cluster.equals(cluster);
    }

    public String software() {
        return software;
    }

    /** The address that packets come from. */
    public Endpoint remote() {
        return remote;
    }

    /** Whether it takes connections, and so can be told to others. */
    public boolean isReachable() {
        return !endpoints.isEmpty();
    }

    /** Where others reach it. @throws IllegalStateException if it isn't {@link #isReachable} */
    public Contact contact() {
        if (endpoints.isEmpty()) {
            throw new IllegalStateException(this + " takes no connections");
        }
        return new Contact(id, endpoints);
    }

    void welcome(Frame.Welcome said) {
        welcome = said;
    }

    /** What the peer said in answer to our hello; null on a connection that the peer made. */
    public Frame.@Nullable Welcome welcome() {
        return welcome;
    }

    boolean isOutgoing() {
        return outgoing;
    }

    public boolean isOpen() {
        return open;
    }

    void markClosed() {
        open = false;
    }

    QuicConnection connection() {
        return connection;
    }

    /** The stream that the hello was said on. */
    void control(QuicStream stream) {
        control = stream;
    }

    void streamOpened() {
        openStreams.incrementAndGet();
    }

    void streamClosed() {
        openStreams.decrementAndGet();
        usedNanos = System.nanoTime();
    }

    /** Whether a stream is open, or was until lately. */
    boolean isUsed(long nowNanos, long withinNanos) {
        return openStreams.get() > 0 || nowNanos - usedNanos < withinNanos;
    }

    /** Says something, so that the peer must acknowledge it. On the endpoint's event loop. */
    void ping() {
        QuicStream stream = control;
        if (open && stream != null && !stream.writeQueueFull()) {
            stream.write(Buffer.buffer(FrameEncoder.toBytes(new Frame.Ping())));
        }
    }

    /** Opens a stream that the current context owns. Its kind goes out with the first frame at the latest. */
    public Future<FrameStream> open(StreamKind kind) {
        return endpoint.openStream(this, kind, endpoint.vertx().getOrCreateContext());
    }

    /**
     * One question on a stream of its own, and its one answer. Fails with {@link PeerRefusedException} if the peer refuses,
     * vanishes, or does not answer in time.
     */
    public Future<Frame> ask(StreamKind kind, Frame question, Duration timeout) {
        Vertx vertx = endpoint.vertx();
        var answer = ((VertxInternal) vertx).<Frame>promise();
        Context context = vertx.getOrCreateContext();
        endpoint.openStream(this, kind, context).onFailure(answer::tryFail).onSuccess(stream -> {
            long timer = vertx.setTimer(timeout.toMillis(), _ -> {
                if (answer.tryFail(new PeerRefusedException(
                        ErrorCode.LOST, this + " did not answer within " + timeout.toMillis() + " ms."))) {
                    stream.reset();
                }
            });
            stream.onFrame(frame -> {
                vertx.cancelTimer(timer);
                if (frame instanceof Frame.Refused(ErrorCode code, String message)) {
                    answer.tryFail(new PeerRefusedException(code, this + ": " + message));
                } else {
                    answer.tryComplete(frame);
                }
            });
            stream.onClose(() -> {
                vertx.cancelTimer(timer);
                answer.tryFail(
                        new PeerRefusedException(ErrorCode.LOST, this + " closed the stream without an answer."));
            });
            stream.send(question).onSuccess(_ -> stream.end()).onFailure(answer::tryFail);
        });
        return answer.future();
    }

    /** Closes the connection and all its streams. */
    public Future<Void> close() {
        return endpoint.close(this);
    }

    @Override
    public String toString() {
        return role.text() + " " + id.toShortHex() + " at " + remote;
    }
}
