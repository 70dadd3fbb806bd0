package shoal.verticles.pieceserver;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.VerticleBase;
import io.vertx.core.eventbus.ReplyException;
import io.vertx.core.eventbus.ReplyFailure;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.swarm.PeerKey;
import shoal.codec.swarm.UploadScheduler;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/**
 * Hands out what the store has, whole files and the verified pieces of partial ones, and tells the DHT. Files that are put into
 * the seed directory or the shards directory while it runs are hashed and seeded too. Its start is over when the files that are
 * there at first are seeded, or after a while, when there is much to hash.
 */
public final class PieceServerVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(PieceServerVerticle.class);
    private static final Pattern PRIMARY = Pattern.compile("shard-(\\d{1,5})\\.gguf");
    private static final long START_PATIENCE_MILLIS = 10_000;
    private static final long LOOK_MILLIS = 500;
    private static final long REGISTER_AGAIN_MILLIS = 1_000;
    private static final int MAX_REGISTER_ATTEMPTS = 60;
    private static final int MAX_STREAMS_PER_PEER = 16;

    private static final UploadScheduler.Settings UPLOADS = new UploadScheduler.Settings(
            UploadScheduler.Settings.UNLIMITED, 256 * 1024, 1024, 64L << 20, 48L << 20, 12L << 20, 1024);

    private final QuicEndpoint endpoint;
    private final ShardStore store;
    private final CommandBus bus;
    private final Profile profile;
    private final Map<Hash256, Seeded> seeded = new HashMap<>();
    private final Map<InfoHash, Hash256> roots = new HashMap<>();
    private final Map<Path, Hash256> watched = new HashMap<>();
    private final Map<NodeId, Requester> requesters = new HashMap<>();
    private final Map<PeerKey, NodeId> requesterIds = new HashMap<>();
    private final Map<Long, Request> requests = new HashMap<>();
    private final SeedWatch watch;
    private final Set<String> complained = ConcurrentHashMap.newKeySet();
    private @Nullable MachineDriver<UploadScheduler.Input, UploadScheduler.Effect> uploads;
    private long nextKey;
    private long nextRequest;
    private boolean looking;

    /** Streams of one peer, which share one place in the queue. */
    private static final class Requester {
        final PeerKey key;
        int streams;

        Requester(PeerKey key) {
            this.key = key;
        }
    }

    private record Request(Session session, Frame.RequestPiece asked, long bytes) {}

    public PieceServerVerticle(QuicEndpoint endpoint, ShardStore store, CommandBus bus, Profile profile) {
        this.endpoint = endpoint;
        this.store = store;
        this.bus = bus;
        this.profile = profile;
        var directories = new LinkedHashSet<Path>();
        directories.add(store.shardsDirectory().toAbsolutePath().normalize());
        directories.add(profile.store().shardsPath().toAbsolutePath().normalize());
        String seeds = profile.store().seedDirectory();
        if (seeds != null) {
            directories.add(Path.of(seeds).toAbsolutePath().normalize());
        }
        watch = new SeedWatch(List.copyOf(directories));
    }

    @Override
    public Future<?> start() {
        long limit = profile.upload().bytesPerSecond();
        uploads = new MachineDriver<>(
                vertx,
                new UploadScheduler(limit == 0 ? UPLOADS : UPLOADS.withBytesPerSecond(limit)),
                new UploadScheduler.Input.Tick(),
                this::carryOut);
        endpoint.onStream(StreamKind.PIECES, this::accept);
        bus.listen(Addresses.PIECES_VERIFIED, Local.PiecesVerified.class, this::verified);
        bus.listen(Addresses.FILE_STORED, Local.FileStored.class, stored -> lookUp(stored.piecesRoot()));
        Promise<Void> started = Promise.promise();
        vertx.setTimer(START_PATIENCE_MILLIS, _ -> started.tryComplete());
        vertx.executeBlocking(() -> {
                    var found = new ArrayList<>(store.list());
                    for (Adopted file : adopt(watch.first().settled())) {
                        found.add(file.stored());
                    }
                    return found;
                })
                .onSuccess(found -> {
                    found.sort(Comparator.comparing(file -> file.metainfo().name()));
                    seedAtStart(found);
                    vertx.setPeriodic(LOOK_MILLIS, _ -> look());
                    started.tryComplete();
                })
                .onFailure(started::tryFail);
        return started.future();
    }

    @Override
    public Future<?> stop() {
        scheduler().stop();
        return Future.succeededFuture();
    }

    // ------------------------------------------------------------------------------------------------ what is seeded

    private void seedAtStart(List<StoredFile> found) {
        found.forEach(file -> {
            take(file);
            watched.put(file.path(), file.piecesRoot());
        });
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
        if (known != null) {
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

    private void seed(StoredFile file) {
        boolean first = !seeded.containsKey(file.piecesRoot());
        boolean becameWhole = take(file);
        Seeded now = seeded.get(file.piecesRoot());
        if (becameWhole && now != null) {
            tellSeeded(now);
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
            return vertx.timer(REGISTER_AGAIN_MILLIS, java.util.concurrent.TimeUnit.MILLISECONDS)
                    .compose(_ -> announce(announce, attempt + 1));
        });
    }

    private void forget(Hash256 root) {
        Seeded gone = seeded.remove(root);
        if (gone != null) {
            roots.remove(gone.metainfo.infoHash(), root);
            LOG.info("[TORRENT] no longer seeding {}: the file is gone or changed", gone.metainfo.name());
        }
    }

    private void verified(Local.PiecesVerified news) {
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
    private Future<@Nullable Seeded> lookUp(Hash256 hash) {
        return vertx.executeBlocking(() -> store.find(hash).or(() -> store.find(new InfoHash(hash))), false)
                .map(found -> {
                    found.ifPresent(this::seed);
                    return found.map(file -> seeded.get(file.piecesRoot())).orElse(null);
                });
    }

    private @Nullable Seeded known(Hash256 hash) {
        Seeded file = seeded.get(hash);
        if (file == null) {
            Hash256 root = roots.get(new InfoHash(hash));
            file = root == null ? null : seeded.get(root);
        }
        return file;
    }

    // ------------------------------------------------------------------------------------------------ directories

    private record Adopted(Path watched, StoredFile stored) {}

    private void look() {
        if (looking) {
            return;
        }
        looking = true;
        vertx.executeBlocking(() -> {
                    SeedWatch.Change change = watch.look();
                    List<Adopted> adopted = adopt(change.settled());
                    return new Looked(change, adopted);
                })
                .onComplete(result -> {
                    looking = false;
                    if (result.succeeded()) {
                        result.result().change.gone().forEach(this::lost);
                        result.result().adopted.forEach(file -> {
                            Hash256 before =
                                    watched.put(file.watched(), file.stored().piecesRoot());
                            if (before != null && !before.equals(file.stored().piecesRoot())) {
                                forget(before);
                            }
                            seed(file.stored());
                        });
                    } else {
                        LOG.warn(
                                "cannot look into the seed directory: {}",
                                result.cause().toString());
                    }
                });
    }

    private record Looked(SeedWatch.Change change, List<Adopted> adopted) {}

    /** On a worker. */
    private List<Adopted> adopt(List<Path> files) {
        var adopted = new ArrayList<Adopted>();
        for (Path file : files) {
            try {
                adopted.add(new Adopted(file, store.adopt(file)));
            } catch (MalformedException refused) {
                LOG.warn("{} is not seeded: {}", file, refused.getMessage());
            } catch (IOException changing) { // or not readable: looked at again
                if (complained.add(file + ": " + changing.getMessage())) {
                    LOG.warn("{} is not seeded yet: {}", file, changing.toString());
                }
                watch.forget(file);
            }
        }
        return adopted;
    }

    private void lost(Path file) {
        Hash256 root = watched.remove(file);
        if (root == null) {
            return;
        }
        vertx.executeBlocking(
                        () -> {
                            var stored = store.find(root);
                            boolean isIt = stored.isPresent()
                                    && stored.get().isWhole()
                                    && !java.nio.file.Files.exists(stored.get().path());
                            if (isIt) {
                                store.remove(root);
                            }
                            return isIt || stored.isEmpty();
                        },
                        false)
                .onSuccess(gone -> {
                    if (gone) {
                        forget(root);
                        watched.entrySet()
                                .removeIf(
                                        entry -> { // the same bytes under another name
                                            boolean same = entry.getValue().equals(root);
                                            if (same) {
                                                watch.forget(entry.getKey());
                                            }
                                            return same;
                                        });
                    }
                });
    }

    // ------------------------------------------------------------------------------------------------ streams

    private void accept(FrameStream stream) {
        Requester requester = requesters.computeIfAbsent(stream.peer().id(), id -> {
            var key = new PeerKey(nextKey++);
            requesterIds.put(key, id);
            return new Requester(key);
        });
        if (requester.streams >= MAX_STREAMS_PER_PEER) {
            stream.refuse(ErrorCode.BUSY, "a peer may have " + MAX_STREAMS_PER_PEER + " streams for pieces");
            return;
        }
        requester.streams++;
        var session = new Session(stream, requester.key, this::known, this::lookUp, this::fileList);
        stream.onClose(() -> closed(session, requester));
        session.start(this::requested, this::withdrawn);
    }

    private void closed(Session session, Requester requester) {
        session.close();
        seeded.values().forEach(file -> file.followers.remove(session));
        requests.entrySet().removeIf(entry -> {
            boolean its = entry.getValue().session == session;
            if (its) {
                scheduler().feed(new UploadScheduler.Input.Withdrawn(requester.key, entry.getKey()));
            }
            return its;
        });
        if (--requester.streams == 0) {
            scheduler().feed(new UploadScheduler.Input.PeerLeft(requester.key));
            NodeId id = requesterIds.remove(requester.key);
            if (id != null) {
                requesters.remove(id);
            }
        }
    }

    private Frame.FileList fileList() {
        return new Frame.FileList(seeded.values().stream()
                .filter(Seeded::isWhole)
                .sorted(Comparator.comparing(file -> file.metainfo.name()))
                .limit(Frame.FileList.MAX_FILES)
                .map(Seeded::entry)
                .toList());
    }

    private void requested(Session session, Frame.RequestPiece asked) {
        Seeded file = seeded.get(asked.piecesRoot());
        if (file == null || !file.has(asked.firstBlock(), asked.blockCount())) {
            session.refuse(asked, ErrorCode.NOT_FOUND);
            return;
        }
        long request = nextRequest++;
        long bytes = file.bytesOf(asked.firstBlock(), asked.blockCount());
        requests.put(request, new Request(session, asked, bytes));
        scheduler().feed(new UploadScheduler.Input.Requested(session.key(), request, bytes));
    }

    private void withdrawn(Session session, Frame.CancelRequest cancel) {
        requests.entrySet().removeIf(entry -> {
            Frame.RequestPiece asked = entry.getValue().asked;
            boolean isIt = entry.getValue().session == session
                    && asked.firstBlock() == cancel.firstBlock()
                    && asked.blockCount() == cancel.blockCount()
                    && asked.piecesRoot().equals(cancel.piecesRoot());
            if (isIt) {
                scheduler().feed(new UploadScheduler.Input.Withdrawn(session.key(), entry.getKey()));
            }
            return isIt;
        });
    }

    private void carryOut(UploadScheduler.Effect effect) {
        switch (effect) {
            case UploadScheduler.Effect.Send(PeerKey peer, long request) -> send(peer, request);
            case UploadScheduler.Effect.Refuse(PeerKey _, long number) -> {
                Request request = requests.remove(number);
                if (request != null) {
                    request.session.refuse(request.asked, ErrorCode.BUSY);
                }
            }
        }
    }

    /** Reads on a worker, and reports when the transport has taken the bytes: so no more is read than it is busy with. */
    private void send(PeerKey peer, long number) {
        Request request = requests.remove(number);
        if (request == null) {
            scheduler().feed(new UploadScheduler.Input.Sent(peer, number));
            return;
        }
        Frame.RequestPiece asked = request.asked;
        vertx.executeBlocking(
                        () -> {
                            ByteBuffer data = ByteBuffer.allocate((int) request.bytes);
                            store.read(asked.piecesRoot(), asked.firstBlock(), asked.blockCount(), data);
                            return data.flip();
                        },
                        false)
                .onFailure(failure -> {
                    LOG.warn("[TORRENT] cannot read a piece: {}", failure.getMessage());
                    request.session.refuse(asked, ErrorCode.NOT_FOUND);
                })
                .compose(
                        data -> request.session.send(new Frame.PieceData(asked.piecesRoot(), asked.firstBlock(), data)))
                .onComplete(_ -> scheduler().feed(new UploadScheduler.Input.Sent(peer, number)));
    }

    private MachineDriver<UploadScheduler.Input, UploadScheduler.Effect> scheduler() {
        return java.util.Objects.requireNonNull(uploads, "not started");
    }
}
