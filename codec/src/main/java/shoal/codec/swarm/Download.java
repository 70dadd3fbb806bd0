package shoal.codec.swarm;

import static shoal.codec.base.Bounds.requireRange;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Machine;
import shoal.codec.metainfo.Pieces;

/**
 * Fetches the wanted pieces of one file from many sources at once. A piece comes whole from one source, so that a wrong
 * hash has one culprit; near the end a piece may be asked of a second, faster one, and the first to complete it wins. The
 * caller keeps a buffer per (peer, piece), hashes it when told to, writes it, and reports.
 *
 * <p>Peers go before the origin: a piece that a peer has is asked of the origin only when the peers are much slower than
 * it. Each source has a window of bytes asked for ahead that grows with its bandwidth × delay, so no piece waits for a
 * round trip.
 */
public final class Download implements Machine<Download.Input, Download.Effect> {
    /** BEP 52. */
    public static final int BLOCK_BYTES = 16 * 1024;
    /** Blocks in one request at most: 4 MiB. */
    public static final int MAX_REQUEST_BLOCKS = 256;

    private static final long PLACED_NANOS = 1_000_000_000L;
    private static final int MAX_PLACED_KEPT = 1 << 17;
    private static final int MAX_RUNS_TOLD = 1024;
    /** Who would take so many times as long for a piece is not waited for at the end. */
    private static final double HOPELESS = 20;
    /** At most one piece in so many is asked for twice: less than a hundredth, with what else goes wrong. */
    private static final int PIECES_PER_SECOND_COPY = 125;

    private static final long SPARING_PATIENCE_NANOS = 2_000_000_000L;
    private static final long GUESSED_DELAY_NANOS = 200_000_000L;
    private static final long ENDGAME_INTERVAL_NANOS = 20_000_000L;
    private static final long ENDGAME_SLACK_NANOS = 50_000_000L;
    private static final double GUESSED_ORIGIN_RATE = 1 << 20;
    private static final double ORIGIN_MUST_BE_FASTER_BY = 4;
    private static final long FIRST_BAN_NANOS = 60_000_000_000L;
    private static final int MAX_BAN_DOUBLINGS = 6;
    private static final int MAX_BANS_KEPT = 1024;
    private static final int MAX_FAILURES = 8;
    private static final int UNASKED_BLOCKS_ALLOWED = 64;

    /**
     * The file's shape.
     *
     * @param size in bytes
     * @param pieceBytes a power of two, at least 16 KiB
     */
    public record Shape(long size, int pieceBytes) {
        public Shape {
            requireRange("piece length", pieceBytes, BLOCK_BYTES, 1 << 30);
            if (Integer.bitCount(pieceBytes) != 1) {
                throw new IllegalArgumentException("piece length is " + pieceBytes + ", allowed powers of two");
            }
            requireRange("size", size, 0, (long) pieceBytes * Bitfield.MAX_PIECES);
        }

        public static Shape of(Pieces pieces) {
            return new Shape(pieces.length(), pieces.pieceLength());
        }

        public int pieceCount() {
            return (int) ((size + pieceBytes - 1) / pieceBytes);
        }

        public int blocksPerPiece() {
            return pieceBytes / BLOCK_BYTES;
        }

        public long blockCount() {
            return (size + BLOCK_BYTES - 1) / BLOCK_BYTES;
        }

        public long firstBlockOf(int piece) {
            return (long) piece * blocksPerPiece();
        }

        /** Blocks of a piece: all but the last have the same number. */
        public int blocksOf(int piece) {
            return (int) (Math.min(blockCount(), firstBlockOf(piece) + blocksPerPiece()) - firstBlockOf(piece));
        }

        /** Bytes of a piece: the last may be shorter. */
        public int bytesOf(int piece) {
            return (int) Math.min(pieceBytes, size - (long) piece * pieceBytes);
        }

        /** Bytes of neighbouring blocks. */
        public long bytesOfBlocks(long firstBlock, long count) {
            return Math.min(size, (firstBlock + count) * BLOCK_BYTES) - firstBlock * BLOCK_BYTES;
        }

        /** Bytes of all pieces of the set. */
        public long bytesOf(Bitfield pieces) {
            long bytes = (long) pieces.count() * pieceBytes;
            int last = pieceCount() - 1;
            return last >= 0 && pieces.get(last) ? bytes - pieceBytes + bytesOf(last) : bytes;
        }
    }

