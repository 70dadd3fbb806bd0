package shoal.bridge.kernel.host;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.Exponential;
import shoal.bridge.kernel.KeyValuePages;
import shoal.bridge.kernel.SequenceMemory;
import shoal.codec.base.Bounds;

/**
 * Keys and values in pages of {@link #PAGE_POSITIONS} positions outside the heap, taken as positions come from the stage's
 * {@link HostPages}. A page that forks share is copied before it is written.
 *
 * <p>A page holds, layer after layer, its keys and then its values, head after head, little-endian. A head of size S is
 *
 * <ul>
 *   <li>F32, F16: keys (S, 16 positions), so that a vector of positions lies together; values (16 positions, S);
 *   <li>Q8_0: keys per 32 values (16 scales of F16, then 32 times 16 bytes of levels); values per position, per 32 values, an F16
 *       scale and 32 bytes of levels.
 * </ul>
 */
public final class HostSequence implements SequenceMemory {
    public static final int PAGE_POSITIONS = CacheShape.PAGE_POSITIONS;

    private static final int BLOCK = CacheType.BLOCK;
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort HALF = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** From one block of keys to the next, and of one position's values. */
    private static final int KEY_BLOCK_BYTES = PAGE_POSITIONS * (Short.BYTES + BLOCK);

    private static final int VALUE_BLOCK_BYTES = Short.BYTES + BLOCK;

    private final CacheShape shape;
    private final int capacity;
    private final HostPages pool;
    private final List<HostPages.Page> pages = new ArrayList<>();
    private int length;
    private boolean closed;

    HostSequence(CacheShape shape, int capacity, HostPages pool) {
        Bounds.requireRange("sequence capacity", capacity, 1, Integer.MAX_VALUE - PAGE_POSITIONS);
        this.shape = shape;
        this.capacity = capacity;
        this.pool = pool;
    }

    @Override
    public CacheShape shape() {
        return shape;
    }

    @Override
    public void copyTo(KeyValuePages to) {
        to.requireHeldBy(shape, length);
        copy(to, false);
        to.clearBehind();
    }

    @Override
    public void copyFrom(KeyValuePages from) {
        from.requireRoomIn(shape, length, capacity);
        write(from.first(), from.first() + from.positions());
        copy(from, true);
    }

    private void copy(KeyValuePages others, boolean inwards) {
        long bytes = shape.layerPageBytes();
        int first = others.first() / PAGE_POSITIONS;
        for (int layer = 0; layer < shape.layers(); layer++) {
            MemorySegment all = others.layer(layer);
            for (int page = 0; page < others.pages(); page++) {
                MemorySegment mine = pages.get(first + page).memory().asSlice(layer * bytes, bytes);
                MemorySegment other = all.asSlice(page * bytes, bytes);
                MemorySegment.copy(inwards ? other : mine, 0, inwards ? mine : other, 0, bytes);
            }
        }
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
        keepPages(Math.ceilDiv(newLength, PAGE_POSITIONS));
        length = newLength;
    }

    private void keepPages(int count) {
        while (pages.size() > count) {
            pool.giveBack(pages.removeLast());
        }
    }

    @Override
    public long sizeBytes() {
        return pages.size() * shape.pageBytes();
    }

    @Override
    public HostSequence fork(int positions) {
        Bounds.requireRange("positions to share", positions, 0, length);
        var fork = new HostSequence(shape, capacity, pool);
        if (shape.pageBytes() > 0) {
            int whole = positions / PAGE_POSITIONS;
            pages.subList(0, whole).forEach(page -> fork.pages.add(pool.share(page)));
            if (whole * PAGE_POSITIONS < positions) {
                fork.pages.add(copyOf(pages.get(whole)));
            }
        }
        fork.length = positions;
        return fork;
    }

    private HostPages.Page copyOf(HostPages.Page page) {
        HostPages.Page copy = pool.take();
        copy.memory().copyFrom(page.memory());
        return copy;
    }

    /** Is about to write positions first..end-1, and holds 0..end-1 from now on. */
    void write(int first, int end) {
        if (shape.pageBytes() > 0) {
            int needed = Math.ceilDiv(end, PAGE_POSITIONS);
            for (int i = first / PAGE_POSITIONS; i < Math.min(needed, pages.size()); i++) {
                HostPages.Page shared = pages.get(i);
                if (pool.isShared(shared)) {
                    pages.set(i, copyOf(shared));
                    pool.giveBack(shared);
                }
            }
            keepPages(needed);
            while (pages.size() < needed) {
                pages.add(pool.take());
            }
        }
        length = end;
    }

    /** The page that holds a position. */
    public MemorySegment page(int position) {
        return pages.get(position / PAGE_POSITIONS).memory();
    }

    /** Byte of a page at which the keys of one head start. */
    public long keysOffset(int layer, int kvHead) {
        return ((long) layer * 2 * shape.kvHeads() + kvHead)
                * PAGE_POSITIONS
                * shape.type().headBytes(shape.headSize());
    }

