package shoal.verticles.inferencestage;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import shoal.codec.wire.ActivationType;

/**
 * Activations as they travel, and as kernels take them: F32 rows. Memory is used again and again: what comes in and what a stage gives
 * are valid until the next micro-batch; what goes out is given back once it was sent.
 */
final class WireRows {
    private static final int MAX_FREE = 16;
    private static final int BLOCK = ActivationType.BLOCK;
    private static final int BLOCK_BYTES = 2 + BLOCK;
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final ArrayDeque<ByteBuffer> free = new ArrayDeque<>();
    private MemorySegment in = MemorySegment.NULL;
    private MemorySegment out = MemorySegment.NULL;

    /** F32 rows to compute on. On the computing thread. */
    MemorySegment decode(ActivationType type, ByteBuffer values, int count) {
        MemorySegment from = MemorySegment.ofBuffer(values);
        if (type == ActivationType.F32) {
            return from;
        }
        in = atLeast(in, (long) Float.BYTES * count);
        MemorySegment to = in.asSlice(0, (long) Float.BYTES * count);
        if (type == ActivationType.F16) {
            for (int i = 0; i < count; i++) {
                to.setAtIndex(FLOAT, i, Float.float16ToFloat(from.getAtIndex(SHORT, i)));
            }
            return to;
        }
        for (int block = 0; block < count / BLOCK; block++) {
            long at = (long) block * BLOCK_BYTES;
            float scale = Float.float16ToFloat(from.get(SHORT, at));
            for (int i = 0; i < BLOCK; i++) {
                to.setAtIndex(FLOAT, (long) block * BLOCK + i, scale * from.get(ValueLayout.JAVA_BYTE, at + 2 + i));
            }
        }
        return to;
    }

    /** Where a stage writes its F32 output. On the computing thread. */
    MemorySegment output(long bytes) {
        out = atLeast(out, bytes);
        return out.asSlice(0, bytes);
    }

    /** F32 rows as they travel, in a buffer that is to be {@link #giveBack given back}. */
    ByteBuffer encode(ActivationType type, MemorySegment rows, int count) {
        ByteBuffer buffer = take(type.sizeBytes(count));
        MemorySegment to = MemorySegment.ofBuffer(buffer);
        switch (type) {
            case F32 -> to.copyFrom(rows.asSlice(0, to.byteSize()));
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    to.setAtIndex(SHORT, i, Float.floatToFloat16(rows.getAtIndex(FLOAT, i)));
                }
            }
            case Q8_0 -> {
                for (int block = 0; block < count / BLOCK; block++) {
                    quantise(rows, (long) block * BLOCK, to, (long) block * BLOCK_BYTES);
                }
            }
        }
        return buffer;
    }

    /** As GGML does it: the scale is the greatest value's 127th part, rounded to F16; levels are taken with the scale before rounding. */
    private static void quantise(MemorySegment rows, long from, MemorySegment to, long at) {
        float max = 0;
        for (int i = 0; i < BLOCK; i++) {
            max = Math.max(max, Math.abs(rows.getAtIndex(FLOAT, from + i)));
        }
        float scale = max / 127;
        float inverse = scale == 0 ? 0 : 1 / scale;
        to.set(SHORT, at, Float.floatToFloat16(scale));
        for (int i = 0; i < BLOCK; i++) {
            to.set(ValueLayout.JAVA_BYTE, at + 2 + i, (byte) Math.rint(rows.getAtIndex(FLOAT, from + i) * inverse));
        }
    }

    /** A buffer outside the heap with so many bytes. */
    synchronized ByteBuffer take(int bytes) {
        for (ByteBuffer known : free) {
            if (known.capacity() >= bytes) {
                free.remove(known);
                return known.clear().limit(bytes);
            }
        }
        free.pollFirst(); // too small for what is sent now
        int size = Integer.highestOneBit(Math.max(1, bytes - 1)) << 1;
        return ByteBuffer.allocateDirect(Math.max(bytes, size))
                .order(ByteOrder.LITTLE_ENDIAN)
                .limit(bytes);
    }

    synchronized void giveBack(ByteBuffer buffer) {
        if (free.size() < MAX_FREE) {
            free.addLast(buffer);
        }
    }

    private static MemorySegment atLeast(MemorySegment known, long bytes) {
        return known.byteSize() >= bytes
                ? known
                : Arena.ofAuto().allocate(Math.max(64, Long.highestOneBit(Math.max(1, bytes - 1)) << 1), 64);
    }
}