    /**
     * What can be tuned.
     *
     * @param firstWindowPieces asked for ahead of a source not yet measured
     * @param maxWindowBytes asked for ahead of one source
     * @param maxHeldBytes of pieces asked for or being hashed, of all sources together: bounds the caller's buffers
     * @param originPauseNanos how long the origin is left alone at the start and after a peer with something has joined
     * @param stallNanos without a block from a source that owes some, it counts as failed
     * @param giveUpNanos without a block from anybody the download fails
     * @param needPeersNanos between two calls for peers
     * @param progressNanos between two reports of progress
     * @param bytesPerSecondPerPeer asked of each source; {@link RateLimit#UNLIMITED} for no limit
     * @param maxPeers sources at once; whoever comes beyond them is not asked
     */
    public record Settings(
            int firstWindowPieces,
            long maxWindowBytes,
            long maxHeldBytes,
            long originPauseNanos,
            long stallNanos,
            long giveUpNanos,
            long needPeersNanos,
            long progressNanos,
            long bytesPerSecondPerPeer,
            int maxPeers) {
        public static final Settings DEFAULT = new Settings(
                4,
                16L << 20,
                64L << 20,
                100_000_000L,
                10_000_000_000L,
                120_000_000_000L,
                2_000_000_000L,
                250_000_000L,
                RateLimit.UNLIMITED,
                256);

        public Settings {
            requireRange("first window", firstWindowPieces, 1, 1 << 16);
            requireRange("window", maxWindowBytes, BLOCK_BYTES, Long.MAX_VALUE);
            requireRange("held bytes", maxHeldBytes, BLOCK_BYTES, Long.MAX_VALUE);
            requireRange("origin pause", originPauseNanos, 0, Long.MAX_VALUE / 4);
            requireRange("stall time", stallNanos, 1, Long.MAX_VALUE / 64);
            requireRange("give-up time", giveUpNanos, 1, Long.MAX_VALUE / 4);
            requireRange("call interval", needPeersNanos, 1, Long.MAX_VALUE / 4);
            requireRange("progress interval", progressNanos, 1, Long.MAX_VALUE / 4);
            requireRange("bytes per second and peer", bytesPerSecondPerPeer, 1, RateLimit.UNLIMITED);
            requireRange("sources", maxPeers, 1, 1 << 16);
        }

        public Settings withGiveUpNanos(long nanos) {
            return new Settings(
                    firstWindowPieces,
                    maxWindowBytes,
                    maxHeldBytes,
                    originPauseNanos,
                    stallNanos,
                    nanos,
                    needPeersNanos,
                    progressNanos,
                    bytesPerSecondPerPeer,
                    maxPeers);
        }

        /** @param heldBytes of pieces asked for or being hashed, of all sources together */
        public Settings withBudget(long heldBytes, int peers, long ratePerPeer) {
            return new Settings(
                    firstWindowPieces,
                    Math.min(maxWindowBytes, heldBytes),
                    heldBytes,
                    originPauseNanos,
                    stallNanos,
                    giveUpNanos,
                    needPeersNanos,
                    progressNanos,
                    ratePerPeer,
                    peers);
        }
    }

    /** What can happen. Pieces and blocks are checked against the file's shape: they come from peers. */
    public sealed interface Input {
        /** A source is there; ignored while it is banned. Joining again replaces what it has. */
        record PeerJoined(PeerKey peer, SourceClass sourceClass, Bitfield has) implements Input {}

        /** A source has verified further pieces. */
        record PeerHas(PeerKey peer, int firstPiece, int pieceCount) implements Input {}

        /**
         * A source has given these pieces to somebody else and wants them fetched there ({@link FirstCopies}). From now on it
         * is asked only for what others lack.
         */
        record PeerPlaced(PeerKey peer, int firstPiece, int pieceCount) implements Input {}

        record PeerLeft(PeerKey peer) implements Input {}

        /** Whole blocks have come from a source, asked for or not. */
        record BlocksArrived(PeerKey peer, long firstBlock, int blockCount) implements Input {}

        /** A source won't send these blocks: it has them no longer (gone), or not now. */
        record RequestRefused(PeerKey peer, long firstBlock, int blockCount, boolean gone) implements Input {}

        /** A source sends us elsewhere for these blocks, as by {@link PeerPlaced}: no failure of its. */
        record RequestElsewhere(PeerKey peer, long firstBlock, int blockCount) implements Input {}

        /** The bytes of a piece from this source have the right hash and are written. */
        record PieceVerified(PeerKey peer, int piece) implements Input {}

        /** The bytes of a piece from this source have a wrong hash. */
        record PieceRefused(PeerKey peer, int piece) implements Input {}

        /** Somebody waits for these pieces: they go first. */
        record Prioritise(int firstPiece, int pieceCount) implements Input {}

        /** The disk is full or broken. */
        record StorageFailed(String cause) implements Input {}

        record Cancel() implements Input {}

        record Tick() implements Input {}
    }

    /** What the download wants. */
    public sealed interface Effect {
        /** Ask a source for neighbouring blocks, at most {@link #MAX_REQUEST_BLOCKS}. */
        record Request(PeerKey peer, long firstBlock, int blockCount) implements Effect {}

        /** These blocks are no longer wanted from this source: drop their buffer. They may still come. */
        record CancelRequest(PeerKey peer, long firstBlock, int blockCount) implements Effect {}

        /** The piece from this source is whole: hash it, write it if right, and report either way. */
        record Verify(PeerKey peer, int piece) implements Effect {}

        /** Tell all peers that this piece is here. */
        record Announce(int piece) implements Effect {}

        /** Tell a source that spares itself that these pieces are here, so that it sends others here for them. */
        record TellSource(PeerKey peer, int firstPiece, int pieceCount) implements Effect {}

        /** Close the connection to a source, and don't open it again before then. */
        record Ban(PeerKey peer, BanReason reason, long untilNanos) implements Effect {}

        /** No source is known for these pieces: look for more. Repeated while that is so. */
        record NeedPeers(Bitfield missing) implements Effect {}

        record Progress(long verifiedBytes, long wantedBytes, double bytesPerSecond) implements Effect {}

