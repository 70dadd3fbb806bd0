package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.DeviceInfo;

/**
 * One device with one queue, in which everything happens in the order it was asked for. One thread at a time. Every call throws
 * {@link DeviceException} if the driver refuses it.
 */
public interface Device extends AutoCloseable {
    DeviceInfo info();

    /** Memory whose contents are undefined. bytes: 1 and more. */
    DeviceBuffer allocate(long bytes);

    /** Bytes of this device that nobody holds, as far as the driver tells. */
    long freeBytes();

    /** Bytes of all buffers that are open. */
    long allocatedBytes();

    /** Copies host memory, native or of the heap, to the device; it may be changed afterwards. */
    void write(DeviceBuffer to, long offset, MemorySegment from);

    /** Waits for all before it, and copies to host memory, native or of the heap. */
    void read(DeviceBuffer from, long offset, MemorySegment to);

    /** Copies from one buffer to another, or within one where the two parts do not touch. */
    void copy(DeviceBuffer from, long fromOffset, DeviceBuffer to, long toOffset, long bytes);

    /** Copies the first bytes of one buffer to another. */
    default void copy(DeviceBuffer from, DeviceBuffer to, long bytes) {
        copy(from, 0, to, 0, bytes);
    }

    /**
     * A kernel, compiled at the first call.
     *
     * @param unit which source it stands in
     * @param name of its function
     */
    DeviceFunction function(KernelUnit unit, String name);

    /** Asks for groups of work-items in two dimensions. */
    void launch(DeviceFunction function, int groups0, int groups1, int items0, int items1, Argument... arguments);

    /** Waits for all that was asked for. */
    void finish();

    /** Frees everything. */
    @Override
    void close();
}
