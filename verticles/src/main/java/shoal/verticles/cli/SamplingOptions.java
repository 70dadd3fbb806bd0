package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;
import shoal.bridge.model.text.grammar.JsonSchemaGrammar;
import shoal.codec.base.MalformedException;
import shoal.codec.wire.Sampling;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/** How tokens are chosen, as options. */
final class SamplingOptions {
    @Option(
            names = "--temperature",
            defaultValue = "0",
            paramLabel = "T",
            description = "0 takes the likeliest token (default: ${DEFAULT-VALUE}).")
    private float temperature;

    @Option(names = "--top-k", defaultValue = "0", paramLabel = "K", description = "Keep the K likeliest, 0 for all.")
    private int topK;

    @Option(
            names = "--top-p",
            defaultValue = "1",
            paramLabel = "P",
            description = "Keep the likeliest whose probabilities reach P, 1 for all.")
    private float topP;

    @Option(
            names = "--min-p",
            defaultValue = "0",
            paramLabel = "P",
            description = "Keep what is at least P times as likely as the likeliest, 0 for all.")
    private float minP;

    @Option(
            names = "--typical-p",
            defaultValue = "1",
            paramLabel = "P",
            description = "Keep the most typical whose probabilities reach P, 1 for all.")
    private float typicalP;

    @Option(names = "--seed", defaultValue = "0", paramLabel = "N", description = "Seed of the random choice.")
    private long seed;

    @Option(
            names = "--repeat-penalty",
            defaultValue = "1",
            paramLabel = "X",
            description = "Divide the logits of the last tokens by X, 1 for none.")
    private float repeatPenalty;

    @Option(
            names = "--frequency-penalty",
            defaultValue = "0",
            paramLabel = "X",
            description = "Take X off a logit for each time the token stands among the last ones.")
    private float frequencyPenalty;

    @Option(
            names = "--presence-penalty",
            defaultValue = "0",
            paramLabel = "X",
            description = "Take X off the logit of each of the last tokens.")
    private float presencePenalty;

    @Option(
            names = "--repeat-last-n",
            defaultValue = "64",
            paramLabel = "N",
            description = "How many last tokens penalties look at, -1 for all (default: ${DEFAULT-VALUE}).")
    private int repeatLastN;

    @Option(
            names = "--dry-multiplier",
            defaultValue = "0",
            paramLabel = "X",
            description = "Penalise what would go on with a repetition, 0 for none.")
    private float dryMultiplier;

    @Option(
            names = "--dry-base",
            defaultValue = "1.75",
            paramLabel = "X",
            description = "How the DRY penalty grows with the repetition (default: ${DEFAULT-VALUE}).")
    private float dryBase;

    @Option(
            names = "--dry-allowed-length",
            defaultValue = "2",
            paramLabel = "N",
            description = "Repetitions shorter than this are free (default: ${DEFAULT-VALUE}).")
    private int dryAllowedLength;

    @Option(
            names = "--dry-last-n",
            defaultValue = "-1",
            paramLabel = "N",
            description = "How many last tokens DRY looks at, -1 for all (default: ${DEFAULT-VALUE}).")
    private int dryLastN;

    @Option(
            names = "--dry-sequence-breaker",
            paramLabel = "TEXT",
            description = "Text across which DRY sees no repetition; may be given again, 'none' for none"
                    + " (default: new line, colon, quote, asterisk).")
    private @Nullable List<String> dryBreakers;

    @Option(
            names = "--xtc-probability",
            defaultValue = "0",
            paramLabel = "P",
            description = "How often XTC leaves out the likeliest tokens, 0 for never.")
    private float xtcProbability;

    @Option(
            names = "--xtc-threshold",
            defaultValue = "0.1",
            paramLabel = "P",
            description = "XTC leaves out all but one of the tokens this likely (default: ${DEFAULT-VALUE}).")
    private float xtcThreshold;

    @Option(
            names = "--mirostat",
            defaultValue = "0",
            paramLabel = "0|2",
            description = "2 for mirostat 2, instead of penalties and filters (default: ${DEFAULT-VALUE}).")
    private int mirostat;

