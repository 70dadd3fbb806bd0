package shoal.verticles.quic;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.vertx.core.Context;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.internal.ContextInternal;
import io.vertx.core.internal.buffer.BufferInternal;
import io.vertx.core.internal.quic.QuicStreamInternal;
import io.vertx.core.net.QuicStream;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.MalformedException;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.FrameDecoder;
import shoal.codec.wire.FrameEncoder;
import shoal.codec.wire.StreamKind;

/**
 * Frames both ways on one QUIC stream. Handlers run on the context that owns the stream: the one that opened it, or the one
 * that registered for its kind. Frames are held back until {@link #onFrame} is set.
 */
public final class FrameStream {
    private static final Logger LOG = LoggerFactory.getLogger(FrameStream.class);

    private final PeerConnection peer;
    private final StreamKind kind;
    private final QuicStream stream;
    private final ContextInternal owner;
    private final Context loop;
    private final FrameDecoder decoder;
    private volatile @Nullable Consumer<Frame> frames;
    private @Nullable Runnable end;
    private @Nullable Runnable close;
    private @Nullable Buffer begun;
    private volatile boolean closed;
    private volatile boolean lends;
    /** Of the frame that is being read; on the stream's event loop. */
    private @Nullable Lease filling;
    /** Of the frame that is being handled; on the owner's context. */
    private @Nullable Lease handled;

    /** Called on the stream's own event loop, with the stream paused. */
    FrameStream(PeerConnection peer, StreamKind kind, QuicStream stream, Context owner) {
        this.peer = peer;
        this.kind = kind;
        this.stream = stream;
        this.owner = (ContextInternal) owner;
        this.loop = Objects.requireNonNull(Vertx.currentContext(), "not on an event loop");
        this.decoder = new FrameDecoder(kind, this::memory);
        peer.streamOpened();
        ((QuicStreamInternal) stream).messageHandler(this::read);
        stream.endHandler(_ -> onOwner(() -> {
            if (end != null) {
                end.run();
            }
        }));
        stream.closeHandler(_ -> onOwner(this::wasClosed));
        stream.resetHandler(_ -> {
            stream.abort(0);
            onOwner(this::wasClosed);
        });
        stream.exceptionHandler(failure -> LOG.debug("stream {} of {}: {}", kind, peer, failure.toString()));
    }

    /** Bytes that came together with the stream's kind; they are the first to be decoded. */
    void begin(Buffer bytes) {
        begun = bytes.length() == 0 ? null : bytes.copy();
    }

    public PeerConnection peer() {
        return peer;
    }

    public StreamKind kind() {
        return kind;
    }

    /** Where handlers run. */
    public Context context() {
        return owner;
    }

    /** Takes each frame as it comes; a frame's buffers are the taker's, but for those that are {@link #lendBulk lent}. */
    public FrameStream onFrame(Consumer<Frame> handler) {
        frames = handler;
        onLoop(() -> {
            Buffer first = begun;
            if (first != null) {
                begun = null;
                read(first);
            }
            stream.resume();
        });
        return this;
    }

    /** From now on the bytes of pieces lie in memory that is lent: they are valid until the handler returns, unless retained. */
    public FrameStream lendBulk() {
        lends = true;
        return this;
    }

    /** What the bytes of the piece that is being handled lie in; null where they are the handler's. */
    public @Nullable Lease lease() {
        return handled;
    }

    /** The peer has sent its last frame. */
    public FrameStream onEnd(Runnable handler) {
        end = handler;
        return this;
    }

    /** The stream is gone, in whatever way; called once. */
    public FrameStream onClose(Runnable handler) {
        close = handler;
        if (closed) {
            onOwner(handler);
        }
        return this;
    }

    /** Queues a frame. The frame's bulk buffer must stay as it is until the future completes. */
    public Future<Void> send(Frame frame) {
        if (closed) {
            return Future.failedFuture(
                    new PeerRefusedException(ErrorCode.LOST, "The stream to " + peer + " is closed."));
        }
        List<ByteBuffer> parts = FrameEncoder.encode(frame);
        ByteBuf head =
                PooledByteBufAllocator.DEFAULT.directBuffer(parts.getFirst().remaining());
        head.writeBytes(parts.getFirst()); // beside bulk on the heap the transport would copy both
        return stream.write(BufferInternal.buffer(
                parts.size() == 1 ? head : Unpooled.wrappedBuffer(head, Unpooled.wrappedBuffer(parts.getLast()))));
    }

