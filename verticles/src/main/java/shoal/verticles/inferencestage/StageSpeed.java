package shoal.verticles.inferencestage;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.Stage;

/** How fast a stage computes one token, tried out on the stage itself; which also warms up its code and its weights. */
final class StageSpeed {
    /** Long enough for the compiler to see the kernels on a busy machine: layers are placed by what comes out. */
    private static final long BUDGET_NANOS = 800_000_000;

    private static final int MAX_TOKENS = 200;
    private static final int MIN_TOKENS = 3;

    private StageSpeed() {}

    /** Nanoseconds of one token at the start of a sequence: the least of some. Takes memory of one sequence meanwhile. */
    static long tokenNanos(Stage stage) {
        long best = Long.MAX_VALUE;
        long until = System.nanoTime() + BUDGET_NANOS;
        int tokens = Math.min(MAX_TOKENS, stage.contextLength());
        try (SequenceMemory sequence = stage.openSequence();
                Arena arena = Arena.ofConfined()) {
            MemorySegment input =
                    arena.allocate((long) Float.BYTES * stage.config().hidden(), Float.BYTES);
            MemorySegment output = arena.allocate((long) Float.BYTES * stage.outputWidth(), Float.BYTES);
            for (int position = 0; position < tokens; position++) {
                if (position >= MIN_TOKENS && System.nanoTime() > until) {
                    break;
                }
                int token = position % stage.config().vocabulary();
                Batch batch = stage.isFirst()
                        ? Batch.ofTokens(sequence, position, new int[] {token}, Batch.Wanted.LAST)
                        : Batch.ofActivations(sequence, position, 1, input, Batch.Wanted.LAST);
                long began = System.nanoTime();
                stage.run(batch, output);
                best = Math.min(best, System.nanoTime() - began);
            }
        }
        return best;
    }
}
