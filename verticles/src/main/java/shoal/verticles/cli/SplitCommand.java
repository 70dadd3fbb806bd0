package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.codec.metainfo.ModelManifest;
import shoal.verticles.store.ModelSplitter;

/** One model file to shards. */
@Command(
        name = "split",
        description = "Cut a model by layers into shards and a vocabulary file.",
        mixinStandardHelpOptions = true)
final class SplitCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "MODEL", description = "A GGUF file, or one of a set that llama.cpp split.")
    @SuppressWarnings("NullAway.Init")
    private Path model;

    @Option(
            names = "--shards",
            defaultValue = "4",
            paramLabel = "S",
            description = "How many shards (default: ${DEFAULT-VALUE}).")
    private int shards;

    @Option(
            names = "--out",
            required = true,
            paramLabel = "DIR",
            description = "Where they are written, such as a rendezvous's seed directory.")
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @Option(
            names = "--prefix",
            defaultValue = "",
            paramLabel = "TEXT",
            description = "Put before each file's name, for several models in one directory.")
    @SuppressWarnings("NullAway.Init")
    private String prefix;

    @Override
    public Integer call() throws IOException {
        try (ModelSplitter splitter = ModelSplitter.open()) {
            ModelManifest manifest = splitter.split(model, shards, directory, prefix);
            for (ModelManifest.Shard shard : manifest.shards()) {
                System.out.printf(
                        "%s  layers %s  %,d bytes  %s%n",
                        directory.resolve(shard.name()), shard.layers(), shard.size(), shard.infoHash());
            }
            System.out.println(directory.resolve(prefix + "vocabulary.gguf"));
            return CommandLine.ExitCode.OK;
        }
    }
}
