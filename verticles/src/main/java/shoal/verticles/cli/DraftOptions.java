package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;
import shoal.bridge.generate.Drafter;
import shoal.bridge.generate.ModelDrafter;
import shoal.bridge.generate.PromptLookup;
import shoal.codec.wire.Sampling;

/** What makes a local generation faster without changing it. */
final class DraftOptions {
    @Option(
            names = "--draft",
            paramLabel = "FILE",
            description = "A smaller model with the same vocabulary, which guesses ahead; the text stays the same.")
    private @Nullable Path draft;

    @Option(
            names = "--lookup",
            description = "Guess ahead from what stands in the text already; the text stays the same.")
    private boolean lookup;

    boolean isOn() {
        return draft != null || lookup;
    }

    /** A drafter that owns what it opened; null for none. */
    @Nullable Drafter open(LocalModel model, Sampling sampling, @Nullable String kernels, int threads) throws IOException {
        if (draft == null) {
            return lookup ? new PromptLookup() : null;
        }
        if (lookup) {
            throw new IllegalArgumentException("--draft and --lookup are given; take one of them");
        }
        Path file = draft;
        LocalModel small = LocalModel.open(file, kernels, threads);
        try {
            var drafter = new ModelDrafter(small.generator(), model.generator().tokenizer(), sampling);
            return new Drafter() {
                @Override
                public int[] draft(shoal.bridge.model.sampling.TokenHistory history, int most) {
                    return drafter.draft(history, most);
                }

                @Override
                public void close() {
                    drafter.close();
                    small.close();
                }
            };
        } catch (RuntimeException failure) {
            small.close();
            throw LocalModel.inFile(file, failure);
        }
    }
}
