package shoal.bridge.model;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.stream.IntStream;
import shoal.bridge.kernel.SequenceMemory;

/** Tokens of one or more sequences that a stage runs together, slice after slice. */
public record Batch(List<Slice> slices, Input input) {
    public Batch {
        slices = List.copyOf(slices);
    }

    /**
     * Consecutive positions of one sequence. What it held from firstPosition on is replaced.
     *
     * @param picks of each wanted row's highest logits, at most {@link Stage#mostPicks}; 0 for whole rows
     */
    public record Slice(SequenceMemory sequence, int firstPosition, int tokenCount, Wanted wanted, int picks) {
        /** With all logits of what is wanted. */
        public Slice(SequenceMemory sequence, int firstPosition, int tokenCount, Wanted wanted) {
            this(sequence, firstPosition, tokenCount, wanted, 0);
        }

        /** Rows that a last stage writes. */
        public int wantedCount() {
            return switch (wanted) {
                case NONE -> 0;
                case LAST -> 1;
                case ALL -> tokenCount;
            };
        }
    }

    /** Of which tokens of a slice a last stage gives logits; others ignore it. */
    public enum Wanted {
        NONE,
        LAST,
        ALL
    }

    /** What comes in, one row per token. */
    public sealed interface Input {
        /** To a first stage. */
        record Tokens(int[] ids) implements Input {}

        /** To a later one: (T, hidden) F32 little-endian, the output of the stage before. Not kept. */
        record Activations(MemorySegment values) implements Input {}
    }

    /** One sequence's tokens. */
    public static Batch ofTokens(SequenceMemory sequence, int firstPosition, int[] ids, Wanted wanted) {
        return new Batch(List.of(new Slice(sequence, firstPosition, ids.length, wanted)), new Input.Tokens(ids));
    }

    /** One sequence's activations. */
    public static Batch ofActivations(
            SequenceMemory sequence, int firstPosition, int tokenCount, MemorySegment values, Wanted wanted) {
        return new Batch(
                List.of(new Slice(sequence, firstPosition, tokenCount, wanted)), new Input.Activations(values));
    }

    public int tokenCount() {
        return slices.stream().mapToInt(Slice::tokenCount).sum();
    }

    /** Rows of logits that a last stage writes. */
    public int wantedCount() {
        return slices.stream().mapToInt(Slice::wantedCount).sum();
    }

    /** For each of {@link #wantedRows} how many logits are picked. */
    int[] picks() {
        return slices.stream()
                .flatMapToInt(slice -> IntStream.generate(slice::picks).limit(slice.wantedCount()))
                .toArray();
    }

    /** Indices into the batch's tokens, rising. */
    int[] wantedRows() {
        int[] rows = new int[wantedCount()];
        int row = 0;
        int end = 0;
        for (Slice slice : slices) {
            int start = end;
            end += slice.tokenCount();
            switch (slice.wanted()) {
                case NONE -> {}
                case LAST -> rows[row++] = end - 1;
                case ALL -> {
                    for (int token = start; token < end; token++) {
                        rows[row++] = token;
                    }
                }
            }
        }
        return rows;
    }
}
