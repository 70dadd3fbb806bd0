package shoal.verticles.piecefetcher;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.function.BiFunction;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.swarm.Bitfield;
import shoal.codec.swarm.Download;
import shoal.codec.swarm.Download.Effect;
import shoal.codec.swarm.Download.Input;
import shoal.codec.swarm.PeerKey;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.SignedRecord;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/**
 * One file on its way into the store: finds sources and goes on finding them, gets the metadata from one, and then does what
 * {@link Download} decides. All on one context; disk and hashing on workers.
 */
final class Fetch {
    private static final Logger LOG = LoggerFactory.getLogger(Fetch.class);
    private static final long MILLI = 1_000_000L;
    private static final long BEAT_MILLIS = 250;
    private static final long LOOK_NANOS = 3_000 * MILLI;
    private static final long ANSWER_NANOS = 10_000 * MILLI;
    private static final long ASK_AGAIN_NANOS = 1_000 * MILLI;
    private static final long FIRST_RETRY_NANOS = 500 * MILLI;
    private static final int MAX_RETRY_DOUBLINGS = 5;
    private static final int MAX_SOURCES = 128;

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final ShardStore store;
    private final CommandBus bus;
    private final Local.FetchFile wanted;
    private final int stallSeconds;
    private final BiFunction<Metainfo, Fetch, @Nullable Fetch> claim;
    private final Promise<Local.FileFetched> done = Promise.promise();
    private final List<Source> sources = new ArrayList<>();
    private final Map<NodeId, PeerKey> keys = new HashMap<>();
    private final Map<PeerKey, Source> joined = new HashMap<>();
    private final boolean[] told = new boolean[20];
    private final long startNanos = MachineDriver.nowNanos();

    private @Nullable Source metadataFrom;
    private boolean deciding;
    private @Nullable Metainfo metainfo;
    private Download.@Nullable Shape shape;
    private @Nullable Download download;
    private @Nullable MachineDriver<Input, Effect> driver;
    private long localBytes;
    private long lookedNanos = Long.MIN_VALUE / 2;
    private boolean looking;
    private boolean finishing;
    private boolean over;
    private long beat = -1;

