package shoal.codec.pipeline;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Which sequences have pages in the stages: those that run, and those that are over and are kept for others that begin like them. Lets
 * waiting ones in as pages become free; where pages run out, first what is kept goes, then who came last is put back.
 */
final class Residents {
    /** A sequence is let in only if it can grow by so many positions. */
    private static final int GROWTH = 64;

    private final int maxActive;
    private final int maxKept;
    final FairQueue queue = new FairQueue();
    final PagePool pool = new PagePool();
    private final PrefixIndex index = new PrefixIndex();

    /** In the order in which they were let in. */
    private final List<Sequence> active = new ArrayList<>();

    /** Over, but what is under way is not back yet, or somebody is about to begin as a copy. */
    private final LinkedHashSet<Sequence> ending = new LinkedHashSet<>();

    private final LinkedHashSet<Sequence> kept = new LinkedHashSet<>();
    private final List<Long> released = new ArrayList<>();
    private long reused;

    Residents(int maxActive, int maxKept) {
        this.maxActive = maxActive;
        this.maxKept = maxKept;
    }

    /** Those that run, who was let in first first; not to be changed. */
    List<Sequence> active() {
        return active;
    }

    int kept() {
        return kept.size();
    }

    /** Positions that needed no computing, since another sequence had them. */
    long reusedPositions() {
        return reused;
    }

    /** Lets in who fits. */
    void admit() {
        while (active.size() < maxActive) {
            Sequence next = queue.peek();
            if (next == null) {
                return;
            }
            PrefixIndex.Match match = index.find(next);
            Sequence parent = match == null ? null : match.parent();
            int shared = match == null ? 0 : match.positions() / PagePool.PAGE_POSITIONS;
            int growth = Math.min(GROWTH, next.request.maxTokens() - next.generated());
            int needed = PagePool.pagesOf(next.size() + growth) - shared;
            if (isOvercommitted() || !makeRoom(needed, parent)) {
                if (!active.isEmpty() || !ending.isEmpty() || parent == null) {
                    return;
                }
                parent = null; // nobody else runs: what is shared must go too
                if (!makeRoom(PagePool.pagesOf(next.size()), null)) {
                    return;
                }
            }
            queue.begin(next);
            if (parent != null && match != null) {
                begin(next, parent, match.positions());
            }
            pool.grow(next.pages, next.size());
            next.active = true;
            active.add(next);
        }
    }

    private void begin(Sequence child, Sequence parent, int positions) {
        pool.share(parent.pages, positions / PagePool.PAGE_POSITIONS, child.pages);
        child.parent = parent;
        parent.children++;
        child.computed = positions;
        child.dispatched = positions;
        reused += positions;
        if (kept.remove(parent)) {
            kept.add(parent); // used last
        }
    }

    private boolean isOvercommitted() {
        for (Sequence sequence : active) {
            if (sequence.putBack) {
                return true;
            }
        }
        return false;
    }

    /** Lets kept sequences go until so many pages are free. */
    private boolean makeRoom(int pages, @Nullable Sequence spared) {
        for (Iterator<Sequence> oldest = kept.iterator(); pool.free() < pages && oldest.hasNext(); ) {
            Sequence sequence = oldest.next();
            if (sequence != spared && sequence.children == 0) {
                oldest.remove();
                release(sequence);
            }
        }
        return pool.free() >= pages;
    }

    /**
     * Room for one more token.
     *
     * @return false if it must wait until others gave way, or was itself put back
     */
    boolean grow(Sequence sequence) {
        int more = PagePool.pagesOf(sequence.size()) - sequence.pages.size();
        if (more <= 0) {
            return true;
        }
        if (makeRoom(more, null) && pool.grow(sequence.pages, sequence.size())) {
            return true;
        }
        if (!isOvercommitted()) {
            putBackYoungest();
        }
        return !sequence.putBack && sequence.active && pool.grow(sequence.pages, sequence.size());
    }

    /** After the stages have fewer pages than before. */
    void shrink() {
        for (int i = active.size(); i > 1 && !makeRoom(0, null); i--) {
            putBackYoungest();
        }
    }

    private void putBackYoungest() {
        for (int i = active.size() - 1; i >= 0; i--) {
            Sequence youngest = active.get(i);
            if (youngest.children == 0 && !youngest.over) {
                youngest.putBack = true;
                settle(youngest);
                return;
            }
        }
    }

    /** Does what had to wait for micro-batches under way. */
    void settle(Sequence sequence) {
        if (sequence.inFlight > 0 || sequence.children > 0) {
            return;
        }
        if (sequence.over) {
            if (ending.remove(sequence)) {
                keepOrRelease(sequence);
            }
        } else if (sequence.putBack) {
            active.remove(sequence);
            sequence.active = false;
            sequence.putBack = false;
            release(sequence);
            sequence.forget();
            queue.putBack(sequence);
        }
    }

    /** Nothing more is to be computed. */
    void end(Sequence sequence) {
        sequence.over = true;
        if (!sequence.active) {
            queue.remove(sequence);
            return;
        }
        sequence.active = false;
        sequence.putBack = false;
        active.remove(sequence);
        queue.ended(sequence);
        detach(sequence);
        ending.add(sequence);
        settle(sequence);
    }

    private void keepOrRelease(Sequence sequence) {
        int blocks = sequence.indexed.size();
        if (!sequence.whole || blocks == 0 || maxKept == 0) {
            release(sequence);
            return;
        }
        kept.add(sequence);
        if (kept.size() > maxKept) {
            for (Sequence oldest : kept) {
                if (oldest.children == 0) {
                    kept.remove(oldest);
                    release(oldest);
                    return;
                }
            }
        }
    }

    private void release(Sequence sequence) {
        detach(sequence);
        index.forget(sequence);
        pool.release(sequence.pages);
        released.add(sequence.id());
    }

    /** It has begun as a copy, or never will. */
    void detach(Sequence child) {
        Sequence parent = child.parent;
        if (parent != null) {
            child.parent = null;
            parent.children--;
            settle(parent);
        }
    }

    /** More of it is computed. */
    void computed(Sequence sequence) {
        if (!sequence.over || sequence.whole) {
            index.note(sequence);
        }
    }

    /** Its positions are computed anew, in pages of its own. */
    void recompute(Sequence sequence) {
        if (!sequence.active) {
            return; // put back meanwhile
        }
        detach(sequence);
        index.forget(sequence);
        pool.release(sequence.pages);
        sequence.forget();
        if (!pool.grow(sequence.pages, sequence.size())) {
            sequence.putBack = true;
            settle(sequence);
        }
    }

    /** The stages are not there now: nothing is under way any more, and nothing is kept. */
    void interrupt() {
        for (Sequence sequence : List.copyOf(active)) {
            sequence.inFlight = 0;
            if (sequence.parent != null) {
                recompute(sequence);
            }
            sequence.dispatched = sequence.computed;
            sequence.told = false;
        }
        for (Sequence sequence : List.copyOf(ending)) {
            sequence.inFlight = 0;
            sequence.whole = false;
            settle(sequence);
        }
        for (Sequence sequence : List.copyOf(active)) {
            settle(sequence);
        }
        for (Sequence sequence : List.copyOf(kept)) {
            kept.remove(sequence);
            release(sequence);
        }
    }

    /** Sequences that the stages may forget; each is told once. */
    List<Long> takeReleased() {
        if (released.isEmpty()) {
            return List.of();
        }
        List<Long> taken = List.copyOf(released);
        released.clear();
        return taken;
    }
}
