package shoal.codec.pipeline;

import java.util.List;

/**
 * The pages of keys and values that sequences hold in each stage, as the coordinator counts them: the stages hold the same, and the one
 * with the least room sets the bound. A page that several sequences share counts once.
 */
final class PagePool {
    static final int PAGE_POSITIONS = 16;

    private int capacity;
    private int used;

    /** One page, and how many sequences hold it. */
    static final class Page {
        private int holders = 1;
    }

    static int pagesOf(int positions) {
        return Math.ceilDiv(positions, PAGE_POSITIONS);
    }

    void setCapacity(int pages) {
        capacity = pages;
    }

    int capacity() {
        return capacity;
    }

    int used() {
        return used;
    }

    int free() {
        return capacity - used;
    }

    /** Takes pages until there is room for so many positions. @return false, and none taken, if there are too few */
    boolean grow(List<Page> pages, int positions) {
        int more = pagesOf(positions) - pages.size();
        if (more > free()) {
            return false;
        }
        for (int i = 0; i < more; i++) {
            pages.add(new Page());
            used++;
        }
        return true;
    }

    /** Holds the first pages of another sequence too. */
    void share(List<Page> from, int count, List<Page> to) {
        for (Page page : from.subList(0, count)) {
            page.holders++;
            to.add(page);
        }
    }

    /** Holds these no longer. */
    void release(List<Page> pages) {
        for (Page page : pages) {
            if (--page.holders == 0) {
                used--;
            }
        }
        pages.clear();
    }
}
