package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.verticles.store.ModelSplitter;

/** Shards to the model file they came from. */
@Command(
        name = "join",
        description = "Put shards together to the model that they were cut from.",
        mixinStandardHelpOptions = true)
final class JoinCommand implements Callable<Integer> {
    @Parameters(arity = "1..*", paramLabel = "SHARD", description = "All shards of one model, in any order.")
    @SuppressWarnings("NullAway.Init")
    private List<Path> shards;

    @Option(names = "--out", required = true, paramLabel = "FILE", description = "The model file to write.")
    @SuppressWarnings("NullAway.Init")
    private Path out;

    @Option(
            names = "--unverified",
            description =
                    "Join even what does not give the very file that was split, such as one laid out unlike ggml's.")
    private boolean unverified;

    @Override
    public Integer call() throws IOException {
        try (ModelSplitter splitter = ModelSplitter.open()) {
            System.out.printf("%s  %,d bytes%n", out, splitter.join(shards, out, !unverified));
            return CommandLine.ExitCode.OK;
        }
    }
}
