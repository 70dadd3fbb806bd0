package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import shoal.codec.base.Endpoint;
import shoal.codec.wire.Frame;
import shoal.verticles.client.OwnerClient;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.identity.ClusterSecret;
import shoal.verticles.identity.Identity;
import shoal.verticles.launcher.RunningNote;
import tools.jackson.databind.json.JsonMapper;

/** The owner of a machine needs it, or gives it back. */
abstract class RestCommand implements Callable<Integer> {
    private final boolean rest;

    @Option(names = "--config", paramLabel = "FILE", description = "The node's profile, which names its store.")
    private @Nullable Path config;

    @Option(
            names = "--store",
            paramLabel = "DIR",
            description = "The node's store.directory: the node that has it open is meant; else models_cache.")
    private @Nullable Path store;

    @Option(
            names = "--at",
            paramLabel = "HOST:PORT",
            description = "The node's QUIC address. From another machine only with the node's key, from --store.")
    private @Nullable String at;

    @Option(names = "--secret-file", paramLabel = "FILE", description = "The cluster's secret, where it has one.")
    private @Nullable Path secretFile;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    RestCommand(boolean rest) {
        this.rest = rest;
    }

    @Override
    public Integer call() throws IOException {
        Path directory = directory();
        RunningNote note = at == null ? running(directory) : null;
        Endpoint target = note == null ? Endpoint.parse(String.valueOf(at)) : note.quic();
        Path secret = secretFile;
        if (secret == null && note != null && note.secretFile() != null) {
            secret = Path.of(note.secretFile());
        }
        Path key = directory.resolve("identity.pem");
        Identity identity = Files.isReadable(key) ? Identity.loadOrCreate(key) : Identity.create();
        Frame.Rested answer = OwnerClient.rest(
                target,
                rest,
                identity,
                secret == null ? null : ClusterSecret.read(secret),
                "shoal " + ShoalCommand.Version.number());
        if (json) {
            var line = new LinkedHashMap<String, Object>();
            line.put("node", target.toString());
            line.put("state", answer.availability().text());
            line.put("handed_over", answer.relieved());
            System.out.println(JsonMapper.shared().writeValueAsString(line));
        } else if (!rest) {
            System.out.println("The node at " + target + " takes work again.");
        } else if (answer.relieved()) {
            System.out.println("The node at " + target + " rests: others have its work, its files stay.");
        }
        if (rest && !answer.relieved()) {
            System.err.println(
                    "shoal: the node at " + target
                            + " takes no new work, but nobody took over what it computes within cluster.drainSeconds. Start another node, or wait and ask again.");
            return CommandLine.ExitCode.SOFTWARE;
        }
        return CommandLine.ExitCode.OK;
    }

    private Path directory() {
        var reader = new ProfileReader();
        if (config != null) {
            reader.file(config);
        }
        if (store != null) {
            reader.option("--store", "store.directory", store.toString());
        }
        return reader.read().store().directoryPath();
    }

    private static RunningNote running(Path directory) throws IOException {
        RunningNote note = RunningNote.read(directory)
                .orElseThrow(() -> new IOException("no process has " + directory.toAbsolutePath()
                        + " open. Name the node's store with --store DIR, or its address with --at HOST:PORT."));
        if (!note.role().equals("node")) {
            throw new IOException(directory.toAbsolutePath() + " belongs to a " + note.role()
                    + ", which computes nothing; only a node can rest.");
        }
        return note;
    }

    /** {@code shoal pause} */
    @Command(
            name = "pause",
            description = "Let the node on this machine rest: others take its work over, and it keeps its files.",
            mixinStandardHelpOptions = true)
    static final class Pause extends RestCommand {
        Pause() {
            super(true);
        }
    }

    /** {@code shoal resume} */
    @Command(
            name = "resume",
            description = "Let the node on this machine take work again.",
            mixinStandardHelpOptions = true)
    static final class Resume extends RestCommand {
        Resume() {
            super(false);
        }
    }
}
