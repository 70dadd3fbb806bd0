package shoal.bridge.kernel.opencl;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import shoal.bridge.kernel.device.DeviceException;

/**
 * The calls of OpenCL 1.2 that are needed, each bound once (Khronos, The OpenCL Specification 1.2; CL/cl.h). Every return code but
 * success becomes a {@link DeviceException} with the call's name and the code's.
 */
final class OpenCl {
    static final long DEVICE_TYPE_ALL = 0xFFFFFFFFL;
    static final long DEVICE_TYPE_CPU = 1 << 1;
    static final int DEVICE_TYPE = 0x1000;
    static final int DEVICE_MAX_WORK_GROUP_SIZE = 0x1004;
    static final int DEVICE_MAX_MEM_ALLOC_SIZE = 0x1010;
    static final int DEVICE_GLOBAL_MEM_SIZE = 0x101F;
    static final int DEVICE_ENDIAN_LITTLE = 0x1026;
    static final int DEVICE_AVAILABLE = 0x1027;
    static final int DEVICE_COMPILER_AVAILABLE = 0x1028;
    static final int DEVICE_NAME = 0x102B;
    static final int DRIVER_VERSION = 0x102D;
    static final int DEVICE_VERSION = 0x102F;

    /** Codes behind which nothing on that device can go on: not available, a failed event, an invalid context or queue (cl.h). */
    private static final Set<Integer> LOST = Set.of(-2, -14, -34, -36);

    /** Names the library's file, where it lies elsewhere. */
    private static final String ENVIRONMENT = "SHOAL_OPENCL";

    private static final int PROGRAM_BUILD_LOG = 0x1183;
    private static final int PROGRAM_BINARY_SIZES = 0x1165;
    private static final int PROGRAM_BINARIES = 0x1166;
    private static final int PLATFORM_NAME = 0x0902;
    private static final long MEM_READ_WRITE = 1;
    private static final int PLATFORM_NOT_FOUND = -1001;
    private static final int MOST = 64;
    private static final int MOST_NAME = 1_024;
    private static final int MOST_BINARY = 1 << 28;
    private static final int MOST_TEXT = 1 << 20;

