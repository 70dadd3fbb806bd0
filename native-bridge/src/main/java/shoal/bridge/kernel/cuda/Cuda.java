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
import shoal.bridge.kernel.device.DeviceException;

/**
 * The calls of CUDA's driver API that are needed, each bound once (NVIDIA, CUDA Driver API; cuda.h). Every return code but success
 * becomes a {@link DeviceException} with the call's name and the code's. Everything goes to the default stream, in order.
 */
final class Cuda {
    static final int CAPABILITY_MAJOR = 75;
    static final int CAPABILITY_MINOR = 76;

    private static final int NAME_BYTES = 256;

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
    private final MethodHandle write;
    private final MethodHandle read;
    private final MethodHandle copy;
    private final MethodHandle loadModule;
    private final MethodHandle unloadModule;
    private final MethodHandle function;
    private final MethodHandle launch;
    private final MethodHandle synchronize;

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
        write = bind(library, "cuMemcpyHtoD_v2", JAVA_LONG, ADDRESS, JAVA_LONG);
        read = bind(library, "cuMemcpyDtoH_v2", ADDRESS, JAVA_LONG, JAVA_LONG);
        copy = bind(library, "cuMemcpyDtoD_v2", JAVA_LONG, JAVA_LONG, JAVA_LONG);
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
        synchronize = bind(library, "cuCtxSynchronize");
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
        String name = windows ? "nvcuda.dll" : "libcuda.so.1";
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
        return MemorySegment.ofAddress(
                wide("cuDevicePrimaryCtxRetain", value -> (int) retainContext.invokeExact(value, handle)));
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

    /** Returns when native memory was copied. */
    void write(long to, MemorySegment from) {
        run("cuMemcpyHtoD", () -> (int) write.invokeExact(to, from, from.byteSize()));
    }

    /** Waits for all before it; returns when native memory was filled. */
    void read(long from, MemorySegment to) {
        run("cuMemcpyDtoH", () -> (int) read.invokeExact(to, from, to.byteSize()));
    }

    void copy(long from, long to, long bytes) {
        run("cuMemcpyDtoD", () -> (int) copy.invokeExact(to, from, bytes));
    }

    /** @param ptx text, which the driver compiles for the device */
    MemorySegment loadModule(String ptx, String unit) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment image = arena.allocateFrom(ptx);
            return MemorySegment.ofAddress(wide(
                    "cuModuleLoadData of the kernels of " + unit, value -> (int) loadModule.invokeExact(value, image)));
        }
    }

    void unloadModule(MemorySegment module) {
        run("cuModuleUnload", () -> (int) unloadModule.invokeExact(module));
    }

    MemorySegment function(MemorySegment module, String name) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocateFrom(name);
            return MemorySegment.ofAddress(
                    wide("cuModuleGetFunction of " + name, value -> (int) function.invokeExact(value, module, text)));
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
            String name) {
        run("cuLaunchKernel of " + name, () -> (int) launch.invokeExact(
                function,
                groups0,
                groups1,
                1,
                items0,
                items1,
                1,
                0,
                MemorySegment.NULL,
                parameters,
                MemorySegment.NULL));
    }

    void synchronize() {
        run("cuCtxSynchronize", () -> (int) synchronize.invokeExact());
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

    private void run(String name, Call call) {
        try {
            int code = call.go();
            if (code != 0) {
                throw new DeviceException(name + ": " + codeName(code) + " (" + code + ")");
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
