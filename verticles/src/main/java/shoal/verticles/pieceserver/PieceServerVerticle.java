package shoal.verticles.pieceserver;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.VerticleBase;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import shoal.codec.swarm.RateLimit;
import shoal.codec.swarm.UploadScheduler;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.ShardStore;

/**
 * Hands out what the store has, whole files and the verified pieces of partial ones, and tells the DHT. Files that are put into
 * the seed directory or the shards directory while it runs are hashed and seeded too. Its start is over when the files that are
 * there at first are seeded, or after a while, when there is much to hash.
 */
public final class PieceServerVerticle extends VerticleBase {
    private static final long START_PATIENCE_MILLIS = 10_000;

    private static final UploadScheduler.Settings UPLOADS = new UploadScheduler.Settings(
            RateLimit.UNLIMITED,
            RateLimit.UNLIMITED,
            256 * 1024,
            1024,
            64L << 20,
            48L << 20,
            12L << 20,
            1024,
            32,
            5_000_000_000L);

    private static final long LEAVE_MILLIS = 100;

    private final QuicEndpoint endpoint;
    private final ShardStore store;
    private final CommandBus bus;
    private final Profile profile;
    private final List<Path> files;
    private volatile @Nullable Uploads uploads;

    public PieceServerVerticle(QuicEndpoint endpoint, ShardStore store, CommandBus bus, Profile profile) {
        this(endpoint, store, bus, profile, List.of());
    }

    /** @param files handed out where they lie, beside those of the directories; a changed one under its new hash */
    public PieceServerVerticle(
            QuicEndpoint endpoint, ShardStore store, CommandBus bus, Profile profile, List<Path> files) {
        this.files =
                files.stream().map(file -> file.toAbsolutePath().normalize()).toList();
        this.endpoint = endpoint;
        this.store = store;
        this.bus = bus;
        this.profile = profile;
    }

    @Override
    public Future<?> start() {
        var limits = UPLOADS.withBytesPerSecond(
                limit(profile.upload().bytesPerSecond()), limit(profile.upload().bytesPerSecondPerPeer()));
        var catalog = new Catalog(vertx, store, bus, profile);
        var sending = new Uploads(vertx, store, catalog, limits);
        uploads = sending;
        endpoint.onStream(StreamKind.PIECES, sending::accept);
        bus.answerLocally(Addresses.ASK_UPLOAD, Local.AskUpload.class, sending::ask);
        bus.listen(Addresses.UPLOAD_SENT, Local.UploadSent.class, sending::sent);
        bus.listen(Addresses.UPLOAD_LEFT, Local.UploadLeft.class, sending::left);
        bus.listen(Addresses.PIECES_VERIFIED, Local.PiecesVerified.class, catalog::verified);
        bus.listen(Addresses.FILE_STORED, Local.FileStored.class, stored -> catalog.lookUp(stored.piecesRoot()));
        store.onRemoved(file -> context.runOnContext(_ -> catalog.forget(file.piecesRoot())));
        Promise<Void> started = Promise.promise();
        vertx.setTimer(START_PATIENCE_MILLIS, _ -> started.tryComplete());
        new SeedDirectories(vertx, store, catalog, directories(), files)
                .start()
                .onSuccess(_ -> started.tryComplete())
                .onFailure(started::tryFail);
        return started.future();
    }

    private static long limit(long bytesPerSecond) {
        return bytesPerSecond == 0 ? RateLimit.UNLIMITED : bytesPerSecond;
    }

    /** Bytes of pieces that were sent since the start. For any thread. */
    public long sentBytes() {
        Uploads sending = uploads;
        return sending == null ? 0 : sending.sentBytes();
    }

    private Set<Path> directories() {
        var directories = new LinkedHashSet<Path>();
        directories.add(store.shardsDirectory().toAbsolutePath().normalize());
        directories.add(profile.store().shardsPath().toAbsolutePath().normalize());
        String seeds = profile.store().seedDirectory();
        if (seeds != null) {
            directories.add(Path.of(seeds).toAbsolutePath().normalize());
        }
        return directories;
    }

    /**
     * Takes leave of those who fetch from here: a stream that is given up is told until it is heard, the end of a connection only once,
     * and who misses that waits for an answer for as long as a connection may be silent.
     */
    @Override
    public Future<?> stop() {
        Uploads sending = uploads;
        boolean told = sending != null && sending.stop();
        return told ? vertx.timer(LEAVE_MILLIS, TimeUnit.MILLISECONDS) : Future.succeededFuture();
    }
}
