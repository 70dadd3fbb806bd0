package shoal.verticles.cli;

import java.io.IOException;
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
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.MagnetLink;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.Local;
import shoal.verticles.piecefetcher.PieceFetcherVerticle;
import shoal.verticles.quic.PeerRefusedException;
import tools.jackson.databind.json.JsonMapper;

/** Gets one file from peers whose addresses are given. */
@Command(
        name = "fetch",
        description = "Fetch a file from peers, verify every piece, and go on where an earlier fetch stopped.",
        mixinStandardHelpOptions = true)
final class FetchCommand implements Callable<Integer> {
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final long MILLI = 1_000_000;

    @Parameters(
            index = "0",
            paramLabel = "MAGNET|INFO_HASH|NAME",
            description = "What to fetch: a magnet link, an info-hash or pieces root, or a name that a peer lists.")
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
            names = "--stall-seconds",
            paramLabel = "N",
            defaultValue = "120",
            description = "Fail when nothing has come for so long; default ${DEFAULT-VALUE}.")
    private int stallSeconds;

    @Option(names = "--json", description = "Print one JSON line a second, and a last one with where bytes came from.")
    private boolean json;

    private long startNanos;
    private long toldNanos = Long.MIN_VALUE;

    private record Target(Hash256 hash, @Nullable String name) {}

    @Option(names = "--secret-file", paramLabel = "FILE", description = "The cluster's secret, where it has one.")
    private @Nullable Path secretFile;

    @Override
    public Integer call() throws IOException {
        startNanos = System.nanoTime();
        var origins = new LinkedHashSet<Endpoint>();
        from.forEach(address -> origins.add(Endpoint.parse(address)));
        if (what.startsWith("magnet:")) {
            origins.addAll(MagnetLink.parse(what).peers());
        }
        if (origins.isEmpty()) {
            throw new MalformedException("nobody is named to ask. Pass --from HOST:PORT.");
        }
        Files.createDirectories(out);
        try (CommandPeer peer = CommandPeer.open(
                out.resolve(".shoal"), null, secretFile, List.of("torrent.stallSeconds=" + stallSeconds))) {
            Target target = target(peer, origins);
            useWhatIsThere(peer, target);
            peer.bus.listen(Addresses.FETCH_PROGRESS, Local.FetchProgress.class, this::tell);
            CommandPeer.await(peer.vertx.deployVerticle(
                    new PieceFetcherVerticle(peer.endpoint, peer.store, peer.bus, peer.profile, List.copyOf(origins))));
            String name = target.name == null ? target.hash.toShortHex() : target.name;
            Local.FileFetched fetched;
            try {
                fetched = CommandPeer.await(peer.bus.ask(
                        Addresses.FETCH, new Local.FetchFile(target.hash, name, List.of()), Local.FileFetched.class));
            } finally {
                if (!json && toldNanos != Long.MIN_VALUE) {
                    System.err.println(); // behind the bar
                }
            }
            Path path = place(peer, fetched.path());
            double seconds = (System.nanoTime() - startNanos) / 1e9;
            if (json) {
                var done = new LinkedHashMap<String, Object>();
                done.put("bytes", bytes(fetched.bytesBySource()));
                done.put("seconds", Math.round(seconds * 1000) / 1000.0);
                done.put("path", path.toString());
                System.out.println(JsonMapper.shared().writeValueAsString(done));
            } else {
                System.out.printf(
                        Locale.ROOT, "%s: %,d bytes in %.1f s, every piece verified%n", path, fetched.size(), seconds);
            }
            return CommandLine.ExitCode.OK;
        }
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
                Frame answer = CommandPeer.await(peer.endpoint
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
    private Path place(CommandPeer peer, Path fetched) throws IOException {
        Path target = out.resolve(fetched.getFileName());
        if (!fetched.startsWith(peer.store.shardsDirectory())) {
            return target;
        }
        if (Files.exists(target)) {
            throw new IOException(target + " exists with other content, so the file stays at " + fetched
                    + ". Move it aside, or choose another --out.");
        }
        return Files.move(fetched, target, StandardCopyOption.ATOMIC_MOVE);
    }

    private void tell(Local.FetchProgress progress) {
        long now = System.nanoTime();
        boolean early = toldNanos != Long.MIN_VALUE && now - toldNanos < (json ? 1000 : 100) * MILLI;
        if (early && progress.verifiedBytes() < progress.size()) {
            return;
        }
        toldNanos = now;
        double seconds = (now - startNanos) / 1e9;
        long local = progress.bytesBySource().getOrDefault(Local.Source.LOCAL, 0L);
        double rate = (progress.verifiedBytes() - local) / Math.max(seconds, 1e-3);
        if (json) {
            var line = new LinkedHashMap<String, Object>();
            line.put("name", progress.name());
            line.put("verified", progress.verifiedBytes());
            line.put("size", progress.size());
            line.put("bytes_per_second", Math.round(rate));
            line.put("bytes", bytes(progress.bytesBySource()));
            System.out.println(JsonMapper.shared().writeValueAsString(line));
        } else {
            int done = (int) (40 * progress.verifiedBytes() / progress.size());
            System.err.printf(
                    Locale.ROOT,
                    "\r%s [%s%s] %3d %% %,.1f MB/s ",
                    progress.name(),
                    "#".repeat(done),
                    "-".repeat(40 - done),
                    100 * progress.verifiedBytes() / progress.size(),
                    rate / 1e6);
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