        /** All wanted pieces are verified. Nothing follows. */
        record Finished(Totals totals) implements Effect {}

        /** It can't go on. Nothing follows. What is verified stays valid. */
        record Failed(Bitfield missing, String cause) implements Effect {}
    }

    public enum BanReason {
        BAD_DATA,
        UNASKED_DATA,
        STALLED
    }

    /**
     * Where bytes came from.
     *
     * @param peers verified bytes from peers
     * @param origin verified bytes from the origin
     * @param web verified bytes from web servers
     * @param duplicate bytes that came a second time or too late
     * @param refused bytes with a wrong hash
     */
    public record Totals(long peers, long origin, long web, long duplicate, long refused) {}

    private static final class Claim {
        final Peer peer;
        final int piece;
        final long askedNanos;
        final BitSet missing = new BitSet();

        Claim(Peer peer, int piece, int blocks, long askedNanos) {
            this.peer = peer;
            this.piece = piece;
            this.askedNanos = askedNanos;
            missing.set(0, blocks);
        }
    }

    private static final class Peer {
        final PeerKey key;
        final SourceClass sourceClass;
        final BitSet has;
        final PeerScore score;
        final Map<Integer, Claim> claims = new LinkedHashMap<>();
        long owedBytes;
        long waitingSinceNanos; // the last block, or the first request after idleness
        long lastEndgameNanos = Long.MIN_VALUE / 2;
        long unaskedBlocks;
        long betterAreSlowSinceNanos = Long.MAX_VALUE; // for an origin: a window that still grows is no slow peer
        int near = -1;
        boolean sparing; // it gives first copies to all, and wants the others to come from them
        final BitSet placed = new BitSet();
        final ArrayDeque<Placed> placedLately = new ArrayDeque<>();
        final RateLimit limit;

        Peer(PeerKey key, SourceClass sourceClass, BitSet has, PeerScore score, RateLimit limit) {
            this.limit = limit;
            this.key = key;
            this.sourceClass = sourceClass;
            this.has = has;
            this.score = score;
        }
    }

    /** Pieces for which a source is not asked again until then. */
    private record Placed(long untilNanos, int firstPiece, int pieceCount) {}

    private record BanRecord(long untilNanos, int times) {}

    private final Shape shape;
    private final Settings settings;
    private final RateLimit limit;
    private final Bitfield wanted;
    private final long wantedBytes;
    private final PiecePicker picker;
    private final BitSet verified;
    private final BitSet lacking; // wanted and not verified
    private final Map<PeerKey, Peer> peers = new TreeMap<>();
    private final Map<PeerKey, BanRecord> bans = new LinkedHashMap<>();
    /** Who is asked for a piece: one, or two near the end. */
    private final Map<Integer, List<Claim>> claimed = new HashMap<>();
    /** Pieces whose bytes are being hashed, and whose copies these are. */
    private final Map<Integer, List<Peer>> verifying = new HashMap<>();

    private final BitSet nothing = new BitSet();
    private final List<Effect> effects = new ArrayList<>();

    private boolean started;
    private boolean over;
    private final int secondCopiesAllowed;
    private int secondCopies;
    private long heldBytes; // pieces asked for or being hashed: what the caller's buffers take
    private long verifiedBytes;
    private long startNanos;
    private long lastBlockNanos;
    private long peersJoinedNanos;
    private long lastNeedNanos;
    private boolean needsPeers;
    private long lastProgressNanos;
    private long lastProgressBytes;
    private long peerBytes;
    private long originBytes;
    private long webBytes;
    private long duplicateBytes;
    private long refusedBytes;
    private long deadline = Long.MIN_VALUE;

    /**
     * A download that has not begun: it does so with its first input, a {@link Input.Tick} if there are no peers.
     *
     * @param wanted the pieces to fetch
     * @param verified the pieces already here; others may be among them
     */
    public Download(Shape shape, Bitfield wanted, Bitfield verified, Settings settings, RandomGenerator random) {
        this(shape, wanted, verified, settings, RateLimit.none(), random);
    }

    /** @param limit of what is asked for, of all sources; other downloads of the same thread may share it */
    public Download(
            Shape shape,
            Bitfield wanted,
            Bitfield verified,
            Settings settings,
            RateLimit limit,
            RandomGenerator random) {
        this.limit = limit;
        requireRange("wanted pieces", wanted.size(), shape.pieceCount(), shape.pieceCount());
        requireRange("verified pieces", verified.size(), shape.pieceCount(), shape.pieceCount());
        this.shape = shape;
        this.settings = settings;
        this.wanted = wanted;
        this.verified = verified.toBitSet();
        wantedBytes = shape.bytesOf(wanted);
        verifiedBytes = shape.bytesOf(wanted.and(verified));
        lastProgressBytes = verifiedBytes;
        secondCopiesAllowed = wanted.count() / PIECES_PER_SECOND_COPY;
        lacking = wanted.minus(verified).toBitSet();
        picker = new PiecePicker(wanted.minus(verified), random);
    }

    /** The pieces that are here. */
    public Bitfield verified() {
        return Bitfield.of(verified, shape.pieceCount());
    }

    /** The wanted pieces that are not here. */
    public Bitfield missing() {
        return wanted.minus(verified());
    }

    public Totals totals() {
        return new Totals(peerBytes, originBytes, webBytes, duplicateBytes, refusedBytes);
    }

