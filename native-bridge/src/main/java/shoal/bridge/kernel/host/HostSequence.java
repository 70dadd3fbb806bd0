package shoal.bridge.kernel.host;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.SequenceMemory;
import shoal.codec.base.Bounds;

/**
 * Keys and values in F32, in pages of {@link #PAGE_POSITIONS} positions outside the heap. A page holds, per layer, first the keys
 * and then the values: (KV head, position in page, head size). Owns its arena.
 */
public final class HostSequence implements SequenceMemory {
    public static final int PAGE_POSITIONS = 16;

    private final CacheShape shape;
    private final int capacity;
    private final Arena arena = Arena.ofShared();
    private final List<MemorySegment> pages = new ArrayList<>();
    private int length;

    public HostSequence(CacheShape shape, int capacity) {
        Bounds.requireRange("sequence capacity", capacity, 1, Integer.MAX_VALUE - PAGE_POSITIONS);
        this.shape = shape;
        this.capacity = capacity;
    }

    public CacheShape shape() {
        return shape;
    }

    /** Bytes that one page of that shape takes. */
    public static long pageBytes(CacheShape shape) {
        return (long) Float.BYTES * 2 * PAGE_POSITIONS * shape.layers() * shape.valuesPerLayer();
    }

    @Override
    public int length() {
        return length;
    }

    @Override
    public int capacity() {
        return capacity;
    }

    @Override
    public void truncate(int newLength) {
        Bounds.requireRange("positions to keep", newLength, 0, length);
        length = newLength;
    }

    @Override
    public long sizeBytes() {
        return pages.size() * pageBytes(shape);
    }

    /** Holds positions 0..newLength-1 from now on; new ones are to be written before they are read. */
    void setLength(int newLength) {
        long pageBytes = pageBytes(shape);
        while ((long) pages.size() * PAGE_POSITIONS < newLength && pageBytes > 0) {
            pages.add(arena.allocate(pageBytes, 64));
        }
        length = newLength;
    }

    /** The page that holds a position. */
    public MemorySegment page(int position) {
        return pages.get(position / PAGE_POSITIONS);
    }

    /** Byte in its page at which a position's key of one head starts; headSize floats follow, then the next position's. */
    public long keyOffset(int layer, int kvHead, int position) {
        long row = ((long) layer * 2 * shape.kvHeads() + kvHead) * PAGE_POSITIONS + position % PAGE_POSITIONS;
        return row * shape.headSize() * Float.BYTES;
    }

    /** As {@link #keyOffset}, for the value. */
    public long valueOffset(int layer, int kvHead, int position) {
        return keyOffset(layer, kvHead, position) + (long) Float.BYTES * PAGE_POSITIONS * shape.valuesPerLayer();
    }

    void store(int layer, int position, float[] keys, float[] values, int offset) {
        MemorySegment page = page(position);
        int size = shape.headSize();
        for (int head = 0; head < shape.kvHeads(); head++) {
            int from = offset + head * size;
            MemorySegment.copy(keys, from, page, ValueLayout.JAVA_FLOAT, keyOffset(layer, head, position), size);
            MemorySegment.copy(values, from, page, ValueLayout.JAVA_FLOAT, valueOffset(layer, head, position), size);
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
