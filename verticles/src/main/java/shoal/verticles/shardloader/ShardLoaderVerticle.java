package shoal.verticles.shardloader;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.VerticleBase;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Presence;
import shoal.codec.base.ByteRange;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.command.Command;
import shoal.codec.command.CommandException;
import shoal.codec.command.Envelope;
import shoal.codec.command.EnvelopeCodec;
import shoal.codec.command.Result;
import shoal.codec.dht.DhtKeys;
import shoal.codec.gguf.Gguf;
import shoal.codec.gguf.LayerBytes;
import shoal.codec.gguf.ShardKeys;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/**
 * The chain of a shard on its way into memory: loaded? → here on disk? → fetch it → open its layers.
 */
public final class ShardLoaderVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(ShardLoaderVerticle.class);
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(10);
    private static final long PROGRESS_MILLIS = 1_000;

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final ShardStore store;
    private final List<Endpoint> bootstrap;
    private final Map<Command.LoadShard, Future<Result.ShardReady>> loading = new HashMap<>();
    /** Shards that are being fetched. */
    private final Map<Integer, ComingShard> coming = new HashMap<>();
    /** What is told to the DHT of what is loaded. */
    private final Map<Loaded, Hash256> announced = new HashMap<>();

    /** Layers of a file. */
    private record Loaded(Hash256 piecesRoot, LayerRange layers) {}

    public ShardLoaderVerticle(QuicEndpoint endpoint, CommandBus bus, Profile profile, ShardStore store) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.store = store;
        this.bootstrap = profile.bootstrapEndpoints();
    }

    @Override
    public Future<?> start() {
        bus.answerLocally(Addresses.LOAD_SHARD, Command.LoadShard.class, this::load);
        bus.listen(Addresses.FETCH_BEGUN, Local.FetchBegun.class, this::begun);
        bus.listen(Addresses.FETCH_PROGRESS, Local.FetchProgress.class, this::progress);
        vertx.setPeriodic(PROGRESS_MILLIS, _ -> coming.values().forEach(this::tellProgress));
        bus.answerLocally(Addresses.UNLOAD_SHARD, Command.UnloadShard.class, this::unload);
        return Future.succeededFuture();
    }

    /** Two requests for one shard share the work. */
    private Future<Result.ShardReady> load(Command.LoadShard command) {
        Future<Result.ShardReady> running = loading.get(command);
        if (running != null) {
            return running;
        }
        bus.tell(Addresses.STEP, new Local.Step(6, "received LOAD_SHARD { shard_id: " + command.shardId() + " }"));
        Integer total = profile.shard().total();
        if (total != null && command.shardId() >= total) {
            return Future.failedFuture(
                    new CommandException("Shard " + command.shardId() + " is not one of 0.." + (total - 1) + "."));
        }
        Future<Result.ShardReady> started = bus.ask(Addresses.LOADED, new Local.AskLoaded(), Local.Loaded.class)
                .compose(loaded -> {
                    Local.LoadedShard known = find(loaded, command);
                    return known == null
                            ? bring(command)
                            : pathOf(known).map(path -> ready(command, path, known.layers()));
                });
        loading.put(command, started);
        return started.onComplete(_ -> loading.remove(command, started));
    }

    /** A file that was opened while it came lies elsewhere since it is whole. */
    private Future<Path> pathOf(Local.LoadedShard shard) {
        return vertx.executeBlocking(
                () -> store.find(shard.piecesRoot()).map(StoredFile::path).orElse(shard.path()), false);
    }

    /** The first word is told at once, the others once a second: others show them, nobody decides by them. */
    private void progress(Local.FetchProgress news) {
        coming.values().stream()
                .filter(shard -> Objects.equals(news.piecesRoot(), shard.root()))
                .forEach(shard -> {
                    if (shard.meter.heard(news)) {
                        tellProgress(shard);
                    }
                });
    }

    private void tellProgress(ComingShard shard) {
        Command.ShardProgress told = shard.meter.tell(shard.command.shardId(), shard.layersReady());
        if (told != null) {
            broadcast(told);
            log(told);
        }
    }

    private static void log(Command.ShardProgress told) {
        Integer seconds = told.secondsLeft();
        Integer layers = told.layersReady();
        LOG.info(
                "[LOAD_SHARD] Shard {}: {} of {} MB{}{}",
                told.shardId(),
                megabytes(told.verifiedBytes()),
                megabytes(told.size()),
                layers == null ? "" : ", " + layers + " layers ready",
                seconds == null ? "" : ", " + seconds + " s left");
    }

    private static String megabytes(long bytes) {
        return String.format(Locale.ROOT, "%.1f", bytes / 1e6);
    }

    /** A shard's own name; where layers are cut from a whole model, its file's name. */
    private static String fileName(Command.LoadShard command) {
        String model = command.model();
        return model != null && model.endsWith(".gguf") ? Metainfo.checkName(model) : fileName(command.shardId());
    }

    private static String fileName(int shardId) {
        return "shard-" + shardId + ".gguf";
    }

    private static Local.@Nullable LoadedShard find(Local.Loaded loaded, Command.LoadShard command) {
        for (Local.LoadedShard shard : loaded.shards()) {
            Hash256 hash = command.infoHash();
            boolean same = hash == null
                    ? Integer.valueOf(command.shardId()).equals(shard.shardId())
                    : hash.equals(shard.infoHash()) || hash.equals(shard.piecesRoot());
            boolean sameLayers = command.layers() == null || command.layers().equals(shard.layers());
            if (same && sameLayers) {
                return shard;
            }
        }
        return null;
    }

    // ------------------------------------------------------------------------------------------ the file

    /** Opens the shard's file, or that of the model with at least the layers that are wanted; if it is not here, while it comes. */
    private Future<Result.ShardReady> bring(Command.LoadShard command) {
        String name = fileName(command);
        return vertx.executeBlocking(() -> onDisk(command, name)).compose(here -> {
            if (here != null) {
                LOG.info("[LOAD_SHARD] ✓ Loaded shard {} from local directory", command.shardId());
                return open(command, here);
            }
            if (!profile.torrent().enabled()) {
                return Future.failedFuture(CommandException.torrentRequired(command.shardId()));
            }
            return hashOf(command, name).compose(hash -> fetch(new ComingShard(command, hash, name)));
        });
    }

    /** The file is fetched and its layers are opened meanwhile; what can't be opened fails at once. */
    private Future<Result.ShardReady> fetch(ComingShard shard) {
        Command.LoadShard command = shard.command;
        LayerRange layers = command.layers();
        LOG.info("[LOAD_SHARD] Fetching shard {} (hash: {})", command.shardId(), shard.hash);
        coming.put(command.shardId(), shard);
        Promise<Result.ShardReady> ready = Promise.promise();
        shard.opened.future().onFailure(failure -> {
            if (!shard.isOver()) {
                ready.tryFail(failure);
            }
        });
        Local.Part part = layers == null ? new Local.Part.Whole() : new Local.Part.Layers(layers);
        bus.ask(Addresses.FETCH, new Local.FetchFile(shard.hash, shard.name, List.of(), part), Local.FileFetched.class)
                .compose(fetched -> vertx.executeBlocking(
                        () -> store.find(fetched.piecesRoot()).orElseThrow(), false))
                .onFailure(failure -> shard.fail(String.valueOf(failure.getMessage())))
                .compose(file -> shard.root() != null
                        ? shard.opened
                                .future()
                                .compose(opened -> readyOf(command, file, opened))
                                .recover(failure -> ready.future().isComplete()
                                        ? Future.failedFuture(failure)
                                        : open(command, file)) // where it lies now
                        : open(command, file))
                .onSuccess(ready::tryComplete)
                .onFailure(ready::tryFail);
        return ready.future().onComplete(_ -> coming.remove(command.shardId(), shard));
    }

    /** A file that is wanted has begun to come: its layers are opened as they do, on a thread that may wait. */
    private void begun(Local.FetchBegun news) {
        for (ComingShard shard : coming.values()) {
            if (!shard.hash.equals(news.wanted()) || shard.root() != null) {
                continue;
            }
            shard.begin(news.piecesRoot());
            Thread.ofVirtual().name("load-" + shard.name).start(() -> {
                try {
                    shard.awaitWith(store.arrival(
                            news.piecesRoot(),
                            (first, count) -> bus.tell(
                                    Addresses.FETCH_FIRST, new Local.FetchFirst(news.piecesRoot(), first, count))));
                    shard.awaitHeader();
                    Header header = readHeader(shard.command, shard.path(), shard::holds, news.piecesRoot());
                    var wish = new Local.OpenStage(
                            shard.path(),
                            news.piecesRoot(),
                            store.find(news.piecesRoot())
                                    .orElseThrow()
                                    .metainfo()
                                    .infoHash()
                                    .hash(),
                            header.layers(),
                            shard.command.shardId(),
                            null,
                            shard);
                    bus.ask(Addresses.OPEN_STAGE, wish, Local.StageOpened.class).onComplete(shard.opened);
                } catch (IOException | RuntimeException failure) {
                    shard.opened.tryFail(failure);
                } catch (InterruptedException interrupted) {
                    shard.opened.tryFail(interrupted);
                }
            });
        }
    }

    private @Nullable StoredFile onDisk(Command.LoadShard command, String name) throws IOException {
        Hash256 hash = command.infoHash();
        store.scan(
                store.shardsDirectory(),
                (path, failure) -> LOG.warn("{} is passed over: {}", path, failure.getMessage()));
        for (StoredFile file : store.list()) {
            boolean wanted = hash == null
                    ? file.metainfo().name().equals(name)
                    : file.piecesRoot().equals(hash)
                            || file.metainfo().infoHash().hash().equals(hash);
            if (wanted && (file.isWhole() || holds(file, command.layers()))) {
                return file;
            }
        }
        return null;
    }

    /** Whether a sparse file has all that these layers need. */
    private static boolean holds(StoredFile file, @Nullable LayerRange layers) throws IOException {
        if (layers == null || !file.holds(0, 4)) {
            return false;
        }
        try (ModelFile model = ModelFile.openSparse(file.path(), file::holds)) {
            for (ByteRange range : LayerBytes.of(model.header(), file.metainfo().length(), layers)) {
                if (!file.holds(range.offset(), range.size())) {
                    return false;
                }
            }
            return true;
        } catch (MalformedException headerIsNotHere) {
            return false;
        }
    }

    /** What to fetch: the hash that the command brings; without one, what a bootstrap seeds under the shard's name. */
    private Future<Hash256> hashOf(Command.LoadShard command, String name) {
        Hash256 given = command.infoHash();
        return given != null ? Future.succeededFuture(given) : askBootstrap(name, command.shardId(), 0);
    }

    private Future<Hash256> askBootstrap(String name, int shardId, int index) {
        if (index >= bootstrap.size()) {
            return Future.failedFuture(new CommandException("Shard " + shardId + " not found: no bootstrap seeds "
                    + name + ". Copy it into the rendezvous's seed directory."));
        }
        return endpoint.connect(bootstrap.get(index))
                .compose(peer -> peer.ask(StreamKind.PIECES, new Frame.ListFiles(), ASK_TIMEOUT))
                .compose(frame -> {
                    if (frame instanceof Frame.FileList(var files)) {
                        for (Frame.FileEntry file : files) {
                            if (file.name().equals(name)) {
                                return Future.succeededFuture(file.piecesRoot());
                            }
                        }
                    }
                    return askBootstrap(name, shardId, index + 1);
                })
                .recover(failure -> index + 1 < bootstrap.size()
                        ? askBootstrap(name, shardId, index + 1)
                        : Future.failedFuture(failure));
    }

    // ----------------------------------------------------------------------------------------- the layers

    /** Which layers to open, and the pieces root of the whole model. */
    private record Header(LayerRange layers, Hash256 modelRoot) {}

    private Future<Result.ShardReady> open(Command.LoadShard command, StoredFile file) {
        return vertx.executeBlocking(() -> readHeader(command, file.path(), file::holds, file.piecesRoot()))
                .compose(header -> {
                    var wish = new Local.OpenStage(
                            file.path(),
                            file.piecesRoot(),
                            file.metainfo().infoHash().hash(),
                            header.layers(),
                            command.shardId(),
                            file.isWhole() ? null : file.heldRanges());
                    return bus.ask(Addresses.OPEN_STAGE, wish, Local.StageOpened.class);
                })
                .compose(opened -> readyOf(command, file, opened));
    }

    /** Its layers are open, and all of the file is here: everybody is told. */
    private Future<Result.ShardReady> readyOf(Command.LoadShard command, StoredFile file, Local.StageOpened opened) {
        return vertx.executeBlocking(() -> readHeader(command, file.path(), file::holds, file.piecesRoot()))
                .map(header -> {
                    LOG.info("[SHARD] ✓✓✓ SHARD {} LOADED ✓✓✓", command.shardId());
                    LOG.info("[SHARD]   Path: {}", file.path());
                    bus.tell(
                            Addresses.STEP,
                            new Local.Step(
                                    16,
                                    "loaded layers " + opened.layers() + " into memory (" + opened.kernels()
                                            + " kernels)"));
                    announce(command, file, header);
                    hold(file, header.layers());
                    return ready(command, file.path(), header.layers());
                });
    }

    private static Header readHeader(Command.LoadShard command, Path file, Presence presence, Hash256 piecesRoot)
            throws IOException {
        try (ModelFile model = ModelFile.openSparse(file, presence)) {
            Gguf header = model.header();
            String root = header.text(ShardKeys.MODEL_ROOT);
            if (root == null) {
                int last = header.requiredInt(header.architecture() + ".block_count") - 1;
                LayerRange layers = command.layers() == null ? new LayerRange(0, last) : command.layers();
                if (layers.last() > last) {
                    throw new CommandException(
                            "layers " + layers + " are asked for, " + fileName(command) + " has 0-" + last + ".");
                }
                return new Header(layers, piecesRoot);
            }
            var layers = new LayerRange(
                    header.requiredInt(ShardKeys.LAYERS_FIRST), header.requiredInt(ShardKeys.LAYERS_LAST));
            if (command.layers() != null && !command.layers().equals(layers)) {
                throw new CommandException(fileName(command) + " holds layers " + layers + ", not " + command.layers()
                        + ". Its hash is right, so the request is wrong.");
            }
            return new Header(layers, Hash256.parse(root));
        } catch (MalformedException malformed) {
            throw new CommandException(String.valueOf(malformed.getMessage()));
        }
    }

    /** While its layers are loaded, a file is not evicted. */
    private void hold(StoredFile file, LayerRange layers) {
        vertx.executeBlocking(
                        () -> {
                            store.hold(file.piecesRoot(), "layers " + layers);
                            return null;
                        },
                        false)
                .onFailure(failure -> LOG.warn("{} is in use and not noted so: {}", file.path(), failure.toString()));
    }

    private void release(Local.LoadedShard shard) {
        vertx.executeBlocking(
                        () -> {
                            store.release(shard.piecesRoot(), "layers " + shard.layers());
                            return null;
                        },
                        false)
                .onFailure(failure -> LOG.warn("{}: {}", shard.path(), failure.toString()));
    }

    private void announce(Command.LoadShard command, StoredFile file, Header header) {
        broadcast(new Command.ShardLoaded(command.shardId(), header.layers()));
        bus.tell(Addresses.STEP, new Local.Step(17, "broadcast SHARD_LOADED { shard_id: " + command.shardId() + " }"));
        Hash256 key = DhtKeys.layers(header.modelRoot(), header.layers());
        announced.put(new Loaded(file.piecesRoot(), header.layers()), key);
        bus.ask(Addresses.ANNOUNCE, new Local.Announce(key, file.piecesRoot().toBytes()), Integer.class)
                .onFailure(failure -> LOG.debug("layers not announced: {}", failure.toString()));
    }

    private void broadcast(Command news) {
        bus.broadcast(EnvelopeCodec.write(new Envelope.Request(
                UUID.randomUUID().toString(), endpoint.nodeId().toHex(), null, news)));
    }

    private static Result.ShardReady ready(Command.LoadShard command, Path path, LayerRange layers) {
        return new Result.ShardReady(command.shardId(), path.toString(), layers);
    }

    private static boolean isMeant(Command.UnloadShard command, Local.LoadedShard shard) {
        Hash256 hash = command.infoHash();
        return Integer.valueOf(command.shardId()).equals(shard.shardId())
                && (command.layers() == null || command.layers().equals(shard.layers()))
                && (hash == null || hash.equals(shard.piecesRoot()) || hash.equals(shard.infoHash()));
    }

    private void dropped(Local.LoadedShard shard) {
        release(shard);
        Hash256 key = announced.remove(new Loaded(shard.piecesRoot(), shard.layers()));
        if (key != null) {
            bus.tell(Addresses.WITHDRAW, new Local.Withdraw(key));
        }
    }

    private Future<Result.ShardDropped> unload(Command.UnloadShard command) {
        return bus.ask(Addresses.LOADED, new Local.AskLoaded(), Local.Loaded.class)
                .compose(loaded -> {
                    var closing = new ArrayList<Future<?>>();
                    for (Local.LoadedShard shard : loaded.shards()) {
                        if (isMeant(command, shard)) {
                            closing.add(bus.ask(
                                            Addresses.CLOSE_STAGE,
                                            new Local.CloseStage(shard.layers(), shard.piecesRoot()),
                                            Boolean.class)
                                    .onSuccess(_ -> dropped(shard)));
                        }
                    }
                    if (closing.isEmpty()) {
                        return Future.failedFuture(CommandException.notLoaded());
                    }
                    return Future.join(closing).map(new Result.ShardDropped(command.shardId()));
                });
    }
}
