package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.MagnetLink;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.Local;
import shoal.verticles.client.Blocking;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.fileserver.FileServerVerticle;
import shoal.verticles.pieceserver.PieceServerVerticle;
import shoal.verticles.store.StoredFile;
import tools.jackson.databind.json.JsonMapper;

/** Hands out files where they lie, until it is stopped. */
@Command(
        name = "seed",
        description = "Hand out files to whoever asks for them, until this is stopped.",
        mixinStandardHelpOptions = true)
final class SeedCommand implements Callable<Integer> {
    @Parameters(arity = "1..*", paramLabel = "FILES", description = "Files to hand out, unchanged and where they lie.")
    @SuppressWarnings("NullAway.Init")
    private List<Path> files;

    @Option(names = "--port", paramLabel = "N", description = "UDP port; 0, the default, for any free one.")
    private int port;

    @Option(
            names = "--listen-addr",
            paramLabel = "ADDRESS",
            defaultValue = "127.0.0.1",
            description = "Address to listen on, 0.0.0.0 for all; default ${DEFAULT-VALUE}.")
    @SuppressWarnings("NullAway.Init")
    private String host;

    @Option(
            names = "--http-port",
            paramLabel = "N",
            description = "TCP port to serve the files on by HTTP too, 0 for any free one.")
    private @Nullable Integer httpPort;

    @Option(names = "--rate", paramLabel = "BYTES", description = "Bytes a second to send at most; 0 for no limit.")
    private long rate;

    @Option(
            names = "--peer-rate",
            paramLabel = "BYTES",
            description = "Bytes a second to send to each peer at most; 0 for no limit.")
    private long peerRate;

    @Option(
            names = "--store",
            paramLabel = "DIR",
            description = "Where to remember hashes; else each start hashes anew.")
    private @Nullable Path directory;

    @Option(
            names = "--json",
            description =
                    "Print a JSON line: the port, and each file's name, info-hash and size; then one a second with the"
                            + " bytes sent so far, as long as there are more.")
    private boolean json;

    @Option(names = "--secret-file", paramLabel = "FILE", description = "The cluster's secret, where it has one.")
    private @Nullable Path secretFile;

    @Override
    public Integer call() throws IOException, InterruptedException {
        for (Path file : files) {
            if (!Files.isRegularFile(file) || !Files.isReadable(file)) {
                throw new IOException(
                        file + (Files.exists(file) ? " is no file that can be read." : " does not exist."));
            }
        }
        Path chosen = directory;
        Path store = chosen == null ? Files.createTempDirectory("shoal-seed-") : chosen;
        if (chosen == null) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(store)));
        }
        var bind = new Endpoint(host, port);
        var settings = new ProfileReader();
        if (rate != 0) {
            settings.option("--rate", "upload.bytesPerSecond", rate);
        }
        if (peerRate != 0) {
            settings.option("--peer-rate", "upload.bytesPerSecondPerPeer", peerRate);
        }
        CommandPeer peer = CommandPeer.open(store, bind, secretFile, settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> Blocking.await(peer.endpoint.close())));
        var seeded = new ArrayList<StoredFile>();
        for (Path file : files) {
            seeded.add(peer.store.adopt(file));
        }
        var server = new PieceServerVerticle(peer.endpoint, peer.store, peer.bus, peer.profile, files);
        Blocking.await(peer.vertx.deployVerticle(server));
        Endpoint bound = peer.endpoint.bound();
        Integer web = null;
        if (httpPort != null) {
            var webServer = new FileServerVerticle(peer.store, peer.bus, peer.profile.upload(), host, httpPort);
            Blocking.await(peer.vertx.deployVerticle(webServer));
            web = webServer.port();
        }
        if (json) {
            System.out.println(JsonMapper.shared().writeValueAsString(described(bound, web, seeded)));
        } else {
            System.out.println("listening on " + bound);
            if (web != null) {
                System.out.println("and on http://" + host + ":" + web + "/files/");
            }
            for (StoredFile file : seeded) {
                tellLink(file.metainfo().infoHash(), file.metainfo().name(), bound);
            }
        }
        System.out.flush();
        tellChanges(peer, bound, seeded);
        if (json) {
            var uploads = new Uploaded(server);
            peer.vertx.setPeriodic(1_000, _ -> uploads.tell());
            Runtime.getRuntime().addShutdownHook(new Thread(uploads::tell));
        }
        new CountDownLatch(1).await(); // until a signal
        return CommandLine.ExitCode.OK;
    }

    /** One line of JSON a second, as long as there is news. */
    private static final class Uploaded {
        private final PieceServerVerticle server;
        private long told;

        Uploaded(PieceServerVerticle server) {
            this.server = server;
        }

        synchronized void tell() {
            long now = server.sentBytes();
            if (now != told) {
                told = now;
                System.out.println(JsonMapper.shared().writeValueAsString(Map.of("uploaded", now)));
            }
        }
    }

    private static void tellLink(InfoHash infoHash, String name, Endpoint bound) {
        System.out.println(name + "  " + new MagnetLink(infoHash, name, List.of(bound)));
    }

    /** A file that is changed is handed out under its new hash, one that is deleted no longer: each time a line. */
    private void tellChanges(CommandPeer peer, Endpoint bound, List<StoredFile> seeded) {
        var known = new ConcurrentHashMap<Hash256, Local.FileStored>();
        for (StoredFile file : seeded) {
            known.put(
                    file.piecesRoot(),
                    new Local.FileStored(
                            file.piecesRoot(),
                            file.metainfo().infoHash().hash(),
                            file.metainfo().name(),
                            file.metainfo().length()));
        }
        peer.bus.listen(Addresses.FILE_SEEDED, Local.FileStored.class, file -> {
            known.put(file.piecesRoot(), file);
            if (json) {
                tellChange("seeding", file);
            } else {
                tellLink(new InfoHash(file.infoHash()), file.name(), bound);
            }
        });
        peer.bus.listen(Addresses.WITHDRAW, Local.Withdraw.class, gone -> {
            Local.FileStored file = known.remove(gone.key());
            if (file != null && json) {
                tellChange("gone", file);
            } else if (file != null) {
                System.out.println(file.name() + "  is changed or gone: not handed out as it was");
            }
        });
    }

    private static void tellChange(String what, Local.FileStored file) {
        System.out.println(JsonMapper.shared()
                .writeValueAsString(Map.of(what, described(file.name(), new InfoHash(file.infoHash()), file.size()))));
    }

    private static Map<String, Object> described(String name, InfoHash infoHash, long size) {
        var entry = new LinkedHashMap<String, Object>();
        entry.put("name", name);
        entry.put("info_hash", infoHash.toHex());
        entry.put("size", size);
        return entry;
    }

    private static Map<String, Object> described(Endpoint bound, @Nullable Integer web, List<StoredFile> seeded) {
        var described = new LinkedHashMap<String, Object>();
        described.put("port", bound.port());
        if (web != null) {
            described.put("http_port", web);
        }
        described.put(
                "files",
                seeded.stream()
                        .map(file -> described(
                                file.metainfo().name(),
                                file.metainfo().infoHash(),
                                file.metainfo().length()))
                        .toList());
        return described;
    }

    static void delete(Path directory) {
        try (Stream<Path> all = Files.walk(directory)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        } catch (IOException leftBehind) {
            System.err.println("shoal: " + directory + " could not be deleted: " + leftBehind.getMessage());
        }
    }
}