    @Option(
            names = "--mirostat-tau",
            defaultValue = "5",
            paramLabel = "BITS",
            description = "The surprise that mirostat aims at (default: ${DEFAULT-VALUE}).")
    private float mirostatTau;

    @Option(
            names = "--mirostat-eta",
            defaultValue = "0.1",
            paramLabel = "X",
            description = "How fast mirostat learns (default: ${DEFAULT-VALUE}).")
    private float mirostatEta;

    @Option(
            names = "--logit-bias",
            paramLabel = "ID=X",
            description = "Add X to the logit of a token, -inf for never; may be given again.")
    private @Nullable Map<Integer, String> logitBias;

    @Option(
            names = "--logprobs",
            defaultValue = "0",
            paramLabel = "N",
            description = "With --json: log probabilities of each token and of the N likeliest, at most 20.")
    private int logprobs;

    @ArgGroup
    private @Nullable Constraint constraint;

    /** At most one of these. */
    static final class Constraint {
        @Option(names = "--grammar", paramLabel = "GBNF", description = "What may be generated, in GBNF.")
        private @Nullable String grammar;

        @Option(names = "--grammar-file", paramLabel = "FILE", description = "The same, from a file.")
        private @Nullable Path grammarFile;

        @Option(
                names = "--json-schema",
                paramLabel = "JSON",
                description = "Generate JSON that is valid under a schema: the schema itself, or @FILE.")
        private @Nullable String jsonSchema;

        String gbnf() throws IOException {
            if (grammar != null) {
                return grammar;
            }
            if (grammarFile != null) {
                return Files.readString(grammarFile);
            }
            String schema = java.util.Objects.requireNonNull(jsonSchema);
            String text = schema.startsWith("@") ? Files.readString(Path.of(schema.substring(1))) : schema;
            try {
                return JsonSchemaGrammar.gbnf(JsonMapper.shared().readValue(text, Object.class));
            } catch (JacksonException noJson) {
                throw new MalformedException("the JSON schema is no JSON: " + noJson.getOriginalMessage());
            }
        }
    }

    /**
     * @throws IllegalArgumentException naming the option's value and what is allowed
     * @throws IOException if a file can't be read
     */
    Sampling sampling() throws IOException {
        if (mirostat != 0 && mirostat != 2) {
            throw new IllegalArgumentException("--mirostat is " + mirostat + ", allowed are 0 and 2");
        }
        List<String> breakers = dryBreakers == null
                ? Sampling.Dry.NONE.breakers()
                : dryBreakers.stream().filter(text -> !text.equals("none")).toList();
        return new Sampling(
                temperature,
                topK,
                topP,
                minP,
                typicalP,
                new Sampling.Penalties(repeatLastN, repeatPenalty, frequencyPenalty, presencePenalty),
                new Sampling.Dry(dryMultiplier, dryBase, dryAllowedLength, dryLastN, breakers),
                new Sampling.Xtc(xtcProbability, xtcThreshold),
                mirostat == 2 ? new Sampling.Mirostat(mirostatTau, mirostatEta) : null,
                biases(),
                constraint == null ? "" : constraint.gbnf(),
                logprobs,
                seed);
    }

    private List<Sampling.Bias> biases() {
        var biases = new ArrayList<Sampling.Bias>();
        for (Map.Entry<Integer, String> entry :
                (logitBias == null ? new LinkedHashMap<Integer, String>() : logitBias).entrySet()) {
            float bias;
            try {
                bias = entry.getValue().equalsIgnoreCase("-inf")
                        ? Float.NEGATIVE_INFINITY
                        : Float.parseFloat(entry.getValue());
            } catch (NumberFormatException notANumber) {
                throw new IllegalArgumentException("--logit-bias of token " + entry.getKey() + " is '"
                        + entry.getValue() + "', allowed is a number or -inf");
            }
            biases.add(new Sampling.Bias(entry.getKey(), bias));
        }
        return biases;
    }
}
