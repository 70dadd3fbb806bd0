package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import shoal.codec.wire.Sampling;
import shoal.verticles.config.ProfileException;
import shoal.verticles.demo.Demo;
import shoal.verticles.store.ModelSplitter;

/** The whole path on one machine. */
@Command(
        name = "demo",
        description = "Start a swarm of processes on this machine, and let it tell a story.",
        mixinStandardHelpOptions = true)
final class DemoCommand implements Callable<Integer> {
    private static final int MAX_NODES = 32;
    private static final int DEFAULT_NODES = 4;

    @Option(
            names = "--nodes",
            paramLabel = "N",
            description = "How many nodes (default: 4, with --kill one more than shards).")
    private @Nullable Integer chosenNodes;

    @Option(
            names = "--shards",
            defaultValue = "4",
            paramLabel = "S",
            description = "How many shards (default: ${DEFAULT-VALUE}).")
    private int shards;

    @Option(names = "--model", paramLabel = "FILE", description = "A GGUF file instead of the bundled model.")
    private @Nullable Path model;

    @Option(
            names = "--prompt",
            defaultValue = "Once upon a time",
            paramLabel = "TEXT",
            description = "How the story begins (default: ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String prompt;

    @Option(
            names = "--tokens",
            defaultValue = "96",
            paramLabel = "N",
            description = "How many tokens at most (default: ${DEFAULT-VALUE}).")
    private int tokens;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private SamplingOptions samplingOptions;

    @Option(names = "--kill", description = "Kill a stage in the middle of the answer, and see it go on.")
    private boolean kill;

    @Option(names = "--keep", description = "Leave the swarm running.")
    private boolean keep;

    @Option(names = "--stop", description = "End all swarms that were left running.")
    private boolean stop;

    @Option(names = "--json", description = "Print one JSON object; everything else goes to standard error.")
    private boolean json;

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (stop) {
            int stopped = Demo.stop();
            System.out.println(stopped == 0 ? "No swarm is running." : "Ended " + stopped + " swarm(s).");
            return CommandLine.ExitCode.OK;
        }
        int nodes = chosenNodes != null ? chosenNodes : kill ? shards + 1 : DEFAULT_NODES;
        requireRange("--nodes", nodes, MAX_NODES);
        requireRange("--shards", shards, MAX_NODES);
        requireRange("--tokens", tokens, 1 << 20);
        if (kill && nodes == 1) {
            throw new ProfileException("--kill needs at least 2 nodes: somebody must take over.");
        }
        if (model != null) {
            LocalModel.open(model, null, 1).close();
        }
        return Demo.run(
                new Demo.Options(nodes, shards, model, prompt, tokens, samplingOptions.sampling(), kill, keep, json),
                new Program());
    }

    private static void requireRange(String option, int value, int max) {
        if (value < 1 || value > max) {
            throw new ProfileException(option + " is " + value + ", allowed 1.." + max + ".");
        }
    }

    /** What the demo needs of this program. */
    private static final class Program implements Demo.Tools {
        @Override
        public List<String> command(boolean computes) {
            var command = new ArrayList<String>();
            command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
            command.addAll(Relaunch.ownRoleFlags());
            command.addAll(List.of("-Xmx512m", "-Dshoal.relaunched=true"));
            if (!computes) {
                command.add("-XX:TieredStopAtLevel=1"); // starts with less work, which six processes on two cores feel
            }
            command.add("-cp");
            command.add(absoluteClassPath());
            command.add(Main.class.getName());
            return command;
        }

        private static String absoluteClassPath() {
            return String.join(
                    java.io.File.pathSeparator,
                    java.util.Arrays.stream(
                                    System.getProperty("java.class.path").split(java.io.File.pathSeparator))
                            .map(entry -> Path.of(entry).toAbsolutePath().toString())
                            .toList());
        }

        @Override
        public void split(Path model, int shards, Path directory) throws IOException {
            try (ModelSplitter splitter = ModelSplitter.open()) {
                splitter.split(model, shards, directory, "");
            }
        }

        @Override
        public Demo.Reference generate(Path model, String prompt, int tokens, Sampling sampling) throws IOException {
            try (LocalModel local = LocalModel.open(model, null, 1)) {
                var generation = local.generator().generate(prompt, tokens, sampling, _ -> {});
                return new Demo.Reference(generation.tokens(), generation.text());
            }
        }

        @Override
        public String software() {
            return "shoal " + ShoalCommand.Version.number();
        }
    }
}
