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
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.KernelUnit;

/** NVIDIA's compiler as a library (NVRTC): CUDA C++ to PTX where the program runs. */
final class Nvrtc {
    private static final List<String> NAMES =
            List.of("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so", "nvrtc64_130_0.dll");
    private static final long MOST_TEXT = 1 << 28;

    private final MethodHandle create;
    private final MethodHandle compile;
    private final MethodHandle resultSize;
    private final MethodHandle result;
    private final MethodHandle logSize;
    private final MethodHandle log;
    private final MethodHandle destroy;

    private Nvrtc(SymbolLookup library) {
        create = bind(library, "nvrtcCreateProgram", ADDRESS, ADDRESS, ADDRESS, JAVA_INT, ADDRESS, ADDRESS);
        compile = bind(library, "nvrtcCompileProgram", ADDRESS, JAVA_INT, ADDRESS);
        resultSize = bind(library, "nvrtcGetPTXSize", ADDRESS, ADDRESS);
        result = bind(library, "nvrtcGetPTX", ADDRESS, ADDRESS);
        logSize = bind(library, "nvrtcGetProgramLogSize", ADDRESS, ADDRESS);
        log = bind(library, "nvrtcGetProgramLog", ADDRESS, ADDRESS);
        destroy = bind(library, "nvrtcDestroyProgram", ADDRESS);
    }

    private static MethodHandle bind(SymbolLookup library, String symbol, MemoryLayout... parameters) {
        MemorySegment address =
                library.find(symbol).orElseThrow(() -> new DeviceException("the NVRTC here has no " + symbol));
        return Linker.nativeLinker().downcallHandle(address, FunctionDescriptor.of(JAVA_INT, parameters));
    }

    /** Null if the library is not here. */
    static @Nullable Nvrtc find() {
        for (String name : NAMES) {
            try {
                return new Nvrtc(SymbolLookup.libraryLookup(name, Arena.global()));
            } catch (IllegalArgumentException | DeviceException absent) {
                continue;
            }
        }
        return null;
    }

    /** @throws DeviceException with the compiler's own words */
    String ptx(KernelUnit unit, String architecture) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment handle = arena.allocate(ADDRESS);
            check(
                    (int) create.invokeExact(
                            handle,
                            arena.allocateFrom(unit.source()),
                            arena.allocateFrom(unit.name() + ".cu"),
                            0,
                            MemorySegment.NULL,
                            MemorySegment.NULL),
                    "nvrtcCreateProgram");
            MemorySegment program = handle.get(ADDRESS, 0);
            try {
                MemorySegment options = arena.allocate(ADDRESS, 2);
                options.setAtIndex(ADDRESS, 0, arena.allocateFrom("--gpu-architecture=" + architecture));
                options.setAtIndex(ADDRESS, 1, arena.allocateFrom("--fmad=false"));
                int code = (int) compile.invokeExact(program, 2, options);
                if (code != 0) {
                    throw new DeviceException("nvrtcCompileProgram of the kernels of " + unit.name() + ": error " + code
                            + "\n" + text(program, logSize, log, arena));
                }
                return text(program, resultSize, result, arena);
            } finally {
                check((int) destroy.invokeExact(handle), "nvrtcDestroyProgram");
            }
        } catch (RuntimeException | Error failure) {
            throw failure;
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static String text(MemorySegment program, MethodHandle size, MethodHandle get, Arena arena)
            throws Throwable {
        MemorySegment bytes = arena.allocate(JAVA_LONG);
        check((int) size.invokeExact(program, bytes), "asking NVRTC for a size");
        long count = bytes.get(JAVA_LONG, 0);
        if (count < 1 || count > MOST_TEXT) {
            throw new DeviceException("NVRTC's text has " + count + " bytes, allowed are 1 to " + MOST_TEXT);
        }
        MemorySegment text = arena.allocate(count + 1);
        check((int) get.invokeExact(program, text), "asking NVRTC for a text");
        return text.getString(0);
    }

    private static void check(int code, String call) {
        if (code != 0) {
            throw new DeviceException(call + ": error " + code);
        }
    }
}
