package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.KeyValuePages;
import shoal.bridge.kernel.StageLostException;
import shoal.codec.base.Bounds;

/**
 * Keys and values of all sequences of a stage: one buffer per layer, in pages of {@link #PAGE_POSITIONS} positions that sequences
 * take and give back. Grows by doubling and never shrinks; what is kept is copied on the device. Guarded by the device.
 */
final class PagePool implements DeviceResource {
    static final int PAGE_POSITIONS = CacheShape.PAGE_POSITIONS;

    private static final int FIRST_PAGES = 8;

    /** Of one layer's pages that are copied together. */
    private static final long COPIED_BYTES = 8 << 20;

    private static final int COPYING_ITEMS = 128;

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
            DeviceBuffer after = device.allocate(grown * shape.layerPageBytes());
            if (before != null) {
                device.copy(before, after, pages * shape.layerPageBytes());
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
        return Math.min(
                Integer.MAX_VALUE / PAGE_POSITIONS, device.info().largestBufferBytes() / shape.layerPageBytes());
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
        long bytes = shape.layerPageBytes();
        for (DeviceBuffer layer : layers) {
            device.copy(layer, page * bytes, layer, copy * bytes, bytes);
        }
        return copy;
    }

    /**
     * Copies pages, layer after layer: to host memory, or from there if inwards.
     *
     * @throws StageLostException if the device is lost
     */
    void copy(int[] table, KeyValuePages others, boolean inwards) {
        copy(table, others, inwards, Math.clamp(COPIED_BYTES / shape.layerPageBytes(), 1, Math.max(1, table.length)));
    }

    /** @param together pages that are gathered on the device, so that few copies cross the bus */
    void copy(int[] table, KeyValuePages others, boolean inwards, int together) {
        long pageBytes = shape.layerPageBytes();
        try (DeviceBuffer row = device.allocate(together * pageBytes);
                DeviceBuffer numbers = device.allocate((long) Integer.BYTES * Math.max(1, table.length))) {
            device.write(numbers, 0, MemorySegment.ofArray(table));
            for (int layer = 0; layer < layers.length; layer++) {
                for (int page = 0; page < table.length; page += together) {
                    int count = Math.min(together, table.length - page);
                    MemorySegment part = others.layer(layer).asSlice(page * pageBytes, count * pageBytes);
                    if (inwards) {
                        device.write(row, 0, part);
                    }
                    gather(layers[layer], row, numbers, page, count, inwards);
                    if (!inwards) {
                        device.read(row, 0, part);
                    }
                }
            }
            device.finish();
        } catch (DeviceException failure) {
            if (failure.lost()) {
                throw new StageLostException(device.info().id() + " is lost: " + failure.getMessage(), failure);
            }
            throw failure;
        }
    }

    private void gather(DeviceBuffer layer, DeviceBuffer row, DeviceBuffer numbers, int first, int count, boolean in) {
        int words = (int) (shape.layerPageBytes() / Integer.BYTES);
        int all = count * words;
        device.launch(
                device.function(new KernelUnit.Layers(), "copy_pages"),
                Math.ceilDiv(all, COPYING_ITEMS),
                1,
                COPYING_ITEMS,
                1,
                new Argument.Memory(layer),
                new Argument.Memory(row),
                new Argument.Memory(numbers),
                new Argument.Whole(first),
                new Argument.Whole(words),
                new Argument.Whole(in ? 1 : 0),
                new Argument.Whole(all));
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
