package shoal.bridge.kernel.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import shoal.bridge.kernel.device.DeviceException;

/**
 * The calls of CUDA's driver API that are needed, each bound once (NVIDIA, CUDA Driver API; cuda.h). Every return code but success
 * becomes a {@link DeviceException} with the call's name and the code's.
 */
final class Cuda {
    static final int CAPABILITY_MAJOR = 75;
    static final int CAPABILITY_MINOR = 76;

    private static final int NAME_BYTES = 256;

    // As cuda.h has them.
    private static final int HOST_FOR_ALL_CONTEXTS = 1;
    private static final int STREAM_NON_BLOCKING = 1;
    private static final int EVENT_DISABLE_TIMING = 2;
    private static final int CAPTURE_THREAD_LOCAL = 1;

    /**
     * Codes behind which nothing on that device can go on: device unavailable, uncorrectable error of memory, of NVLink, illegal
     * address, launch timed out, context destroyed, assertion, hardware stack, illegal instruction, misaligned address, illegal
     * address space, illegal program counter, launch failed, not permitted, system not ready, unknown.
     */
    private static final Set<Integer> LOST =
            Set.of(46, 214, 220, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 800, 802, 999);

    private final MethodHandle init;
    private final MethodHandle driverVersion;
    private final MethodHandle errorName;
    private final MethodHandle deviceCount;
    private final MethodHandle device;
    private final MethodHandle deviceName;
    private final MethodHandle deviceMemory;
    private final MethodHandle deviceAttribute;
    private final MethodHandle retainContext;
    private final MethodHandle releaseContext;
    private final MethodHandle setContext;
    private final MethodHandle memoryInfo;
    private final MethodHandle allocate;
    private final MethodHandle free;
    private final MethodHandle allocateHost;
    private final MethodHandle freeHost;
    private final MethodHandle write;
    private final MethodHandle read;
    private final MethodHandle copy;
    private final MethodHandle createStream;
    private final MethodHandle destroyStream;
    private final MethodHandle waitForStream;
    private final MethodHandle createEvent;
    private final MethodHandle destroyEvent;
    private final MethodHandle recordEvent;
    private final MethodHandle waitForEvent;
    private final MethodHandle beginCapture;
    private final MethodHandle endCapture;
    private final MethodHandle instantiate;
    private final MethodHandle launchGraph;
    private final MethodHandle destroyGraph;
    private final MethodHandle destroyExecutable;
    private final MethodHandle loadModule;
    private final MethodHandle unloadModule;
    private final MethodHandle function;
    private final MethodHandle launch;

    /** The library, or why there is none. */
    sealed interface Found {
        record Here(Cuda calls) implements Found {}

        /** @param reason in one clause */
        record Missing(String reason) implements Found {}
    }

    private static final class Once {
        static final Found FOUND = load();
    }

