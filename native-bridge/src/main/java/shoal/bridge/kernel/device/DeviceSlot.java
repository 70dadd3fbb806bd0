package shoal.bridge.kernel.device;

import org.jspecify.annotations.Nullable;
import shoal.codec.gguf.GgmlType;

/**
 * Activations on the device: rows of width F32 values, and on demand the same rows rounded to 8 bits, or to F16 or BF16. Grows, never
 * shrinks.
 */
final class DeviceSlot implements DeviceResource {
    private static final int PART = 32;

    private final int width;
    private final GrowingBuffer values;
    private final GrowingBuffer levels;
    private final GrowingBuffer scales;
    private final GrowingBuffer sums;
    private final GrowingBuffer halves;
    private int quantisedRows;
    private int halvedRows;
    private @Nullable GgmlType halvedTo;

    DeviceSlot(Device device, int width) {
        this.width = width;
        values = new GrowingBuffer(device);
        levels = new GrowingBuffer(device);
        scales = new GrowingBuffer(device);
        sums = new GrowingBuffer(device);
        halves = new GrowingBuffer(device);
    }

    int width() {
        return width;
    }

    /** Makes room for so many rows; what they held is lost, and so is the rounded form. */
    DeviceBuffer overwrite(int rows) {
        forgetRounded();
        return values.reserve((long) rows * width * Float.BYTES);
    }

    /** The rows, to be changed in place. */
    DeviceBuffer change() {
        forgetRounded();
        return values.buffer();
    }

    private void forgetRounded() {
        quantisedRows = 0;
        halvedRows = 0;
    }

    DeviceBuffer values() {
        return values.buffer();
    }

    /** Whether the rounded form of the first rows has to be made; makes room for it then, and counts it as made. */
    boolean wantsQuantising(int rows) {
        if (rows <= quantisedRows) {
            return false;
        }
        long size = (long) rows * width;
        levels.reserve(size);
        scales.reserve(size / PART * Float.BYTES);
        sums.reserve(size / PART * 2 * Integer.BYTES);
        quantisedRows = rows;
        return true;
    }

    /** As {@link #wantsQuantising}, of the form in F16 or BF16; one of the two is kept. */
    boolean wantsHalves(GgmlType type, int rows) {
        if (type == halvedTo && rows <= halvedRows) {
            return false;
        }
        halves.reserve((long) rows * width * Short.BYTES);
        halvedRows = rows;
        halvedTo = type;
        return true;
    }

    /** Laid out as {@link #values}, in the type that was wanted last. */
    DeviceBuffer halves() {
        return halves.buffer();
    }

    /** As {@link #overwrite}, by a kernel that makes the rounded form too. */
    DeviceBuffer overwriteRounded(int rows) {
        DeviceBuffer to = overwrite(rows);
        wantsQuantising(rows);
        return to;
    }

    /** As {@link #change}, of so many rows, by a kernel that makes the rounded form too. */
    DeviceBuffer changeRounded(int rows) {
        DeviceBuffer to = change();
        wantsQuantising(rows);
        return to;
    }

    /** Signed bytes, laid out as {@link #values}. */
    DeviceBuffer levels() {
        return levels.buffer();
    }

    /** One per 32 values. */
    DeviceBuffer scales() {
        return scales.buffer();
    }

    /** Two per 32 values: the sums of each half's levels. */
    DeviceBuffer sums() {
        return sums.buffer();
    }

    @Override
    public void close() {
        values.close();
        levels.close();
        scales.close();
        sums.close();
        halves.close();
    }
}