    /** Whether it has finished, failed or been cancelled. */
    public boolean isOver() {
        return over;
    }

    @Override
    public List<Effect> handle(Input input, long nowNanos) {
        effects.clear();
        if (over) {
            return effects;
        }
        if (!started) {
            started = true;
            startNanos = nowNanos;
            lastNeedNanos = nowNanos - settings.needPeersNanos;
            lastBlockNanos = nowNanos;
            peersJoinedNanos = nowNanos;
            lastProgressNanos = nowNanos;
        }
        switch (input) {
            case Input.PeerJoined(PeerKey key, SourceClass sourceClass, Bitfield has) ->
                join(key, sourceClass, has, nowNanos);
            case Input.PeerHas(PeerKey key, int firstPiece, int pieceCount) ->
                learn(key, firstPiece, pieceCount, nowNanos);
            case Input.PeerLeft(PeerKey key) -> leave(key, false);
            case Input.BlocksArrived(PeerKey key, long firstBlock, int blockCount) ->
                arrive(key, firstBlock, blockCount, nowNanos);
            case Input.RequestRefused(PeerKey key, long firstBlock, int blockCount, boolean gone) ->
                refuse(key, firstBlock, blockCount, gone, nowNanos);
            case Input.PeerPlaced(PeerKey key, int firstPiece, int pieceCount) ->
                spare(key, firstPiece, pieceCount, nowNanos);
            case Input.RequestElsewhere(PeerKey key, long firstBlock, int blockCount) ->
                sendElsewhere(key, firstBlock, blockCount, nowNanos);
            case Input.PieceVerified(PeerKey key, int piece) -> accept(key, piece);
            case Input.PieceRefused(PeerKey key, int piece) -> blame(key, piece, nowNanos);
            case Input.Prioritise(int firstPiece, int pieceCount) -> {
                if (inFile(firstPiece, pieceCount)) {
                    picker.prioritise(firstPiece, pieceCount);
                }
            }
            case Input.StorageFailed(String cause) -> end(new Effect.Failed(missing(), cause));
            case Input.Cancel() -> end(null);
            case Input.Tick() -> {}
        }
        if (!over) {
            next(nowNanos);
        }
        return effects;
    }

    @Override
    public long deadlineNanos() {
        return over ? Long.MAX_VALUE : deadline;
    }

    // ------------------------------------------------------------------------------------- what happened

    private boolean inFile(int firstPiece, int pieceCount) {
        return firstPiece >= 0 && pieceCount >= 0 && firstPiece <= shape.pieceCount() - pieceCount;
    }

    private void join(PeerKey key, SourceClass sourceClass, Bitfield has, long nowNanos) {
        BanRecord ban = bans.get(key);
        if (has.size() != shape.pieceCount() || ban != null && nowNanos < ban.untilNanos) {
            return;
        }
        Peer old = peers.get(key);
        if (old == null && peers.size() >= settings.maxPeers) {
            return;
        }
        PeerScore score = old == null ? new PeerScore() : old.score;
        RateLimit its = old == null ? new RateLimit(settings.bytesPerSecondPerPeer, BLOCK_BYTES) : old.limit;
        leave(key, false);
        Peer peer = new Peer(key, sourceClass, has.toBitSet(), score, its);
        peers.put(key, peer);
        if (sourceClass == SourceClass.PEER) {
            picker.availability().add(peer.has);
            if (!has.isEmpty()) {
                peersJoinedNanos = nowNanos;
            }
        }
    }

    private void learn(PeerKey key, int firstPiece, int pieceCount, long nowNanos) {
        Peer peer = peers.get(key);
        if (peer == null || !inFile(firstPiece, pieceCount)) {
            return;
        }
        if (peer.has.isEmpty()) {
            peersJoinedNanos = nowNanos;
        }
        for (int piece = firstPiece; piece < firstPiece + pieceCount; piece++) {
            if (!peer.has.get(piece)) {
                peer.has.set(piece);
                if (peer.sourceClass == SourceClass.PEER) {
                    picker.availability().add(piece);
                }
            }
        }
    }

    private void spare(PeerKey key, int firstPiece, int pieceCount, long nowNanos) {
        Peer peer = peers.get(key);
        if (peer == null || !inFile(firstPiece, pieceCount)) {
            return;
        }
        if (!peer.sparing) {
            peer.sparing = true;
            tellVerified(key);
        }
        peer.placed.set(firstPiece, firstPiece + pieceCount);
        peer.placedLately.add(new Placed(nowNanos + PLACED_NANOS, firstPiece, pieceCount));
        if (peer.placedLately.size() > MAX_PLACED_KEPT) { // more than a file has pieces: it repeats itself
            forgetPlaced(peer, peer.placedLately.remove());
        }
    }

    /** What was here before it is told in runs; of a file in tatters only the first ones. */
    private void tellVerified(PeerKey key) {
        int first = verified.nextSetBit(0);
        for (int told = 0; first >= 0 && told < MAX_RUNS_TOLD; told++) {
            int end = verified.nextClearBit(first);
            effects.add(new Effect.TellSource(key, first, end - first));
            first = verified.nextSetBit(end);
        }
    }

    private void forgetPlaced(Peer peer, Placed old) {
        peer.placed.clear(old.firstPiece, old.firstPiece + old.pieceCount);
    }