    /** Whether so much is queued that the sender should wait for {@link #onDrain}. */
    public boolean isFull() {
        return stream.writeQueueFull();
    }

    public FrameStream onDrain(Runnable handler) {
        stream.drainHandler(_ -> onOwner(handler));
        return this;
    }

    /** Bytes that may be queued before {@link #isFull}. */
    public FrameStream writeQueueSize(int bytes) {
        stream.setWriteQueueMaxSize(bytes);
        return this;
    }

    public void pause() {
        stream.pause();
    }

    public void resume() {
        stream.resume();
    }

    /** No further frame will be sent; the peer's may still come. */
    public Future<Void> end() {
        return stream.end();
    }

    /** Sends a last frame that says why, and ends. */
    public void refuse(ErrorCode code, String message) {
        String bounded = message.length() > 300 ? message.substring(0, 300) : message;
        send(new Frame.Refused(code, bounded)).onComplete(_ -> stream.end());
    }

    /** Gives up both directions at once. */
    public void reset() {
        stream.reset(0);
        stream.abort(0);
        onOwner(this::wasClosed);
    }

    private ByteBuffer memory(int size) {
        if (!lends) {
            return ByteBuffer.allocate(size);
        }
        Lease lease = Lease.of(size);
        filling = lease;
        return lease.bytes();
    }

    /** As they come from the transport; what came while the stream was paused was copied. */
    private void read(Object message) {
        if (message instanceof ByteBuf bytes) {
            try {
                decode(bytes);
            } finally {
                bytes.release();
            }
        } else if (message instanceof BufferInternal copied) {
            decode(copied.getByteBuf());
        }
    }

    /** On the stream's event loop, so that bytes are copied once: from the transport's buffers to the frame. */
    private void decode(ByteBuf bytes) {
        if (closed) {
            return;
        }
        try {
            decoder.feed(bytes.nioBuffer(), this::decoded);
        } catch (MalformedException malformed) {
            malformed(malformed);
        }
        if (closed) {
            letGo();
        }
    }

    private void decoded(Frame frame) {
        Lease lease = filling;
        filling = null;
        onOwner(() -> handle(frame, lease));
    }

    private void handle(Frame frame, @Nullable Lease lease) {
        Consumer<Frame> handler = frames;
        try {
            if (!closed && handler != null) {
                handled = lease;
                handler.accept(frame);
            }
        } catch (MalformedException malformed) {
            malformed(malformed);
        } finally {
            handled = null;
            if (lease != null) {
                lease.release();
            }
        }
    }

    private void malformed(MalformedException malformed) {
        LOG.warn("{} sent what is no frame on a stream of kind {}: {}", peer, kind, malformed.getMessage());
        refuse(ErrorCode.MALFORMED, malformed.getMessage() == null ? "" : malformed.getMessage());
        reset();
    }

    /** The frame that was being read will not come. On the stream's event loop. */
    private void letGo() {
        Lease lease = filling;
        filling = null;
        if (lease != null) {
            lease.release();
        }
    }

    private void wasClosed() {
        if (!closed) {
            closed = true;
            peer.streamClosed();
            if (lends) {
                onLoop(this::letGo);
            }
            if (close != null) {
                close.run();
            }
        }
    }

    private void onLoop(Runnable task) {
        if (Vertx.currentContext() == loop) {
            task.run();
        } else {
            loop.runOnContext(_ -> task.run());
        }
    }

    /** At once where the stream's event loop is the owner's too. */
    private void onOwner(Runnable task) {
        if (Vertx.currentContext() == owner) {
            task.run();
        } else if (owner.isEventLoopContext() && owner.nettyEventLoop().inEventLoop()) {
            owner.dispatch(task);
        } else {
            owner.runOnContext(_ -> task.run());
        }
    }
}