    private Cuda(SymbolLookup library) {
        init = bind(library, "cuInit", JAVA_INT);
        driverVersion = bind(library, "cuDriverGetVersion", ADDRESS);
        errorName = bind(library, "cuGetErrorName", JAVA_INT, ADDRESS);
        deviceCount = bind(library, "cuDeviceGetCount", ADDRESS);
        device = bind(library, "cuDeviceGet", ADDRESS, JAVA_INT);
        deviceName = bind(library, "cuDeviceGetName", ADDRESS, JAVA_INT, JAVA_INT);
        deviceMemory = bind(library, "cuDeviceTotalMem_v2", ADDRESS, JAVA_INT);
        deviceAttribute = bind(library, "cuDeviceGetAttribute", ADDRESS, JAVA_INT, JAVA_INT);
        retainContext = bind(library, "cuDevicePrimaryCtxRetain", ADDRESS, JAVA_INT);
        releaseContext = bind(library, "cuDevicePrimaryCtxRelease_v2", JAVA_INT);
        setContext = bind(library, "cuCtxSetCurrent", ADDRESS);
        memoryInfo = bind(library, "cuMemGetInfo_v2", ADDRESS, ADDRESS);
        allocate = bind(library, "cuMemAlloc_v2", ADDRESS, JAVA_LONG);
        free = bind(library, "cuMemFree_v2", JAVA_LONG);
        allocateHost = bind(library, "cuMemHostAlloc", ADDRESS, JAVA_LONG, JAVA_INT);
        freeHost = bind(library, "cuMemFreeHost", ADDRESS);
        write = bind(library, "cuMemcpyHtoDAsync_v2", JAVA_LONG, ADDRESS, JAVA_LONG, ADDRESS);
        read = bind(library, "cuMemcpyDtoHAsync_v2", ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS);
        copy = bind(library, "cuMemcpyDtoDAsync_v2", JAVA_LONG, JAVA_LONG, JAVA_LONG, ADDRESS);
        createStream = bind(library, "cuStreamCreate", ADDRESS, JAVA_INT);
        destroyStream = bind(library, "cuStreamDestroy_v2", ADDRESS);
        waitForStream = bind(library, "cuStreamSynchronize", ADDRESS);
        createEvent = bind(library, "cuEventCreate", ADDRESS, JAVA_INT);
        destroyEvent = bind(library, "cuEventDestroy_v2", ADDRESS);
        recordEvent = bind(library, "cuEventRecord", ADDRESS, ADDRESS);
        waitForEvent = bind(library, "cuEventSynchronize", ADDRESS);
        beginCapture = bind(library, "cuStreamBeginCapture_v2", ADDRESS, JAVA_INT);
        endCapture = bind(library, "cuStreamEndCapture", ADDRESS, ADDRESS);
        instantiate = bind(library, "cuGraphInstantiateWithFlags", ADDRESS, ADDRESS, JAVA_LONG);
        launchGraph = bind(library, "cuGraphLaunch", ADDRESS, ADDRESS);
        destroyGraph = bind(library, "cuGraphDestroy", ADDRESS);
        destroyExecutable = bind(library, "cuGraphExecDestroy", ADDRESS);
        loadModule = bind(library, "cuModuleLoadData", ADDRESS, ADDRESS);
        unloadModule = bind(library, "cuModuleUnload", ADDRESS);
        function = bind(library, "cuModuleGetFunction", ADDRESS, ADDRESS, ADDRESS);
        launch = bind(
                library,
                "cuLaunchKernel",
                ADDRESS,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                ADDRESS,
                ADDRESS,
                ADDRESS);
    }

    private static MethodHandle bind(SymbolLookup library, String symbol, MemoryLayout... parameters) {
        MemorySegment address =
                library.find(symbol).orElseThrow(() -> new DeviceException("the CUDA driver here has no " + symbol));
        return Linker.nativeLinker().downcallHandle(address, FunctionDescriptor.of(JAVA_INT, parameters));
    }

    static Found find() {
        return Once.FOUND;
    }

    private static Found load() {
        boolean windows = System.getProperty("os.name").toLowerCase(Locale.ROOT).contains("win");
        return load(windows ? "nvcuda.dll" : "libcuda.so.1");
    }

    /** @param name of the library, or its path */
    static Found load(String name) {
        try {
            Cuda calls = new Cuda(SymbolLookup.libraryLookup(name, Arena.global()));
            calls.run("cuInit", () -> (int) calls.init.invokeExact(0));
            return new Found.Here(calls);
        } catch (IllegalArgumentException absent) {
            return new Found.Missing("no " + name + " here");
        } catch (DeviceException unusable) {
            return new Found.Missing(String.valueOf(unusable.getMessage()));
        }
    }

    /** Such as 13.0. */
    String driverVersion() {
        int version = number("cuDriverGetVersion", value -> (int) driverVersion.invokeExact(value));
        return version / 1_000 + "." + version % 1_000 / 10;
    }

