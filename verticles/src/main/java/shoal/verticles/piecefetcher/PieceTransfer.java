package shoal.verticles.piecefetcher;

import io.vertx.core.Vertx;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.swarm.Bitfield;
import shoal.codec.swarm.Download;
import shoal.codec.swarm.Download.Effect;
import shoal.codec.swarm.Download.Input;
import shoal.codec.swarm.PeerKey;
import shoal.codec.swarm.RateLimit;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.store.ShardStore;

/**
 * The pieces of one file on their way: does what {@link Download} decides with those who have joined, and hands whole pieces to the
 * store. All on the fetch's context; disk and hashing on workers.
 */
final class PieceTransfer {
    private static final Logger LOG = LoggerFactory.getLogger(PieceTransfer.class);

    /** Hashing is fastest with many blocks in one call, and one batch is what another worker may wait for. */
    private static final int BATCH_PIECES = 16;

    private static final long BATCH_BYTES = 4L << 20;
    private static final int MAX_FIRST = 64;
    /** A datagram costs the same with many pieces in it as with one. */
    private static final long GATHERING_MILLIS = 10;

    /** Hash and write one file at most; more would wait for the file's lock in the system. */
    private static final int MAX_WRITERS = Math.clamp(Runtime.getRuntime().availableProcessors() / 2, 1, 4);

    /** What the owner is told, and does. */
    interface Listener {
        void firstRequest(Source source);

        void firstData(Source source);

        void drop(Source source, String why);

        void needsPeers();

        void finished();

        /** @param missing a picture of the pieces that lack */
        void failed(String cause, Bitfield missing);
    }

    private final Vertx vertx;
    private final ShardStore store;
    private final CommandBus bus;
    private final Metainfo metainfo;
    private final Listener listener;
    private final Download.Shape shape;
    private final Download.Settings settings;
    private final RateLimit limit;
    private final Map<PeerKey, Source> joined = new HashMap<>();
    private final ArrayDeque<Whole> whole = new ArrayDeque<>();
    /** What somebody waits for, the latest last; for a download that begins later. */
    private final ArrayDeque<Input.Prioritise> first = new ArrayDeque<>();

    private int writers;

    /** A piece whose bytes are all here, and not yet hashed. */
    private record Whole(PeerKey peer, Source source, int piece, Source.Piece data) {}

    /** What they have, for a download that begins later. */
    private final Map<PeerKey, BitSet> holdings = new HashMap<>();

    private @Nullable Download download;
    private @Nullable MachineDriver<Input, Effect> driver;
    private long earlierPeers;
    private long earlierOrigin;
    private long earlierWeb;
    private long localBytes;
    private long wantedBytes;

    /** A transfer that has nobody and wants nothing yet. */
    PieceTransfer(
            Vertx vertx,
            ShardStore store,
            CommandBus bus,
            Metainfo metainfo,
            Download.Settings settings,
            RateLimit limit,
            Listener listener) {
        this.vertx = vertx;
        this.store = store;
        this.bus = bus;
        this.metainfo = metainfo;
        this.settings = settings;
        this.limit = limit;
        this.listener = listener;
        shape = new Download.Shape(metainfo.length(), metainfo.pieceLength());
    }

    /**
     * Fetches these pieces, from those who have joined and will join. What was wanted before has come, or is wanted no longer.
     *
     * @param verified what is here
     * @param local what was here before anything travelled, for the count
     */
    void want(Bitfield pieces, Bitfield verified, Bitfield local) {
        stop();
        if (download != null) {
            Download.Totals totals = download.totals();
            earlierPeers += totals.peers();
            earlierOrigin += totals.origin();
            earlierWeb += totals.web();
        }
        localBytes = shape.bytesOf(local.and(pieces));
        wantedBytes = shape.bytesOf(pieces);
        Download begun = new Download(shape, pieces, verified, settings, limit, new SplittableRandom());
        download = begun;
        driver = new MachineDriver<>(vertx, begun, new Input.Tick(), this::carryOut);
        joined.forEach((key, source) -> feed(new Input.PeerJoined(
                key, source.sourceClass(), Bitfield.of(holdings.getOrDefault(key, new BitSet()), shape.pieceCount()))));
        first.forEach(this::feed);
        feed(new Input.Tick());
    }

    /** These pieces go before others from now on. */
    void first(int firstPiece, int pieceCount) {
        first.removeIf(old -> old.firstPiece() == firstPiece && old.pieceCount() == pieceCount);
        first.add(new Input.Prioritise(firstPiece, pieceCount));
        if (first.size() > MAX_FIRST) {
            first.remove();
        }
        feed(first.getLast());
    }

