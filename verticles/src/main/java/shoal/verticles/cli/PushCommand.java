package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.codec.base.Endpoint;
import shoal.codec.metainfo.Metainfo;
import shoal.verticles.client.Blocking;
import shoal.verticles.identity.Identity;
import shoal.verticles.push.PushSender;
import tools.jackson.databind.json.JsonMapper;

/** Uploads files to a rendezvous. */
@Command(
        name = "push",
        description = "Upload files to a rendezvous that allows it, verified; goes on where an earlier push stopped.",
        mixinStandardHelpOptions = true)
final class PushCommand implements Callable<Integer> {
    @Parameters(arity = "0..*", paramLabel = "FILES", description = "Files to upload, one after another.")
    private List<Path> files = List.of();

    @Option(names = "--to", paramLabel = "HOST:PORT", description = "The rendezvous.")
    private @Nullable String to;

    @Option(
            names = "--identity",
            paramLabel = "FILE",
            description =
                    "The key to push with, made if it isn't there; else .shoal/identity.pem in the home directory.")
    private @Nullable Path identity;

    @Option(
            names = "--show-key",
            description = "Print the key's node id, for push.allow in the rendezvous' profile, and do nothing else.")
    private boolean showKey;

    @Option(names = "--secret-file", paramLabel = "FILE", description = "The cluster's secret, where it has one.")
    private @Nullable Path secretFile;

    @Option(names = "--json", description = "Print one JSON line a second, and one for each file that is there.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        Path keyFile = identity == null ? Path.of(System.getProperty("user.home"), ".shoal", "identity.pem") : identity;
        Path directory = keyFile.toAbsolutePath().getParent();
        if (directory != null) {
            Files.createDirectories(directory);
        }
        Identity key = Identity.loadOrCreate(keyFile);
        if (showKey) {
            System.out.println(key.nodeId().toHex());
            return CommandLine.ExitCode.OK;
        }
        if (to == null || files.isEmpty()) {
            throw new IOException("name FILES, and the rendezvous with --to HOST:PORT.");
        }
        Endpoint target = Endpoint.parse(to);
        for (Path file : files) {
            if (!Files.isRegularFile(file)) {
                throw new IOException(file + (Files.exists(file) ? " is no file." : " does not exist."));
            }
        }
        Path scratch = Files.createTempDirectory("shoal-push-");
        var progress = new TransferProgress(json);
        try (CommandPeer peer = CommandPeer.open(scratch, secretFile, key)) {
            PushSender sender = Blocking.await(
                    peer.endpoint.connect(target).compose(connection -> PushSender.open(peer.vertx, connection)));
            for (Path file : files) {
                Metainfo metainfo = TorrentCommand.hash(file);
                push(sender, file, metainfo, progress);
            }
        } finally {
            progress.endLine();
            SeedCommand.delete(scratch);
        }
        return CommandLine.ExitCode.OK;
    }

    private void push(PushSender sender, Path file, Metainfo metainfo, TransferProgress progress) {
        var fileProgress = new TransferProgress(json);
        PushSender.Pushed pushed = Blocking.await(sender.push(
                file, metainfo, there -> fileProgress.tell(metainfo.name(), there, metainfo.length(), Map.of())));
        fileProgress.endLine();
        if (json) {
            var line = new LinkedHashMap<String, Object>();
            line.put("file", file.toString());
            line.put("name", pushed.name());
            line.put("info_hash", pushed.infoHash().toHex());
            line.put("size", metainfo.length());
            line.put("sent", pushed.sentBytes());
            line.put("seconds", Math.round(progress.seconds() * 1000) / 1000.0);
            System.out.println(JsonMapper.shared().writeValueAsString(line));
        } else {
            System.out.printf(
                    Locale.ROOT,
                    "%s is seeded as %s, %,d of %,d bytes sent%n",
                    file,
                    pushed.name(),
                    pushed.sentBytes(),
                    metainfo.length());
        }
    }
}
