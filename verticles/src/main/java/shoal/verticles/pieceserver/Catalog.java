package shoal.verticles.pieceserver;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.eventbus.ReplyException;
import io.vertx.core.eventbus.ReplyFailure;
import java.nio.charset.StandardCharsets;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.swarm.FirstCopies;
import shoal.codec.swarm.PeerKey;
import shoal.codec.wire.Frame;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/**
 * What is handed out: whole files and the verified pieces of partial ones, by pieces root and info-hash, and told to the DHT. On
 * the verticle's context.
 */
final class Catalog {
    private static final Logger LOG = LoggerFactory.getLogger(Catalog.class);
    private static final Pattern PRIMARY = Pattern.compile("shard-(\\d{1,5})\\.gguf");
    private static final long REGISTER_AGAIN_MILLIS = 1_000;
    private static final int MAX_REGISTER_ATTEMPTS = 60;

    private final Vertx vertx;
    private final ShardStore store;
    private final CommandBus bus;
    private final Profile profile;
    private final Map<Hash256, Seeded> seeded = new HashMap<>();
    private final Map<InfoHash, Hash256> roots = new HashMap<>();

    Catalog(Vertx vertx, ShardStore store, CommandBus bus, Profile profile) {
        this.vertx = vertx;
        this.store = store;
        this.bus = bus;
        this.profile = profile;
    }

    /** What was here before the process: taken up, and told in one go. */
    void addAtStart(List<StoredFile> found) {
        found.forEach(this::take);
        var whole = new TreeMap<String, Seeded>();
        seeded.values().stream().filter(Seeded::isWhole).forEach(file -> whole.put(file.metainfo.name(), file));
        int primary = 0;
        int last = -1;
        for (Seeded file : whole.values()) {
            Matcher name = PRIMARY.matcher(file.metainfo.name());
            if (name.matches()) {
                primary++;
                last = Math.max(last, Integer.parseInt(name.group(1)));
            }
            tellSeeded(file);
        }
        Integer total = profile.shard().total();
        int expected = total == null ? last + 1 : total;
        if (primary > 0) {
            LOG.info("[TORRENT] Primary shards (0-{}): {}/{} seeded", expected - 1, primary, expected);
        }
        LOG.info("[TORRENT] Total files available for seeding: {}", whole.size());
        if (whole.isEmpty()) {
            return;
        }
        LOG.info("[TORRENT] Registering {} torrent file(s) in DHT for auto-propagation...", whole.size());
        Future.all(whole.values().stream().map(this::register).toList())
                .onSuccess(_ -> LOG.info("[TORRENT] ✓ All torrent files registered in DHT - auto-propagation enabled"));
    }

    private static void tellSeeded(Seeded file) {
        String name = file.metainfo.name();
        String kind = PRIMARY.matcher(name).matches() ? "primary shard" : "file";
        LOG.info("[TORRENT] ✓ Seeding {}: {} (hash: {})", kind, name, file.metainfo.infoHash());
    }

    /** Takes up what the store has; says whether the file has become whole by it. */
    private boolean take(StoredFile file) {
        Seeded known = seeded.get(file.piecesRoot());
        boolean wasWhole = known != null && known.isWhole();
        Seeded now = new Seeded(file.metainfo());
        if (known == null && file.isWhole()) {
            now.firstCopies = new FirstCopies(file.metainfo().pieces().count());
        } else if (known != null) {
            now.firstCopies = known.firstCopies;
            now.verified.or(known.verified);
            now.followers.addAll(known.followers);
            roots.remove(known.metainfo.infoHash(), file.piecesRoot()); // the same bytes may have got another name
        }
        seeded.put(file.piecesRoot(), now);
        roots.put(file.metainfo().infoHash(), file.piecesRoot());
        for (int piece = file.verified().nextSet(0);
                piece >= 0;
                piece = file.verified().nextSet(piece + 1)) {
            now.add(piece);
        }
        return now.isWhole() && !wasWhole;
    }

    /** Takes up what the store has, and tells the DHT of what is new. */
    void add(StoredFile file) {
        boolean first = !seeded.containsKey(file.piecesRoot());
        boolean becameWhole = take(file);
        Seeded now = seeded.get(file.piecesRoot());
        if (becameWhole && now != null) {
            tellSeeded(now);
            bus.tell(
                    Addresses.FILE_SEEDED,
                    new Local.FileStored(
                            file.piecesRoot(),
                            now.metainfo.infoHash().hash(),
                            now.metainfo.name(),
                            now.metainfo.length()));
        }
        if (becameWhole && now != null || first && now != null) {
            register(now);
        }
    }