    Fetch(
            Vertx vertx,
            QuicEndpoint endpoint,
            ShardStore store,
            CommandBus bus,
            Local.FetchFile wanted,
            int stallSeconds,
            BiFunction<Metainfo, Fetch, @Nullable Fetch> claim) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.store = store;
        this.bus = bus;
        this.wanted = wanted;
        this.stallSeconds = stallSeconds;
        this.claim = claim;
    }

    Future<Local.FileFetched> result() {
        return done.future();
    }

    /** Nothing needs to travel. */
    void wasHere(StoredFile file) {
        Metainfo known = file.metainfo();
        tellProgress(known, known.length(), Map.of(Local.Source.LOCAL, known.length()));
        over = true;
        done.tryComplete(new Local.FileFetched(
                known.piecesRoot(), file.path(), known.length(), Map.of(Local.Source.LOCAL, known.length())));
    }

    /** @param partial what an earlier fetch has left of the file */
    void start(@Nullable StoredFile partial, List<Endpoint> origins) {
        if (over) {
            return;
        }
        wanted.hints().forEach(this::add);
        origins.forEach(origin -> {
            if (sources.size() < MAX_SOURCES) {
                sources.add(new Source(null, origin));
            }
        });
        beat = vertx.setPeriodic(BEAT_MILLIS, _ -> beat());
        if (partial != null) {
            accept(partial.metainfo());
        }
        beat();
    }

    /** Ends in failure, with one line. Does nothing when it is over. */
    void fail(String reason) {
        if (!over) {
            String line = wanted.name() + ": " + reason;
            end();
            done.tryFail(new IllegalStateException(line));
        }
    }

    private void end() {
        over = true;
        vertx.cancelTimer(beat);
        if (driver != null) {
            driver.stop();
        }
        for (Source source : sources) {
            FrameStream stream = source.stream;
            source.reset();
            if (stream != null) {
                stream.reset();
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ sources

    /** One source for each id; somebody who is not connected may have moved. */
    private void add(Contact contact) {
        if (contact.id().equals(endpoint.nodeId())) {
            return;
        }
        for (Source source : sources) {
            if (contact.id().equals(source.id)) {
                if (source.state == Source.State.APART) {
                    source.contact = contact;
                }
                return;
            }
        }
        if (sources.size() < MAX_SOURCES) {
            sources.add(new Source(contact, null));
        }
    }

    /** Everything that is done again and again: trying who is apart, asking on, looking for more, seeing that nothing comes. */
    private void beat() {
        long now = MachineDriver.nowNanos();
        if (metainfo == null && now - startNanos > stallSeconds * 1000L * MILLI) {
            fail("nobody who was asked within " + stallSeconds + " s gave its metadata ("
                    + wanted.hash().toShortHex() + "). Asked: " + asked()
                    + ". Start somebody who seeds it, or name one.");
            return;
        }
        if (now - lookedNanos > LOOK_NANOS) {
            look();
        }
        for (Source source : List.copyOf(sources)) {
            switch (source.state) {
                case APART -> {
                    if (now >= source.nextTryNanos) {
                        connect(source);
                    }
                }
                case CONNECTING -> {}
                case TALKING -> {
                    if (!source.questions.isEmpty() && now - source.askedNanos > ANSWER_NANOS) {
                        drop(source, "does not answer");
                    } else {
                        askOn(source);
                    }
                }
            }
        }
    }

    /** Asks the DHT who has it. Nobody answers there in a process without one. */
    private void look() {
        lookedNanos = MachineDriver.nowNanos();
        if (looking) {
            return;
        }
        looking = true;
        Hash256 key = metainfo == null ? wanted.hash() : metainfo.piecesRoot();
        bus.ask(Addresses.FIND_PROVIDERS, new Local.FindProviders(key), Local.ProvidersFound.class)
                .onComplete(result -> {
                    looking = false;
                    if (result.succeeded() && !over) {
                        for (SignedRecord found : result.result().records()) {
                            add(found.record().provider());
                        }
                        beat();
                    }
                });
    }

    private void connect(Source source) {
        source.state = Source.State.CONNECTING;
        source.lastWord = "does not answer yet";
        Contact contact = source.contact;
        Future<PeerConnection> connecting =
                contact != null ? endpoint.connect(contact) : endpoint.connect(Objects.requireNonNull(source.address));
        connecting
                .compose(peer -> {
                    source.peer = peer;
                    boolean another = sources.stream()
                            .anyMatch(other ->
                                    other != source && peer.id().equals(other.id) && other.state != Source.State.APART);
                    if (another || peer.id().equals(endpoint.nodeId())) {
                        return Future.failedFuture("it is here under another address already");
                    }
                    source.id = peer.id();
                    return peer.open(StreamKind.PIECES);
                })
                .onSuccess(stream -> talk(source, stream))
                .onFailure(failure -> {
                    if (!over) {
                        apart(source, String.valueOf(failure.getMessage()));
                    }
                });
    }

    private void talk(Source source, FrameStream stream) {
        if (over) {
            stream.reset();
            return;
        }
        source.state = Source.State.TALKING;
        source.stream = stream;
        source.lastWord = "has not said what it has";
        source.key = keys.computeIfAbsent(Objects.requireNonNull(source.id), _ -> new PeerKey(keys.size()));
        stream.onClose(() -> {
            if (source.stream == stream) {
                apart(source, "closed the stream");
            }
        });
        stream.onFrame(frame -> {
            if (source.stream == stream && !over) {
                heard(source, frame);
            }
        });
        step(7, "LIST_FILES asked of " + source);
        ask(source, Source.Question.LIST, new Frame.ListFiles());
        askOn(source);
    }

    /** No stream is open to it any more; it is tried again later, each time after a longer pause. */
    private void apart(Source source, String why) {
        PeerKey key = source.key;
        boolean wasJoined = source.joined;
        source.reset();
        source.lastWord = why;
        source.nextTryNanos = Math.max(
                source.nextTryNanos,
                MachineDriver.nowNanos() + (FIRST_RETRY_NANOS << Math.min(source.failures++, MAX_RETRY_DOUBLINGS)));
        if (metadataFrom == source) {
            metadataFrom = null;
        }
        if (key != null) {
            joined.remove(key, source);
            if (wasJoined && driver != null) {
                driver.feed(new Input.PeerLeft(key));
            }
        }
    }

    private void drop(Source source, String why) {
        FrameStream stream = source.stream;
        apart(source, why);
        if (stream != null) {
            stream.reset();
        }
    }

    // ------------------------------------------------------------------------------------------- question and answer

    private void ask(Source source, Source.Question question, Frame frame) {
        if (source.questions.isEmpty()) {
            source.askedNanos = MachineDriver.nowNanos();
        }
        source.questions.add(question);
        send(source, frame);
    }

    private static void send(Source source, Frame frame) {
        if (source.stream != null) {
            source.stream.send(frame);
        }
    }

    /** The next question for somebody who talks: metadata while it is unknown, then which pieces are there. */
    private void askOn(Source source) {
        boolean waits = MachineDriver.nowNanos() - source.refusedNanos < ASK_AGAIN_NANOS;
        if (!source.isTalking() || waits) {
            return;
        }
        Metainfo known = metainfo;
        if (known != null && download != null) {
            if (!source.joined && !source.questions.contains(Source.Question.FOLLOW)) {
                ask(source, Source.Question.FOLLOW, new Frame.Follow(known.piecesRoot()));
            }
        } else if (known == null && !deciding && metadataFrom == null && source.listed && source.questions.isEmpty()) {
            metadataFrom = source;
            step(8, "LIST_FILES answered by " + source + ", which does not list " + wanted.name() + " as whole");
            step(9, "REQUEST_METADATA " + wanted.name() + " asked of " + source);
            ask(source, Source.Question.METADATA, new Frame.RequestMetadata(wanted.hash()));
        }
    }

    /** Takes one frame. @throws MalformedException for what no honest peer says: the stream's reader closes it */
    private void heard(Source source, Frame frame) {
        switch (frame) {
            case Frame.FileList(List<Frame.FileEntry> files) -> {
                answered(source, Source.Question.LIST);
                listed(source, files);
            }
            case Frame.Metadata metadata -> {
                answered(source, Source.Question.METADATA);
                decide(source, metadata);
            }
            case Frame.Holding holding -> {
                answered(source, Source.Question.FOLLOW);
                join(source, holding);
            }
            case Frame.Have(Hash256 root, int firstPiece, int pieceCount) -> {
                if (source.joined && isOurs(root)) {
                    feed(new Input.PeerHas(Objects.requireNonNull(source.key), firstPiece, pieceCount));
                }
            }
            case Frame.PieceData data -> arrived(source, data);
            case Frame.PieceRefused(Hash256 root, long firstBlock, ErrorCode code) -> {
                if (source.joined && isOurs(root)) {
                    refusedPieces(source, firstBlock, code);
                }
            }
            case Frame.Refused(ErrorCode code, String message) -> refused(source, code, message);
            default -> throw new MalformedException("frame " + frame.type() + " answers nothing that was asked");
        }
    }

    private static void answered(Source source, Source.Question question) {
        Source.Question first = source.questions.peek();
        if (first != question) {
            throw new MalformedException("an answer to " + question + " came, asked was " + first);
        }
        source.questions.remove();
        source.askedNanos = MachineDriver.nowNanos();
    }

    private void listed(Source source, List<Frame.FileEntry> files) {
        source.listed = true;
        source.offersFile = files.stream()
                .anyMatch(file -> file.infoHash().equals(wanted.hash())
                        || file.piecesRoot().equals(wanted.hash()));
        source.lastWord = source.offersFile ? "has it" : "does not have it";
        if (source.offersFile) {
            step(
                    8,
                    "LIST_FILES answered by " + source + ": " + files.size() + " files, " + wanted.name()
                            + " among them");
        }
        askOn(source);
    }

    private void refused(Source source, ErrorCode code, String message) {
        Source.Question question = source.questions.poll();
        source.lastWord = message;
        source.refusedNanos = MachineDriver.nowNanos();
        source.askedNanos = source.refusedNanos;
        if (metadataFrom == source) {
            metadataFrom = null;
            sources.forEach(this::askOn);
        }
        if (question == null || question == Source.Question.LIST || code != ErrorCode.NOT_FOUND) {
            drop(source, message);
        }
    }

    // ------------------------------------------------------------------------------------------------ metadata

    private void decide(Source source, Frame.Metadata metadata) {
        metadataFrom = null;
        if (metainfo != null) {
            return;
        }
        deciding = true;
        byte[] info = bytes(metadata.info());
        byte[] layer = bytes(metadata.pieceLayer());
        vertx.executeBlocking(() -> check(info, layer), false).onComplete(result -> {
            deciding = false;
            if (over) {
                return;
            }
            if (result.succeeded()) {
                Metainfo checked = result.result();
                step(
                        10,
                        "metadata of " + checked.name() + " from " + source + ": "
                                + String.format("%,d", checked.length()) + " bytes in "
                                + checked.pieces().count() + " pieces of " + checked.pieceLength() / 1024 + " KiB");
                accept(checked);
            } else {
                LOG.warn("[TORRENT] dropped {}: {}", source, result.cause().getMessage());
                source.failures += MAX_RETRY_DOUBLINGS;
                drop(source, String.valueOf(result.cause().getMessage()));
                sources.forEach(this::askOn);
            }
        });
    }

    /**
     * Whether it is the metadata of what is wanted. A pieces root says nothing of a name: then the file gets the one that it was
     * asked for under, not one that a peer chose.
     */
    private Metainfo check(byte[] info, byte[] layer) {
        Metainfo got = Metainfo.ofInfo(info, layer);
        if (got.infoHash().hash().equals(wanted.hash())) {
            return got;
        }
        if (!got.piecesRoot().equals(wanted.hash())) {
            throw new MalformedException(
                    "its metadata is that of " + got.infoHash().hash().toShortHex() + ", not of "
                            + wanted.hash().toShortHex());
        }
        return got.name().equals(wanted.name())
                ? got
                : Metainfo.of(wanted.name(), new MerkleTree.Result(got.pieces(), got.piecesRoot(), got.pieceLayer()));
    }

    private void accept(Metainfo known) {
        Fetch other = claim.apply(known, this);
        if (other != null) {
            end();
            other.result().onComplete(done);
            return;
        }
        metainfo = known;
        vertx.executeBlocking(() -> store.begin(known), false)
                .onSuccess(this::run)
                .onFailure(failure -> fail(String.valueOf(failure.getMessage())));
    }

    private void run(StoredFile begun) {
        if (over) {
            return;
        }
        Metainfo known = begun.metainfo();
        var made = new Download.Shape(known.length(), known.pieceLength());
        shape = made;
        localBytes = made.bytesOf(begun.verified());
        var machine = new Download(
                made,
                Bitfield.all(made.pieceCount()),
                begun.verified(),
                Download.Settings.DEFAULT.withGiveUpNanos(stallSeconds * 1000L * MILLI),
                new SplittableRandom());
        download = machine;
        driver = new MachineDriver<>(vertx, machine, new Input.Tick(), this::carryOut);
        feed(new Input.Tick());
        look();
        sources.forEach(this::askOn);
    }

    // ------------------------------------------------------------------------------------------------ pieces

    private void feed(Input input) {
        if (driver != null && !over) {
            driver.feed(input);
        }
    }

    private boolean isOurs(Hash256 root) {
        return metainfo != null && metainfo.piecesRoot().equals(root);
    }

    private void join(Source source, Frame.Holding holding) {
        Download.Shape known = shape;
        if (known == null || !isOurs(holding.piecesRoot())) {
            return;
        }
        Bitfield has = Bitfield.parse(bytes(holding.bitfield()), known.pieceCount());
        PeerKey key = Objects.requireNonNull(source.key);
        source.joined = true;
        source.failures = 0;
        source.lastWord = "has " + has;
        joined.put(key, source);
        feed(new Input.PeerJoined(key, source.sourceClass(), has));
    }

    private void arrived(Source source, Frame.PieceData data) {
        Download.Shape known = shape;
        if (known == null || !source.joined || !isOurs(data.piecesRoot())) {
            return;
        }
        int size = data.data().remaining();
        int count = Math.ceilDiv(size, Download.BLOCK_BYTES);
        if (data.firstBlock() > known.blockCount() - count || known.bytesOfBlocks(data.firstBlock(), count) != size) {
            throw new MalformedException(size + " bytes from block " + data.firstBlock() + " on are no whole blocks of "
                    + "a file of " + known.size() + " bytes");
        }
        step(12, "first PIECE_DATA of " + wanted.name() + " from " + source);
        source.keep(known, data.firstBlock(), data.data());
        feed(new Input.BlocksArrived(Objects.requireNonNull(source.key), data.firstBlock(), count));
    }

    private void refusedPieces(Source source, long firstBlock, ErrorCode code) {
        Integer count = source.requested.remove(firstBlock);
        if (count != null) {
            source.forget(Objects.requireNonNull(shape), firstBlock, count);
            feed(new Input.RequestRefused(
                    Objects.requireNonNull(source.key), firstBlock, count, code == ErrorCode.NOT_FOUND));
        }
    }

    private void carryOut(Effect effect) {
        Metainfo known = Objects.requireNonNull(metainfo);
        Hash256 root = known.piecesRoot();
        switch (effect) {
            case Effect.Request(PeerKey peer, long firstBlock, int blockCount) -> {
                Source source = joined.get(peer);
                if (source != null) {
                    source.expect(Objects.requireNonNull(shape), firstBlock, blockCount);
                    step(11, "first REQUEST_PIECE of " + wanted.name() + " to " + source);
                    send(source, new Frame.RequestPiece(root, firstBlock, blockCount));
                }
            }
            case Effect.CancelRequest(PeerKey peer, long firstBlock, int blockCount) -> {
                Source source = joined.get(peer);
                if (source != null) {
                    source.forget(Objects.requireNonNull(shape), firstBlock, blockCount);
                    send(source, new Frame.CancelRequest(root, firstBlock, blockCount));
                }
            }
            case Effect.Verify(PeerKey peer, int piece) -> verify(peer, piece, root);
            case Effect.Announce(int piece) ->
                bus.tell(Addresses.PIECES_VERIFIED, new Local.PiecesVerified(root, piece, 1));
            case Effect.Ban(PeerKey peer, Download.BanReason reason, long untilNanos) ->
                ban(joined.get(peer), reason, untilNanos);
            case Effect.NeedPeers _ -> look();
            case Effect.Progress(long verifiedBytes, long _, double _) -> tellProgress(known, verifiedBytes, bytes());
            case Effect.Finished _ -> finish(root);
            case Effect.Failed(Bitfield missing, String cause) ->
                fail(cause + ". Missing: " + missing + ". Asked: " + asked()
                        + ". What is here is kept; start it again.");
        }
    }

    private void verify(PeerKey peer, int piece, Hash256 root) {
        Source source = joined.get(peer);
        if (source == null) { // banned in the same breath: its bytes are not kept
            feed(new Input.PieceRefused(peer, piece));
            return;
        }
        var data = source.take(piece);
        vertx.executeBlocking(() -> store.write(root, piece, data), false)
                .onSuccess(right -> {
                    if (right) {
                        feed(new Input.PieceVerified(peer, piece));
                    } else {
                        source.badPiece = piece;
                        feed(new Input.PieceRefused(peer, piece));
                    }
                })
                .onFailure(failure -> feed(new Input.StorageFailed(String.valueOf(failure.getMessage()))));
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
        drop(source, why);
    }

    // ------------------------------------------------------------------------------------------------ the end

    private void finish(Hash256 root) {
        if (finishing) {
            return;
        }
        finishing = true;
        vertx.cancelTimer(beat);
        step(13, "all pieces of " + wanted.name() + " are here");
        step(14, "every piece of " + wanted.name() + " has the hash that its metadata names");
        var from = bytes();
        vertx.executeBlocking(() -> store.finish(root), false)
                .onFailure(failure -> fail(String.valueOf(failure.getMessage())))
                .onSuccess(file -> {
                    Metainfo known = file.metainfo();
                    step(15, wanted.name() + " saved to " + file.path());
                    end();
                    bus.tell(
                            Addresses.FILE_STORED,
                            new Local.FileStored(root, known.infoHash().hash(), known.name(), known.length()));
                    done.tryComplete(new Local.FileFetched(root, file.path(), known.length(), from));
                });
    }

    private Map<Local.Source, Long> bytes() {
        var bytes = new EnumMap<Local.Source, Long>(Local.Source.class);
        bytes.put(Local.Source.LOCAL, localBytes);
        if (download != null) {
            Download.Totals totals = download.totals();
            bytes.put(Local.Source.RENDEZVOUS, totals.origin());
            bytes.put(Local.Source.PEERS, totals.peers());
            bytes.put(Local.Source.HTTP, totals.web());
        }
        return Map.copyOf(bytes);
    }

    private void tellProgress(Metainfo known, long verifiedBytes, Map<Local.Source, Long> from) {
        bus.tell(
                Addresses.FETCH_PROGRESS,
                new Local.FetchProgress(known.piecesRoot(), known.name(), verifiedBytes, known.length(), 0, from));
    }

    private void step(int number, String text) {
        if (!told[number]) {
            told[number] = true;
            bus.tell(Addresses.STEP, new Local.Step(number, text));
        }
    }

    private String asked() {
        return sources.isEmpty()
                ? "nobody is known"
                : sources.stream()
                        .limit(8)
                        .map(source -> source + " (" + source.lastWord + ")")
                        .collect(Collectors.joining(", "));
    }

    private static byte[] bytes(java.nio.ByteBuffer buffer) {
        var bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }
}
