package shoal.verticles.cli;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.MagnetLink;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.Local;
import shoal.verticles.client.Blocking;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.piecefetcher.PieceFetcherVerticle;
import shoal.verticles.pieceserver.PieceServerVerticle;
import shoal.verticles.quic.PeerRefusedException;
import shoal.verticles.store.StoredFile;
import tools.jackson.databind.json.JsonMapper;

/** Gets one file from peers whose addresses are given. */
@Command(
        name = "fetch",
        description = "Fetch a file from peers, verify every piece, and go on where an earlier fetch stopped.",
        mixinStandardHelpOptions = true)
final class FetchCommand implements Callable<Integer> {
    private static final Set<String> LOOPBACK = Set.of("127.0.0.1", "localhost");
    private static final int STALL_SECONDS = 120;
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    @Parameters(
            index = "0",
            paramLabel = "MAGNET|INFO_HASH|NAME|URL",
            description = "What to fetch: a magnet link, an info-hash or pieces root, a name that a peer lists, or the"
                    + " http or https address of a file.")
    @SuppressWarnings("NullAway.Init")
    private String what;

    @Option(
            names = "--from",
            paramLabel = "HOST:PORT",
            description = "Whom to ask; may be given several times.",
            arity = "1..*")
    private List<String> from = List.of();

    @Option(names = "--out", paramLabel = "DIR", defaultValue = ".", description = "Where the file is to lie.")
    @SuppressWarnings("NullAway.Init")
    private Path out;

    @Option(
            names = "--layers",
            paramLabel = "A-B",
            description = "Only the pieces of a model that these layers need, into a sparse file.")
    private @Nullable String layers;

    @Option(
            names = "--look-in",
            paramLabel = "DIR",
            arity = "1..*",
            description = "Directories whose GGUF files are used, under any name, before anything is fetched.")
    private List<Path> lookIn = List.of();

    @Option(
            names = "--web-seed",
            paramLabel = "URL",
            arity = "1..*",
            description = "Web servers that have the file, asked last; a URL that ends with a slash is a folder.")
    private List<String> webSeeds = List.of();

    @Option(
            names = "--torrent",
            paramLabel = "FILE",
            description = "The file's .torrent, where nobody can be asked for what stands in it.")
    private @Nullable Path torrent;

    @Option(
            names = "--stall-seconds",
            paramLabel = "N",
            description = "Fail when nothing has come for so long; default ${DEFAULT-VALUE}.")
    private int stallSeconds = STALL_SECONDS;

    @Option(names = "--rate", paramLabel = "BYTES", description = "Bytes a second to fetch at most; 0 for no limit.")
    private long rate;

    @Option(
            names = "--peer-rate",
            paramLabel = "BYTES",
            description = "Bytes a second to fetch from each source at most; 0 for no limit.")
    private long peerRate;

    @Option(names = "--json", description = "Print one JSON line a second, and a last one with where bytes came from.")
    private boolean json;

    private record Target(Hash256 hash, @Nullable String name) {}

    @Option(names = "--secret-file", paramLabel = "FILE", description = "The cluster's secret, where it has one.")
    private @Nullable Path secretFile;

