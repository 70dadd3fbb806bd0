package shoal.bridge.kernel.ffm;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.kernel.host.ComputePool;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostKernels;
import shoal.bridge.kernel.host.HostOperations;
import shoal.bridge.kernel.host.HostSequence;
import shoal.bridge.kernel.host.HostWeights;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.gguf.GgmlType;

/** Holds kernels to the plain loops on a few random blocks before they are used: a compiler, or a CPU, may be wrong. */
final class SelfCheck {
    private static final int ROWS = 5;
    private static final int HEAD = 32;

    /** For one and four the row kernels run, for nine those that pack panels. */
    private static final int[] TOKENS = {1, 4, 9};

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
        String failure = elementsFailure(operations, oracle, floats(39, random), floats(39, random));
        return failure == null ? attentionFailure(operations, oracle, random) : failure;
    }

    private static @Nullable String elementsFailure(
            HostOperations operations, HostOperations oracle, float[] values, float[] up) {
        if (oracle.sumOfSquares(values, 1, values.length - 1)
                != operations.sumOfSquares(values, 1, values.length - 1)) {
            return "the sum of " + (values.length - 1) + " squares is not what the plain loops give";
        }
        for (Op.Gating gating : Op.Gating.values()) {
            float[] expected = values.clone();
            float[] found = values.clone();
            oracle.gate(expected, up, gating, 1, values.length);
            operations.gate(found, up, gating, 1, values.length);
            int at = Arrays.mismatch(expected, found);
            if (at >= 0) {
                return gating + " gives " + found[at] + " where the plain loops give " + expected[at];
            }
        }
        return null;
    }

    /** Two heads over one KV head, more positions than a page has, in each type of cache. */
    private static @Nullable String attentionFailure(HostOperations operations, HostOperations oracle, Random random) {
        int tokens = HostSequence.PAGE_POSITIONS + 3;
        float[] input = floats(tokens * 2 * HEAD, random);
        for (CacheType type : CacheType.values()) {
            float[] expected = attention(oracle, type, tokens, input);
            float[] found = attention(operations, type, tokens, input);
            int at = Arrays.mismatch(expected, found);
            if (at >= 0) {
                return "attention over a cache of type " + type + " gives " + found[at] + " where the plain loops give "
                        + expected[at];
            }
        }
        return null;
    }

    /** Keys and values are what the first head asks for. */
    private static float[] attention(HostOperations operations, CacheType type, int tokens, float[] input) {
        var program = new StageProgram.Builder();
        Slot queries = program.slot("queries", 2 * HEAD);
        Slot keys = program.slot("keys", HEAD);
        Slot out = program.slot("out", 2 * HEAD);
        float[] first = new float[HEAD * 2 * HEAD];
        for (int i = 0; i < HEAD; i++) {
            first[i * 2 * HEAD + i] = 1;
        }
        float[] result = new float[input.length];
        try (var kernels = new HostKernels("check", operations, 1)) {
            PreparedWeights weights = kernels.prepare(GgmlType.F32, HEAD, 2 * HEAD, MemorySegment.ofArray(first));
            program.add(new Op.MatMul(weights, null, queries, keys))
                    .add(new Op.Store(0, keys, keys))
                    .add(new Op.Attention(0, queries, 2, Op.Scores.scaled(0.2f), out));
            try (CompiledStage stage = kernels.compile(program.build(queries, out, new CacheShape(1, 1, HEAD, type)));
                    SequenceMemory sequence = stage.openSequence(tokens)) {
                stage.run(new StageBatch(
                        List.of(new StageBatch.Slice(sequence, 0, tokens)),
                        null,
                        MemorySegment.ofArray(input),
                        new int[0],
                        MemorySegment.ofArray(result)));
            }
        }
        return result;
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
