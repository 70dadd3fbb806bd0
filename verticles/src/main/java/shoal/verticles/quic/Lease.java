package shoal.verticles.quic;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.nio.ByteBuffer;

/**
 * Memory outside the heap, lent from a pool and counted: it goes back when everybody who retained it has released it. For any
 * thread. What reads it must have ended before.
 */
public final class Lease {
    private final ByteBuf buffer;

    private Lease(ByteBuf buffer) {
        this.buffer = buffer;
    }

    /** Lends size bytes, retained once. What they hold is chance. */
    public static Lease of(int size) {
        return new Lease(PooledByteBufAllocator.DEFAULT.directBuffer(size, size));
    }

    /** A view of all its bytes. */
    public ByteBuffer bytes() {
        return buffer.nioBuffer(0, buffer.capacity());
    }

    public Lease retain() {
        buffer.retain();
        return this;
    }

    public void release() {
        buffer.release();
    }
}