    private static final Map<Integer, String> CODES = Map.ofEntries(
            Map.entry(-1, "CL_DEVICE_NOT_FOUND"),
            Map.entry(-2, "CL_DEVICE_NOT_AVAILABLE"),
            Map.entry(-3, "CL_COMPILER_NOT_AVAILABLE"),
            Map.entry(-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"),
            Map.entry(-5, "CL_OUT_OF_RESOURCES"),
            Map.entry(-6, "CL_OUT_OF_HOST_MEMORY"),
            Map.entry(-11, "CL_BUILD_PROGRAM_FAILURE"),
            Map.entry(-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"),
            Map.entry(-30, "CL_INVALID_VALUE"),
            Map.entry(-33, "CL_INVALID_DEVICE"),
            Map.entry(-34, "CL_INVALID_CONTEXT"),
            Map.entry(-36, "CL_INVALID_COMMAND_QUEUE"),
            Map.entry(-38, "CL_INVALID_MEM_OBJECT"),
            Map.entry(-42, "CL_INVALID_BINARY"),
            Map.entry(-44, "CL_INVALID_PROGRAM"),
            Map.entry(-45, "CL_INVALID_PROGRAM_EXECUTABLE"),
            Map.entry(-46, "CL_INVALID_KERNEL_NAME"),
            Map.entry(-48, "CL_INVALID_KERNEL"),
            Map.entry(-49, "CL_INVALID_ARG_INDEX"),
            Map.entry(-50, "CL_INVALID_ARG_VALUE"),
            Map.entry(-51, "CL_INVALID_ARG_SIZE"),
            Map.entry(-52, "CL_INVALID_KERNEL_ARGS"),
            Map.entry(-54, "CL_INVALID_WORK_GROUP_SIZE"),
            Map.entry(-55, "CL_INVALID_WORK_ITEM_SIZE"),
            Map.entry(-61, "CL_INVALID_BUFFER_SIZE"),
            Map.entry(-63, "CL_INVALID_GLOBAL_WORK_SIZE"),
            Map.entry(-9999, "NVIDIA: illegal read or write of a buffer"));

    private final MethodHandle getPlatformIds;
    private final MethodHandle getPlatformInfo;
    private final MethodHandle getDeviceIds;
    private final MethodHandle getDeviceInfo;
    private final MethodHandle createContext;
    private final MethodHandle releaseContext;
    private final MethodHandle createQueue;
    private final MethodHandle releaseQueue;
    private final MethodHandle createBuffer;
    private final MethodHandle releaseBuffer;
    private final MethodHandle createProgram;
    private final MethodHandle createProgramWithBinary;
    private final MethodHandle buildProgram;
    private final MethodHandle getProgramBuildInfo;
    private final MethodHandle getProgramInfo;
    private final MethodHandle releaseProgram;
    private final MethodHandle createKernel;
    private final MethodHandle releaseKernel;
    private final MethodHandle setKernelArgument;
    private final MethodHandle enqueueKernel;
    private final MethodHandle enqueueWrite;
    private final MethodHandle enqueueRead;
    private final MethodHandle enqueueCopy;
    private final MethodHandle finish;

    /** The library, or why there is none. */
    sealed interface Found {
        record Here(OpenCl calls) implements Found {}

        /** @param reason in one clause */
        record Missing(String reason) implements Found {}
    }

    private static final class Once {
        static final Found FOUND = load();
    }

    private OpenCl(SymbolLookup library) {
        getPlatformIds = bind(library, "clGetPlatformIDs", JAVA_INT, ADDRESS, ADDRESS);
        getPlatformInfo = bind(library, "clGetPlatformInfo", ADDRESS, JAVA_INT, JAVA_LONG, ADDRESS, ADDRESS);
        getDeviceIds = bind(library, "clGetDeviceIDs", ADDRESS, JAVA_LONG, JAVA_INT, ADDRESS, ADDRESS);
        getDeviceInfo = bind(library, "clGetDeviceInfo", ADDRESS, JAVA_INT, JAVA_LONG, ADDRESS, ADDRESS);
        createContext = bindMaker(library, "clCreateContext", ADDRESS, JAVA_INT, ADDRESS, ADDRESS, ADDRESS, ADDRESS);
        releaseContext = bind(library, "clReleaseContext", ADDRESS);
        createQueue = bindMaker(library, "clCreateCommandQueue", ADDRESS, ADDRESS, JAVA_LONG, ADDRESS);
        releaseQueue = bind(library, "clReleaseCommandQueue", ADDRESS);
        createBuffer = bindMaker(library, "clCreateBuffer", ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS, ADDRESS);
        releaseBuffer = bind(library, "clReleaseMemObject", ADDRESS);
        createProgram = bindMaker(library, "clCreateProgramWithSource", ADDRESS, JAVA_INT, ADDRESS, ADDRESS, ADDRESS);
        createProgramWithBinary = bindMaker(
                library, "clCreateProgramWithBinary", ADDRESS, JAVA_INT, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS);
        buildProgram = bind(library, "clBuildProgram", ADDRESS, JAVA_INT, ADDRESS, ADDRESS, ADDRESS, ADDRESS);
        getProgramBuildInfo =
                bind(library, "clGetProgramBuildInfo", ADDRESS, ADDRESS, JAVA_INT, JAVA_LONG, ADDRESS, ADDRESS);
        getProgramInfo = bind(library, "clGetProgramInfo", ADDRESS, JAVA_INT, JAVA_LONG, ADDRESS, ADDRESS);
        releaseProgram = bind(library, "clReleaseProgram", ADDRESS);
        createKernel = bindMaker(library, "clCreateKernel", ADDRESS, ADDRESS, ADDRESS);
        releaseKernel = bind(library, "clReleaseKernel", ADDRESS);
        setKernelArgument = bind(library, "clSetKernelArg", ADDRESS, JAVA_INT, JAVA_LONG, ADDRESS);
        enqueueKernel = bind(
                library,
                "clEnqueueNDRangeKernel",
                ADDRESS,
                ADDRESS,
                JAVA_INT,
                ADDRESS,
                ADDRESS,
                ADDRESS,
                JAVA_INT,
                ADDRESS,
                ADDRESS);
        enqueueWrite = bind(
                library,
                "clEnqueueWriteBuffer",
                ADDRESS,
                ADDRESS,
                JAVA_INT,
                JAVA_LONG,
                JAVA_LONG,
                ADDRESS,
                JAVA_INT,
                ADDRESS,
                ADDRESS);
        enqueueRead = bind(
                library,
                "clEnqueueReadBuffer",
                ADDRESS,
                ADDRESS,
                JAVA_INT,
                JAVA_LONG,
                JAVA_LONG,
                ADDRESS,
                JAVA_INT,
                ADDRESS,
                ADDRESS);
        enqueueCopy = bind(
                library,
                "clEnqueueCopyBuffer",
                ADDRESS,
                ADDRESS,
                ADDRESS,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_LONG,
                JAVA_INT,
                ADDRESS,
                ADDRESS);
        finish = bind(library, "clFinish", ADDRESS);
    }

    static Found find() {
        return Once.FOUND;
    }

    private static Found load() {
        String system = System.getProperty("os.name").toLowerCase(Locale.ROOT);
        String named = System.getenv(ENVIRONMENT);
        List<String> names = named != null
                ? List.of(named)
                : system.contains("win")
                        ? List.of("OpenCL.dll")
                        : system.contains("mac")
                                ? List.of("/System/Library/Frameworks/OpenCL.framework/OpenCL")
                                : List.of("libOpenCL.so.1", "libOpenCL.so");
        for (String name : names) {
            try {
                return new Found.Here(new OpenCl(SymbolLookup.libraryLookup(name, Arena.global())));
            } catch (IllegalArgumentException absent) {
                continue;
            } catch (DeviceException old) {
                return new Found.Missing(String.valueOf(old.getMessage()));
            }
        }
        return new Found.Missing("no " + names.getFirst() + " here");
    }

    /** A device and the platform that it belongs to. */
    record Id(MemorySegment platform, MemorySegment device) {}

    /** All devices of all platforms, in the order that the drivers tell; those of a platform that fails are left out. */
    List<Id> devices() {
        List<Id> found = new ArrayList<>();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment count = arena.allocate(JAVA_INT);
            MemorySegment platforms = arena.allocate(ADDRESS, MOST);
            int code = (int) getPlatformIds.invokeExact(MOST, platforms, count);
            if (code == PLATFORM_NOT_FOUND) {
                return found;
            }
            check(code, "clGetPlatformIDs");
            int platformCount = Math.min(MOST, count.get(JAVA_INT, 0));
            MemorySegment devices = arena.allocate(ADDRESS, MOST);
            for (int i = 0; i < platformCount; i++) {
                MemorySegment platform = platforms.getAtIndex(ADDRESS, i);
                code = (int) getDeviceIds.invokeExact(platform, DEVICE_TYPE_ALL, MOST, devices, count);
                if (code != 0) {
                    continue; // DEVICE_NOT_FOUND where there is a driver and no device
                }
                for (int k = 0; k < Math.min(MOST, count.get(JAVA_INT, 0)); k++) {
                    found.add(new Id(platform, devices.getAtIndex(ADDRESS, k)));
                }
            }
            return found;
        } catch (Throwable failure) {
            throw rethrow(failure);
        }
    }

    String platformName(Id id) {
        return text((buffer, size) ->
                (int) getPlatformInfo.invokeExact(id.platform(), PLATFORM_NAME, (long) MOST_NAME, buffer, size));
    }

    String deviceText(Id id, int what) {
        return text(
                (buffer, size) -> (int) getDeviceInfo.invokeExact(id.device(), what, (long) MOST_NAME, buffer, size));
    }

    private interface TextCall {
        int into(MemorySegment buffer, MemorySegment size) throws Throwable;
    }

    private static String text(TextCall call) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(MOST_NAME + 1);
            MemorySegment size = arena.allocate(JAVA_LONG);
            check(call.into(buffer, size), "asking for a name");
            return buffer.getString(0, StandardCharsets.UTF_8).strip();
        } catch (Throwable failure) {
            throw rethrow(failure);
        }
    }

    /** A number of 4 or 8 bytes, as the specification says for each. */
    long deviceNumber(Id id, int what) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(JAVA_LONG);
            MemorySegment size = arena.allocate(JAVA_LONG);
            check(
                    (int) getDeviceInfo.invokeExact(id.device(), what, JAVA_LONG.byteSize(), value, size),
                    "clGetDeviceInfo");
            return size.get(JAVA_LONG, 0) == Integer.BYTES
                    ? Integer.toUnsignedLong(value.get(JAVA_INT, 0))
                    : value.get(JAVA_LONG, 0);
        } catch (Throwable failure) {
            throw rethrow(failure);
        }
    }

    MemorySegment createContext(Id id) {
        return make("clCreateContext", (arena, code) -> {
            MemorySegment devices = arena.allocateFrom(ADDRESS, id.device());
            return (MemorySegment) createContext.invokeExact(
                    MemorySegment.NULL, 1, devices, MemorySegment.NULL, MemorySegment.NULL, code);
        });
    }

    void releaseContext(MemorySegment context) {
        run("clReleaseContext", () -> (int) releaseContext.invokeExact(context));
    }

    MemorySegment createQueue(MemorySegment context, Id id) {
        return make("clCreateCommandQueue", (_, code) ->
                (MemorySegment) createQueue.invokeExact(context, id.device(), 0L, code));
    }

    void releaseQueue(MemorySegment queue) {
        run("clReleaseCommandQueue", () -> (int) releaseQueue.invokeExact(queue));
    }

    MemorySegment createBuffer(MemorySegment context, long bytes) {
        return make("clCreateBuffer of " + bytes + " bytes", (_, code) ->
                (MemorySegment) createBuffer.invokeExact(context, MEM_READ_WRITE, bytes, MemorySegment.NULL, code));
    }

    void releaseBuffer(MemorySegment buffer) {
        run("clReleaseMemObject", () -> (int) releaseBuffer.invokeExact(buffer));
    }

    MemorySegment createProgram(MemorySegment context, String source) {
        return make("clCreateProgramWithSource", (arena, code) -> {
            MemorySegment sources = arena.allocateFrom(ADDRESS, arena.allocateFrom(source));
            return (MemorySegment) createProgram.invokeExact(context, 1, sources, MemorySegment.NULL, code);
        });
    }

    MemorySegment createProgram(MemorySegment context, Id id, byte[] binary) {
        return make("clCreateProgramWithBinary", (arena, code) -> {
            MemorySegment devices = arena.allocateFrom(ADDRESS, id.device());
            MemorySegment sizes = arena.allocateFrom(JAVA_LONG, binary.length);
            MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_BYTE, binary);
            MemorySegment binaries = arena.allocateFrom(ADDRESS, bytes);
            return (MemorySegment)
                    createProgramWithBinary.invokeExact(context, 1, devices, sizes, binaries, MemorySegment.NULL, code);
        });
    }

    /** @throws DeviceException with the compiler's own words */
    void buildProgram(MemorySegment program, Id id, String options, String unit) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment devices = arena.allocateFrom(ADDRESS, id.device());
            int code = (int) buildProgram.invokeExact(
                    program, 1, devices, arena.allocateFrom(options), MemorySegment.NULL, MemorySegment.NULL);
            if (code != 0) {
                throw new DeviceException("clBuildProgram of the kernels of " + unit + ": " + name(code) + "\n"
                        + buildLog(program, id, arena));
            }
        } catch (Throwable failure) {
            throw rethrow(failure);
        }
    }

    private String buildLog(MemorySegment program, Id id, Arena arena) throws Throwable {
        MemorySegment size = arena.allocate(JAVA_LONG);
        check(
                (int) getProgramBuildInfo.invokeExact(
                        program, id.device(), PROGRAM_BUILD_LOG, 0L, MemorySegment.NULL, size),
                "clGetProgramBuildInfo");
        long bytes = size.get(JAVA_LONG, 0);
        if (bytes < 1 || bytes > MOST_TEXT) {
            return "the compiler's log has " + bytes + " bytes";
        }
        MemorySegment log = arena.allocate(bytes + 1);
        check(
                (int) getProgramBuildInfo.invokeExact(
                        program, id.device(), PROGRAM_BUILD_LOG, bytes, log, MemorySegment.NULL),
                "clGetProgramBuildInfo");
        return log.getString(0, StandardCharsets.UTF_8).strip();
    }

    /** What the compiler made, for one device; empty if the driver does not tell. */
    byte[] programBinary(MemorySegment program) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment size = arena.allocate(JAVA_LONG);
            check(
                    (int) getProgramInfo.invokeExact(
                            program, PROGRAM_BINARY_SIZES, JAVA_LONG.byteSize(), size, MemorySegment.NULL),
                    "clGetProgramInfo");
            long bytes = size.get(JAVA_LONG, 0);
            if (bytes < 1 || bytes > MOST_BINARY) {
                return new byte[0];
            }
            MemorySegment binary = arena.allocate(bytes);
            MemorySegment binaries = arena.allocateFrom(ADDRESS, binary);
            check(
                    (int) getProgramInfo.invokeExact(
                            program, PROGRAM_BINARIES, ADDRESS.byteSize(), binaries, MemorySegment.NULL),
                    "clGetProgramInfo");
            return binary.toArray(ValueLayout.JAVA_BYTE);
        } catch (Throwable failure) {
            throw rethrow(failure);
        }
    }

    void releaseProgram(MemorySegment program) {
        run("clReleaseProgram", () -> (int) releaseProgram.invokeExact(program));
    }

    MemorySegment createKernel(MemorySegment program, String name) {
        return make("clCreateKernel of " + name, (arena, code) ->
                (MemorySegment) createKernel.invokeExact(program, arena.allocateFrom(name), code));
    }

    void releaseKernel(MemorySegment kernel) {
        run("clReleaseKernel", () -> (int) releaseKernel.invokeExact(kernel));
    }

    /** @param value native memory that holds the value: an int, a float, a handle */
    void setArgument(MemorySegment kernel, int index, long bytes, MemorySegment value, String name) {
        try {
            int code = (int) setKernelArgument.invokeExact(kernel, index, bytes, value);
            if (code != 0) {
                check(code, "clSetKernelArg " + index + " of " + name);
            }
        } catch (Throwable failure) {
            throw rethrow(failure);
        }
    }

    /** @param sizes native memory: global and local sizes, two each */
    void enqueueKernel(MemorySegment queue, MemorySegment kernel, MemorySegment sizes, String name) {
        try {
            int code = (int) enqueueKernel.invokeExact(
                    queue,
                    kernel,
                    2,
                    MemorySegment.NULL,
                    sizes,
                    sizes.asSlice(2 * JAVA_LONG.byteSize()),
                    0,
                    MemorySegment.NULL,
                    MemorySegment.NULL);
            if (code != 0) {
                check(code, "clEnqueueNDRangeKernel of " + name);
            }
        } catch (Throwable failure) {
            throw rethrow(failure);
        }
    }

    /** Returns when native memory was copied. */
    void write(MemorySegment queue, MemorySegment buffer, long offset, MemorySegment from) {
        run("clEnqueueWriteBuffer", () -> (int) enqueueWrite.invokeExact(
                queue, buffer, 1, offset, from.byteSize(), from, 0, MemorySegment.NULL, MemorySegment.NULL));
    }

    /** Returns when native memory was filled. */
    void read(MemorySegment queue, MemorySegment buffer, long offset, MemorySegment to) {
        run("clEnqueueReadBuffer", () -> (int) enqueueRead.invokeExact(
                queue, buffer, 1, offset, to.byteSize(), to, 0, MemorySegment.NULL, MemorySegment.NULL));
    }

    void copy(MemorySegment queue, MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long bytes) {
        run("clEnqueueCopyBuffer", () -> (int) enqueueCopy.invokeExact(
                queue, from, to, fromOffset, toOffset, bytes, 0, MemorySegment.NULL, MemorySegment.NULL));
    }

    void finish(MemorySegment queue) {
        run("clFinish", () -> (int) finish.invokeExact(queue));
    }

    // -------------------------------------------------------------------------------------------------- how calls go

    private interface Call {
        int go() throws Throwable;
    }

    private interface Maker {
        MemorySegment go(Arena arena, MemorySegment code) throws Throwable;
    }

    private static void run(String name, Call call) {
        try {
            check(call.go(), name);
        } catch (Throwable failure) {
            throw rethrow(failure);
        }
    }

    private static MemorySegment make(String name, Maker maker) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment code = arena.allocate(JAVA_INT);
            MemorySegment made = maker.go(arena, code);
            check(code.get(JAVA_INT, 0), name);
            return made;
        } catch (Throwable failure) {
            throw rethrow(failure);
        }
    }

    private static void check(int code, String call) {
        if (code != 0) {
            throw new DeviceException(call + ": " + name(code), LOST.contains(code));
        }
    }

    private static String name(int code) {
        return CODES.getOrDefault(code, "error") + " (" + code + ")";
    }

    /** Handles declare Throwable; what they throw is unchecked. */
    private static RuntimeException rethrow(Throwable failure) {
        return switch (failure) {
            case RuntimeException unchecked -> unchecked;
            case Error error -> throw error;
            default -> new IllegalStateException(failure);
        };
    }

    private static MethodHandle bind(SymbolLookup library, String symbol, MemoryLayout... parameters) {
        return bindAs(library, symbol, FunctionDescriptor.of(JAVA_INT, parameters));
    }

    /** A call that returns a handle and writes its code to where its last parameter points. */
    private static MethodHandle bindMaker(SymbolLookup library, String symbol, MemoryLayout... parameters) {
        return bindAs(library, symbol, FunctionDescriptor.of(ADDRESS, parameters));
    }

    private static MethodHandle bindAs(SymbolLookup library, String symbol, FunctionDescriptor descriptor) {
        MemorySegment address =
                library.find(symbol).orElseThrow(() -> new DeviceException("the OpenCL library here has no " + symbol));
        return Linker.nativeLinker().downcallHandle(address, descriptor);
    }
}