    private void sendElsewhere(PeerKey key, long firstBlock, int blockCount, long nowNanos) {
        Peer peer = peers.get(key);
        if (peer == null || firstBlock < 0 || blockCount < 1 || firstBlock > shape.blockCount() - blockCount) {
            return;
        }
        int first = (int) (firstBlock / shape.blocksPerPiece());
        int last = (int) ((firstBlock + blockCount - 1) / shape.blocksPerPiece());
        for (int piece = first; piece <= last; piece++) {
            Claim claim = peer.claims.get(piece);
            if (claim != null) {
                release(claim, false);
            }
        }
        spare(key, first, last - first + 1, nowNanos);
    }

    private void leave(PeerKey key, boolean cancel) {
        Peer peer = peers.remove(key);
        if (peer == null) {
            return;
        }
        if (peer.sourceClass == SourceClass.PEER) {
            picker.availability().remove(peer.has);
        }
        releaseAll(peer, cancel);
    }

    private void releaseAll(Peer peer, boolean cancel) {
        for (Claim claim : List.copyOf(peer.claims.values())) {
            release(claim, cancel);
        }
    }

    /** Forgets that a source was asked for a piece; if nobody else is, the piece is open again. */
    private void release(Claim claim, boolean cancel) {
        Peer peer = claim.peer;
        peer.claims.remove(claim.piece);
        long first = shape.firstBlockOf(claim.piece);
        long owed = 0;
        for (int b = claim.missing.nextSetBit(0); b >= 0; b = claim.missing.nextSetBit(b + 1)) {
            owed += shape.bytesOfBlocks(first + b, 1);
        }
        peer.owedBytes -= owed;
        heldBytes -= shape.bytesOf(claim.piece);
        int blocks = shape.blocksOf(claim.piece);
        duplicateBytes += shape.bytesOf(claim.piece) - owed; // what had come of it is thrown away
        if (cancel) {
            peer.unaskedBlocks -= claim.missing.cardinality(); // these may be on their way
            for (int done = 0; done < blocks; done += MAX_REQUEST_BLOCKS) {
                effects.add(
                        new Effect.CancelRequest(peer.key, first + done, Math.min(MAX_REQUEST_BLOCKS, blocks - done)));
            }
        }
        List<Claim> others = claimed.get(claim.piece);
        if (others != null) {
            others.remove(claim);
            if (others.isEmpty()) {
                claimed.remove(claim.piece);
            }
        }
        reopen(claim.piece);
    }

    private void reopen(int piece) {
        if (!verified.get(piece) && !claimed.containsKey(piece) && !verifying.containsKey(piece)) {
            picker.open(piece);
        }
    }

    private void arrive(PeerKey key, long firstBlock, int blockCount, long nowNanos) {
        Peer peer = peers.get(key);
        if (peer == null) {
            return;
        }
        if (firstBlock < 0 || blockCount < 1 || firstBlock > shape.blockCount() - blockCount) {
            ban(peer, BanReason.UNASKED_DATA, nowNanos);
            return;
        }
        long useful = 0;
        long block = firstBlock;
        while (block < firstBlock + blockCount) {
            int piece = (int) (block / shape.blocksPerPiece());
            long end = Math.min(firstBlock + blockCount, shape.firstBlockOf(piece) + shape.blocksOf(piece));
            Claim claim = peer.claims.get(piece);
            for (; block < end; block++) {
                int inPiece = (int) (block - shape.firstBlockOf(piece));
                long bytes = shape.bytesOfBlocks(block, 1);
                if (claim == null || !claim.missing.get(inPiece)) {
                    duplicateBytes += bytes;
                    peer.unaskedBlocks++;
                    continue;
                }
                if (claim.missing.cardinality() == shape.blocksOf(piece)) {
                    peer.score.answeredAfter(nowNanos - claim.askedNanos);
                }
                claim.missing.clear(inPiece);
                useful += bytes;
            }
            if (claim != null && claim.missing.isEmpty()) {
                complete(claim);
            }
        }
        peer.owedBytes -= useful;
        if (useful > 0) {
            peer.score.gap(nowNanos - peer.waitingSinceNanos);
            peer.waitingSinceNanos = nowNanos;
            lastBlockNanos = nowNanos;
            peer.score.received(useful, nowNanos);
        }
        if (peer.unaskedBlocks > UNASKED_BLOCKS_ALLOWED) {
            ban(peer, BanReason.UNASKED_DATA, nowNanos);
        }
    }

    private void complete(Claim claim) {
        claim.peer.claims.remove(claim.piece);
        List<Claim> others = claimed.get(claim.piece);
        if (others != null) {
            others.remove(claim);
            if (others.isEmpty()) {
                claimed.remove(claim.piece);
            }
        }
        verifying.computeIfAbsent(claim.piece, _ -> new ArrayList<>(1)).add(claim.peer);
        effects.add(new Effect.Verify(claim.peer.key, claim.piece));
    }

