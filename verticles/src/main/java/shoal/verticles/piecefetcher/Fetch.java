package shoal.verticles.piecefetcher;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.swarm.Bitfield;
import shoal.codec.swarm.Download;
import shoal.codec.swarm.RateLimit;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.SignedRecord;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.store.LookIn;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/**
 * One file on its way into the store: looks for {@link Sources} and goes on looking, gets the metadata from one, and then leaves
 * the pieces to a {@link PieceTransfer}. All on one context; disk and hashing on workers.
 */
final class Fetch implements Sources.Listener {
    private static final Logger LOG = LoggerFactory.getLogger(Fetch.class);
    private static final String FETCHING = "fetching";
    private static final long MILLI = 1_000_000L;
    private static final long BEAT_MILLIS = 250;
    private static final long LOOK_NANOS = 3_000 * MILLI;
    private static final long ANSWER_NANOS = 10_000 * MILLI;
    private static final long ASK_AGAIN_NANOS = 1_000 * MILLI;

    private final Vertx vertx;
    private final ShardStore store;
    private final CommandBus bus;
    private final Local.FetchFile wanted;
    private final Settings settings;
    private final BiFunction<Metainfo, Fetch, @Nullable Fetch> claim;
    private final Promise<Local.FileFetched> done = Promise.promise();
    private final Sources sources;
    private final boolean[] told = new boolean[20];
    private final long startNanos = MachineDriver.nowNanos();

    private final LookIn lookIn;

    /**
     * What a profile says of fetching.
     *
     * @param lookIn directories with files that are here already
     * @param webSeeds web servers, asked last
     * @param limit of all fetches together
     */
    record Settings(
            int stallSeconds, List<Path> lookIn, List<URI> webSeeds, Download.Settings download, RateLimit limit) {}

    private @Nullable Source metadataFrom;
    private boolean deciding;
    private @Nullable Metainfo metainfo;
    private @Nullable PieceTransfer transfer;
    private long lookedNanos = Long.MIN_VALUE / 2;
    private boolean looking;
    private @Nullable Bitfield local;
    private boolean begun;
    private boolean lastPart;
    private boolean finishing;
    private boolean holds;
    private boolean over;
    private long beat = -1;

    Fetch(
            Vertx vertx,
            QuicEndpoint endpoint,
            ShardStore store,
            CommandBus bus,
            Local.FetchFile wanted,
            Settings settings,
            BiFunction<Metainfo, Fetch, @Nullable Fetch> claim) {
        this.vertx = vertx;
        this.store = store;
        this.bus = bus;
        this.wanted = wanted;
        this.settings = settings;
        this.claim = claim;
        sources = new Sources(endpoint, settings.download.maxPeers(), this, () -> metainfo);
        lookIn = new LookIn(store, settings.lookIn);
    }

    Future<Local.FileFetched> result() {
        return done.future();
    }

    /** Nothing needs to travel. */
    void wasHere(StoredFile file) {
        Metainfo known = file.metainfo();
        tellWhole(known);
        over = true;
        done.tryComplete(new Local.FileFetched(
                known.piecesRoot(), file.path(), known.length(), Map.of(Local.Source.LOCAL, known.length())));
    }

    private void tellWhole(Metainfo known) {
        bus.tell(
                Addresses.FETCH_PROGRESS,
                new Local.FetchProgress(
                        known.piecesRoot(),
                        known.name(),
                        known.length(),
                        known.length(),
                        0,
                        Map.of(Local.Source.LOCAL, known.length())));
    }

    /** How much of the file is asked for. */
    Local.Part part() {
        return wanted.part();
    }

    /** @param partial what an earlier fetch has left of the file */
    void start(@Nullable StoredFile partial, List<Endpoint> origins) {
        if (over) {
            return;
        }
        wanted.hints().forEach(sources::add);
        origins.forEach(sources::add);
        beat = vertx.setPeriodic(BEAT_MILLIS, _ -> beat());
        settings.webSeeds.forEach(sources::add);
        if (partial != null) {
            accept(partial.metainfo());
        } else if (sources.isEmpty() && !settings.lookIn.isEmpty()) {
            identify();
        }
        beat();
    }

