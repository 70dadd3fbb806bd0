package shoal.bridge.hash;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;

/**
 * BLAKE3 of a stream of bytes, as they come: <a href="https://github.com/BLAKE3-team/BLAKE3-specs">paper</a>, sections 2 and 5.1.
 * Whole chunks are hashed side by side. Not for several threads; done once {@link #finish} was called.
 */
public final class Blake3 {
    public static final int SIZE_BYTES = 32;

    /** Hashed at once, a power of two: a subtree. */
    private static final int BATCH_CHUNKS = 64;

    private static final int BATCH_BYTES = BATCH_CHUNKS * ChunkHasher.CHUNK_BYTES;

    private final ChunkHasher hasher;
    private final Scratch scratch = Scratch.take();
    private final MemorySegment buffer = scratch.buffer;
    private final MemorySegment values = scratch.values;
    /** Chaining values of subtrees, the largest first: one for each bit of the number of chunks so far. */
    private final List<MemorySegment> subtrees = new ArrayList<>();

    private int buffered;
    private long chunks;
    private boolean finished;

    /** With the fastest provider that is here. */
    public Blake3() {
        this(BlockHashers.chunkHasher());
    }

    Blake3(ChunkHasher hasher) {
        this.hasher = hasher;
    }

    /** Memory outside the heap; used again, since the collector is in no hurry to give it back. */
    private record Scratch(MemorySegment buffer, MemorySegment values) {
        private static final ArrayBlockingQueue<Scratch> UNUSED = new ArrayBlockingQueue<>(16);

        static Scratch take() {
            Scratch unused = UNUSED.poll();
            if (unused != null) {
                return unused;
            }
            Arena arena = Arena.ofAuto();
            return new Scratch(
                    arena.allocate(BATCH_BYTES, 64), arena.allocate((long) BATCH_CHUNKS * ChunkHasher.VALUE_BYTES, 64));
        }

        void giveBack() {
            UNUSED.offer(this); // or the collector has it
        }
    }

    /** The hash of what remains in data. */
    public static byte[] hash(ByteBuffer data) {
        return new Blake3().update(data).finish();
    }

    /** Takes what remains in data. */
    public Blake3 update(ByteBuffer data) {
        if (finished) {
            throw new IllegalStateException("finished already");
        }
        MemorySegment input = MemorySegment.ofBuffer(data);
        long at = 0;
        long size = input.byteSize();
        while (at < size) {
            if (buffered == BATCH_BYTES) { // and more follows: it is not the end of the tree
                subtree(buffer);
                buffered = 0;
            }
            if (buffered == 0 && size - at > BATCH_BYTES && input.isNative()) {
                subtree(input.asSlice(at, BATCH_BYTES));
                at += BATCH_BYTES;
            } else {
                int taken = (int) Math.min(BATCH_BYTES - buffered, size - at);
                MemorySegment.copy(input, at, buffer, buffered, taken);
                buffered += taken;
                at += taken;
            }
        }
        data.position(data.limit());
        return this;
    }

    /** 32 bytes. */
    public byte[] finish() {
        var out = new byte[SIZE_BYTES];
        finish(out);
        return out;
    }

    /** Fills out, which may have any size (section 2.6). */
    public void finish(byte[] out) {
        if (finished) {
            throw new IllegalStateException("finished already");
        }
        finished = true;
        int whole = Math.max(0, (buffered - 1) / ChunkHasher.CHUNK_BYTES); // those that are not the last
        hasher.chunks(buffer, whole, chunks, values);
        for (int i = 0; i < whole; i++) {
            add(values.asSlice((long) ChunkHasher.VALUE_BYTES * i, ChunkHasher.VALUE_BYTES), 1);
        }
        long from = (long) ChunkHasher.CHUNK_BYTES * whole;
        Blake3Node node = Blake3Node.ofChunk(buffer.asSlice(from, buffered - from), chunks);
        for (MemorySegment left : subtrees.reversed()) {
            MemorySegment pair = pair(left);
            node.value(pair, ChunkHasher.VALUE_BYTES);
            node = Blake3Node.ofParent(pair, 0);
        }
        node.root(out);
        scratch.giveBack();
    }

    private void subtree(MemorySegment input) {
        hasher.chunks(input, BATCH_CHUNKS, chunks, values);
        for (int count = BATCH_CHUNKS / 2; count > 0; count /= 2) {
            hasher.parents(values, count, values);
        }
        add(values.asSlice(0, ChunkHasher.VALUE_BYTES), BATCH_CHUNKS);
    }

    /** Puts a subtree of size chunks behind the others, and joins those of the same size. */
    private void add(MemorySegment value, int size) {
        MemorySegment joined =
                MemorySegment.ofArray(new byte[ChunkHasher.VALUE_BYTES]).copyFrom(value);
        for (long bit = size; (chunks & bit) != 0; bit <<= 1) {
            MemorySegment pair = pair(subtrees.removeLast());
            MemorySegment.copy(joined, 0, pair, ChunkHasher.VALUE_BYTES, ChunkHasher.VALUE_BYTES);
            Blake3Node.ofParent(pair, 0).value(joined, 0);
        }
        subtrees.add(joined);
        chunks += size;
    }

    private static MemorySegment pair(MemorySegment left) {
        MemorySegment pair = MemorySegment.ofArray(new byte[2 * ChunkHasher.VALUE_BYTES]);
        MemorySegment.copy(left, 0, pair, 0, ChunkHasher.VALUE_BYTES);
        return pair;
    }
}
