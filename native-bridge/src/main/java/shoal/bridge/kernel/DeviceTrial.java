package shoal.bridge.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.function.LongSupplier;
import shoal.codec.gguf.GgmlType;

/**
 * Whether a device that nobody named is worth its place: it multiplies random matrices as the CPU's kernels do, and one token by
 * them in clearly less time.
 */
final class DeviceTrial {
    /** Wide enough for a device to have work in all its parts; the matrices have 16 million values each. */
    private static final int COLUMNS = 4_096;

    private static final int ROWS = 4_096;

    /** One token, and enough to be made in another way. */
    private static final int[] TOKENS = {1, 17};

    /** Types of several ways to be unpacked: plain halves, blocks of 32, and blocks of 256 with scales of scales. */
    private static final List<GgmlType> TYPES = List.of(GgmlType.Q8_0, GgmlType.Q4_K, GgmlType.F16);

    private static final int RUNS = 5;

    /** Of the largest output. Both add in F32, in orders of their own. */
    private static final double TOLERANCE = 1e-4;

    /** A device has to win by more than noise, since what it gains is less with copies to and from it. */
    private static final double MOST_OF_CPU_TIME = 2.0 / 3;

    /** The bits that a BF16 has: activations that no kernel has to round. */
    private static final int COARSE = 0xffff_0000;

    private final LongSupplier nanos;

    /** @param why one clause for the log */
    record Verdict(boolean taken, String why) {}

    /** @param nanos a clock */
    DeviceTrial(LongSupplier nanos) {
        this.nanos = nanos;
    }

    /** Lets both multiply. */
    Verdict compare(Kernels device, Kernels processor) {
        long deviceNanos = 0;
        long processorNanos = 0;
        for (GgmlType type : TYPES) {
            try (Arena arena = Arena.ofShared()) {
                MemorySegment matrix = blocks(type, arena);
                try (CompiledStage there = product(device, type, matrix);
                        CompiledStage here = product(processor, type, matrix)) {
                    for (int tokens : TOKENS) {
                        MemorySegment input = activations(tokens, arena);
                        MemorySegment found = multiplied(there, input, tokens, arena);
                        MemorySegment expected = multiplied(here, input, tokens, arena);
                        int wrong = firstDifference(expected, found, tokens * ROWS);
                        if (wrong >= 0) {
                            return new Verdict(
                                    false,
                                    "it multiplies " + type + " wrongly (" + valueAt(found, wrong) + " for "
                                            + valueAt(expected, wrong) + ")");
                        }
                    }
                    MemorySegment input = activations(1, arena);
                    deviceNanos += best(there, input, arena);
                    processorNanos += best(here, input, arena);
                }
            }
        }
        double ratio = processorNanos / (double) Math.max(1, deviceNanos);
        return deviceNanos <= MOST_OF_CPU_TIME * processorNanos
                ? new Verdict(true, String.format(Locale.ROOT, "%.1f times as fast as the CPU", ratio))
                : new Verdict(false, String.format(Locale.ROOT, "it is only %.1f times as fast as the CPU", ratio));
    }

    private static CompiledStage product(Kernels kernels, GgmlType type, MemorySegment matrix) {
        var program = new StageProgram.Builder();
        Slot in = program.slot("in", COLUMNS);
        Slot out = program.slot("out", ROWS);
        program.add(new Op.MatMul(kernels.prepare(type, ROWS, COLUMNS, matrix), null, in, out));
        return kernels.compile(program.build(in, out, new CacheShape(1, 1, 32, CacheType.F16)));
    }

    private static MemorySegment multiplied(CompiledStage stage, MemorySegment input, int tokens, Arena arena) {
        MemorySegment output = arena.allocate((long) tokens * ROWS * Float.BYTES, Float.BYTES);
        output.fill((byte) -1); // NaN, should anything be left out
        run(stage, input, tokens, output);
        return output;
    }

    private static void run(CompiledStage stage, MemorySegment input, int tokens, MemorySegment output) {
        try (SequenceMemory sequence = stage.openSequence(tokens)) {
            stage.run(new StageBatch(
                    List.of(new StageBatch.Slice(sequence, 0, tokens)), null, input, new int[0], output));
        }
    }

    private long best(CompiledStage stage, MemorySegment input, Arena arena) {
        MemorySegment output = arena.allocate((long) ROWS * Float.BYTES, Float.BYTES);
        long best = Long.MAX_VALUE;
        for (int i = 0; i < RUNS; i++) {
            long begun = nanos.getAsLong();
            run(stage, input, 1, output);
            best = Math.min(best, nanos.getAsLong() - begun);
        }
        return best;
    }

    /** The first output that is too far off, or -1. */
    private static int firstDifference(MemorySegment expected, MemorySegment found, int count) {
        double largest = 0;
        for (int i = 0; i < count; i++) {
            largest = Math.max(largest, Math.abs(valueAt(expected, i)));
        }
        for (int i = 0; i < count; i++) {
            if (!(Math.abs(valueAt(expected, i) - valueAt(found, i)) <= TOLERANCE * largest)) {
                return i;
            }
        }
        return -1;
    }

    private static float valueAt(MemorySegment values, int index) {
        return values.getAtIndex(ValueLayout.JAVA_FLOAT, index);
    }

    private static MemorySegment activations(int tokens, Arena arena) {
        int count = tokens * COLUMNS;
        MemorySegment values = arena.allocate((long) count * Float.BYTES, Float.BYTES);
        var random = new SplittableRandom(tokens);
        for (int i = 0; i < count; i++) {
            int bits = Float.floatToRawIntBits((float) random.nextDouble(-1, 1));
            values.setAtIndex(ValueLayout.JAVA_FLOAT, i, Float.intBitsToFloat(bits & COARSE));
        }
        return values;
    }

    /** Random bytes, but for scales (and plain halves), which are below 2. */
    private static MemorySegment blocks(GgmlType type, Arena arena) {
        byte[] bytes = new byte[(int) type.sizeBytes((long) ROWS * COLUMNS)];
        new SplittableRandom(type.ordinal()).nextBytes(bytes);
        for (int at = 0; at < bytes.length; at += type.blockBytes()) {
            bytes[at + 1] &= (byte) 0xbf;
            if (type == GgmlType.Q4_K) {
                bytes[at + 3] &= (byte) 0xbf;
            }
        }
        MemorySegment matrix = arena.allocate(bytes.length, 64);
        MemorySegment.copy(bytes, 0, matrix, ValueLayout.JAVA_BYTE, 0, bytes.length);
        return matrix;
    }
}
