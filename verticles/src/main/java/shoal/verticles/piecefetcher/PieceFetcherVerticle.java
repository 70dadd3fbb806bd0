package shoal.verticles.piecefetcher;

import io.vertx.core.Future;
import io.vertx.core.VerticleBase;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.swarm.Download;
import shoal.codec.swarm.RateLimit;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/** Answers {@link Addresses#FETCH}: gets files into the store. Two who ask for the same file wait for one fetch. */
public final class PieceFetcherVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(PieceFetcherVerticle.class);

    private final QuicEndpoint endpoint;
    private final ShardStore store;
    private final CommandBus bus;
    private final List<Endpoint> origins;
    /** By what was asked for, and by info-hash and pieces root once they are known. */
    private final Map<Hash256, Fetch> running = new HashMap<>();

    private final Fetch.Settings settings;

    /** @param origins whom to ask in any case: the bootstrap addresses */
    public PieceFetcherVerticle(
            QuicEndpoint endpoint, ShardStore store, CommandBus bus, Profile profile, List<Endpoint> origins) {
        this.endpoint = endpoint;
        this.store = store;
        this.bus = bus;
        this.origins = List.copyOf(origins);
        Profile.Download budget = profile.download();
        settings = new Fetch.Settings(
                profile.torrent().stallSeconds(),
                profile.store().lookIn().stream().map(Path::of).toList(),
                profile.torrent().webSeedAddresses(),
                Download.Settings.DEFAULT.withBudget(
                        budget.memoryBytes(), budget.connections(), limit(budget.bytesPerSecondPerPeer())),
                new RateLimit(limit(budget.bytesPerSecond()), Download.BLOCK_BYTES));
    }

    private static long limit(long bytesPerSecond) {
        return bytesPerSecond == 0 ? RateLimit.UNLIMITED : bytesPerSecond;
    }

    @Override
    public Future<?> start() {
        bus.answerLocally(Addresses.FETCH, Local.FetchFile.class, this::fetch);
        bus.listen(Addresses.FETCH_FIRST, Local.FetchFirst.class, wish -> {
            Fetch fetch = running.get(wish.piecesRoot());
            if (fetch != null) {
                fetch.first(wish.firstPiece(), wish.pieceCount());
            }
        });
        return Future.succeededFuture();
    }

    @Override
    public Future<?> stop() {
        new ArrayList<>(running.values()).forEach(fetch -> fetch.fail("the process stops"));
        return Future.succeededFuture();
    }

    private Future<Local.FileFetched> fetch(Local.FetchFile wanted) {
        Fetch same = running.get(wanted.hash());
        if (same != null) { // a wish for another part waits: what that brings need not travel twice
            return same.part().equals(wanted.part())
                    ? same.result()
                    : same.result().transform(_ -> fetch(wanted));
        }
        var fetch = new Fetch(vertx, endpoint, store, bus, wanted, settings, this::claim);
        running.put(wanted.hash(), fetch);
        fetch.result().onComplete(_ -> running.values().removeIf(other -> other == fetch));
        vertx.executeBlocking(() -> inStore(wanted.hash()), false)
                .onSuccess(found -> {
                    if (found.isPresent() && found.get().isWhole()) {
                        fetch.wasHere(found.get());
                    } else {
                        fetch.start(found.orElse(null), origins);
                    }
                })
                .onFailure(failure -> fetch.fail(String.valueOf(failure.getMessage())));
        return fetch.result();
    }

    /** What the store has under the hash; a whole file that has changed or gone since is not it any more. On a worker. */
    private Optional<StoredFile> inStore(Hash256 hash) throws IOException {
        Optional<StoredFile> found = store.find(hash).or(() -> store.find(new InfoHash(hash)));
        if (found.isEmpty() || !found.get().isWhole()) {
            return found;
        }
        Path path = found.get().path();
        Hash256 root = found.get().piecesRoot();
        try {
            if (store.adopt(path).piecesRoot().equals(root)) {
                return found;
            }
            LOG.warn("{} is not any more what it was; it is fetched again", path);
        } catch (IOException gone) {
            LOG.warn("{} cannot be read any more; it is fetched again: {}", path, gone.getMessage());
            store.remove(root);
        }
        return Optional.empty();
    }

    /** A fetch has learned which file it is about: it goes on, unless another already fetches that one. */
    private @Nullable Fetch claim(Metainfo metainfo, Fetch fetch) {
        Fetch other = running.putIfAbsent(metainfo.piecesRoot(), fetch);
        if (other != null && other != fetch) {
            return other;
        }
        running.putIfAbsent(metainfo.infoHash().hash(), fetch);
        return null;
    }
}
