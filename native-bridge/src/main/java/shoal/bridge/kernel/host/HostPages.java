package shoal.bridge.kernel.host;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import shoal.bridge.kernel.CacheShape;

/**
 * The pages of all sequences of a stage, outside the heap. Sequences may share a page, which then nobody writes. Memory is taken and
 * given back in slabs of some pages; one empty slab is kept. Any thread.
 */
final class HostPages {
    private static final long SLAB_BYTES = 1 << 20;
    private static final int MAX_SLAB_PAGES = 64;

    private final long pageBytes;
    private final int slabPages;
    private final List<Slab> slabs = new ArrayList<>();
    private int used;
    private boolean closed;

    HostPages(CacheShape shape) {
        pageBytes = shape.pageBytes();
        slabPages = Math.clamp(SLAB_BYTES / Math.max(1, pageBytes), 1, MAX_SLAB_PAGES);
    }

    /** Keys and values of some positions, and how many sequences hold them. */
    static final class Page {
        private final Slab slab;
        private final MemorySegment memory;
        private int holders;

        Page(Slab slab, MemorySegment memory) {
            this.slab = slab;
            this.memory = memory;
        }

        MemorySegment memory() {
            return memory;
        }
    }

    private static final class Slab {
        private final Arena arena = Arena.ofShared();
        private final Deque<Page> free = new ArrayDeque<>();

        Slab(int pages, long pageBytes) {
            MemorySegment memory = arena.allocate(pages * pageBytes, 64);
            for (int i = 0; i < pages; i++) {
                free.addLast(new Page(this, memory.asSlice(i * pageBytes, pageBytes)));
            }
        }
    }

    /** A page that nobody else holds; what is in it is left over from others. */
    synchronized Page take() {
        Slab from = null;
        for (Slab slab : slabs) {
            if (!slab.free.isEmpty() && (from == null || slab.free.size() < from.free.size())) {
                from = slab;
            }
        }
        if (from == null) {
            from = new Slab(slabPages, pageBytes);
            slabs.add(from);
        }
        Page page = from.free.removeFirst();
        page.holders = 1;
        used++;
        return page;
    }

    synchronized Page share(Page page) {
        page.holders++;
        return page;
    }

    synchronized boolean isShared(Page page) {
        return page.holders > 1;
    }

    synchronized void giveBack(Page page) {
        if (--page.holders > 0) {
            return;
        }
        used--;
        Slab slab = page.slab;
        slab.free.addFirst(page);
        if (isEmpty(slab) && (closed || slabs.stream().anyMatch(other -> other != slab && isEmpty(other)))) {
            slabs.remove(slab);
            slab.arena.close();
        }
    }

    private boolean isEmpty(Slab slab) {
        return slab.free.size() == slabPages;
    }

    /** Keeps nothing from now on. Sequences that are still open have their pages until they close. */
    synchronized void close() {
        closed = true;
        slabs.removeIf(slab -> {
            if (isEmpty(slab)) {
                slab.arena.close();
                return true;
            }
            return false;
        });
    }

    /** Pages that sequences hold; one that several hold counts once. */
    synchronized int used() {
        return used;
    }
}
