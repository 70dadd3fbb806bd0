package shoal.bridge.kernel.device;

import java.util.Arrays;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.KeyValuePages;
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
        synchronized (pool.device()) {
            keepPages(pagesFor(newLength));
        }
        length = newLength;
    }

    @Override
    public CacheShape shape() {
        return pool.shape();
    }

    @Override
    public void copyTo(KeyValuePages to) {
        synchronized (pool.device()) {
            requireOpen();
            to.requireHeldBy(shape(), length);
            pool.copy(tableOf(to), to, false);
        }
        to.clearBehind();
    }

    @Override
    public void copyFrom(KeyValuePages from) {
        synchronized (pool.device()) {
            requireOpen();
            from.requireRoomIn(shape(), length, capacity);
            write(from.first(), from.first() + from.positions());
            pool.copy(tableOf(from), from, true);
        }
    }

    private int[] tableOf(KeyValuePages others) {
        int first = others.first() / PagePool.PAGE_POSITIONS;
        return Arrays.copyOfRange(table, first, first + others.pages());
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("the sequence is closed");
        }
    }

    private void keepPages(int count) {
        while (pages > count) {
            pool.giveBack(table[--pages]);
        }
    }

    @Override
    public long sizeBytes() {
        return pages * pool.shape().pageBytes();
    }

    boolean isClosed() {
        return closed;
    }

    static int pagesFor(int positions) {
        return Math.ceilDiv(positions, PagePool.PAGE_POSITIONS);
    }

    @Override
    public DeviceSequence fork(int positions) {
        synchronized (pool.device()) {
            Bounds.requireRange("positions to share", positions, 0, length);
            var fork = new DeviceSequence(pool, capacity);
            fork.table = new int[pagesFor(positions)];
            int whole = positions / PagePool.PAGE_POSITIONS;
            while (fork.pages < whole) {
                fork.table[fork.pages] = pool.share(table[fork.pages]);
                fork.pages++;
            }
            if (fork.pages < fork.table.length) {
                fork.table[fork.pages++] = pool.copyOf(table[whole]);
            }
            fork.length = positions;
            return fork;
        }
    }

    /** Pages that {@link #write} will take. */
    int pagesMissing(int first, int end) {
        int missing = Math.max(0, pagesFor(end) - pages);
        for (int i = first / PagePool.PAGE_POSITIONS; i < Math.min(pagesFor(end), pages); i++) {
            if (pool.isShared(table[i])) {
                missing++;
            }
        }
        return missing;
    }

    /** Is about to write positions first..end-1, and holds 0..end-1 from now on. */
    void write(int first, int end) {
        int needed = pagesFor(end);
        for (int i = first / PagePool.PAGE_POSITIONS; i < Math.min(needed, pages); i++) {
            int shared = table[i];
            if (pool.isShared(shared)) {
                table[i] = pool.copyOf(shared);
                pool.giveBack(shared);
            }
        }
        if (needed > table.length) {
            table = Arrays.copyOf(table, Math.max(needed, 2 * table.length));
        }
        keepPages(needed);
        while (pages < needed) {
            table[pages++] = pool.take();
        }
        length = end;
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
            keepPages(0);
            length = 0;
        }
    }
}
