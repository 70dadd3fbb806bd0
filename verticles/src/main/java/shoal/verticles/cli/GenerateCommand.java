package shoal.verticles.cli;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import shoal.bridge.generate.Drafter;
import shoal.bridge.generate.Generation;
import shoal.bridge.generate.GenerationRequest;
import shoal.bridge.generate.LocalGenerator;
import shoal.bridge.model.text.Tokenizer;
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

        @Option(
                names = "--at",
                paramLabel = "HOST:PORT",
                description =
                        "A running coordinator's address; or several, with commas between: the first that can answers.")
        private @Nullable String at;
    }

    @Option(names = "--prompt", required = true, paramLabel = "TEXT", description = "The text, taken as it is.")
    @SuppressWarnings("NullAway.Init")
    private String prompt;

    @Option(
            names = "--chat",
            description = "Take the prompt as a user's message, by the model's own chat template (with --model).")
    private boolean chat;

    @Option(names = "--stop", paramLabel = "TEXT", description = "End before this text; may be given again.")
    private @Nullable List<String> stop;

    @Option(
            names = "--context-shift",
            description = "When the context is full, go on with its later half (with --model).")
    private boolean contextShift;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private DraftOptions draftOptions;

    @Option(
            names = "--tokens",
            defaultValue = "128",
            paramLabel = "N",
            description = "How many tokens at most (default: ${DEFAULT-VALUE}).")
    private int tokens;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private SamplingOptions samplingOptions;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private ComputeOptions computeOptions;

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

    private List<String> stops() {
        return stop == null ? List.of() : stop;
    }

    private Map<String, Object> here(PrintStream out, Sampling sampling) throws IOException {
        Path model = Objects.requireNonNull(where.model);
        try (LocalModel local =
                        computeOptions.open(model, (long) prompt.getBytes(StandardCharsets.UTF_8).length + tokens);
                Drafter drafter =
                        draftOptions.open(local, sampling, computeOptions.provider(), computeOptions.threads())) {
            LocalGenerator generator = local.generator();
            Tokenizer tokenizer = generator.tokenizer();
            int[] ids = chat
                    ? ChatPrompt.of(local.header(), null).tokens(tokenizer, List.of(ChatPrompt.message("user", prompt)))
                    : tokenizer.encode(prompt, true, true);
            var request = new GenerationRequest(ids, tokens, sampling, stops(), drafter, contextShift);
            List<Object> logprobs = new ArrayList<>();
            var shown = new StringBuilder();
            Generation generation = generator.generate(request, token -> {
                shown.append(token.text());
                show(out, token.text());
                logprobs.add(Logprobs.entry(tokenizer, token.id(), token.logprob(), token.top()));
            });
            show(out, generation.text().substring(shown.length()));
            var result = result(generation.promptTokens(), generation.tokens(), generation.text());
            result.put("stopped", generation.stop().name().toLowerCase(Locale.ROOT));
            if (drafter != null) {
                result.put("drafted", generation.drafted());
                result.put("accepted", generation.accepted());
                if (!json) {
                    System.err.printf(
                            "%n%,d of %,d drafted tokens were right", generation.accepted(), generation.drafted());
                }
            }
            if (sampling.logprobs() > 0) {
                result.put("logprobs", logprobs);
            }
            return result;
        }
    }

    private Map<String, Object> there(String at, PrintStream out, Sampling sampling) throws IOException {
        if (chat || contextShift || draftOptions.isOn()) {
            throw new IllegalArgumentException(
                    "--chat, --context-shift, --draft and --lookup go with --model; a coordinator does none of them");
        }
        ClusterSecret secret = secretFile == null ? null : ClusterSecret.read(secretFile);
        try (var client = new GenerateClient(secret, "shoal " + ShoalCommand.Version.number())) {
            var answer = client.generate(
                    Arrays.stream(at.split(",")).map(Endpoint::parse).toList(),
                    new Frame.Generate(prompt, tokens, sampling, stops()),
                    text -> show(out, text));
            var result = result(answer.promptTokens(), answer.tokens(), answer.text());
            result.put("stopped", answer.stopped().name().toLowerCase(Locale.ROOT));
            if (sampling.logprobs() > 0) {
                result.put(
                        "logprobs",
                        answer.pieces().stream()
                                .map(piece -> Logprobs.entry(null, piece.token(), piece.logProbability(), piece.top()))
                                .toList());
            }
            return result;
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