    void stop() {
        if (driver != null) {
            driver.stop();
        }
        whole.forEach(next -> next.data.close());
        whole.clear();
    }

    private void feed(Input input) {
        if (driver != null) {
            driver.feed(input);
        }
    }

    /** Bytes of the pieces that are wanted. */
    long wantedBytes() {
        return wantedBytes;
    }

    boolean isOurs(Hash256 root) {
        return metainfo.piecesRoot().equals(root);
    }

    // ------------------------------------------------------------------------------------------------ what peers say

    /** A source has said what it has. */
    void join(Source source, Frame.Holding holding) {
        if (!isOurs(holding.piecesRoot())) {
            return;
        }
        Bitfield has = Bitfield.parse(bytes(holding.bitfield()), shape.pieceCount());
        PeerKey key = Objects.requireNonNull(source.key);
        source.joined = true;
        source.failures = 0;
        source.lastWord = "has " + has;
        joined.put(key, source);
        holdings.put(key, has.toBitSet());
        feed(new Input.PeerJoined(key, source.sourceClass(), has));
    }

    void left(Source source, boolean wasJoined) {
        PeerKey key = source.key;
        if (key != null) {
            if (joined.remove(key, source)) {
                holdings.remove(key);
            }
            if (wasJoined) {
                feed(new Input.PeerLeft(key));
            }
        }
    }

    void has(Source source, Frame.Have have) {
        if (source.joined && isOurs(have.piecesRoot())) {
            BitSet holding = holdings.get(Objects.requireNonNull(source.key));
            if (holding != null && have.firstPiece() <= shape.pieceCount() - have.pieceCount()) {
                holding.set(have.firstPiece(), have.firstPiece() + have.pieceCount());
            }
            feed(new Input.PeerHas(Objects.requireNonNull(source.key), have.firstPiece(), have.pieceCount()));
        }
    }

    void placed(Source source, Frame.Placed placed) {
        if (source.joined && isOurs(placed.piecesRoot())) {
            feed(new Input.PeerPlaced(Objects.requireNonNull(source.key), placed.firstPiece(), placed.pieceCount()));
        }
    }

    /** @throws MalformedException if these are no whole blocks of the file */
    void arrived(Source source, Frame.PieceData data) {
        if (!source.joined || !isOurs(data.piecesRoot())) {
            return;
        }
        int size = data.data().remaining();
        int count = Math.ceilDiv(size, Download.BLOCK_BYTES);
        if (data.firstBlock() > shape.blockCount() - count || shape.bytesOfBlocks(data.firstBlock(), count) != size) {
            throw new MalformedException(size + " bytes from block " + data.firstBlock() + " on are no whole blocks of "
                    + "a file of " + shape.size() + " bytes");
        }
        listener.firstData(source);
        source.keep(shape, data.firstBlock(), data.data());
        feed(new Input.BlocksArrived(Objects.requireNonNull(source.key), data.firstBlock(), count));
    }

    void refused(Source source, Frame.PieceRefused refusal) {
        if (!source.joined || !isOurs(refusal.piecesRoot())) {
            return;
        }
        Integer count = source.requested.remove(refusal.firstBlock());
        if (count != null) {
            source.forget(shape, refusal.firstBlock(), count);
            if (refusal.code() == ErrorCode.ELSEWHERE) {
                feed(new Input.RequestElsewhere(Objects.requireNonNull(source.key), refusal.firstBlock(), count));
                return;
            }
            feed(new Input.RequestRefused(
                    Objects.requireNonNull(source.key),
                    refusal.firstBlock(),
                    count,
                    refusal.code() == ErrorCode.NOT_FOUND));
        }
    }

    // ------------------------------------------------------------------------------------------------ what is decided