    private void refuse(PeerKey key, long firstBlock, int blockCount, boolean gone, long nowNanos) {
        Peer peer = peers.get(key);
        if (peer == null || firstBlock < 0 || blockCount < 1 || firstBlock > shape.blockCount() - blockCount) {
            return;
        }
        int last = (int) ((firstBlock + blockCount - 1) / shape.blocksPerPiece());
        boolean asked = false;
        for (int piece = (int) (firstBlock / shape.blocksPerPiece()); piece <= last; piece++) {
            Claim claim = peer.claims.get(piece);
            if (claim != null) {
                asked = true;
                release(claim, false);
            }
            if (gone && peer.has.get(piece)) { // asked again only if it says so again
                peer.has.clear(piece);
                if (peer.sourceClass == SourceClass.PEER) {
                    picker.availability().remove(piece);
                }
            }
        }
        if (asked) {
            peer.score.failed(nowNanos);
        }
    }

    /** Whose copy has been hashed; null if that was never asked for. */
    private @Nullable Peer takeVerifying(PeerKey key, int piece) {
        List<Peer> hashed = verifying.getOrDefault(piece, List.of());
        for (Peer peer : hashed) {
            if (peer.key.equals(key)) {
                hashed.remove(peer);
                if (hashed.isEmpty()) {
                    verifying.remove(piece);
                }
                heldBytes -= shape.bytesOf(piece);
                return peer;
            }
        }
        return null;
    }

    private void accept(PeerKey key, int piece) {
        Peer from = takeVerifying(key, piece);
        if (from == null) {
            return;
        }
        int bytes = shape.bytesOf(piece);
        if (verified.get(piece)) {
            duplicateBytes += bytes;
            return;
        }
        verified.set(piece);
        lacking.clear(piece);
        picker.close(piece);
        verifiedBytes += bytes;
        switch (from.sourceClass) {
            case PEER -> peerBytes += bytes;
            case ORIGIN -> originBytes += bytes;
            case WEB -> webBytes += bytes;
        }
        effects.add(new Effect.Announce(piece));
        for (Peer peer : peers.values()) {
            if (peer.sparing) {
                effects.add(new Effect.TellSource(peer.key, piece, 1));
            }
        }
        for (Claim other : List.copyOf(claimed.getOrDefault(piece, List.of()))) {
            release(other, true);
        }
    }

    private void blame(PeerKey key, int piece, long nowNanos) {
        if (takeVerifying(key, piece) == null) {
            return;
        }
        refusedBytes += shape.bytesOf(piece);
        reopen(piece);
        Peer peer = peers.get(key);
        if (peer != null) {
            ban(peer, BanReason.BAD_DATA, nowNanos);
        } else {
            remember(key, nowNanos);
        }
    }

    private void ban(Peer peer, BanReason reason, long nowNanos) {
        leave(peer.key, false);
        effects.add(new Effect.Ban(peer.key, reason, remember(peer.key, nowNanos)));
    }

    /** Returns until when: 1 minute the first time, then twice as long each time, up to about an hour. */
    private long remember(PeerKey key, long nowNanos) {
        BanRecord before = bans.remove(key);
        int times = before == null ? 0 : before.times;
        long until = nowNanos + (FIRST_BAN_NANOS << Math.min(times, MAX_BAN_DOUBLINGS));
        if (bans.size() >= MAX_BANS_KEPT) {
            bans.remove(bans.keySet().iterator().next());
        }
        bans.put(key, new BanRecord(until, times + 1));
        return until;
    }

    private void end(@Nullable Effect last) {
        over = true;
        for (Peer peer : peers.values()) {
            releaseAll(peer, true);
        }
        if (last != null) {
            effects.add(last);
        }
    }

    // ---------------------------------------------------------------------------------------- what to do

    private void next(long nowNanos) {
        if (lacking.isEmpty()) {
            effects.add(progress(nowNanos));
            end(null);
            effects.add(new Effect.Finished(totals()));
            return;
        }
        punishStalled(nowNanos);
        if (verifying.isEmpty() && nowNanos - lastBlockNanos >= settings.giveUpNanos) {
            Bitfield missing = missing();
            String cause = peers.isEmpty()
                    ? "no source was found for " + missing
                    : "no data came from " + peers.size() + " sources for " + missing;
            end(new Effect.Failed(missing, cause));
            return;
        }
        request(nowNanos);
        callForPeers(nowNanos);
        if (nowNanos - lastProgressNanos >= settings.progressNanos && verifiedBytes != lastProgressBytes) {
            effects.add(progress(nowNanos));
        }
        deadline = nextDeadline(nowNanos);
    }

    private Effect.Progress progress(long nowNanos) {
        double seconds = (nowNanos - lastProgressNanos) / 1e9;
        double rate = seconds > 0 ? (verifiedBytes - lastProgressBytes) / seconds : 0;
        lastProgressNanos = nowNanos;
        lastProgressBytes = verifiedBytes;
        return new Effect.Progress(verifiedBytes, wantedBytes, rate);
    }

    private long stallNanos(Peer peer) {
        return settings.stallNanos << Math.min(3, peer.score.failures());
    }

    private void punishStalled(long nowNanos) {
        for (Peer peer : List.copyOf(peers.values())) {
            if (!peer.claims.isEmpty() && nowNanos - peer.waitingSinceNanos >= stallNanos(peer)) {
                releaseAll(peer, true);
                peer.score.failed(nowNanos);
                if (peer.score.failures() >= MAX_FAILURES) {
                    ban(peer, BanReason.STALLED, nowNanos);
                }
            }
        }
    }

