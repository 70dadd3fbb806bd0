package shoal.verticles.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.bridge.generate.Perplexity;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;
import shoal.codec.base.MalformedException;
import shoal.verticles.config.ProfileException;
import tools.jackson.databind.json.JsonMapper;

/** How well a model foretells a text. */
@Command(
        name = "perplexity",
        description =
                "Measure how well a model foretells a text, as llama.cpp's llama-perplexity does; less is better.",
        mixinStandardHelpOptions = true)
final class PerplexityCommand implements Callable<Integer> {
    private static final long MAX_TEXT_BYTES = 256L << 20;

    @Parameters(index = "0", paramLabel = "MODEL", description = "A GGUF file.")
    @SuppressWarnings("NullAway.Init")
    private Path model;

    @Option(names = "--text", required = true, paramLabel = "FILE", description = "The text, in UTF-8.")
    @SuppressWarnings("NullAway.Init")
    private Path text;

    @Option(
            names = "--context",
            defaultValue = "512",
            paramLabel = "N",
            description = "Tokens of a chunk, the second half of which counts (default: ${DEFAULT-VALUE}).")
    private int context;

    @Option(names = "--chunks", paramLabel = "N", description = "At most so many chunks; else all.")
    private @Nullable Integer chunks;

    @Option(names = "--kernels", paramLabel = "NAME", description = "auto, or one by name.")
    private @Nullable String kernels;

    @Option(
            names = "--threads",
            defaultValue = "0",
            paramLabel = "N",
            description = "Computing threads, 0 for one a core.")
    private int threads;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        if (Files.size(text) > MAX_TEXT_BYTES) {
            throw new ProfileException(String.format(
                    Locale.ROOT, "%s has %,d bytes, allowed are %,d.", text, Files.size(text), MAX_TEXT_BYTES));
        }
        if (chunks != null && chunks < 1) {
            throw new ProfileException("--chunks is " + chunks + ", allowed 1 and more.");
        }
        String words = new String(Files.readAllBytes(text), StandardCharsets.UTF_8);
        var settings = new KernelSettings(
                kernels == null || kernels.equals("auto") ? null : kernels,
                threads == 0 ? KernelSettings.defaults().threads() : threads);
        try (ModelFile file = ModelFile.open(model);
                Kernels opened = KernelChoice.of(settings).provider().open(settings)) {
            Perplexity.Estimate found = Perplexity.of(
                    file,
                    StageSettings.of(opened),
                    words,
                    context,
                    chunks == null ? Integer.MAX_VALUE : chunks,
                    this::show);
            System.out.println(
                    json
                            ? JsonMapper.shared().writeValueAsString(described(found))
                            : String.format(
                                    Locale.ROOT,
                                    "%nperplexity %.4f ± %.5f over %,d tokens of %d chunks",
                                    found.value(),
                                    found.error(),
                                    found.tokens(),
                                    found.chunks()));
            return CommandLine.ExitCode.OK;
        } catch (MalformedException malformed) {
            throw LocalModel.inFile(model, malformed);
        }
    }

    private void show(Perplexity.Estimate estimate) {
        if (!json) {
            System.out.printf(Locale.ROOT, "[%d]%.4f,", estimate.chunks(), estimate.value());
            System.out.flush();
        }
    }

    private Map<String, Object> described(Perplexity.Estimate found) {
        var described = new LinkedHashMap<String, Object>();
        described.put("model", model.toString());
        described.put("text", text.toString());
        described.put("context", context);
        described.put("chunks", found.chunks());
        described.put("tokens", found.tokens());
        described.put("perplexity", found.value());
        described.put("error", found.error());
        return described;
    }
}