    private void carryOut(Effect effect) {
        Hash256 root = metainfo.piecesRoot();
        switch (effect) {
            case Effect.Request(PeerKey peer, long firstBlock, int blockCount) -> {
                Source source = joined.get(peer);
                if (source != null) {
                    source.expect(shape, firstBlock, blockCount);
                    listener.firstRequest(source);
                    source.send(new Frame.RequestPiece(root, firstBlock, blockCount));
                }
            }
            case Effect.CancelRequest(PeerKey peer, long firstBlock, int blockCount) -> {
                Source source = joined.get(peer);
                if (source != null) {
                    source.forget(shape, firstBlock, blockCount);
                    source.send(new Frame.CancelRequest(root, firstBlock, blockCount));
                }
            }
            case Effect.Verify(PeerKey peer, int piece) -> verify(peer, piece);
            case Effect.Announce(int piece) ->
                bus.tell(Addresses.PIECES_VERIFIED, new Local.PiecesVerified(root, piece, 1));
            case Effect.TellSource(PeerKey peer, int firstPiece, int pieceCount) -> {
                Source source = joined.get(peer);
                if (source != null) {
                    if (source.news.isEmpty()) {
                        vertx.setTimer(GATHERING_MILLIS, _ -> tellNews(source));
                    }
                    source.news.set(firstPiece, firstPiece + pieceCount);
                }
            }
            case Effect.Ban(PeerKey peer, Download.BanReason reason, long untilNanos) ->
                ban(joined.get(peer), reason, untilNanos);
            case Effect.NeedPeers _ -> listener.needsPeers();
            case Effect.Progress(long verifiedBytes, long wanted, double rate) ->
                bus.tell(
                        Addresses.FETCH_PROGRESS,
                        new Local.FetchProgress(
                                metainfo.piecesRoot(), metainfo.name(), verifiedBytes, wanted, rate, from()));
            case Effect.Finished _ -> listener.finished();
            case Effect.Failed(Bitfield missing, String cause) -> listener.failed(cause, missing);
        }
    }

    private void tellNews(Source source) {
        for (int first = source.news.nextSetBit(0); first >= 0; ) {
            int end = source.news.nextClearBit(first);
            source.send(new Frame.Have(metainfo.piecesRoot(), first, end - first));
            first = source.news.nextSetBit(end);
        }
        source.news.clear();
    }

    private void verify(PeerKey peer, int piece) {
        Source source = joined.get(peer);
        if (source == null) { // banned in the same breath: its bytes are not kept
            feed(new Input.PieceRefused(peer, piece));
            return;
        }
        whole.add(new Whole(peer, source, piece, source.take(piece)));
        write();
    }

    /** Hands whole pieces to workers, many at a time where there are many: a second worker begins when a full batch waits. */
    private void write() {
        while (!whole.isEmpty() && (writers == 0 || writers < MAX_WRITERS && whole.size() >= BATCH_PIECES)) {
            var batch = new ArrayList<Whole>();
            long bytes = 0;
            while (!whole.isEmpty() && batch.size() < BATCH_PIECES && bytes < BATCH_BYTES) {
                Whole next = whole.remove();
                bytes += next.data.bytes().remaining();
                batch.add(next);
            }
            writers++;
            vertx.executeBlocking(
                            () -> {
                                try {
                                    return store.write(
                                            metainfo.piecesRoot(),
                                            batch.stream()
                                                    .mapToInt(Whole::piece)
                                                    .toArray(),
                                            batch.stream()
                                                    .map(next -> next.data.bytes())
                                                    .toList());
                                } finally {
                                    batch.forEach(next -> next.data.close());
                                }
                            },
                            false)
                    .onComplete(result -> {
                        writers--;
                        if (result.succeeded()) {
                            written(batch, result.result());
                        } else {
                            feed(new Input.StorageFailed(
                                    String.valueOf(result.cause().getMessage())));
                        }
                        write();
                    });
        }
    }

    private void written(List<Whole> batch, BitSet right) {
        for (int i = 0; i < batch.size(); i++) {
            Whole next = batch.get(i);
            if (right.get(i)) {
                feed(new Input.PieceVerified(next.peer, next.piece));
            } else {
                next.source.badPiece = next.piece;
                feed(new Input.PieceRefused(next.peer, next.piece));
            }
        }
    }

    private void ban(@Nullable Source source, Download.BanReason reason, long untilNanos) {
        if (source == null) {
            return;
        }
        String why = switch (reason) {
            case BAD_DATA -> "piece " + source.badPiece + " does not match its hash";
            case UNASKED_DATA -> "it sends pieces that nobody asked for";
            case STALLED -> "it owes pieces and does not send them";
        };
        LOG.warn("[TORRENT] dropped {}: {}", source, why);
        source.nextTryNanos = untilNanos;
        listener.drop(source, why);
    }

    // ------------------------------------------------------------------------------------------------ how far it is

    /** Bytes by where they came from; what was here at the start counts too. */
    Map<Local.Source, Long> from() {
        var from = new EnumMap<Local.Source, Long>(Local.Source.class);
        Download.Totals totals = download == null ? new Download.Totals(0, 0, 0, 0, 0) : download.totals();
        from.put(Local.Source.LOCAL, localBytes);
        from.put(Local.Source.RENDEZVOUS, earlierOrigin + totals.origin());
        from.put(Local.Source.PEERS, earlierPeers + totals.peers());
        from.put(Local.Source.HTTP, earlierWeb + totals.web());
        return Map.copyOf(from);
    }

    private static byte[] bytes(ByteBuffer buffer) {
        var bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }
}
