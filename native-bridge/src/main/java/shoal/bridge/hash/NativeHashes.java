package shoal.bridge.hash;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import shoal.bridge.library.NativeLibrary;

/** The functions of {@code hash.c}, each bound once, and what this processor offers them. */
final class NativeHashes {
    /** Bits of {@code shoal_hash_variants}. */
    static final int AVX512 = 1;

    static final int AVX2 = 2;
    static final int SHA_NI = 4;

    private final MethodHandle sha256;
    private final MethodHandle blake3;
    private final int variants;

    /** @throws IllegalStateException if the library has not these functions */
    NativeHashes(NativeLibrary.Loaded library) {
        sha256 = library.bind(
                "shoal_sha256", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS));
        blake3 = library.bind(
                "shoal_blake3",
                FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG, JAVA_LONG, ADDRESS));
        MethodHandle found = library.bind("shoal_hash_variants", FunctionDescriptor.of(JAVA_INT));
        try {
            variants = (int) found.invokeExact();
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** The bits of what processor and system have. */
    int variants() {
        return variants;
    }

    /** Ways to compute SHA-256 of many blocks, as sets of bits; the widest first. */
    List<Integer> sha256Variants() {
        var ways = new ArrayList<Integer>();
        int pairs = variants & SHA_NI;
        if (pairs != 0) {
            if ((variants & AVX512) != 0) {
                ways.add(AVX512 | SHA_NI);
            }
            ways.add(SHA_NI);
        } else if ((variants & AVX512) != 0) {
            ways.add(AVX512);
        }
        if ((variants & AVX2) != 0) {
            ways.add(AVX2 | pairs);
        }
        return ways;
    }

    static String nameOf(int variant) {
        var names = new ArrayList<String>();
        if ((variant & AVX512) != 0) {
            names.add("avx512");
        }
        if ((variant & AVX2) != 0) {
            names.add("avx2");
        }
        if ((variant & SHA_NI) != 0) {
            names.add("sha-ni");
        }
        return "native-" + String.join("+", names);
    }

    /** @param messages count addresses; all segments are native */
    void sha256(int variant, MemorySegment messages, long count, long length, MemorySegment hashes) {
        int result;
        try {
            result = (int) sha256.invokeExact(variant, messages, count, length, hashes);
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
        require(result, variant);
    }

    void blake3(int variant, MemorySegment input, long count, long blocks, long counter, MemorySegment values) {
        int result;
        try {
            result = (int) blake3.invokeExact(variant, input, count, blocks, counter, values);
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
        require(result, variant);
    }

    private static void require(int result, int variant) {
        if (result != 0) {
            throw new IllegalStateException("this processor has no " + nameOf(variant));
        }
    }
}
