package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.SequencedMap;
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

    /** How many buffers were ever allocated: while it stays the same, none was replaced by a larger one. */
    long allocations();

    /** Which kernels multiply here, unless they are found to be wrong. */
    default ProductKernels products() {
        return ProductKernels.COMMON;
    }

    /** Copies matrices to the device, as fast as it goes: each segment to the whole of its buffer. */
    default void upload(SequencedMap<DeviceBuffer, MemorySegment> matrices) {
        matrices.forEach((buffer, bytes) -> write(buffer, 0, bytes));
    }

    /** Copies host memory, native or of the heap, to the device; it may be changed afterwards. */
    void write(DeviceBuffer to, long offset, MemorySegment from);

    /** Waits for all before it, and copies to host memory, native or of the heap. */
    void read(DeviceBuffer from, long offset, MemorySegment to);

    /** How fast it copies from pinned memory of the host, the most that an upload can reach; 0 where that is not known. */
    default double pinnedBytesPerSecond() {
        return 0;
    }

    /**
     * How fast the maker's own library multiplies square matrices of so many rows here, by the name of the numbers' type: in operations
     * a second, an addition and a multiplication being two. Empty where there is no such library.
     */
    default Map<String, Double> vendorRates(int rows) {
        return Map.of();
    }

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

    /** From here on launches are noted, not done; nothing else may be asked for until {@link #endGraph}. */
    void beginGraph();

    /** What was noted since {@link #beginGraph}; the caller closes it. */
    DeviceGraph endGraph();

    /** Asks for all launches of a graph, with the arguments that they were noted with. */
    void launch(DeviceGraph graph);

    /** Waits for all that was asked for. */
    void finish();

    /** Frees everything. */
    @Override
    void close();
}
