package shoal.bridge.kernel.ffm;

import java.lang.foreign.MemorySegment;
import java.util.Random;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.host.ComputePool;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostOperations;
import shoal.bridge.kernel.host.HostWeights;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/** Holds kernels to the plain loops on a few random blocks before they are used: a compiler, or a CPU, may be wrong. */
final class SelfCheck {
    private static final int ROWS = 5;

    /** For one the row kernels run, for nine those that pack panels. */
    private static final int[] TOKENS = {1, 9};

    private SelfCheck() {}

    /** What is wrong with some operations, or null. */
    static @Nullable String failure(HostOperations operations) {
        try (var pool = new ComputePool(1)) {
            return failure(operations, pool);
        }
    }

    private static @Nullable String failure(HostOperations operations, ComputePool pool) {
        var oracle = new ScalarOperations();
        Random random = new Random(7);
        for (GgmlType type : new TreeSet<>(NativeOperations.TYPES)) {
            int columns = type.blockValues() == 256 ? 768 : type.blockValues() > 1 ? 18 * 32 : 35;
            var weights = new HostWeights(type, ROWS, columns, blocks(type, ROWS * columns, random));
            for (int tokens : TOKENS) {
                var x = HostBuffer.of(columns, floats(tokens * columns, random));
                float[] expected = product(oracle, weights, x, tokens, pool);
                float[] found = product(operations, weights, x, tokens, pool);
                for (int i = 0; i < expected.length; i++) {
                    if (Float.compare(expected[i], found[i]) != 0) {
                        return type + " times " + tokens + " tokens gives " + found[i] + " where the plain loops give "
                                + expected[i];
                    }
                }
            }
        }
        return null;
    }

    private static float[] product(
            HostOperations operations, HostWeights weights, HostBuffer x, int tokens, ComputePool pool) {
        float[] out = new float[tokens * ROWS];
        operations.prepare(weights, x, tokens, pool, 1);
        operations.multiply(weights, 0, ROWS, x, tokens, out, ROWS, 0);
        return out;
    }

    private static float[] floats(int count, Random random) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    /** Random bytes, but for scales, which are below 2. */
    private static MemorySegment blocks(GgmlType type, int values, Random random) {
        byte[] bytes = new byte[(int) type.sizeBytes(values)];
        random.nextBytes(bytes);
        for (int at = 0; at < bytes.length; at += type.blockBytes()) {
            for (int exponent : exponents(type)) {
                bytes[at + exponent] &= type == GgmlType.MXFP4 ? 0x7f : (byte) 0xbf;
            }
        }
        return MemorySegment.ofArray(bytes);
    }

    /** The bytes of a block that hold the exponents of its scales. */
    private static int[] exponents(GgmlType type) {
        return switch (type) {
            case F32 -> new int[] {3};
            case Q4_1, Q5_1, Q4_K, Q5_K -> new int[] {1, 3};
            case Q2_K -> new int[] {81, 83};
            case Q3_K -> new int[] {109};
            case Q6_K -> new int[] {209};
            case MXFP4 -> new int[] {0};
            default -> new int[] {1};
        };
    }
}
