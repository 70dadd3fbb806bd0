package shoal.bench.race;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.LayerRange;

/**
 * A model opened for measuring, as {@code llama-bench} measures: random tokens, one prompt in one batch with the logits behind its
 * last token; or tokens one by one from an empty sequence, each with its logits.
 */
final class Engine implements AutoCloseable {
    private static final long SEED = 11;

    private final ModelFile file;
    private final Kernels kernels;
    private final Stage stage;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment logits;
    private final double loadSeconds;
    private final SplittableRandom random = new SplittableRandom(SEED);

    private Engine(ModelFile file, Kernels kernels, Stage stage, double loadSeconds) {
        this.file = file;
        this.kernels = kernels;
        this.stage = stage;
        this.loadSeconds = loadSeconds;
        logits = arena.allocate((long) stage.config().vocabulary() * Float.BYTES, 64);
    }

    /** @param provider of kernels, auto for the fastest */
    static Engine open(Path model, String provider, int threads, int context) throws IOException {
        long started = System.nanoTime();
        ModelFile file = ModelFile.open(model);
        var settings = new KernelSettings(provider.equals("auto") ? null : provider, threads);
        Kernels kernels = KernelChoice.of(settings).provider().open(settings);
        var config = Architectures.config(file.header());
        Stage stage = Architectures.open(
                file,
                new LayerRange(0, config.layers() - 1),
                new StageSettings(kernels, Math.min(context, config.contextLength())));
        return new Engine(file, kernels, stage, (System.nanoTime() - started) / 1e9);
    }

    /** From nothing to a stage that takes a batch. */
    double loadSeconds() {
        return loadSeconds;
    }

    String kernels() {
        return kernels.name();
    }

    /** The share of the file that this process has seen in pages of 2 MiB until now. */
    double largePages() {
        return file.largePageBytes() / (double) file.sizeBytes();
    }

    /** Tokens a second of a prompt of so many tokens. */
    double prefill(int tokens) {
        try (SequenceMemory sequence = stage.openSequence()) {
            long started = System.nanoTime();
            run(sequence, 0, randomTokens(tokens));
            return tokens / ((System.nanoTime() - started) / 1e9);
        }
    }

    /** Tokens a second, one after the other. */
    double decode(int tokens) {
        try (SequenceMemory sequence = stage.openSequence()) {
            long started = System.nanoTime();
            for (int position = 0; position < tokens; position++) {
                run(sequence, position, randomTokens(1));
            }
            return tokens / ((System.nanoTime() - started) / 1e9);
        }
    }

    private int[] randomTokens(int count) {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++) {
            tokens[i] = random.nextInt(stage.config().vocabulary());
        }
        return tokens;
    }

    private void run(SequenceMemory sequence, int position, int[] tokens) {
        var batch = new Batch(
                List.of(new Batch.Slice(sequence, position, tokens.length, Batch.Wanted.LAST)),
                new Batch.Input.Tokens(tokens));
        stage.run(batch, logits);
        float first = logits.get(ValueLayout.JAVA_FLOAT, 0);
        if (!Float.isFinite(first)) {
            throw new IllegalStateException("the logits are not finite: " + first);
        }
    }

    @Override
    public void close() {
        stage.close();
        kernels.close();
        file.close();
        arena.close();
    }
}
