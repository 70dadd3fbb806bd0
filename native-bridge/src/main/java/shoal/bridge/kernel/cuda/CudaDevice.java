package shoal.bridge.kernel.cuda;

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

/** A GPU's primary context and its default stream. Owns all that it hands out. */
final class CudaDevice implements Device {
    /** Memory through which arrays of the heap pass. */
    private static final long STAGING_BYTES = 1 << 20;

    private static final int MOST_ARGUMENTS = 32;

    /** The oldest instruction set that the compiler of CUDA 13 makes; drivers translate it for newer GPUs. */
    private static final int ARCHITECTURE = 75;

    private final Cuda calls;
    private final Nvrtc compiler;
    private final int handle;
    private final DeviceInfo info;
    private final String architecture;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment context;
    private final MemorySegment staging = arena.allocate(STAGING_BYTES, 64);
    private final MemorySegment values = arena.allocate(JAVA_LONG, MOST_ARGUMENTS);
    private final MemorySegment parameters = arena.allocate(ADDRESS, MOST_ARGUMENTS);
    private final Map<KernelUnit, MemorySegment> modules = new HashMap<>();
    private final Map<FunctionKey, Function> functions = new HashMap<>();
    private final Set<Buffer> buffers = new HashSet<>();
    private long allocated;
    private boolean closed;

    private record FunctionKey(KernelUnit unit, String name) {}

    private record Function(String name, MemorySegment kernel) implements DeviceFunction {}

    CudaDevice(Cuda calls, Nvrtc compiler, int handle, DeviceInfo info) {
        this.calls = calls;
        this.compiler = compiler;
        this.handle = handle;
        this.info = info;
        int capability =
                10 * calls.attribute(handle, Cuda.CAPABILITY_MAJOR) + calls.attribute(handle, Cuda.CAPABILITY_MINOR);
        architecture = "compute_" + Math.min(ARCHITECTURE, capability);
        for (int i = 0; i < MOST_ARGUMENTS; i++) {
            parameters.setAtIndex(ADDRESS, i, values.asSlice(i * JAVA_LONG.byteSize()));
        }
        context = calls.retainContext(handle);
    }

    @Override
    public DeviceInfo info() {
        return info;
    }

    private final class Buffer implements DeviceBuffer {
        private final long pointer;
        private final long bytes;
        private boolean released;

        Buffer(long pointer, long bytes) {
            this.pointer = pointer;
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
                calls.setContext(context);
                calls.free(pointer);
            }
        }
    }

    @Override
    public DeviceBuffer allocate(long bytes) {
        calls.setContext(context);
        Buffer buffer = new Buffer(calls.allocate(bytes), bytes);
        buffers.add(buffer);
        allocated += bytes;
        return buffer;
    }

    @Override
    public long freeBytes() {
        calls.setContext(context);
        return calls.freeBytes();
    }

    @Override
    public long allocatedBytes() {
        return allocated;
    }

    private static long pointer(DeviceBuffer buffer) {
        if (buffer instanceof Buffer ours && !ours.released) {
            return ours.pointer;
        }
        throw new IllegalArgumentException("a buffer of another device, or one that is closed");
    }

    @Override
    public void write(DeviceBuffer to, long offset, MemorySegment from) {
        calls.setContext(context);
        if (from.isNative()) {
            calls.write(pointer(to) + offset, from);
            return;
        }
        for (long at = 0; at < from.byteSize(); at += STAGING_BYTES) {
            long bytes = Math.min(STAGING_BYTES, from.byteSize() - at);
            calls.write(pointer(to) + offset + at, staging.asSlice(0, bytes).copyFrom(from.asSlice(at, bytes)));
        }
    }

    @Override
    public void read(DeviceBuffer from, long offset, MemorySegment to) {
        calls.setContext(context);
        if (to.isNative()) {
            calls.read(pointer(from) + offset, to);
            return;
        }
        for (long at = 0; at < to.byteSize(); at += STAGING_BYTES) {
            long bytes = Math.min(STAGING_BYTES, to.byteSize() - at);
            MemorySegment part = staging.asSlice(0, bytes);
            calls.read(pointer(from) + offset + at, part);
            to.asSlice(at, bytes).copyFrom(part);
        }
    }

    @Override
    public void copy(DeviceBuffer from, long fromOffset, DeviceBuffer to, long toOffset, long bytes) {
        if (bytes > 0) {
            calls.setContext(context);
            calls.copy(pointer(from) + fromOffset, pointer(to) + toOffset, bytes);
        }
    }

    @Override
    public DeviceFunction function(KernelUnit unit, String name) {
        var key = new FunctionKey(unit, name);
        Function function = functions.get(key);
        if (function == null) {
            calls.setContext(context);
            MemorySegment module = modules.get(unit);
            if (module == null) {
                module = calls.loadModule(compiler.ptx(unit, architecture), unit.name());
                modules.put(unit, module);
            }
            function = new Function(name, calls.function(module, name));
            functions.put(key, function);
        }
        return function;
    }

    @Override
    public void launch(
            DeviceFunction function, int groups0, int groups1, int items0, int items1, Argument... arguments) {
        if (arguments.length > MOST_ARGUMENTS) {
            throw new DeviceException(
                    function.name() + " is given " + arguments.length + " arguments, allowed are " + MOST_ARGUMENTS);
        }
        for (int i = 0; i < arguments.length; i++) {
            switch (arguments[i]) {
                case Argument.Memory(DeviceBuffer buffer) -> values.setAtIndex(JAVA_LONG, i, pointer(buffer));
                case Argument.Whole(int value) -> values.set(JAVA_INT, i * JAVA_LONG.byteSize(), value);
                case Argument.Real(float value) -> values.set(JAVA_FLOAT, i * JAVA_LONG.byteSize(), value);
            }
        }
        calls.setContext(context);
        calls.launch(((Function) function).kernel(), groups0, groups1, items0, items1, parameters, function.name());
    }

    @Override
    public void finish() {
        calls.setContext(context);
        calls.synchronize();
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            finish();
        } finally {
            Set.copyOf(buffers).forEach(Buffer::close);
            modules.values().forEach(calls::unloadModule);
            calls.releaseContext(handle);
            arena.close();
        }
    }
}