    /** Tells the DHT. Where no DHT runs in this process yet, asks again for a while; seeding does not depend on it. */
    private Future<?> register(Seeded file) {
        String role = profile.role();
        byte[] payload = (role == null ? "" : role).getBytes(StandardCharsets.UTF_8);
        return announce(new Local.Announce(file.metainfo.piecesRoot(), payload), 1)
                .onSuccess(_ -> {
                    if (file.isWhole()) {
                        LOG.info(
                                "[TORRENT] ✓ Registered torrent file in DHT: {} (hash: {})",
                                file.metainfo.name(),
                                file.metainfo.infoHash());
                    }
                })
                .onFailure(failure -> LOG.debug("{} is not in the DHT: {}", file.metainfo.name(), failure.toString()));
    }

    private Future<Integer> announce(Local.Announce announce, int attempt) {
        return bus.ask(Addresses.ANNOUNCE, announce, Integer.class).recover(failure -> {
            boolean nobody = failure instanceof ReplyException reply && reply.failureType() == ReplyFailure.NO_HANDLERS;
            if (!nobody || attempt >= MAX_REGISTER_ATTEMPTS) {
                return Future.failedFuture(failure);
            }
            return vertx.timer(REGISTER_AGAIN_MILLIS, TimeUnit.MILLISECONDS)
                    .compose(_ -> announce(announce, attempt + 1));
        });
    }

    void forget(Hash256 root) {
        Seeded gone = seeded.remove(root);
        if (gone != null) {
            roots.remove(gone.metainfo.infoHash(), root);
            bus.tell(Addresses.WITHDRAW, new Local.Withdraw(root));
            LOG.info("[TORRENT] no longer seeding {}: the file is gone or changed", gone.metainfo.name());
        }
    }

    /** A file could not be read: if the store has let go of it, so does this. */
    void recheck(Hash256 root) {
        vertx.executeBlocking(() -> store.find(root).isEmpty(), false).onSuccess(gone -> {
            if (gone) {
                forget(root);
            }
        });
    }

    void verified(Local.PiecesVerified news) {
        Seeded file = seeded.get(news.piecesRoot());
        if (file == null) {
            lookUp(news.piecesRoot());
            return;
        }
        int end = Math.min(
                news.firstPiece() + news.pieceCount(), file.metainfo.pieces().count());
        for (int piece = Math.max(0, news.firstPiece()); piece < end; piece++) {
            file.add(piece);
        }
    }

    /** What the store has under a pieces root or an info-hash, taken up. */
    Future<@Nullable Seeded> lookUp(Hash256 hash) {
        return vertx.executeBlocking(() -> store.find(hash).or(() -> store.find(new InfoHash(hash))), false)
                .map(found -> {
                    found.ifPresent(this::add);
                    return found.map(file -> seeded.get(file.piecesRoot())).orElse(null);
                });
    }

    /** By pieces root or info-hash, if it has been taken up. */
    @Nullable Seeded known(Hash256 hash) {
        Seeded file = seeded.get(hash);
        if (file == null) {
            Hash256 root = roots.get(new InfoHash(hash));
            file = root == null ? null : seeded.get(root);
        }
        return file;
    }

    /** By pieces root. */
    @Nullable Seeded at(Hash256 root) {
        return seeded.get(root);
    }

    /** It asks for nothing any more, and nobody can ask it. */
    void left(PeerKey requester) {
        seeded.values().forEach(file -> {
            if (file.firstCopies != null) {
                file.firstCopies.left(requester);
            }
        });
    }

    void unfollow(Session session) {
        seeded.values().forEach(file -> file.followers.remove(session));
    }

    /** The whole files, by name. */
    Frame.FileList fileList() {
        return new Frame.FileList(seeded.values().stream()
                .filter(Seeded::isWhole)
                .sorted(Comparator.comparing(file -> file.metainfo.name()))
                .limit(Frame.FileList.MAX_FILES)
                .map(Seeded::entry)
                .toList());
    }
}
