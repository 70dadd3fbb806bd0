package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bridge.kernel.KernelSettings;
import tools.jackson.databind.json.JsonMapper;

/** The model's raw word on what comes next. */
@Command(
        name = "logits",
        description = "Show the logits behind the last of some tokens.",
        mixinStandardHelpOptions = true)
final class LogitsCommand implements Callable<Integer> {
    private static final int SHOWN = 10;

    @Option(names = "--model", required = true, paramLabel = "FILE", description = "A GGUF file.")
    @SuppressWarnings("NullAway.Init")
    private Path model;

    @Option(names = "--tokens", required = true, split = ",", paramLabel = "ID", description = "Token ids: 1,2,3")
    @SuppressWarnings("NullAway.Init")
    private List<Integer> tokens;

    @Option(
            names = "--cache-type",
            paramLabel = "TYPE",
            defaultValue = "f32",
            description = "How keys and values are kept: f32, f16 or q8_0 (default ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String cacheType;

    @Option(names = "--kernels", paramLabel = "NAME", description = "auto, native, vector, scalar, opencl or cuda.")
    private @Nullable String kernels;

    @Option(
            names = "--device",
            paramLabel = "NAME",
            description = "auto, cpu, or one that doctor lists, such as opencl:0.")
    private @Nullable String device;

    @Option(
            names = "--device-layers",
            paramLabel = "N",
            defaultValue = "auto",
            description = "How many layers the device takes, the CPU the rest; auto for as many as fit.")
    @SuppressWarnings("NullAway.Init")
    private String deviceLayers;

    @Option(names = "--json", description = "Print {\"logits\":[…]}, one for each token id.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        int layers = KernelSettings.deviceLayers(deviceLayers);
        try (LocalModel local =
                LocalModel.open(model, KernelSettings.providerFor(kernels, device), 0, layers, cacheType, _ -> {})) {
            int size = local.generator().tokenizer().size();
            for (int token : tokens) {
                if (token < 0 || token >= size) {
                    throw new IllegalArgumentException(
                            "token " + token + " is not in the vocabulary, allowed 0.." + (size - 1));
                }
            }
            float[] logits = local.generator()
                    .logits(tokens.stream().mapToInt(Integer::intValue).toArray());
            if (json) {
                System.out.println(JsonMapper.shared().writeValueAsString(Map.of("logits", logits)));
            } else {
                IntStream.range(0, logits.length)
                        .boxed()
                        .sorted(Comparator.comparingDouble((Integer id) -> -logits[id]))
                        .limit(SHOWN)
                        .forEach(id -> System.out.printf("%8d  %.6f%n", id, logits[id]));
            }
            return CommandLine.ExitCode.OK;
        }
    }
}