    @Override
    public Integer call() throws IOException, InterruptedException {
        var progress = new TransferProgress(json);
        URI address = WebDownload.address(what);
        if (address != null) {
            return fetchAddress(address, progress);
        }
        Local.Part part = layers == null ? new Local.Part.Whole() : new Local.Part.Layers(LayerRange.parse(layers));
        Metainfo described = torrent == null ? null : VerifyFileCommand.readTorrent(torrent);
        var origins = new LinkedHashSet<Endpoint>();
        from.forEach(peer -> origins.add(Endpoint.parse(peer)));
        if (what.startsWith("magnet:")) {
            origins.addAll(MagnetLink.parse(what).peers());
        }
        if (origins.isEmpty() && webSeeds.isEmpty() && lookIn.isEmpty()) {
            throw new MalformedException("nobody is named to ask. Pass --from HOST:PORT.");
        }
        Files.createDirectories(out);
        try (CommandPeer peer = CommandPeer.open(out.resolve(".shoal"), listenAt(origins), secretFile, settings())) {
            Target target = described == null ? target(peer, origins) : target(described);
            if (described != null) {
                peer.store.begin(described, 0);
            }
            useWhatIsThere(peer, target);
            peer.bus.listen(
                    Addresses.FETCH_PROGRESS,
                    Local.FetchProgress.class,
                    now -> progress.tell(now.name(), now.verifiedBytes(), now.size(), bytes(now.bytesBySource())));
            Main.onlyWarnings(PieceServerVerticle.class.getPackageName()); // its list of files is none here
            Blocking.await(peer.vertx.deployVerticle( // what is here is given to others who fetch it too
                    new PieceServerVerticle(peer.endpoint, peer.store, peer.bus, peer.profile)));
            Blocking.await(peer.vertx.deployVerticle(
                    new PieceFetcherVerticle(peer.endpoint, peer.store, peer.bus, peer.profile, List.copyOf(origins))));
            String name = target.name == null ? target.hash.toShortHex() : target.name;
            Local.FileFetched fetched;
            try {
                fetched = Blocking.await(peer.bus.ask(
                        Addresses.FETCH,
                        new Local.FetchFile(target.hash, name, List.of(), part),
                        Local.FileFetched.class));
            } finally {
                progress.endLine();
            }
            StoredFile stored = peer.store.find(fetched.piecesRoot()).orElseThrow();
            boolean whole = stored.isWhole();
            String known = target.name == null ? stored.metainfo().name() : target.name;
            Path path = whole ? place(peer, fetched.path(), known) : fetched.path();
            String note = whole ? "" : ", layers " + layers + " of the model, in a sparse file";
            tellEnd(bytes(fetched.bytesBySource()), path, fetched.size(), progress, note);
            return CommandLine.ExitCode.OK;
        }
    }

    /** What stands in a profile by default is right, and need not be checked. */
    private ProfileReader settings() {
        var settings = new ProfileReader();
        if (stallSeconds != STALL_SECONDS) {
            settings.option("--stall-seconds", "torrent.stallSeconds", stallSeconds);
        }
        if (rate != 0) {
            settings.option("--rate", "download.bytesPerSecond", rate);
        }
        if (peerRate != 0) {
            settings.option("--peer-rate", "download.bytesPerSecondPerPeer", peerRate);
        }
        if (!lookIn.isEmpty()) {
            settings.option(
                    "--look-in",
                    "store.lookIn",
                    lookIn.stream().map(Path::toString).toList());
        }
        if (!webSeeds.isEmpty()) {
            settings.option("--web-seed", "torrent.webSeeds", webSeeds);
        }
        return settings;
    }

    private Target target(Metainfo described) {
        String hash =
                what.startsWith("magnet:") ? MagnetLink.parse(what).infoHash().toHex() : what.toLowerCase(Locale.ROOT);
        if (!what.equals(described.name())
                && !hash.equals(described.infoHash().toHex())
                && !hash.equals(described.piecesRoot().toHex())) {
            throw new MalformedException(torrent + " is that of " + described + ", not of " + what + ".");
        }
        return new Target(described.infoHash().hash(), described.name());
    }

    private Integer fetchAddress(URI address, TransferProgress progress) throws IOException, InterruptedException {
        if (layers != null) {
            throw new MalformedException("--layers needs a hash to check pieces by. Name the file by its info-hash, and"
                    + " give the address with --web-seed.");
        }
        Files.createDirectories(out);
        Path place = out.resolve(WebDownload.nameOf(address));
        if (Files.exists(place)) {
            throw new IOException(place + " exists. Move it aside, or choose another directory with --out.");
        }
        WebDownload.Done done;
        try {
            long limit = rate == 0 ? peerRate : peerRate == 0 ? rate : Math.min(rate, peerRate);
            done = new WebDownload(address, place, out.resolve(".shoal"), limit, progress).run();
        } finally {
            progress.endLine();
        }
        var bytes = bytes(Map.of(Local.Source.HTTP, done.http(), Local.Source.LOCAL, done.local()));
        tellEnd(
                bytes,
                place,
                done.metainfo().length(),
                progress,
                ", info-hash " + done.metainfo().infoHash() + "; nothing but the server's word says what it is");
        return CommandLine.ExitCode.OK;
    }

