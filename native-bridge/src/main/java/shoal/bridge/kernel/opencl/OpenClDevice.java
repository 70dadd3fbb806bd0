package shoal.bridge.kernel.opencl;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.device.Argument;
import shoal.bridge.kernel.device.Device;
import shoal.bridge.kernel.device.DeviceBuffer;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.DeviceFunction;
import shoal.bridge.kernel.device.KernelUnit;

/** A device with a context and one queue in order. Owns all that it hands out. */
final class OpenClDevice implements Device {
    /** Products are fused where the kernels say fma and nowhere else. */
    static final String OPTIONS = "-cl-std=CL1.2";

    /** Work-items of the largest group that a kernel asks for. */
    static final int LARGEST_GROUP = 128;

    /** Memory through which arrays of the heap pass. */
    private static final long STAGING_BYTES = 1 << 20;

    private final OpenCl calls;
    private final OpenCl.Id id;
    private final DeviceInfo info;
    private final ProgramCache cache;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment context;
    private final MemorySegment queue;
    private final MemorySegment staging = arena.allocate(STAGING_BYTES, 64);
    private final MemorySegment argument = arena.allocate(JAVA_LONG);
    private final MemorySegment sizes = arena.allocate(JAVA_LONG, 4);
    private final Map<KernelUnit, MemorySegment> programs = new HashMap<>();
    private final Map<FunctionKey, Function> functions = new HashMap<>();
    private final Set<Buffer> buffers = new HashSet<>();
    private long allocated;
    private boolean closed;

    private record FunctionKey(KernelUnit unit, String name) {}

    private record Function(String name, MemorySegment kernel) implements DeviceFunction {}

    OpenClDevice(OpenCl calls, OpenCl.Id id, DeviceInfo info, ProgramCache cache) {
        this.calls = calls;
        this.id = id;
        this.info = info;
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
    public DeviceInfo info() {
        return info;
    }

    private final class Buffer implements DeviceBuffer {
        private final MemorySegment handle;
        private final long bytes;
        private boolean released;

        Buffer(MemorySegment handle, long bytes) {
            this.handle = handle;
            this.bytes = bytes;
        }

        @Override
        public long bytes() {
            return bytes;
        }

        @Override
        public void close() {
            if (!released) {
                released = true;
                buffers.remove(this);
                allocated -= bytes;
                calls.releaseBuffer(handle);
            }
        }
    }

    @Override
    public DeviceBuffer allocate(long bytes) {
        if (bytes > info.largestBufferBytes()) {
            throw new DeviceException(info.id() + " (" + info.name() + "): " + bytes
                    + " bytes are asked for in one piece, allowed are " + info.largestBufferBytes());
        }
        if (bytes > freeBytes()) {
            throw new DeviceException(info.id() + " (" + info.name() + "): " + bytes + " bytes are asked for, free are "
                    + freeBytes() + " of " + info.memoryBytes());
        }
        Buffer buffer = new Buffer(calls.createBuffer(context, bytes), bytes);
        buffers.add(buffer);
        allocated += bytes;
        return buffer;
    }

    /** OpenCL does not tell what other programs hold: all but what is allocated here. */
    @Override
    public long freeBytes() {
        return info.memoryBytes() - allocated;
    }

    @Override
    public long allocatedBytes() {
        return allocated;
    }

    private static MemorySegment handle(DeviceBuffer buffer) {
        if (buffer instanceof Buffer ours && !ours.released) {
            return ours.handle;
        }
        throw new IllegalArgumentException("a buffer of another device, or one that is closed");
    }

    @Override
    public void write(DeviceBuffer to, long offset, MemorySegment from) {
        if (from.isNative()) {
            calls.write(queue, handle(to), offset, from);
            return;
        }
        for (long at = 0; at < from.byteSize(); at += STAGING_BYTES) {
            long bytes = Math.min(STAGING_BYTES, from.byteSize() - at);
            MemorySegment part = staging.asSlice(0, bytes).copyFrom(from.asSlice(at, bytes));
            calls.write(queue, handle(to), offset + at, part);
        }
    }

    @Override
    public void read(DeviceBuffer from, long offset, MemorySegment to) {
        if (to.isNative()) {
            calls.read(queue, handle(from), offset, to);
            return;
        }
        for (long at = 0; at < to.byteSize(); at += STAGING_BYTES) {
            long bytes = Math.min(STAGING_BYTES, to.byteSize() - at);
            MemorySegment part = staging.asSlice(0, bytes);
            calls.read(queue, handle(from), offset + at, part);
            to.asSlice(at, bytes).copyFrom(part);
        }
    }

    @Override
    public void copy(DeviceBuffer from, long fromOffset, DeviceBuffer to, long toOffset, long bytes) {
        if (bytes > 0) {
            calls.copy(queue, handle(from), fromOffset, handle(to), toOffset, bytes);
        }
    }

    @Override
    public DeviceFunction function(KernelUnit unit, String name) {
        var key = new FunctionKey(unit, name);
        Function function = functions.get(key);
        if (function == null) {
            MemorySegment program = programs.get(unit);
            if (program == null) {
                program = cache.program(calls, context, id, info, unit);
                programs.put(unit, program);
            }
            function = new Function(name, calls.createKernel(program, name));
            functions.put(key, function);
        }
        return function;
    }

    @Override
    public void launch(
            DeviceFunction function, int groups0, int groups1, int items0, int items1, Argument... arguments) {
        MemorySegment kernel = ((Function) function).kernel();
        for (int i = 0; i < arguments.length; i++) {
            long bytes = switch (arguments[i]) {
                case Argument.Memory(DeviceBuffer buffer) -> {
                    argument.set(ADDRESS, 0, handle(buffer));
                    yield ADDRESS.byteSize();
                }
                case Argument.Whole(int value) -> {
                    argument.set(JAVA_INT, 0, value);
                    yield JAVA_INT.byteSize();
                }
                case Argument.Real(float value) -> {
                    argument.set(JAVA_FLOAT, 0, value);
                    yield JAVA_FLOAT.byteSize();
                }
            };
            calls.setArgument(kernel, i, bytes, argument, function.name());
        }
        sizes.setAtIndex(JAVA_LONG, 0, (long) groups0 * items0);
        sizes.setAtIndex(JAVA_LONG, 1, (long) groups1 * items1);
        sizes.setAtIndex(JAVA_LONG, 2, items0);
        sizes.setAtIndex(JAVA_LONG, 3, items1);
        calls.enqueueKernel(queue, kernel, sizes, function.name());
    }

    @Override
    public void finish() {
        calls.finish(queue);
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            calls.finish(queue);
        } finally {
            Set.copyOf(buffers).forEach(Buffer::close);
            functions.values().forEach(function -> calls.releaseKernel(function.kernel()));
            programs.values().forEach(calls::releaseProgram);
            calls.releaseQueue(queue);
            calls.releaseContext(context);
            arena.close();
        }
    }
}