    private void request(long nowNanos) {
        List<Peer> order = new ArrayList<>(peers.values());
        order.removeIf(peer -> !peer.score.mayBeAsked(nowNanos));
        order.sort(Comparator.<Peer, SourceClass>comparing(peer -> peer.sourceClass)
                .thenComparing(peer -> -peer.score.rate(nowNanos)));
        for (Peer peer : order) {
            if (mayAsk(peer, nowNanos) && room(peer, window(peer)) > 0 && peer.has.intersects(lacking)) {
                BitSet not = notFrom(peer, nowNanos);
                if (not != null) {
                    fill(peer, not, nowNanos);
                }
            }
        }
    }

    /** What this source is to be spared, or null if it is to be left alone. */
    private @Nullable BitSet notFrom(Peer peer, long nowNanos) {
        while (!peer.placedLately.isEmpty() && peer.placedLately.getFirst().untilNanos <= nowNanos) {
            forgetPlaced(peer, peer.placedLately.remove());
        }
        BitSet not = notWhatOthersHave(peer, nowNanos);
        if (not == null || peer.placed.isEmpty()) {
            return not;
        }
        BitSet both = (BitSet) not.clone();
        both.or(peer.placed);
        return both;
    }

    private boolean isSpared(Peer peer) {
        return peer.sparing || peer.sourceClass != SourceClass.PEER;
    }

    private @Nullable BitSet notWhatOthersHave(Peer peer, long nowNanos) {
        if (!isSpared(peer)) {
            return nothing;
        }
        if (peer.sourceClass != SourceClass.PEER
                && !peer.sparing
                && nowNanos - startNanos < settings.originPauseNanos) {
            return null;
        }
        BitSet better = new BitSet();
        double betterRate = 0;
        boolean untried = false;
        for (Peer other : peers.values()) {
            int order = other.sourceClass.compareTo(peer.sourceClass);
            boolean answers = other.score.mayBeAsked(nowNanos) && (other.claims.isEmpty() || !isStuck(other, nowNanos));
            if ((order < 0 || order == 0 && peer.sparing && !other.sparing) && answers) {
                better.or(other.has);
                betterRate += other.score.rate(nowNanos);
                untried |= !other.score.measured();
            }
        }
        if (better.isEmpty()) {
            return nothing;
        }
        boolean tooEarly = untried && nowNanos - peersJoinedNanos < settings.originPauseNanos;
        double own = peer.score.measured() ? peer.score.rate(nowNanos) : 0;
        if (tooEarly || betterRate * ORIGIN_MUST_BE_FASTER_BY >= Math.max(own, GUESSED_ORIGIN_RATE)) {
            peer.betterAreSlowSinceNanos = Long.MAX_VALUE;
            return better;
        }
        peer.betterAreSlowSinceNanos = Math.min(peer.betterAreSlowSinceNanos, nowNanos);
        return nowNanos - peer.betterAreSlowSinceNanos
                        < (peer.sparing ? SPARING_PATIENCE_NANOS : 2 * settings.originPauseNanos)
                ? better
                : nothing;
    }

    private boolean mayAsk(Peer peer, long nowNanos) {
        return limit.isFree(nowNanos) && peer.limit.isFree(nowNanos);
    }

    private long window(Peer peer) {
        return peer.score.window(
                (long) settings.firstWindowPieces * shape.pieceBytes(), settings.maxWindowBytes, shape.pieceBytes());
    }

    /** Bytes to ask for now, a quarter of the window at least: fewer, longer requests. 0 if the window is full. */
    private long room(Peer peer, long window) {
        long room = Math.min(window - peer.owedBytes, settings.maxHeldBytes - heldBytes);
        boolean full = room < Math.max(shape.pieceBytes(), window / 4) && !peer.claims.isEmpty()
                || room < shape.pieceBytes() && heldBytes > 0;
        return full ? 0 : Math.max(1, room);
    }

    private void fill(Peer peer, BitSet not, long nowNanos) {
        long window = window(peer);
        while (true) {
            long room = room(peer, window);
            if (room == 0 || !mayAsk(peer, nowNanos)) {
                return;
            }
            long most = Math.max(1, Math.min(room, Math.max(window / 4, shape.pieceBytes())) / shape.pieceBytes());
            int pieces = (int) Math.min(most, Math.max(1, MAX_REQUEST_BLOCKS / shape.blocksPerPiece()));
            PiecePicker.Run run = picker.pick(peer.has, not, peer.near, pieces);
            if (run.pieceCount() == 0) {
                if (room >= window / 2) {
                    endgame(peer, not, nowNanos);
                }
                return;
            }
            ask(peer, run.firstPiece(), run.pieceCount(), nowNanos);
            peer.near = run.firstPiece() + run.pieceCount();
        }
    }

