package shoal.bridge.kernel.opencl;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.device.Argument;
import shoal.bridge.kernel.device.DeviceBuffer;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.DeviceFunction;
import shoal.bridge.kernel.device.DeviceGraph;
import shoal.bridge.kernel.device.DriverDevice;
import shoal.bridge.kernel.device.KernelUnit;

/** A device with a context and one queue in order. Owns all that it hands out. */
final class OpenClDevice extends DriverDevice {
    /** Products are fused where the kernels say fma and nowhere else. */
    static final String OPTIONS = "-cl-std=CL1.2";

    /** Work-items of the largest group that a kernel asks for. */
    static final int LARGEST_GROUP = 256;

    /** Memory through which arrays of the heap pass. */
    private static final long STAGING_BYTES = 1 << 20;

    private final OpenCl calls;
    private final OpenCl.Id id;
    private final ProgramCache cache;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment context;
    private final MemorySegment queue;
    private final MemorySegment staging = arena.allocate(STAGING_BYTES, 64);
    private final MemorySegment argument = arena.allocate(JAVA_LONG);
    private final MemorySegment sizes = arena.allocate(JAVA_LONG, 4);

    /** What is noted now, null if launches are done at once. */
    private @Nullable Noted noted;

    OpenClDevice(OpenCl calls, OpenCl.Id id, DeviceInfo info, ProgramCache cache) {
        super(info);
        this.calls = calls;
        this.id = id;
        this.cache = cache;
        context = calls.createContext(id);
        try {
            queue = calls.createQueue(context, id);
        } catch (DeviceException failure) {
            calls.releaseContext(context);
            arena.close();
            throw failure;
        }
    }

    @Override
    protected long create(long bytes) {
        return calls.createBuffer(context, bytes).address();
    }

    @Override
    protected void release(long handle) {
        calls.releaseBuffer(MemorySegment.ofAddress(handle));
    }

    /** OpenCL does not tell what other programs hold: all but what is allocated here. */
    @Override
    public long freeBytes() {
        return info().memoryBytes() - allocatedBytes();
    }

    private MemorySegment memory(DeviceBuffer buffer) {
        return MemorySegment.ofAddress(handle(buffer));
    }

    @Override
    public void write(DeviceBuffer to, long offset, MemorySegment from) {
        if (from.isNative()) {
            calls.write(queue, memory(to), offset, from);
            return;
        }
        inPieces(from, STAGING_BYTES, (part, at) -> {
            MemorySegment staged = staging.asSlice(0, part.byteSize()).copyFrom(part);
            calls.write(queue, memory(to), offset + at, staged);
        });
    }

    @Override
    public void read(DeviceBuffer from, long offset, MemorySegment to) {
        if (to.isNative()) {
            calls.read(queue, memory(from), offset, to);
            return;
        }
        inPieces(to, STAGING_BYTES, (part, at) -> {
            MemorySegment staged = staging.asSlice(0, part.byteSize());
            calls.read(queue, memory(from), offset + at, staged);
            part.copyFrom(staged);
        });
    }

    @Override
    public void copy(DeviceBuffer from, long fromOffset, DeviceBuffer to, long toOffset, long bytes) {
        if (bytes > 0) {
            calls.copy(queue, memory(from), fromOffset, memory(to), toOffset, bytes);
        }
    }

    @Override
    protected MemorySegment compile(KernelUnit unit) {
        return cache.program(calls, context, id, info(), unit);
    }

    @Override
    protected MemorySegment kernel(MemorySegment module, String name) {
        return calls.createKernel(module, name);
    }

    @Override
    protected void releaseKernel(MemorySegment kernel) {
        calls.releaseKernel(kernel);
    }

    @Override
    protected void releaseModule(MemorySegment module) {
        calls.releaseProgram(module);
    }

    @Override
    public void launch(
            DeviceFunction function, int groups0, int groups1, int items0, int items1, Argument... arguments) {
        if (noted != null) {
            noted.launches().add(new Noted.Launch(function, groups0, groups1, items0, items1, arguments));
            return;
        }
        MemorySegment kernel = kernel(function);
        for (int i = 0; i < arguments.length; i++) {
            calls.setArgument(kernel, i, put(arguments[i], argument), argument, function.name());
        }
        sizes.setAtIndex(JAVA_LONG, 0, (long) groups0 * items0);
        sizes.setAtIndex(JAVA_LONG, 1, (long) groups1 * items1);
        sizes.setAtIndex(JAVA_LONG, 2, items0);
        sizes.setAtIndex(JAVA_LONG, 3, items1);
        calls.enqueueKernel(queue, kernel, sizes, function.name());
    }

    /** Launches that are asked for one after the other: OpenCL 1.2 knows nothing better. */
    private record Noted(List<Launch> launches) implements DeviceGraph {
        record Launch(
                DeviceFunction function, int groups0, int groups1, int items0, int items1, Argument[] arguments) {}

        @Override
        public void close() {
            launches.clear();
        }
    }

    @Override
    public void beginGraph() {
        noted = new Noted(new ArrayList<>());
    }

    @Override
    public DeviceGraph endGraph() {
        Noted graph = noted;
        if (graph == null) {
            throw new IllegalStateException("no graph was begun");
        }
        noted = null;
        return graph;
    }

    @Override
    public void launch(DeviceGraph graph) {
        for (Noted.Launch launch : ((Noted) graph).launches()) {
            launch(
                    launch.function(),
                    launch.groups0(),
                    launch.groups1(),
                    launch.items0(),
                    launch.items1(),
                    launch.arguments());
        }
    }

    @Override
    public void finish() {
        calls.finish(queue);
    }

    @Override
    protected void releaseDevice() {
        calls.releaseQueue(queue);
        calls.releaseContext(context);
        arena.close();
    }
}
