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
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.device.DeviceException;

/** NVIDIA's library of matrix products (cuBLAS), to be measured against; no stage needs it (cublas_api.h, library_types.h). */
final class Cublas {
    /** Names a library by its path, before all others. */
    static final String ENVIRONMENT = "SHOAL_CUBLAS";

    private static final List<String> NAMES =
            List.of("libcublas.so.13", "libcublas.so.12", "libcublas.so.11", "libcublas.so", "cublas64_13.dll");

    private static final int TRANSPOSED = 1;
    private static final int AS_IT_IS = 0;
    private static final int CHOOSE = -1;
    private static final int WARM_UP = 3;
    private static final int ROUNDS = 5;
    private static final int TIMES = 10;

    private final MethodHandle create;
    private final MethodHandle destroy;
    private final MethodHandle setStream;
    private final MethodHandle multiply;

    /** How numbers are named there: of the factors, of the product, and for the sums. */
    private enum Precision {
        F16(2, 2, 68),
        BF16(14, 14, 68),
        S8(3, 10, 72);

        private final int factors;
        private final int product;
        private final int sums;

        Precision(int factors, int product, int sums) {
            this.factors = factors;
            this.product = product;
            this.sums = sums;
        }
    }

    private Cublas(SymbolLookup library) {
        create = bind(library, "cublasCreate_v2", ADDRESS);
        destroy = bind(library, "cublasDestroy_v2", ADDRESS);
        setStream = bind(library, "cublasSetStream_v2", ADDRESS, ADDRESS);
        multiply = bind(
                library,
                "cublasGemmEx",
                ADDRESS,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                ADDRESS,
                JAVA_LONG,
                JAVA_INT,
                JAVA_INT,
                JAVA_LONG,
                JAVA_INT,
                JAVA_INT,
                ADDRESS,
                JAVA_LONG,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT,
                JAVA_INT);
    }

    private static MethodHandle bind(SymbolLookup library, String symbol, MemoryLayout... parameters) {
        MemorySegment address =
                library.find(symbol).orElseThrow(() -> new DeviceException("the cuBLAS here has no " + symbol));
        return Linker.nativeLinker().downcallHandle(address, FunctionDescriptor.of(JAVA_INT, parameters));
    }

    /** Null if the library is not here. */
    static @Nullable Cublas find() {
        String named = System.getenv(ENVIRONMENT);
        for (String name : named == null || named.isEmpty() ? NAMES : List.of(named)) {
            try {
                return new Cublas(SymbolLookup.libraryLookup(name, Arena.global()));
            } catch (IllegalArgumentException | DeviceException absent) {
                continue;
            }
        }
        return null;
    }

    /**
     * Operations a second with square matrices, by the name of their numbers; those that the GPU does not do are left out. The best of a
     * few rounds.
     *
     * @param a, b, c device memory of four bytes for each number
     * @param wait until the stream has done all
     */
    Map<String, Double> rates(int rows, long a, long b, long c, MemorySegment stream, Runnable wait) {
        Map<String, Double> rates = new LinkedHashMap<>();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment place = arena.allocate(ADDRESS);
            check((int) create.invokeExact(place), "cublasCreate");
            MemorySegment handle = place.get(ADDRESS, 0);
            try {
                check((int) setStream.invokeExact(handle, stream), "cublasSetStream");
                for (Precision precision : Precision.values()) {
                    Double rate = rate(handle, rows, a, b, c, precision, wait, arena);
                    if (rate != null) {
                        rates.put(precision.name(), rate);
                    }
                }
            } finally {
                check((int) destroy.invokeExact(handle), "cublasDestroy");
            }
            return rates;
        } catch (RuntimeException | Error failure) {
            throw failure;
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private @Nullable Double rate(
            MemorySegment handle, int rows, long a, long b, long c, Precision precision, Runnable wait, Arena arena)
            throws Throwable {
        // Factors are F32 where sums are, else whole numbers of 32 bits.
        MemorySegment one = precision == Precision.S8
                ? arena.allocateFrom(JAVA_INT, 1)
                : arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1);
        MemorySegment zero = arena.allocate(JAVA_INT);
        long best = Long.MAX_VALUE;
        for (int round = 0; round < ROUNDS + WARM_UP; round++) {
            long begun = System.nanoTime();
            for (int i = 0; i < TIMES; i++) {
                int code = (int) multiply.invokeExact(
                        handle,
                        TRANSPOSED,
                        AS_IT_IS,
                        rows,
                        rows,
                        rows,
                        one,
                        a,
                        precision.factors,
                        rows,
                        b,
                        precision.factors,
                        rows,
                        zero,
                        c,
                        precision.product,
                        rows,
                        precision.sums,
                        CHOOSE);
                if (code != 0) {
                    return null;
                }
            }
            wait.run();
            if (round >= WARM_UP) {
                best = Math.min(best, Math.max(1, System.nanoTime() - begun));
            }
        }
        return 2.0 * rows * rows * rows * TIMES / best * 1e9;
    }

    private static void check(int code, String call) {
        if (code != 0) {
            throw new DeviceException(call + ": error " + code);
        }
    }
}
