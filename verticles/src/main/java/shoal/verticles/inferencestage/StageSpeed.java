package shoal.verticles.inferencestage;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.Stage;

/** How fast a stage computes one token, tried out on the stage itself; which also warms up its code and its weights. */
final class StageSpeed {
    /** Short: somebody may come who waits for the stage. */
    private static final long BUDGET_NANOS = 15_000_000;

    private static final int MAX_TOKENS = 8;

    private StageSpeed() {}

    /** Nanoseconds of one token at the start of a sequence: the least of a few. Takes memory of one sequence meanwhile. */
    static long tokenNanos(Stage stage) {
        long best = Long.MAX_VALUE;
        long until = System.nanoTime() + BUDGET_NANOS;
        int tokens = Math.min(MAX_TOKENS, stage.contextLength());
        try (SequenceMemory sequence = stage.openSequence();
                Arena arena = Arena.ofConfined()) {
            MemorySegment input =
                    arena.allocate((long) Float.BYTES * stage.config().hidden(), Float.BYTES);
            MemorySegment output = arena.allocate((long) Float.BYTES * stage.outputWidth(), Float.BYTES);
            for (int position = 0; position < tokens && (position == 0 || System.nanoTime() < until); position++) {
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