    private void tellEnd(Map<String, Long> bytes, Path path, long size, TransferProgress progress, String note) {
        double seconds = progress.seconds();
        if (json) {
            var done = new LinkedHashMap<String, Object>();
            done.put("bytes", bytes);
            done.put("seconds", Math.round(seconds * 1000) / 1000.0);
            done.put("path", path.toString());
            System.out.println(JsonMapper.shared().writeValueAsString(done));
        } else {
            System.out.printf(
                    Locale.ROOT,
                    "%s: %,d bytes in %.1f s%s%s%n",
                    path,
                    size,
                    seconds,
                    note.startsWith(", info-hash") ? "" : ", every piece verified",
                    note);
        }
    }

    /** Any free port, so that others who fetch the file can ask for pieces; on loopback if all who are asked are there. */
    private static Endpoint listenAt(Set<Endpoint> origins) {
        boolean near = origins.stream().allMatch(origin -> LOOPBACK.contains(origin.host()));
        return new Endpoint(near ? "127.0.0.1" : "0.0.0.0", 0);
    }

    /** Reads what is wanted; a name is asked of the peers. */
    private Target target(CommandPeer peer, Set<Endpoint> origins) {
        if (what.startsWith("magnet:")) {
            MagnetLink link = MagnetLink.parse(what);
            return new Target(link.infoHash().hash(), link.name() == null ? null : Metainfo.checkName(link.name()));
        }
        if (what.matches("[0-9a-fA-F]{64}")) {
            return new Target(Hash256.parse(what.toLowerCase(Locale.ROOT)), null);
        }
        Metainfo.checkName(what);
        var found = new LinkedHashSet<Hash256>();
        var names = new LinkedHashSet<String>();
        var refusals = new ArrayList<String>();
        for (Endpoint origin : origins) {
            try {
                Frame answer = Blocking.await(peer.endpoint
                        .connect(origin)
                        .compose(connection -> connection.ask(StreamKind.PIECES, new Frame.ListFiles(), PATIENCE)));
                if (answer instanceof Frame.FileList(List<Frame.FileEntry> files)) {
                    files.forEach(file -> names.add(file.name()));
                    files.stream().filter(file -> file.name().equals(what)).forEach(file -> found.add(file.infoHash()));
                }
            } catch (PeerRefusedException refused) {
                refusals.add(String.valueOf(refused.getMessage()));
            }
        }
        if (found.size() == 1) {
            return new Target(found.iterator().next(), what);
        }
        throw new MalformedException(
                found.isEmpty()
                        ? "nobody who was asked has a file named '" + what + "'. "
                                + (names.isEmpty() ? String.join(" ", refusals) : "There are " + names + ".")
                        : "'" + what + "' is the name of " + found.size() + " files; name one by its info-hash: "
                                + found);
    }

    /** Perhaps the file is there already; another one under its name is not overwritten. */
    private void useWhatIsThere(CommandPeer peer, Target target) throws IOException {
        Path place = target.name == null ? null : out.resolve(target.name);
        if (place == null || !Files.exists(place)) {
            return;
        }
        Metainfo there = peer.store.adopt(place).metainfo();
        if (!there.piecesRoot().equals(target.hash) && !there.infoHash().hash().equals(target.hash)) {
            throw new IOException(
                    place + " exists with other content. Move it aside, or choose another directory with --out.");
        }
    }

    /** Moves the file out of the store, to where the user wants it. */
    private Path place(CommandPeer peer, Path fetched, String name) throws IOException {
        boolean ours = fetched.startsWith(peer.store.shardsDirectory());
        Path target = out.resolve(ours ? String.valueOf(fetched.getFileName()) : name);
        if (!ours) {
            return link(fetched, target);
        }
        if (Files.exists(target)) {
            throw new IOException(target + " exists with other content, so the file stays at " + fetched
                    + ". Move it aside, or choose another --out.");
        }
        return Files.move(fetched, target, StandardCopyOption.ATOMIC_MOVE);
    }

    /** A file that lies elsewhere on this machine appears under its name without a copy. */
    private static Path link(Path there, Path target) throws IOException {
        if (Files.exists(target)) {
            return target;
        }
        try {
            return Files.createLink(target, there);
        } catch (IOException | UnsupportedOperationException otherDisk) {
            return Files.createSymbolicLink(target, there);
        }
    }

    private static Map<String, Long> bytes(Map<Local.Source, Long> bySource) {
        var bytes = new LinkedHashMap<String, Long>();
        for (Local.Source source : Local.Source.values()) {
            bytes.put(source.name().toLowerCase(Locale.ROOT), bySource.getOrDefault(source, 0L));
        }
        return bytes;
    }
}
