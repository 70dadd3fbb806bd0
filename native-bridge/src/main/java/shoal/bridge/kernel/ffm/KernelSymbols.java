package shoal.bridge.kernel.ffm;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.host.AttentionBlock;
import shoal.bridge.kernel.host.HostSequence;
import shoal.bridge.library.NativeLibrary;

/**
 * The kernels' functions in the native library (shoal.h says what each does). Calls with arrays are critical: they hold up the
 * garbage collector, so whoever calls keeps each of them to a few milliseconds.
 */
final class KernelSymbols {
    private final MethodHandle levels;
    private final MethodHandle packedBytes;
    private final MethodHandle scratchBytes;
    private final MethodHandle pack;
    private final MethodHandle multiply;
    private final MethodHandle attendBytes;
    private final MethodHandle attend;
    private final MethodHandle gate;
    private final MethodHandle sumOfSquares;

    /** @throws IllegalStateException if the library lacks a symbol */
    KernelSymbols(NativeLibrary.Loaded library) {
        var critical = Linker.Option.critical(true);
        levels = library.bind("shoal_levels", FunctionDescriptor.of(JAVA_INT));
        packedBytes = library.bind("shoal_packed_bytes", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_INT));
        scratchBytes = library.bind("shoal_scratch_bytes", FunctionDescriptor.of(JAVA_LONG, JAVA_INT));
        pack = library.bind(
                "shoal_pack",
                FunctionDescriptor.ofVoid(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS),
                critical);
        multiply = library.bind(
                "shoal_multiply",
                FunctionDescriptor.of(
                        JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, ADDRESS, JAVA_INT,
                        ADDRESS, JAVA_LONG),
                critical);
        gate = library.bind(
                "shoal_gate", FunctionDescriptor.ofVoid(JAVA_INT, JAVA_INT, ADDRESS, ADDRESS, JAVA_INT), critical);
        sumOfSquares = library.bind(
                "shoal_sum_of_squares", FunctionDescriptor.of(JAVA_FLOAT, JAVA_INT, ADDRESS, JAVA_INT), critical);
        attendBytes =
                library.bind("shoal_attend_bytes", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT));
        attend = library.bind(
                "shoal_attend",
                FunctionDescriptor.of(
                        JAVA_INT,
                        JAVA_INT,
                        JAVA_INT,
                        ADDRESS,
                        JAVA_LONG,
                        JAVA_LONG,
                        JAVA_INT,
                        JAVA_INT,
                        JAVA_INT,
                        JAVA_INT,
                        ADDRESS,
                        ADDRESS,
                        JAVA_INT,
                        JAVA_FLOAT,
                        JAVA_INT,
                        JAVA_FLOAT,
                        ADDRESS,
                        ADDRESS),
                critical);
    }

    /** Those that were compiled and run on this CPU, slowest first. */
    List<InstructionSet> levels() {
        int bits;
        try {
            bits = (int) levels.invokeExact();
        } catch (Throwable failure) {
            throw unexpected(failure);
        }
        List<InstructionSet> runnable = new ArrayList<>();
        for (InstructionSet level : InstructionSet.values()) {
            if ((bits >>> level.ordinal() & 1) != 0) {
                runnable.add(level);
            }
        }
        return runnable;
    }

    long packedBytes(int width, int tokens) {
        try {
            return (long) packedBytes.invokeExact(width, tokens);
        } catch (Throwable failure) {
            throw unexpected(failure);
        }
    }

    long scratchBytes(int columns) {
        try {
            return (long) scratchBytes.invokeExact(columns);
        } catch (Throwable failure) {
            throw unexpected(failure);
        }
    }

    void pack(InstructionSet level, MemorySegment x, int width, int tokens, int from, int to, MemorySegment packed) {
        try {
            pack.invokeExact(level.ordinal(), x, width, tokens, from, to, packed);
        } catch (Throwable failure) {
            throw unexpected(failure);
        }
    }

    /** @throws IllegalStateException if the library has no kernel for the type */
    void multiply(
            InstructionSet level,
            int type,
            MemorySegment w,
            int rows,
            int columns,
            MemorySegment x,
            int tokens,
            MemorySegment out,
            int outStride,
            MemorySegment scratch) {
        int rc;
        try {
            rc = (int) multiply.invokeExact(
                    level.ordinal(), type, w, rows, columns, x, tokens, out, outStride, scratch, scratch.byteSize());
        } catch (Throwable failure) {
            throw unexpected(failure);
        }
        if (rc != 0) {
            throw new IllegalStateException("the native library has no kernel for type " + type);
        }
    }

    long attendBytes(int size, int queries, int positions) {
        try {
            return (long) attendBytes.invokeExact(size, queries, positions);
        } catch (Throwable failure) {
            throw unexpected(failure);
        }
    }

    /** @param pages addresses of the pages from the first position on that is seen; they must stay where they are */
    void attend(
            InstructionSet level,
            AttentionBlock block,
            MemorySegment pages,
            MemorySegment queries,
            MemorySegment out,
            MemorySegment sinks,
            MemorySegment scratch) {
        HostSequence sequence = block.sequence();
        CacheShape shape = sequence.shape();
        int rc;
        try {
            rc = (int) attend.invokeExact(
                    level.ordinal(),
                    cacheNumber(shape.type()),
                    pages,
                    sequence.keysOffset(block.layer(), block.kvHead()),
                    sequence.valuesOffset(block.layer(), block.kvHead()),
                    shape.headSize(),
                    block.firstPosition(),
                    block.rows(),
                    block.heads(),
                    queries,
                    out,
                    block.stride(),
                    block.rule().scale(),
                    block.rule().window(),
                    block.rule().softCap(),
                    sinks,
                    scratch);
        } catch (Throwable failure) {
            throw unexpected(failure);
        }
        if (rc != 0) {
            throw new IllegalStateException("the native library has no attention over a cache of type " + shape.type());
        }
    }

    void gate(InstructionSet level, boolean gelu, MemorySegment gates, MemorySegment up, int count) {
        try {
            gate.invokeExact(level.ordinal(), gelu ? 1 : 0, gates, up, count);
        } catch (Throwable failure) {
            throw unexpected(failure);
        }
    }

    float sumOfSquares(InstructionSet level, MemorySegment values, int count) {
        try {
            return (float) sumOfSquares.invokeExact(level.ordinal(), values, count);
        } catch (Throwable failure) {
            throw unexpected(failure);
        }
    }

    /** As shoal.h numbers them. */
    private static int cacheNumber(CacheType type) {
        return switch (type) {
            case F32 -> 0;
            case F16 -> 1;
            case Q8_0 -> 2;
        };
    }

    private static RuntimeException unexpected(Throwable failure) {
        if (failure instanceof RuntimeException unchecked) {
            return unchecked;
        }
        if (failure instanceof Error error) {
            throw error;
        }
        return new IllegalStateException(failure);
    }
}