    /** Nobody is there to say what the hash stands for: perhaps a file that is here does. */
    private void identify() {
        vertx.executeBlocking(() -> lookIn.identify(wanted.hash()), false).onSuccess(found -> {
            if (!over && metainfo == null && found.isPresent()) {
                accept(named(found.get()));
            }
        });
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
        if (transfer != null) {
            transfer.stop();
        }
        sources.end();
        Metainfo known = metainfo;
        if (holds && known != null) {
            vertx.executeBlocking(
                    () -> {
                        store.release(known.piecesRoot(), FETCHING);
                        return null;
                    },
                    false);
        }
    }

    // ------------------------------------------------------------------------------------------------ sources

    /** Everything that is done again and again: trying who is apart, asking on, looking for more, seeing that nothing comes. */
    private void beat() {
        long now = MachineDriver.nowNanos();
        if (metainfo == null && now - startNanos > settings.stallSeconds * 1000L * MILLI) {
            fail("nobody who was asked within " + settings.stallSeconds + " s gave its metadata ("
                    + wanted.hash().toShortHex() + "). Asked: " + sources
                    + ". Start somebody who seeds it, or name one.");
            return;
        }
        if (now - lookedNanos > LOOK_NANOS) {
            look();
        }
        sources.connectDue(now);
        sources.forEach(source -> {
            if (!source.isTalking()) {
                return;
            }
            if (!source.questions.isEmpty() && now - source.askedNanos > ANSWER_NANOS) {
                sources.drop(source, "does not answer");
            } else {
                askOn(source);
            }
        });
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
                            sources.add(found.record().provider());
                        }
                        beat();
                    }
                });
    }

    @Override
    public void talks(Source source) {
        step(7, "LIST_FILES asked of " + source);
        ask(source, Source.Question.LIST, new Frame.ListFiles());
        askOn(source);
    }

    @Override
    public void left(Source source, boolean wasJoined) {
        if (metadataFrom == source) {
            metadataFrom = null;
        }
        if (transfer != null) {
            transfer.left(source, wasJoined);
        }
    }

    // ------------------------------------------------------------------------------------------- question and answer

    private void ask(Source source, Source.Question question, Frame frame) {
        if (source.questions.isEmpty()) {
            source.askedNanos = MachineDriver.nowNanos();
        }
        source.questions.add(question);
        source.send(frame);
    }

    /** The next question for somebody who talks: metadata while it is unknown, then which pieces are there. */
    private void askOn(Source source) {
        boolean waits = MachineDriver.nowNanos() - source.refusedNanos < ASK_AGAIN_NANOS;
        if (!source.isTalking() || waits) {
            return;
        }
        Metainfo known = metainfo;
        if (known != null && transfer != null) {
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
    @Override
    public void heard(Source source, Frame frame) {
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
                if (transfer != null) {
                    transfer.join(source, holding);
                }
            }
            case Frame.Have have -> {
                if (transfer != null) {
                    transfer.has(source, have);
                }
            }
            case Frame.Placed placed -> {
                if (transfer != null) {
                    transfer.placed(source, placed);
                }
            }
            case Frame.Followers(Hash256 root, List<Contact> contacts) -> {
                if (transfer != null && transfer.isOurs(root)) {
                    contacts.forEach(sources::add);
                    sources.connectDue(MachineDriver.nowNanos());
                }
            }
            case Frame.PieceData data -> {
                if (transfer != null) {
                    transfer.arrived(source, data);
                }
            }
            case Frame.PieceRefused refusal -> {
                if (transfer != null) {
                    transfer.refused(source, refusal);
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
            sources.drop(source, message);
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
                sources.dropForLong(source, String.valueOf(result.cause().getMessage()));
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
        return named(got);
    }

    private Metainfo named(Metainfo got) {
        return got.name().equals(wanted.name()) || got.infoHash().hash().equals(wanted.hash())
                ? got
                : Metainfo.of(wanted.name(), new MerkleTree.Result(got.pieces(), got.piecesRoot(), got.pieceLayer()));
    }

    private void accept(Metainfo known) {
        Fetch other = claim.apply(known, this);
        if (other != null && other.part().equals(part())) {
            end();
            other.result().onComplete(done);
            return;
        }
        if (other != null) { // another part of the same file: what that brings need not travel twice
            deciding = true; // nobody needs to be asked for the metadata again
            other.result().onComplete(_ -> {
                if (!over) {
                    accept(known);
                }
            });
            return;
        }
        metainfo = known;
        vertx.executeBlocking(() -> begin(known), false).onSuccess(this::run).onFailure(this::failWith);
    }

    private void failWith(Throwable failure) {
        fail(String.valueOf(failure.getMessage()));
    }

    private StoredFile begin(Metainfo known) throws IOException {
        store.hold(known.piecesRoot(), FETCHING);
        holds = true;
        return part() instanceof Local.Part.Whole ? store.begin(known) : store.begin(known, 0);
    }

    // ------------------------------------------------------------------------------------------------ which pieces

    private void run(StoredFile begun) {
        if (over) {
            return;
        }
        local = begun.verified();
        transfer = new PieceTransfer(
                vertx,
                store,
                bus,
                begun.metainfo(),
                settings.download.withGiveUpNanos(settings.stallSeconds * 1000L * MILLI),
                settings.limit,
                new Pieces());
        next(begun);
    }

    /** Somebody waits for these pieces. */
    void first(int firstPiece, int pieceCount) {
        if (transfer != null && !over) {
            transfer.first(firstPiece, pieceCount);
        }
    }

    /** What is needed next and what of it is here, in the store or elsewhere on this machine. */
    private record Step(PartNeeds.Need need, StoredFile now, Bitfield found) {}

    /** Goes on with what is needed beyond what is here: of a part, first the header, which says what else. */
    private void next(StoredFile here) {
        vertx.executeBlocking(() -> find(here), false).onFailure(this::failWith).onSuccess(step -> {
            if (over) {
                return;
            }
            local = Objects.requireNonNull(local).or(step.found);
            lastPart = step.need.isLast();
            if (!begun) {
                begun = true;
                bus.tell(Addresses.FETCH_BEGUN, new Local.FetchBegun(wanted.hash(), here.piecesRoot()));
            }
            Objects.requireNonNull(transfer).want(step.need.pieces(), step.now.verified(), local);
            look();
            sources.forEach(this::askOn);
        });
    }

    private Step find(StoredFile here) throws IOException {
        PartNeeds.Need need = PartNeeds.of(here, part());
        if (settings.lookIn.isEmpty() || here.verified().containsAll(need.pieces())) {
            return new Step(need, here, Bitfield.none(here.verified().size()));
        }
        StoredFile now = lookIn.take(here.metainfo(), need.pieces(), _ -> {});
        Bitfield found = now.verified().minus(here.verified());
        for (int piece = found.nextSet(0); piece >= 0; piece = found.nextSet(piece + 1)) {
            bus.tell(Addresses.PIECES_VERIFIED, new Local.PiecesVerified(now.piecesRoot(), piece, 1));
        }
        return new Step(need, now, found);
    }

    private final class Pieces implements PieceTransfer.Listener {
        @Override
        public void firstRequest(Source source) {
            step(11, "first REQUEST_PIECE of " + wanted.name() + " to " + source);
        }

        @Override
        public void firstData(Source source) {
            step(12, "first PIECE_DATA of " + wanted.name() + " from " + source);
        }

        @Override
        public void drop(Source source, String why) {
            sources.drop(source, why);
        }

        @Override
        public void needsPeers() {
            look();
        }

        @Override
        public void finished() {
            Hash256 root = Objects.requireNonNull(metainfo).piecesRoot();
            if (lastPart) {
                finish(root);
            } else {
                vertx.executeBlocking(() -> store.find(root).orElseThrow(), false)
                        .onSuccess(Fetch.this::next)
                        .onFailure(Fetch.this::failWith);
            }
        }

        @Override
        public void failed(String cause, Bitfield missing) {
            fail(cause + ". Missing: " + missing + ". Asked: " + sources + ". What is here is kept; start it again.");
        }
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
        PieceTransfer pieces = Objects.requireNonNull(transfer);
        var from = pieces.from();
        vertx.executeBlocking(() -> store.settle(root), false)
                .onFailure(this::failWith)
                .onSuccess(file -> {
                    Metainfo known = file.metainfo();
                    step(15, wanted.name() + " saved to " + file.path());
                    end();
                    if (file.isWhole()) {
                        bus.tell(
                                Addresses.FILE_STORED,
                                new Local.FileStored(root, known.infoHash().hash(), known.name(), known.length()));
                    }
                    done.tryComplete(new Local.FileFetched(
                            root, file.path(), file.isWhole() ? known.length() : pieces.wantedBytes(), from));
                });
    }

    private void step(int number, String text) {
        if (!told[number]) {
            told[number] = true;
            bus.tell(Addresses.STEP, new Local.Step(number, text));
        }
    }

    private static byte[] bytes(java.nio.ByteBuffer buffer) {
        var bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }
}