    /** As {@link #keysOffset}, for the values. */
    public long valuesOffset(int layer, int kvHead) {
        return keysOffset(layer, kvHead + shape.kvHeads());
    }

    /** One number of a position's key, as attention sees it. */
    public float key(int layer, int kvHead, int position, int column) {
        MemorySegment page = page(position);
        long keys = keysOffset(layer, kvHead);
        int slot = position % PAGE_POSITIONS;
        int at = column * PAGE_POSITIONS + slot;
        return switch (shape.type()) {
            case F32 -> page.get(FLOAT, keys + (long) Float.BYTES * at);
            case F16 -> Float.float16ToFloat(page.get(HALF, keys + (long) Short.BYTES * at));
            case Q8_0 -> {
                long block = keys + (long) column / BLOCK * KEY_BLOCK_BYTES;
                float scale = Float.float16ToFloat(page.get(HALF, block + (long) Short.BYTES * slot));
                yield scale * page.get(ValueLayout.JAVA_BYTE, keyLevel(block, column % BLOCK, slot));
            }
        };
    }

    /** One number of a position's value, as attention sees it. */
    public float value(int layer, int kvHead, int position, int column) {
        MemorySegment page = page(position);
        long start = valueStart(layer, kvHead, position);
        return switch (shape.type()) {
            case F32 -> page.get(FLOAT, start + (long) Float.BYTES * column);
            case F16 -> Float.float16ToFloat(page.get(HALF, start + (long) Short.BYTES * column));
            case Q8_0 -> {
                long block = start + (long) column / BLOCK * VALUE_BLOCK_BYTES;
                yield Float.float16ToFloat(page.get(HALF, block))
                        * page.get(ValueLayout.JAVA_BYTE, block + Short.BYTES + column % BLOCK);
            }
        };
    }

    private long valueStart(int layer, int kvHead, int position) {
        return valuesOffset(layer, kvHead)
                + position % PAGE_POSITIONS * shape.type().headBytes(shape.headSize());
    }

    private static long keyLevel(long block, int column, int slot) {
        return block + (long) Short.BYTES * PAGE_POSITIONS + (long) column * PAGE_POSITIONS + slot;
    }

    void store(int layer, int position, float[] keys, float[] values, int offset) {
        int size = shape.headSize();
        for (int head = 0; head < shape.kvHeads(); head++) {
            storeKey(page(position), keysOffset(layer, head), position % PAGE_POSITIONS, keys, offset + head * size);
            storeValue(page(position), valueStart(layer, head, position), values, offset + head * size);
        }
    }

    private void storeKey(MemorySegment page, long to, int slot, float[] keys, int from) {
        int size = shape.headSize();
        switch (shape.type()) {
            case F32 -> {
                for (int c = 0; c < size; c++) {
                    page.set(FLOAT, to + (long) Float.BYTES * (c * PAGE_POSITIONS + slot), keys[from + c]);
                }
            }
            case F16 -> {
                for (int c = 0; c < size; c++) {
                    short half = Float.floatToFloat16(keys[from + c]);
                    page.set(HALF, to + (long) Short.BYTES * (c * PAGE_POSITIONS + slot), half);
                }
            }
            case Q8_0 -> {
                for (int c = 0; c < size; c += BLOCK) {
                    long block = to + (long) c / BLOCK * KEY_BLOCK_BYTES;
                    float max = max(keys, from + c);
                    page.set(HALF, block + (long) Short.BYTES * slot, Float.floatToFloat16(max / 127f));
                    for (int i = 0; i < BLOCK; i++) {
                        byte level = level(keys[from + c + i], max);
                        page.set(ValueLayout.JAVA_BYTE, keyLevel(block, i, slot), level);
                    }
                }
            }
        }
    }

    private void storeValue(MemorySegment page, long to, float[] values, int from) {
        int size = shape.headSize();
        switch (shape.type()) {
            case F32 -> MemorySegment.copy(values, from, page, FLOAT, to, size);
            case F16 -> {
                for (int c = 0; c < size; c++) {
                    page.set(HALF, to + (long) Short.BYTES * c, Float.floatToFloat16(values[from + c]));
                }
            }
            case Q8_0 -> {
                for (int c = 0; c < size; c += BLOCK) {
                    long block = to + (long) c / BLOCK * VALUE_BLOCK_BYTES;
                    float max = max(values, from + c);
                    page.set(HALF, block, Float.floatToFloat16(max / 127f));
                    for (int i = 0; i < BLOCK; i++) {
                        byte level = level(values[from + c + i], max);
                        page.set(ValueLayout.JAVA_BYTE, block + Short.BYTES + i, level);
                    }
                }
            }
        }
    }

    private static float max(float[] values, int from) {
        float max = 0;
        for (int i = 0; i < BLOCK; i++) {
            max = Math.max(max, Math.abs(values[from + i]));
        }
        return max < HostBuffer.TINY ? 0 : max;
    }

    private static byte level(float value, float max) {
        return max == 0 ? 0 : (byte) ((value * (127f / max) + Exponential.ROUND) - Exponential.ROUND);
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            keepPages(0);
            length = 0;
        }
    }
}
