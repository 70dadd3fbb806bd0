package shoal.bench.serving;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.bench.report.BenchCommand;
import shoal.bench.report.Machine;
import shoal.bench.report.Report;
import shoal.bridge.make.FileType;
import shoal.bridge.make.RandomModel;
import shoal.bridge.make.Recipe;

/** {@code ./shoal bench serving}: what a swarm of processes on this machine does beside one process, and when stages die. */
@Command(
        name = "serving",
        description = "A swarm of processes on loopback: beside one process, with many users, and with stages killed.")
public final class ServingCommand extends BenchCommand {
    private static final Set<String> PARTS = Set.of("hop", "decode", "prefill", "users", "kill", "peers", "rpc");

    @Option(names = "--model", paramLabel = "FILE", description = "A GGUF model; else one of random weights is made.")
    private @Nullable Path model;

    @Option(
            names = "--like",
            defaultValue = "llama-1b",
            paramLabel = "NAME",
            description = "The shape of the random model (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String like;

    @Option(
            names = "--type",
            defaultValue = "Q8_0",
            paramLabel = "TYPE",
            description = "Its weights (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String type;

    @Option(
            names = "--parts",
            split = ",",
            defaultValue = "hop,decode,prefill,users,kill,peers",
            paramLabel = "PART",
            description =
                    "What to measure: hop, decode, prefill, users, kill (a spare takes over), peers (weights come from peers), "
                            + "rpc (needs --peer) (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private List<String> parts;

    @Option(
            names = "--tokens",
            defaultValue = "96",
            paramLabel = "N",
            description = "Tokens of each answer (default: ${DEFAULT-VALUE}).")
    private int tokens;

    @Option(
            names = "--prompt",
            defaultValue = "512",
            paramLabel = "N",
            description = "Tokens of the long prompt, about (default: ${DEFAULT-VALUE}).")
    private int prompt;

    @Option(
            names = "--rounds",
            defaultValue = "3",
            paramLabel = "N",
            description = "How often all take their turn (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--kills",
            defaultValue = "3",
            paramLabel = "N",
            description = "How many stages are killed in the middle of an answer (default: ${DEFAULT-VALUE}).")
    private int kills;

    @Option(
            names = "--streams",
            defaultValue = "1",
            paramLabel = "N",
            description = "Answers under way when a stage is killed (default: ${DEFAULT-VALUE}).")
    private int streams;

    @Option(
            names = "--spares",
            defaultValue = "1",
            paramLabel = "N",
            description =
                    "Nodes for each stage beside the one that computes, when stages are killed; as many kills go by before new ones are started (default: ${DEFAULT-VALUE}).")
    private int spares;

    @Option(names = "--logs", paramLabel = "DIR", description = "Where to keep the logs of all processes.")
    private @Nullable Path logs;

    @Option(names = "--seed", defaultValue = "1", paramLabel = "N", description = "Which stage is killed and when.")
    private long seed;

    @Option(
            names = "--threads",
            defaultValue = "1",
            paramLabel = "N",
            description = "Computing threads of each process (default: ${DEFAULT-VALUE}).")
    private int threads;

    @Option(
            names = "--kernels",
            defaultValue = "auto",
            paramLabel = "NAME",
            description = "Kernels of all processes (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String kernels;

    @Option(
            names = "--peer",
            paramLabel = "DIR",
            description = "A folder with llama.cpp's rpc-server and llama-bench, built with GGML_RPC.")
    private @Nullable Path peer;

    @Option(
            names = "--cache",
            paramLabel = "DIR",
            description = "Where random models are kept for the next time; else .shoal/bench beside the script.")
    private @Nullable Path cache;

    /** What all parts need. */
    record Settings(
            Path model,
            int tokens,
            int prompt,
            int rounds,
            int kills,
            int streams,
            int spares,
            long seed,
            int threads,
            String kernels,
            @Nullable Path logs) {}

    @Override
    protected Report measure() throws IOException, InterruptedException {
        for (String part : parts) {
            if (!PARTS.contains(part)) {
                throw new IllegalArgumentException(
                        "--parts has '" + part + "', allowed are " + String.join(", ", PARTS) + ".");
            }
        }
        if (tokens < 8 || prompt < 16 || rounds < 1 || kills < 1 || streams < 1 || spares < 1) {
            throw new IllegalArgumentException(
                    "--tokens is " + tokens + ", --prompt is " + prompt + ", --rounds is " + rounds
                            + ", --kills is " + kills + ", --streams is " + streams + ", --spares is " + spares
                            + "; allowed are 8 and 16 tokens or more, and 1 or more of the others.");
        }
        if (parts.contains("rpc") && peer == null) {
            throw new IllegalArgumentException("rpc needs --peer DIR with llama.cpp's rpc-server and llama-bench.");
        }
        var settings =
                new Settings(model(), tokens, prompt, rounds, kills, streams, spares, seed, threads, kernels, logs);
        var report = new Report("serving", Machine.described())
                .setting("model", String.valueOf(settings.model().getFileName()))
                .setting("threads of each process", threads)
                .setting("tokens", tokens)
                .setting("rounds", rounds);
        if (parts.contains("hop")) {
            new Hops(settings, report, ServingCommand::progress).measure();
        }
        if (parts.contains("decode") || parts.contains("prefill") || parts.contains("users")) {
            new Throughput(settings, report, ServingCommand::progress).measure(Set.copyOf(parts));
        }
        for (String part : List.of("kill", "peers")) {
            if (parts.contains(part)) {
                new Kills(settings, report, ServingCommand::progress).measure(part.equals("kill"));
            }
        }
        Path binaries = peer;
        if (parts.contains("rpc") && binaries != null) {
            new LlamaRpc(binaries, settings, report, ServingCommand::progress).measure();
        }
        return report;
    }

    private Path model() throws IOException {
        Path named = model;
        if (named != null) {
            if (!Files.isRegularFile(named)) {
                throw new IOException(named + " is no file.");
            }
            return named;
        }
        Path folder = cache == null ? Path.of(System.getProperty("shoal.home", "."), ".shoal", "bench") : cache;
        Files.createDirectories(folder);
        FileType weights = FileType.of(type);
        Path file = folder.resolve(like + "-" + weights + ".gguf");
        if (!Files.exists(file)) {
            progress("making " + file + " …");
            RandomModel.write(Recipe.of(like), weights, false, 1, file, _ -> {});
        }
        return file;
    }
}
