package shoal.verticles.cli;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import shoal.bridge.kernel.KernelSettings;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.verticles.client.GenerateClient;
import shoal.verticles.identity.ClusterSecret;
import tools.jackson.databind.json.JsonMapper;

/** Goes on with a text: in this process, or by a running coordinator. */
@Command(
        name = "generate",
        description = "Go on with a text, with a model file in this process or by a running coordinator.",
        mixinStandardHelpOptions = true)
final class GenerateCommand implements Callable<Integer> {
    @ArgGroup(multiplicity = "1")
    @SuppressWarnings("NullAway.Init")
    private Where where;

    /** One of the two. */
    static final class Where {
        @Option(
                names = "--model",
                paramLabel = "FILE",
                description = "A GGUF file; the whole model runs in this process.")
        private @Nullable Path model;

        @Option(names = "--at", paramLabel = "HOST:PORT", description = "A running coordinator's address.")
        private @Nullable String at;
    }

    @Option(names = "--prompt", required = true, paramLabel = "TEXT", description = "The text, taken as it is.")
    @SuppressWarnings("NullAway.Init")
    private String prompt;

    @Option(
            names = "--tokens",
            defaultValue = "128",
            paramLabel = "N",
            description = "How many tokens at most (default: ${DEFAULT-VALUE}).")
    private int tokens;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private SamplingOptions samplingOptions;

    @Option(names = "--kernels", paramLabel = "NAME", description = "auto, vector, scalar or opencl.")
    private @Nullable String kernels;

    @Option(
            names = "--device",
            paramLabel = "NAME",
            description = "auto, cpu, or one that doctor lists, such as opencl:0.")
    private @Nullable String device;

    @Option(
            names = "--threads",
            defaultValue = "0",
            paramLabel = "N",
            description = "Computing threads, 0 for one a core.")
    private int threads;

    @Option(
            names = "--secret-file",
            paramLabel = "FILE",
            description = "The cluster's secret, where the coordinator has one.")
    private @Nullable Path secretFile;

    @Option(names = "--json", description = "Print one JSON object instead of the text.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Sampling sampling = samplingOptions.sampling();
        Map<String, Object> result = where.at == null ? here(out, sampling) : there(where.at, out, sampling);
        out.println(json ? JsonMapper.shared().writeValueAsString(result) : "");
        return CommandLine.ExitCode.OK;
    }

    private Map<String, Object> here(PrintStream out, Sampling sampling) throws IOException {
        Path model = java.util.Objects.requireNonNull(where.model);
        try (LocalModel local = LocalModel.open(model, KernelSettings.providerFor(kernels, device), threads)) {
            var generation = local.generator()
                    .generate(
                            prompt,
                            tokens,
                            LocalModel.parameters(sampling),
                            sampling.seed(),
                            (_, text) -> show(out, text));
            return result(generation.promptTokens(), generation.tokens(), generation.text());
        }
    }

    private Map<String, Object> there(String at, PrintStream out, Sampling sampling) throws IOException {
        ClusterSecret secret = secretFile == null ? null : ClusterSecret.read(secretFile);
        try (var client = new GenerateClient(secret, "shoal " + ShoalCommand.Version.number())) {
            var answer = client.generate(
                    Endpoint.parse(at), new Frame.Generate(prompt, tokens, sampling), text -> show(out, text));
            return result(answer.promptTokens(), answer.tokens(), answer.text());
        }
    }

    private void show(PrintStream out, String text) {
        if (!json) {
            out.print(text);
            out.flush();
        }
    }

    private static Map<String, Object> result(List<Integer> promptTokens, List<Integer> tokens, String text) {
        var result = new LinkedHashMap<String, Object>();
        result.put("prompt_tokens", promptTokens);
        result.put("tokens", tokens);
        result.put("text", text);
        return result;
    }
}
