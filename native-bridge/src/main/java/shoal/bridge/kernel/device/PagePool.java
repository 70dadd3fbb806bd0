package shoal.bridge.kernel.device;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import shoal.bridge.kernel.CacheShape;
import shoal.codec.base.Bounds;

/**
 * Keys and values of all sequences of a stage: one buffer per layer, in pages of {@link #PAGE_POSITIONS} positions that sequences
 * take and give back. Grows by doubling and never shrinks; what is kept is copied on the device. Guarded by the device.
 */
final class PagePool implements DeviceResource {
    static final int PAGE_POSITIONS = CacheShape.PAGE_POSITIONS;

    private static final int FIRST_PAGES = 8;

    private final Device device;
    private final CacheShape shape;
    private final DeviceBuffer[] layers;
    private final Deque<Integer> free = new ArrayDeque<>();
    private int[] holders = new int[0];
    private int pages;
    private boolean closed;

    PagePool(Device device, CacheShape shape) {
        this.device = device;
        this.shape = shape;
        layers = new DeviceBuffer[shape.layers()];
    }

    private static long layerPageBytes(CacheShape shape) {
        return 2L * PAGE_POSITIONS * shape.kvHeads() * shape.type().headBytes(shape.headSize());
    }

    DeviceBuffer layer(int layer) {
        return layers[layer];
    }

    CacheShape shape() {
        return shape;
    }

    Device device() {
        return device;
    }

    /** Makes sure that so many pages can be taken. */
    void reserve(int count) {
        if (count <= free.size()) {
            return;
        }
        long needed = Math.max(Math.max(FIRST_PAGES, 2L * pages), (long) pages - free.size() + count);
        int grown = (int) Math.min(needed, largestCount());
        if (grown - pages + free.size() < count) {
            throw new IllegalArgumentException("keys and values of " + needed * PAGE_POSITIONS
                    + " positions do not fit " + device.info().id() + ", whose buffers have at most "
                    + device.info().largestBufferBytes() + " bytes; use a shorter context or fewer sequences");
        }
        for (int layer = 0; layer < layers.length; layer++) {
            DeviceBuffer before = layers[layer];
            DeviceBuffer after = device.allocate(grown * layerPageBytes(shape));
            if (before != null) {
                device.copy(before, after, pages * layerPageBytes(shape));
                before.close();
            }
            layers[layer] = after;
        }
        for (int page = pages; page < grown; page++) {
            free.addLast(page);
        }
        holders = Arrays.copyOf(holders, grown);
        pages = grown;
    }

    private long largestCount() {
        return Math.min(Integer.MAX_VALUE / PAGE_POSITIONS, device.info().largestBufferBytes() / layerPageBytes(shape));
    }

    /** A page of nobody else. */
    int take() {
        reserve(1);
        int page = free.removeFirst();
        holders[page] = 1;
        return page;
    }

    int share(int page) {
        holders[page]++;
        return page;
    }

    boolean isShared(int page) {
        return holders[page] > 1;
    }

    /** A page of nobody else with what another has in it. */
    int copyOf(int page) {
        int copy = take();
        long bytes = layerPageBytes(shape);
        for (DeviceBuffer layer : layers) {
            device.copy(layer, page * bytes, layer, copy * bytes, bytes);
        }
        return copy;
    }

    void giveBack(int page) {
        Bounds.requireRange("page", page, 0, pages - 1);
        if (--holders[page] == 0 && !closed) {
            free.addFirst(page);
        }
    }

    /** Pages that sequences hold; one that several hold counts once. */
    int used() {
        return pages - free.size();
    }

    @Override
    public void close() {
        closed = true;
        for (DeviceBuffer buffer : layers) {
            if (buffer != null) {
                buffer.close();
            }
        }
    }
}