    /** Handles of all devices. */
    List<Integer> devices() {
        int count = number("cuDeviceGetCount", value -> (int) deviceCount.invokeExact(value));
        return java.util.stream.IntStream.range(0, count)
                .mapToObj(i -> number("cuDeviceGet", value -> (int) device.invokeExact(value, i)))
                .toList();
    }

    String deviceName(int handle) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = arena.allocate(NAME_BYTES + 1);
            run("cuDeviceGetName", () -> (int) deviceName.invokeExact(name, NAME_BYTES, handle));
            return name.getString(0).strip();
        }
    }

    long deviceMemory(int handle) {
        return wide("cuDeviceTotalMem", value -> (int) deviceMemory.invokeExact(value, handle));
    }

    int attribute(int handle, int attribute) {
        return number("cuDeviceGetAttribute", value -> (int) deviceAttribute.invokeExact(value, attribute, handle));
    }

    MemorySegment retainContext(int handle) {
        return pointer("cuDevicePrimaryCtxRetain", value -> (int) retainContext.invokeExact(value, handle));
    }

    void releaseContext(int handle) {
        run("cuDevicePrimaryCtxRelease", () -> (int) releaseContext.invokeExact(handle));
    }

    /** Contexts belong to threads: needed before every row of calls. */
    void setContext(MemorySegment context) {
        run("cuCtxSetCurrent", () -> (int) setContext.invokeExact(context));
    }

    long freeBytes() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment total = arena.allocate(JAVA_LONG);
            return wide("cuMemGetInfo", value -> (int) memoryInfo.invokeExact(value, total));
        }
    }

    long allocate(long bytes) {
        return wide("cuMemAlloc of " + bytes + " bytes", value -> (int) allocate.invokeExact(value, bytes));
    }

    void free(long pointer) {
        run("cuMemFree", () -> (int) free.invokeExact(pointer));
    }

    /** Memory of the host that the device reads and writes by itself (pinned). */
    MemorySegment allocateHost(long bytes) {
        return pointer("cuMemHostAlloc of " + bytes + " bytes", value ->
                        (int) allocateHost.invokeExact(value, bytes, HOST_FOR_ALL_CONTEXTS))
                .reinterpret(bytes);
    }

    void freeHost(MemorySegment memory) {
        run("cuMemFreeHost", () -> (int) freeHost.invokeExact(memory));
    }

    /** Begins to copy from native memory, which must stay as it is until the stream has done it. */
    void write(long to, MemorySegment from, MemorySegment stream) {
        run("cuMemcpyHtoDAsync", () -> (int) write.invokeExact(to, from, from.byteSize(), stream));
    }

    /** Begins to copy to native memory, after all that the stream was asked for before. */
    void read(long from, MemorySegment to, MemorySegment stream) {
        run("cuMemcpyDtoHAsync", () -> (int) read.invokeExact(to, from, to.byteSize(), stream));
    }

    void copy(long from, long to, long bytes, MemorySegment stream) {
        run("cuMemcpyDtoDAsync", () -> (int) copy.invokeExact(to, from, bytes, stream));
    }

    /** A stream that waits for no other. */
    MemorySegment createStream() {
        return pointer("cuStreamCreate", value -> (int) createStream.invokeExact(value, STREAM_NON_BLOCKING));
    }

    void destroyStream(MemorySegment stream) {
        run("cuStreamDestroy", () -> (int) destroyStream.invokeExact(stream));
    }

    void waitForStream(MemorySegment stream) {
        run("cuStreamSynchronize", () -> (int) waitForStream.invokeExact(stream));
    }

    /** Something to wait for; it keeps no time. */
    MemorySegment createEvent() {
        return pointer("cuEventCreate", value -> (int) createEvent.invokeExact(value, EVENT_DISABLE_TIMING));
    }

    void destroyEvent(MemorySegment event) {
        run("cuEventDestroy", () -> (int) destroyEvent.invokeExact(event));
    }

    /** Happens when the stream has done all that it was asked for so far. */
    void recordEvent(MemorySegment event, MemorySegment stream) {
        run("cuEventRecord", () -> (int) recordEvent.invokeExact(event, stream));
    }

    /** Returns at once if the event was never recorded. */
    void waitForEvent(MemorySegment event) {
        run("cuEventSynchronize", () -> (int) waitForEvent.invokeExact(event));
    }

    /** From here on the stream notes launches for a graph; other threads go on as they like. */
    void beginCapture(MemorySegment stream) {
        run("cuStreamBeginCapture", () -> (int) beginCapture.invokeExact(stream, CAPTURE_THREAD_LOCAL));
    }

    /** What was noted, ready to be launched. */
    MemorySegment endCapture(MemorySegment stream) {
        MemorySegment graph = pointer("cuStreamEndCapture", value -> (int) endCapture.invokeExact(stream, value));
        try {
            return pointer("cuGraphInstantiateWithFlags", value -> (int) instantiate.invokeExact(value, graph, 0L));
        } finally {
            run("cuGraphDestroy", () -> (int) destroyGraph.invokeExact(graph));
        }
    }

    void launchGraph(MemorySegment executable, MemorySegment stream) {
        run("cuGraphLaunch", () -> (int) launchGraph.invokeExact(executable, stream));
    }

    void destroyExecutable(MemorySegment executable) {
        run("cuGraphExecDestroy", () -> (int) destroyExecutable.invokeExact(executable));
    }

    /** @param ptx text, which the driver compiles for the device */
    MemorySegment loadModule(String ptx, String unit) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment image = arena.allocateFrom(ptx);
            return pointer(
                    "cuModuleLoadData of the kernels of " + unit, value -> (int) loadModule.invokeExact(value, image));
        }
    }

    void unloadModule(MemorySegment module) {
        run("cuModuleUnload", () -> (int) unloadModule.invokeExact(module));
    }

    MemorySegment function(MemorySegment module, String name) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocateFrom(name);
            return pointer("cuModuleGetFunction of " + name, value -> (int) function.invokeExact(value, module, text));
        }
    }

    /** @param parameters native memory: a pointer to each argument */
    void launch(
            MemorySegment function,
            int groups0,
            int groups1,
            int items0,
            int items1,
            MemorySegment parameters,
            MemorySegment stream,
            String name) {
        run("cuLaunchKernel of " + name, () -> (int) launch.invokeExact(
                function, groups0, groups1, 1, items0, items1, 1, 0, stream, parameters, MemorySegment.NULL));
    }

    // -------------------------------------------------------------------------------------------------- how calls go

    private interface Call {
        int go() throws Throwable;
    }

    private interface Asking {
        int go(MemorySegment value) throws Throwable;
    }

    private int number(String name, Asking call) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(JAVA_INT);
            run(name, () -> call.go(value));
            return value.get(JAVA_INT, 0);
        }
    }

    private long wide(String name, Asking call) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(JAVA_LONG);
            run(name, () -> call.go(value));
            return value.get(JAVA_LONG, 0);
        }
    }

    private MemorySegment pointer(String name, Asking call) {
        return MemorySegment.ofAddress(wide(name, call));
    }

    private void run(String name, Call call) {
        try {
            int code = call.go();
            if (code != 0) {
                throw new DeviceException(name + ": " + codeName(code) + " (" + code + ")", LOST.contains(code));
            }
        } catch (RuntimeException | Error failure) {
            throw failure;
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private String codeName(int code) throws Throwable {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocate(ADDRESS);
            int unknown = (int) errorName.invokeExact(code, text);
            MemorySegment name = text.get(ADDRESS, 0);
            return unknown != 0 || name.address() == 0
                    ? "error"
                    : name.reinterpret(NAME_BYTES).getString(0);
        }
    }
}
