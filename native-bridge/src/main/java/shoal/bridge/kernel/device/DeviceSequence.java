package shoal.bridge.kernel.device;

import java.util.Arrays;
import shoal.bridge.kernel.SequenceMemory;
import shoal.codec.base.Bounds;

/** The pages of one sequence in its stage's {@link PagePool}. */
final class DeviceSequence implements SequenceMemory {
    private final PagePool pool;
    private final int capacity;
    private int[] table = new int[0];
    private int pages;
    private int length;
    private boolean closed;

    DeviceSequence(PagePool pool, int capacity) {
        Bounds.requireRange("sequence capacity", capacity, 1, Integer.MAX_VALUE - PagePool.PAGE_POSITIONS);
        this.pool = pool;
        this.capacity = capacity;
    }

    PagePool pool() {
        return pool;
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
        return pages * PagePool.pageBytes(pool.shape());
    }

    boolean isClosed() {
        return closed;
    }

    static int pagesFor(int positions) {
        return Math.ceilDiv(positions, PagePool.PAGE_POSITIONS);
    }

    /** Pages that {@link #setLength} will take. */
    int pagesMissing(int newLength) {
        return Math.max(0, pagesFor(newLength) - pages);
    }

    /** Holds positions 0..newLength-1 from now on; new ones are to be written before they are read. */
    void setLength(int newLength) {
        int needed = pagesFor(newLength);
        if (needed > table.length) {
            table = Arrays.copyOf(table, Math.max(needed, 2 * table.length));
        }
        while (pages < needed) {
            table[pages++] = pool.take();
        }
        length = newLength;
    }

    int page(int index) {
        return table[index];
    }

    @Override
    public void close() {
        synchronized (pool.device()) {
            if (closed) {
                return;
            }
            closed = true;
            for (int i = 0; i < pages; i++) {
                pool.giveBack(table[i]);
            }
            pages = 0;
            length = 0;
        }
    }
}
