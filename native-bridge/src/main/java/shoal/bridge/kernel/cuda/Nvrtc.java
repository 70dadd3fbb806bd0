package shoal.bridge.kernel.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.device.DeviceException;
import shoal.bridge.kernel.device.KernelUnit;

/** NVIDIA's compiler as a library (NVRTC): CUDA C++ to PTX where the program runs. */
final class Nvrtc {
    private static final System.Logger LOG = System.getLogger(Nvrtc.class.getName());
    private static final List<String> NAMES =
            List.of("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so", "nvrtc64_130_0.dll");

    /** Names a library by its path, before all others. */
    static final String ENVIRONMENT = "SHOAL_NVRTC";

    /** Products are fused where the kernels say fma and nowhere else. */
    static final String EXACT = "--fmad=false";

    private static final int MOST_ARCHITECTURES = 256;
    private static final long MOST_TEXT = 1 << 28;

    private final MethodHandle version;
    private final MethodHandle architectureCount;
    private final MethodHandle architectures;
    private final MethodHandle create;
    private final MethodHandle compile;
    private final MethodHandle resultSize;
    private final MethodHandle result;
    private final MethodHandle logSize;
    private final MethodHandle log;
    private final MethodHandle destroy;

    private Nvrtc(SymbolLookup library) {
        version = bind(library, "nvrtcVersion", ADDRESS, ADDRESS);
        architectureCount = bind(library, "nvrtcGetNumSupportedArchs", ADDRESS);
        architectures = bind(library, "nvrtcGetSupportedArchs", ADDRESS);
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

    /** Null if the library is not here: neither where $SHOAL_NVRTC says, nor where libraries usually lie. */
    static @Nullable Nvrtc find() {
        String named = System.getenv(ENVIRONMENT);
        if (named != null && !named.isEmpty()) {
            return load(named);
        }
        for (String name : NAMES) {
            Nvrtc found = load(name);
            if (found != null) {
                return found;
            }
        }
        return null;
    }

    /** @param name of the library, or its path */
    static @Nullable Nvrtc load(String name) {
        try {
            loadBuiltins(Path.of(name).getParent());
            return new Nvrtc(SymbolLookup.libraryLookup(name, Arena.global()));
        } catch (IllegalArgumentException | DeviceException absent) {
            return null;
        }
    }

    /** What NVRTC loads by name alone when it compiles: found then, since it is there already. Lies beside it. */
    private static void loadBuiltins(@Nullable Path folder) {
        if (folder == null || !Files.isDirectory(folder)) {
            return;
        }
        try (Stream<Path> files = Files.list(folder)) {
            files.filter(file -> file.toString().contains("libnvrtc-builtins.so."))
                    .forEach(file -> SymbolLookup.libraryLookup(file.toAbsolutePath(), Arena.global()));
        } catch (IOException | IllegalArgumentException unreadable) {
            LOG.log(System.Logger.Level.DEBUG, "{0}: {1}", folder, unreadable.getMessage());
        }
    }

    /** Such as 13.0. */
    String version() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment numbers = arena.allocate(JAVA_INT, 2);
            check((int) version.invokeExact(numbers, numbers.asSlice(JAVA_INT.byteSize())), "nvrtcVersion");
            return numbers.getAtIndex(JAVA_INT, 0) + "." + numbers.getAtIndex(JAVA_INT, 1);
        } catch (RuntimeException | Error failure) {
            throw failure;
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** Compute capabilities that it compiles for, times 10, rising: 75, 80 and so on. */
    List<Integer> architectures() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment count = arena.allocate(JAVA_INT);
            check((int) architectureCount.invokeExact(count), "nvrtcGetNumSupportedArchs");
            int number = Math.clamp(count.get(JAVA_INT, 0), 0, MOST_ARCHITECTURES);
            MemorySegment found = arena.allocate(JAVA_INT, Math.max(1, number));
            check((int) architectures.invokeExact(found), "nvrtcGetSupportedArchs");
            return IntStream.range(0, number)
                    .mapToObj(i -> found.getAtIndex(JAVA_INT, i))
                    .toList();
        } catch (RuntimeException | Error failure) {
            throw failure;
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    static String option(int architecture) {
        return "--gpu-architecture=compute_" + architecture;
    }

    /**
     * @param architecture a compute capability times 10
     * @throws DeviceException with the compiler's own words
     */
    String ptx(KernelUnit unit, int architecture) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment handle = arena.allocate(ADDRESS);
            check(
                    (int) create.invokeExact(
                            handle,
                            arena.allocateFrom(unit.cudaSource()),
                            arena.allocateFrom(unit.name() + ".cu"),
                            0,
                            MemorySegment.NULL,
                            MemorySegment.NULL),
                    "nvrtcCreateProgram");
            MemorySegment program = handle.get(ADDRESS, 0);
            try {
                MemorySegment options = arena.allocate(ADDRESS, 2);
                options.setAtIndex(ADDRESS, 0, arena.allocateFrom(option(architecture)));
                options.setAtIndex(ADDRESS, 1, arena.allocateFrom(EXACT));
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
