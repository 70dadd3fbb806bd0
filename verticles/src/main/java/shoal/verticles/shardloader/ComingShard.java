package shoal.verticles.shardloader;

import io.vertx.core.Promise;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.command.Command;
import shoal.codec.gguf.GgufReader;
import shoal.verticles.bus.Local;
import shoal.verticles.store.Arrival;

/** A shard that is opened while it is fetched: layer by layer, as its pieces are verified. Safe for several threads. */
final class ComingShard implements Local.Coming {
    private static final long FIRST_BYTES = 64 << 10;

    final Command.LoadShard command;
    final Hash256 hash;
    final String name;
    /** When the stage is open, or why it can't be. */
    final Promise<Local.StageOpened> opened = Promise.promise();

    /** Used on the verticle's context alone. */
    final ProgressMeter meter = new ProgressMeter();

    private volatile @Nullable Hash256 root;
    private volatile @Nullable Arrival arrival;
    private volatile @Nullable Integer layersReady;
    private volatile String failure = "";

    ComingShard(Command.LoadShard command, Hash256 hash, String name) {
        this.command = command;
        this.hash = hash;
        this.name = name;
    }

    /** The file is begun in the store. */
    void begin(Hash256 piecesRoot) {
        root = piecesRoot;
    }

    /** Null while the file has not begun to come. */
    @Nullable Hash256 root() {
        return root;
    }

    /** With this it is waited for bytes of the file. */
    void awaitWith(Arrival begun) {
        arrival = begun;
        if (!failure.isEmpty()) {
            begun.fail(failure);
        }
    }

    /** Whether the file has become whole, or another has taken its place: then it is opened where it lies. */
    boolean isOver() {
        Arrival known = arrival;
        return known != null && known.isOver();
    }

    /** The rest won't come. */
    void fail(String reason) {
        failure = reason;
        Arrival known = arrival;
        if (known != null) {
            known.fail(reason);
        }
    }

    /** Layers that have been taken over; null while none has begun. */
    @Nullable Integer layersReady() {
        return layersReady;
    }

    private Arrival arrival() {
        Arrival known = arrival;
        if (known == null) {
            throw new IllegalStateException(name + " has not begun to come");
        }
        return known;
    }

    Path path() {
        return arrival().path();
    }

    /** Waits until the model's header is here. @throws IOException in one line if it won't come */
    void awaitHeader() throws IOException, InterruptedException {
        Arrival coming = arrival();
        long needed = Math.min(coming.size(), FIRST_BYTES);
        while (true) {
            coming.await(0, needed);
            try (Arena arena = Arena.ofConfined();
                    FileChannel channel = FileChannel.open(coming.path(), StandardOpenOption.READ)) {
                var start = GgufReader.readStart(
                        channel.map(FileChannel.MapMode.READ_ONLY, 0, needed, arena), coming.size());
                switch (start) {
                    case GgufReader.Start.Whole(var header) -> {
                        coming.await(0, header.dataOffset());
                        return;
                    }
                    case GgufReader.Start.Partial(long more) ->
                        needed = Math.min(coming.size(), Math.max(more, 2 * needed));
                }
            }
        }
    }

    @Override
    public boolean holds(long offset, long size) {
        return arrival().holds(offset, size);
    }

    @Override
    public void await(long offset, long size) throws IOException, InterruptedException {
        if (layersReady == null) {
            layersReady = 0;
        }
        arrival().await(offset, size);
    }

    @Override
    public void layersReady(int count) {
        layersReady = count;
    }
}
