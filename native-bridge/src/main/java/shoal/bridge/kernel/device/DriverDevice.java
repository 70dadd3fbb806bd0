package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import shoal.bridge.kernel.DeviceInfo;

/** What the devices of all drivers have in common: accounts of buffers, and kernels that are compiled once. */
public abstract class DriverDevice implements Device {
    private final DeviceInfo info;
    private final Map<KernelUnit, MemorySegment> modules = new HashMap<>();
    private final Map<FunctionKey, Function> functions = new HashMap<>();
    private final Set<Buffer> buffers = new HashSet<>();
    private long allocated;
    private long allocations;
    private boolean closed;

    private record FunctionKey(KernelUnit unit, String name) {}

    private record Function(String name, MemorySegment kernel) implements DeviceFunction {}

    protected DriverDevice(DeviceInfo info) {
        this.info = info;
    }

    // ------------------------------------------------------------------------------------------- what a driver has to
    // do

    /** Memory of the device; 0 is none. */
    protected abstract long create(long bytes);

    protected abstract void release(long handle);

    /** A unit's kernels, compiled. */
    protected abstract MemorySegment compile(KernelUnit unit);

    /** One of them. */
    protected abstract MemorySegment kernel(MemorySegment module, String name);

    protected abstract void releaseKernel(MemorySegment kernel);

    protected abstract void releaseModule(MemorySegment module);

    /** Frees what the driver holds beside; nothing is open any more. */
    protected abstract void releaseDevice();

    // ------------------------------------------------------------------------------------------------- what it need
    // not

    @Override
    public final DeviceInfo info() {
        return info;
    }

    private final class Buffer implements DeviceBuffer {
        private final long handle;
        private final long bytes;
        private boolean released;

        Buffer(long handle, long bytes) {
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
                release(handle);
            }
        }
    }

    @Override
    public final DeviceBuffer allocate(long bytes) {
        if (bytes > info.largestBufferBytes()) {
            throw new DeviceException(info.id() + " (" + info.name() + "): " + bytes
                    + " bytes are asked for in one piece, allowed are " + info.largestBufferBytes());
        }
        if (bytes > freeBytes()) {
            throw new DeviceException(info.id() + " (" + info.name() + "): " + bytes + " bytes are asked for, free are "
                    + freeBytes() + " of " + info.memoryBytes());
        }
        Buffer buffer = new Buffer(create(bytes), bytes);
        buffers.add(buffer);
        allocated += bytes;
        allocations++;
        return buffer;
    }

    @Override
    public final long allocatedBytes() {
        return allocated;
    }

    @Override
    public final long allocations() {
        return allocations;
    }

    /** A buffer of this device that is open. */
    protected final long handle(DeviceBuffer buffer) {
        if (buffer instanceof Buffer ours && !ours.released && buffers.contains(ours)) {
            return ours.handle;
        }
        throw new IllegalArgumentException("a buffer of another device, or one that is closed");
    }

    /** Writes what a kernel is given as its driver reads it; gives how many bytes that are. at: room for 8. */
    protected final long put(Argument argument, MemorySegment at) {
        return switch (argument) {
            case Argument.Memory(DeviceBuffer buffer) -> {
                at.set(ValueLayout.JAVA_LONG, 0, handle(buffer));
                yield Long.BYTES;
            }
            case Argument.Whole(int value) -> {
                at.set(ValueLayout.JAVA_INT, 0, value);
                yield Integer.BYTES;
            }
            case Argument.Real(float value) -> {
                at.set(ValueLayout.JAVA_FLOAT, 0, value);
                yield Float.BYTES;
            }
        };
    }

    /** A part of some host memory, from a byte on. */
    protected interface Piece {
        void take(MemorySegment part, long at);
    }

    /** Gives host memory in pieces of at most so many bytes, one after another. */
    protected static void inPieces(MemorySegment host, long most, Piece piece) {
        for (long at = 0; at < host.byteSize(); at += most) {
            piece.take(host.asSlice(at, Math.min(most, host.byteSize() - at)), at);
        }
    }

    @Override
    public final DeviceFunction function(KernelUnit unit, String name) {
        var key = new FunctionKey(unit, name);
        Function function = functions.get(key);
        if (function == null) {
            MemorySegment module = modules.get(unit);
            if (module == null) {
                module = compile(unit);
                modules.put(unit, module);
            }
            function = new Function(name, kernel(module, name));
            functions.put(key, function);
        }
        return function;
    }

    /** A kernel as the driver knows it. */
    protected static MemorySegment kernel(DeviceFunction function) {
        return ((Function) function).kernel();
    }

    @Override
    public final void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            finish();
        } finally {
            try {
                Set.copyOf(buffers).forEach(Buffer::close);
                functions.values().forEach(function -> releaseKernel(function.kernel()));
                modules.values().forEach(this::releaseModule);
            } finally {
                releaseDevice();
            }
        }
    }
}
