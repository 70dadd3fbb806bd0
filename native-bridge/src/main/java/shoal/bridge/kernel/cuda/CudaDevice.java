package shoal.bridge.kernel.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SequencedMap;
import shoal.bridge.kernel.DeviceInfo;
import shoal.bridge.kernel.device.Argument;
import shoal.bridge.kernel.device.DeviceBuffer;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.DeviceFunction;
import shoal.bridge.kernel.device.DeviceGraph;
import shoal.bridge.kernel.device.DriverDevice;
import shoal.bridge.kernel.device.KernelUnit;
import shoal.bridge.kernel.device.ProductKernels;

/** A GPU's primary context and one stream, in which all happens but uploads. What it copies to and fro passes through pinned memory. */
final class CudaDevice extends DriverDevice {
    private static final long STAGING_BYTES = 4 << 20;
    private static final long ALIGNMENT = 256;
    private static final int MOST_ARGUMENTS = 32;
    private static final long PINNED_BYTES = 256 << 20;
    private static final int PINNED_ROUNDS = 5;

    private final Cuda calls;
    private final PtxSource source;
    private final int handle;
    private final int capability;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment context;
    private final MemorySegment stream;
    private final MemorySegment staging;
    private final MemorySegment values = arena.allocate(JAVA_LONG, MOST_ARGUMENTS);
    private final MemorySegment parameters = arena.allocate(ADDRESS, MOST_ARGUMENTS);

    /** Bytes of staging that the stream may still read. */
    private long staged;

    CudaDevice(Cuda calls, PtxSource source, int handle, DeviceInfo info) {
        super(info);
        this.calls = calls;
        this.source = source;
        this.handle = handle;
        capability = capability(calls, handle);
        for (int i = 0; i < MOST_ARGUMENTS; i++) {
            parameters.setAtIndex(ADDRESS, i, values.asSlice(i * JAVA_LONG.byteSize()));
        }
        context = calls.retainContext(handle);
        try {
            calls.setContext(context);
            stream = calls.createStream();
            staging = calls.allocateHost(STAGING_BYTES);
        } catch (DeviceException failure) {
            calls.releaseContext(handle);
            arena.close();
            throw failure;
        }
    }

    /** Major and minor number as one: 90 of 9.0. */
    static int capability(Cuda calls, int handle) {
        return 10 * calls.attribute(handle, Cuda.CAPABILITY_MAJOR) + calls.attribute(handle, Cuda.CAPABILITY_MINOR);
    }

    @Override
    public ProductKernels products() {
        return capability >= NvidiaProducts.LEAST_CAPABILITY ? new NvidiaProducts() : ProductKernels.COMMON;
    }

    /** Whole lines: kernels read in pieces of 16 bytes. */
    @Override
    protected long create(long bytes) {
        calls.setContext(context);
        return calls.allocate(Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT);
    }

    @Override
    protected void release(long buffer) {
        calls.setContext(context);
        calls.waitForStream(stream);
        calls.free(buffer);
    }

    @Override
    public long freeBytes() {
        calls.setContext(context);
        return calls.freeBytes();
    }

    @Override
    public void write(DeviceBuffer to, long offset, MemorySegment from) {
        calls.setContext(context);
        long target = handle(to) + offset;
        inPieces(from, STAGING_BYTES, (part, at) -> {
            if (staged + part.byteSize() > STAGING_BYTES) {
                calls.waitForStream(stream);
                staged = 0;
            }
            MemorySegment pinned = staging.asSlice(staged, part.byteSize()).copyFrom(part);
            staged += Math.ceilDiv(part.byteSize(), ALIGNMENT) * ALIGNMENT;
            calls.write(target + at, pinned, stream);
        });
    }

    @Override
    public void read(DeviceBuffer from, long offset, MemorySegment to) {
        calls.setContext(context);
        inPieces(to, STAGING_BYTES, (part, at) -> {
            MemorySegment pinned = staging.asSlice(0, part.byteSize());
            // What was staged before has been read by the time that the stream writes this.
            calls.read(handle(from) + offset + at, pinned, stream);
            calls.waitForStream(stream);
            staged = 0;
            part.copyFrom(pinned);
        });
    }

    @Override
    public void copy(DeviceBuffer from, long fromOffset, DeviceBuffer to, long toOffset, long bytes) {
        if (bytes > 0) {
            calls.setContext(context);
            calls.copy(handle(from) + fromOffset, handle(to) + toOffset, bytes, stream);
        }
    }