    private void ask(Peer peer, int firstPiece, int pieceCount, long nowNanos) {
        if (peer.claims.isEmpty()) {
            peer.waitingSinceNanos = nowNanos;
            peer.score.busy(nowNanos);
        }
        long firstBlock = shape.firstBlockOf(firstPiece);
        long bytes = shape.bytesOfBlocks(firstBlock, (long) pieceCount * shape.blocksPerPiece());
        limit.spend(bytes, nowNanos);
        peer.limit.spend(bytes, nowNanos);
        int blocks = 0;
        for (int piece = firstPiece; piece < firstPiece + pieceCount; piece++) {
            Claim claim = new Claim(peer, piece, shape.blocksOf(piece), nowNanos);
            peer.claims.put(piece, claim);
            claimed.computeIfAbsent(piece, _ -> new ArrayList<>(2)).add(claim);
            picker.close(piece);
            blocks += shape.blocksOf(piece);
            peer.owedBytes += shape.bytesOf(piece);
            heldBytes += shape.bytesOf(piece);
        }
        for (int done = 0; done < blocks; done += MAX_REQUEST_BLOCKS) {
            effects.add(new Effect.Request(peer.key, firstBlock + done, Math.min(MAX_REQUEST_BLOCKS, blocks - done)));
        }
    }

    /**
     * Nothing is left to ask this source for: may it take over the piece that would come last from somebody slower? A copy
     * from somebody who still sends is thrown away in part, so there are only a few of those.
     */
    private void endgame(Peer peer, BitSet not, long nowNanos) {
        if (nowNanos - peer.lastEndgameNanos < ENDGAME_INTERVAL_NANOS || claimed.isEmpty()) {
            return;
        }
        peer.lastEndgameNanos = nowNanos;
        double rate = peer.score.rate(nowNanos);
        double here = rate > 0
                ? peer.score.delay() + (peer.owedBytes + shape.pieceBytes()) / rate * 1e9
                : GUESSED_DELAY_NANOS;
        boolean few = !picker.hasOpen() && secondCopies < secondCopiesAllowed;
        @Nullable Claim slowest = null;
        double slowestNanos = 0;
        for (List<Claim> claims : claimed.values()) {
            Claim claim = claims.getFirst();
            if (claims.size() > 1 || claim.peer == peer || !peer.has.get(claim.piece) || not.get(claim.piece)) {
                continue;
            }
            double expected = expectedNanos(claim, nowNanos);
            boolean hopeless = !picker.hasOpen() && expected > HOPELESS * here + ENDGAME_SLACK_NANOS;
            if (!few && !hopeless && !isStuck(claim.peer, nowNanos)) {
                continue;
            }
            if (expected > slowestNanos || expected == slowestNanos && slowest != null && claim.piece < slowest.piece) {
                slowest = claim;
                slowestNanos = expected;
            }
        }
        if (slowest == null) {
            return;
        }
        if (slowestNanos > 2 * here + ENDGAME_SLACK_NANOS) {
            secondCopies++;
            ask(peer, slowest.piece, 1, nowNanos);
        }
    }

    /** Whether it owes something and is silent for longer than it ever was for long; what it sends then comes in vain. */
    private boolean isStuck(Peer peer, long nowNanos) {
        double patience =
                Math.clamp(4 * peer.score.longGapNanos(), settings.stallNanos / 8.0, settings.stallNanos / 2.0);
        return nowNanos - peer.waitingSinceNanos > patience;
    }

    /** How long until a piece asked for is whole, at its source's present rate. */
    private double expectedNanos(Claim claim, long nowNanos) {
        Peer holder = claim.peer;
        double rate = holder.score.rate(nowNanos);
        double waited = nowNanos - holder.waitingSinceNanos;
        if (rate <= 0) {
            return 2 * waited;
        }
        return Math.max(2 * (waited - holder.score.delay()), holder.owedBytes / rate * 1e9);
    }

    private void callForPeers(long nowNanos) {
        BitSet orphans = (BitSet) picker.openPieces().clone();
        for (Peer peer : peers.values()) {
            if (peer.score.failures() < 2) {
                orphans.andNot(peer.has);
            }
        }
        needsPeers = !orphans.isEmpty();
        if (needsPeers && nowNanos - lastNeedNanos >= settings.needPeersNanos) {
            lastNeedNanos = nowNanos;
            effects.add(new Effect.NeedPeers(Bitfield.of(orphans, shape.pieceCount())));
        }
    }

    private long nextDeadline(long nowNanos) {
        long at = lastBlockNanos + settings.giveUpNanos;
        if (at <= nowNanos) {
            at = nowNanos + settings.giveUpNanos; // hashing goes on
        }
        if (picker.hasOpen() || !claimed.isEmpty()) {
            if (needsPeers) {
                at = Math.min(at, lastNeedNanos + settings.needPeersNanos);
            }
            if (!limit.isFree(nowNanos)) {
                at = Math.min(at, limit.freeAtNanos(nowNanos));
            }
            boolean idle = false;
            for (Peer peer : peers.values()) {
                if (!peer.limit.isFree(nowNanos)) {
                    at = Math.min(at, peer.limit.freeAtNanos(nowNanos));
                }
                if (!peer.claims.isEmpty()) {
                    at = Math.min(at, peer.waitingSinceNanos + stallNanos(peer));
                } else if (!peer.score.mayBeAsked(nowNanos)) {
                    at = Math.min(at, peer.score.backoffUntilNanos());
                } else if (peer.has.intersects(lacking)) {
                    idle = true; // the origin spared, or a piece to take over from somebody slow
                }
            }
            if (idle) {
                at = Math.min(at, nowNanos + ENDGAME_SLACK_NANOS);
            }
        }
        if (verifiedBytes != lastProgressBytes) {
            at = Math.min(at, lastProgressNanos + settings.progressNanos);
        }
        return Math.max(at, nowNanos + 1);
    }
}
