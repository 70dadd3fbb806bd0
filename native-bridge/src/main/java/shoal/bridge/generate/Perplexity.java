package shoal.bridge.generate;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.TensorSource;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.Tokenizers;
import shoal.codec.base.LayerRange;

/**
 * How well a model foretells a text: e to the mean of -ln p over its tokens. Counted as llama.cpp's llama-perplexity does: the text's
 * tokens in chunks of the context size, each chunk anew, its first token replaced by the begin token where the model has that habit,
 * and only the second half of a chunk counts.
 */
public final class Perplexity {
    private static final int BATCH = 64;

    /**
     * After some chunks.
     *
     * @param error one standard error of value
     */
    public record Estimate(int chunks, int allChunks, int tokens, double value, double error) {}

    private Perplexity() {}

    /**
     * Runs it all.
     *
     * @param context tokens of a chunk
     * @param maxChunks at most so many, from the beginning
     * @param running hears the estimate after each chunk
     * @throws IllegalArgumentException if the text has fewer than two chunks' tokens, or the context is beyond the model's
     */
    public static Estimate of(
            TensorSource source,
            StageSettings settings,
            String text,
            int context,
            int maxChunks,
            Consumer<Estimate> running) {
        Tokenizer tokenizer = Tokenizers.of(source.header());
        int[] tokens = tokenizer.encode(text, true, false);
        var config = Architectures.config(source.header());
        if (context < 4 || context > Math.min(config.contextLength(), settings.maxContext())) {
            throw new IllegalArgumentException("the context is " + context + ", allowed 4.."
                    + Math.min(config.contextLength(), settings.maxContext()) + " for this model");
        }
        if (tokens.length < 2 * context) {
            throw new IllegalArgumentException("the text has " + tokens.length + " tokens, and a context of " + context
                    + " needs " + 2 * context + " or more; take a longer text or a shorter --context");
        }
        int[] begin = tokenizer.encode("", true, false); // the begin token alone, where the model adds one
        int chunks = Math.min(maxChunks, tokens.length / context);
        double sum = 0;
        double squares = 0;
        int count = 0;
        Estimate estimate = new Estimate(0, chunks, 0, Double.NaN, Double.NaN);
        try (Stage stage = Architectures.open(source, new LayerRange(0, config.layers() - 1), settings);
                Arena arena = Arena.ofShared()) {
            MemorySegment logits = arena.allocate((long) BATCH * config.vocabulary() * Float.BYTES, 64);
            for (int chunk = 0; chunk < chunks; chunk++) {
                int[] part = Arrays.copyOfRange(tokens, chunk * context, (chunk + 1) * context);
                int[] shown = part.clone();
                if (begin.length > 0) {
                    shown[0] = begin[0];
                }
                try (SequenceMemory sequence = stage.openSequence()) {
                    int half = context / 2;
                    run(stage, sequence, shown, 0, half, Batch.Wanted.NONE, logits);
                    for (int from = half; from < context; from += BATCH) {
                        int to = Math.min(context, from + BATCH);
                        run(stage, sequence, shown, from, to, Batch.Wanted.ALL, logits);
                        for (int at = from; at < Math.min(to, context - 1); at++) {
                            double surprise = surprise(
                                    logits,
                                    (long) (at - from) * config.vocabulary(),
                                    config.vocabulary(),
                                    part[at + 1]);
                            sum += surprise;
                            squares += surprise * surprise;
                            count++;
                        }
                    }
                }
                estimate = estimate(chunk + 1, chunks, count, sum, squares);
                running.accept(estimate);
            }
        }
        return estimate;
    }

    private static void run(
            Stage stage,
            SequenceMemory sequence,
            int[] tokens,
            int from,
            int to,
            Batch.Wanted wanted,
            MemorySegment logits) {
        int[] part = Arrays.copyOfRange(tokens, from, to);
        stage.run(
                new Batch(List.of(new Batch.Slice(sequence, from, part.length, wanted)), new Batch.Input.Tokens(part)),
                wanted == Batch.Wanted.NONE
                        ? MemorySegment.NULL
                        : logits.asSlice(0, (long) part.length * stage.outputWidth() * Float.BYTES));
    }

    /** -ln of the probability of one token, by the logits of a row that starts at an index. */
    private static double surprise(MemorySegment logits, long row, int width, int token) {
        float largest = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < width; i++) {
            largest = Math.max(largest, logits.getAtIndex(ValueLayout.JAVA_FLOAT, row + i));
        }
        double sum = 0;
        for (int i = 0; i < width; i++) {
            sum += Math.exp(logits.getAtIndex(ValueLayout.JAVA_FLOAT, row + i) - largest);
        }
        return Math.log(sum) - (logits.getAtIndex(ValueLayout.JAVA_FLOAT, row + token) - largest);
    }

    private static Estimate estimate(int chunk, int chunks, int count, double sum, double squares) {
        double mean = sum / count;
        double variance = squares / count - mean * mean;
        double error = variance > 0 && count > 1 ? Math.sqrt(variance / (count - 1)) : 0;
        double value = Math.exp(mean);
        return new Estimate(chunk, chunks, count, value, error * value);
    }
}