    @Override
    public void upload(SequencedMap<DeviceBuffer, MemorySegment> matrices) {
        if (matrices.values().stream().mapToLong(MemorySegment::byteSize).sum() <= STAGING_BYTES) {
            matrices.forEach((buffer, bytes) -> write(buffer, 0, bytes));
            return;
        }
        SequencedMap<Long, MemorySegment> targets = new LinkedHashMap<>();
        matrices.forEach((buffer, bytes) -> targets.put(handle(buffer), bytes));
        new CudaUpload(calls, context).run(targets);
    }

    @Override
    public double pinnedBytesPerSecond() {
        long bytes = Math.min(PINNED_BYTES, freeBytes() / 4);
        calls.setContext(context);
        MemorySegment pinned = calls.allocateHost(bytes);
        try (DeviceBuffer to = allocate(bytes)) {
            long best = Long.MAX_VALUE;
            for (int i = 0; i < PINNED_ROUNDS; i++) {
                long begun = System.nanoTime();
                calls.write(handle(to), pinned, stream);
                calls.waitForStream(stream);
                best = Math.min(best, Math.max(1, System.nanoTime() - begun));
            }
            return 1e9 * bytes / best;
        } finally {
            calls.freeHost(pinned);
        }
    }

    @Override
    public Map<String, Double> vendorRates(int rows) {
        Cublas library = Cublas.find();
        if (library == null) {
            return Map.of();
        }
        calls.setContext(context);
        long bytes = (long) rows * rows * Float.BYTES;
        try (DeviceBuffer a = allocate(bytes);
                DeviceBuffer b = allocate(bytes);
                DeviceBuffer c = allocate(bytes)) {
            return library.rates(rows, handle(a), handle(b), handle(c), stream, () -> calls.waitForStream(stream));
        }
    }

    @Override
    protected MemorySegment compile(KernelUnit unit) {
        calls.setContext(context);
        try {
            return calls.loadModule(source.ptx(unit, capability), unit.name());
        } catch (DeviceException refused) {
            if (refused.lost() || source.compiler() == null) {
                throw refused;
            }
            return calls.loadModule(source.compiledHere(unit, capability), unit.name());
        }
    }

    @Override
    protected MemorySegment kernel(MemorySegment module, String name) {
        calls.setContext(context);
        return calls.function(module, name);
    }

    /** Goes with its module. */
    @Override
    protected void releaseKernel(MemorySegment kernel) {
        // nothing of its own
    }

    @Override
    protected void releaseModule(MemorySegment module) {
        calls.setContext(context);
        calls.unloadModule(module);
    }

    @Override
    public void launch(
            DeviceFunction function, int groups0, int groups1, int items0, int items1, Argument... arguments) {
        if (arguments.length > MOST_ARGUMENTS) {
            throw new DeviceException(
                    function.name() + " is given " + arguments.length + " arguments, allowed are " + MOST_ARGUMENTS);
        }
        for (int i = 0; i < arguments.length; i++) {
            put(arguments[i], values.asSlice(i * JAVA_LONG.byteSize()));
        }
        calls.setContext(context);
        calls.launch(kernel(function), groups0, groups1, items0, items1, parameters, stream, function.name());
    }

    /** A graph that the driver has made ready. */
    private final class Executable implements DeviceGraph {
        private final MemorySegment executable;
        private boolean released;

        Executable(MemorySegment executable) {
            this.executable = executable;
        }

        @Override
        public void close() {
            if (!released) {
                released = true;
                calls.setContext(context);
                calls.waitForStream(stream);
                calls.destroyExecutable(executable);
            }
        }
    }

    @Override
    public void beginGraph() {
        calls.setContext(context);
        calls.beginCapture(stream);
    }

    @Override
    public DeviceGraph endGraph() {
        calls.setContext(context);
        return new Executable(calls.endCapture(stream));
    }

    @Override
    public void launch(DeviceGraph graph) {
        calls.setContext(context);
        calls.launchGraph(((Executable) graph).executable, stream);
    }

    @Override
    public void finish() {
        calls.setContext(context);
        calls.waitForStream(stream);
        staged = 0;
    }

    @Override
    protected void releaseDevice() {
        calls.setContext(context);
        calls.freeHost(staging);
        calls.destroyStream(stream);
        calls.releaseContext(handle);
        arena.close();
    }
}
