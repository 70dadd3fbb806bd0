package shoal.codec.swarm.world;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.PriorityQueue;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.jspecify.annotations.Nullable;
import shoal.codec.swarm.Bitfield;
import shoal.codec.swarm.Download;
import shoal.codec.swarm.FirstCopies;
import shoal.codec.swarm.PeerKey;
import shoal.codec.swarm.RateLimit;
import shoal.codec.swarm.SourceClass;
import shoal.codec.swarm.UploadScheduler;

/**
 * A swarm in virtual time: nodes with a download, an upload scheduler, an uplink of some bandwidth and links of some delay.
 * A block's content is one number, so that wrong bytes are seen.
 */
public final class SwarmWorld {
    public static final long MILLI = 1_000_000L;
    public static final long SECOND = 1_000_000_000L;

    public enum Nature {
        HONEST,
        LIAR,
        SILENT,
        FLOODER
    }

    public final Download.Shape shape;
    public final RandomGenerator random;
    public final long seed;
    public final List<Node> nodes = new ArrayList<>();
    public final Map<Long, Integer> truth = new HashMap<>();
    public long now;
    private long minDelay = MILLI;
    private long maxDelay = 20 * MILLI;
    private double loss;
    private long order;
    private final PriorityQueue<Event> events = new PriorityQueue<>();

    private record Event(long at, long order, Runnable what) implements Comparable<Event> {
        @Override
        public int compareTo(Event other) {
            return at != other.at ? Long.compare(at, other.at) : Long.compare(order, other.order);
        }
    }

    public SwarmWorld(long seed, long size, int pieceBytes) {
        this.seed = seed;
        random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
        shape = new Download.Shape(size, pieceBytes);
        for (long b = 0; b < shape.blockCount(); b++) {
            truth.put(b, random.nextInt());
        }
    }

    public SwarmWorld delays(long minMillis, long maxMillis) {
        minDelay = minMillis * MILLI;
        maxDelay = maxMillis * MILLI;
        return this;
    }

    private int truth(long block) {
        return Objects.requireNonNull(truth.get(block));
    }

    /** @param chance in 0..1 that a datagram of an answer is lost and comes a round trip later */
    public SwarmWorld losing(double chance) {
        loss = chance;
        return this;
    }

    public void at(long when, Runnable what) {
        events.add(new Event(Math.max(now, when), order++, what));
    }

    /** Runs until done or nothing is left to happen or the time is over; says whether done. */
    public boolean runUntil(BooleanSupplier done, long limitNanos) {
        while (!done.getAsBoolean()) {
            Event next = events.poll();
            if (next == null || next.at > limitNanos) {
                return false;
            }
            now = next.at;
            next.what.run();
        }
        return true;
    }

    public Node seeder(double megabytesPerSecond) {
        return new Node(Bitfield.all(shape.pieceCount()), SourceClass.PEER, Nature.HONEST, megabytesPerSecond);
    }

    public Node origin(double megabytesPerSecond) {
        return new Node(Bitfield.all(shape.pieceCount()), SourceClass.ORIGIN, Nature.HONEST, megabytesPerSecond);
    }

    public Node bad(Nature nature, double megabytesPerSecond) {
        return new Node(Bitfield.all(shape.pieceCount()), SourceClass.PEER, nature, megabytesPerSecond);
    }

    public Node downloader(double megabytesPerSecond, Bitfield verified) {
        return new Node(verified, SourceClass.PEER, Nature.HONEST, megabytesPerSecond);
    }

    public Node downloader(double megabytesPerSecond) {
        return downloader(megabytesPerSecond, Bitfield.none(shape.pieceCount()));
    }

    public final class Node {
        public final PeerKey key = new PeerKey(nodes.size());
        public final SourceClass sourceClass;
        public final Nature nature;
        public final double bytesPerNano;
        public final BitSet has;
        public final Map<Long, Integer> blocks = new HashMap<>();
        public final Map<Node, Long> delays = new HashMap<>();
        public final Map<Node, Long> lastArrival = new HashMap<>();
        public final TreeMap<Long, Node> connected = new TreeMap<>();
        public final UploadScheduler uploads;
        public @Nullable Download download;
        public boolean gone;
        public long uplinkFree;
        public long sentBytes;
        public long receivedBytes;
        public long doneNanos = -1;
        public int bans;
        public int needPeers;
        public int sentElsewhere;
        public final List<Download.Effect.Request> requests = new ArrayList<>();
        public Download.Effect.@Nullable Finished finished;
        public Download.Effect.@Nullable Failed failed;
        private long nextRequest;
        private long timer = Long.MAX_VALUE;
        private long uploadTimer = Long.MAX_VALUE;
        private final Map<Long, Asked> asked = new HashMap<>();
        private final Map<Long, Map<Long, Integer>> buffers = new HashMap<>(); // (peer, piece) to blocks

        private @Nullable FirstCopies firstCopies;

        private record Asked(Node from, long firstBlock, int blockCount, int blocksPerPiece, BitSet cancelled) {
            /** Says whether nothing of it is wanted any more. */
            boolean cancel(long first, int count) {
                long from = Math.max(first, firstBlock) - firstBlock;
                long to = Math.min(first + count, firstBlock + blockCount) - firstBlock;
                if (from < to) {
                    cancelled.set((int) from, (int) to);
                }
                return cancelled.cardinality() == blockCount;
            }

            int firstPiece() {
                return (int) (firstBlock / blocksPerPiece);
            }

            int pieceCount() {
                return (int) ((firstBlock + blockCount - 1) / blocksPerPiece) - firstPiece() + 1;
            }
        }

        public Node(Bitfield has, SourceClass sourceClass, Nature nature, double megabytesPerSecond) {
            this.has = has.toBitSet();
            this.sourceClass = sourceClass;
            this.nature = nature;
            bytesPerNano = megabytesPerSecond * 1e6 / 1e9;
            uploads = new UploadScheduler(UploadScheduler.Settings.DEFAULT);
            for (int p = this.has.nextSetBit(0); p >= 0; p = this.has.nextSetBit(p + 1)) {
                long first = shape.firstBlockOf(p);
                for (long b = first; b < first + shape.blocksOf(p); b++) {
                    blocks.put(b, truth(b));
                }
            }
            nodes.add(this);
        }

        public Node superSeeding() {
            firstCopies = new FirstCopies(shape.pieceCount());
            return this;
        }

        public long delayTo(Node other) {
            Node first = key.value() < other.key.value() ? this : other;
            Node second = first == this ? other : this;
            return first.delays.computeIfAbsent(second, _ -> random.nextLong(minDelay, maxDelay + 1));
        }

        public void start(Bitfield wanted, Download.Settings settings) {
            start(wanted, settings, RateLimit.none());
        }

        public void start(Bitfield wanted, Download.Settings settings, RateLimit limit) {
            download = new Download(
                    shape,
                    wanted,
                    Bitfield.of(has, shape.pieceCount()),
                    settings,
                    limit,
                    RandomGeneratorFactory.of("L64X128MixRandom").create(seed * 1000 + key.value()));
            feed(new Download.Input.Tick());
        }

        public void start() {
            start(Bitfield.all(shape.pieceCount()), Download.Settings.DEFAULT);
        }

        /** Both learn of each other after the link's delay. */
        public void connect(Node other) {
            at(now + delayTo(other), () -> {
                meet(other);
                other.meet(this);
            });
        }

        private void meet(Node other) {
            if (!gone && !other.gone) {
                FirstCopies copies = firstCopies;
                if (copies != null) {
                    for (FirstCopies.Range range : copies.placedWithOthers(other.key)) {
                        tellPlaced(other, range.firstPiece(), range.pieceCount());
                    }
                }
                connected.put(other.key.value(), other);
                feed(new Download.Input.PeerJoined(
                        other.key, other.sourceClass, Bitfield.of(other.has, shape.pieceCount())));
            }
        }

        private void tellPlaced(Node other, int firstPiece, int count) {
            at(now + delayTo(other), () -> other.feed(new Download.Input.PeerPlaced(key, firstPiece, count)));
        }

        public void goAway() {
            gone = true;
            for (Node other : List.copyOf(connected.values())) {
                at(now + delayTo(other), () -> other.lose(this));
            }
            connected.clear();
        }

        private void lose(Node other) {
            if (connected.remove(other.key.value()) != null) {
                feed(new Download.Input.PeerLeft(other.key));
                feedUploads(new UploadScheduler.Input.PeerLeft(other.key));
                if (firstCopies != null) {
                    firstCopies.left(other.key);
                }
            }
        }

        public boolean finished() {
            return finished != null;
        }

        public void feed(Download.Input input) {
            Download machine = download;
            if (machine == null || gone || machine.isOver()) {
                return;
            }
            for (Download.Effect effect : List.copyOf(machine.handle(input, now))) {
                carryOut(effect);
            }
            long deadline = machine.deadlineNanos();
            if (deadline <= now && !machine.isOver()) {
                throw new AssertionError("a deadline that is not ahead");
            }
            if (deadline < timer) {
                timer = deadline;
                at(deadline, () -> {
                    if (timer == deadline) {
                        timer = Long.MAX_VALUE;
                        feed(new Download.Input.Tick());
                    }
                });
            }
        }

        private void carryOut(Download.Effect effect) {
            switch (effect) {
                case Download.Effect.Request request -> {
                    requests.add(request);
                    Node to = nodes.get((int) request.peer().value());
                    at(now + delayTo(to), () -> to.requested(this, request.firstBlock(), request.blockCount()));
                }
                case Download.Effect.CancelRequest(PeerKey peer, long firstBlock, int blockCount) -> {
                    Node to = nodes.get((int) peer.value());
                    at(now + delayTo(to), () -> to.withdrawn(this, firstBlock, blockCount));
                }
                case Download.Effect.Verify(PeerKey peer, int piece) -> {
                    Map<Long, Integer> buffer = Objects.requireNonNull(buffers.remove(peer.value() << 32 | piece));
                    at(now + MILLI, () -> verify(peer, piece, buffer));
                }
                case Download.Effect.Announce(int piece) -> {
                    for (Node other : connected.values()) {
                        at(now + delayTo(other), () -> other.feed(new Download.Input.PeerHas(key, piece, 1)));
                    }
                }
                case Download.Effect.TellSource(PeerKey peer, int first, int count) -> {
                    Node to = nodes.get((int) peer.value());
                    at(now + delayTo(to), () -> to.toldHas(this, first, count));
                }
                case Download.Effect.Ban(PeerKey peer, Download.BanReason _, long _) -> {
                    bans++;
                    Node other = nodes.get((int) peer.value());
                    connected.remove(peer.value());
                    at(now + delayTo(other), () -> other.lose(this));
                }
                case Download.Effect.NeedPeers _ -> needPeers++;
                case Download.Effect.Progress _ -> {}
                case Download.Effect.Finished end -> {
                    finished = end;
                    doneNanos = now;
                }
                case Download.Effect.Failed end -> {
                    failed = end;
                    doneNanos = now;
                }
            }
        }

        private void verify(PeerKey peer, int piece, Map<Long, Integer> buffer) {
            boolean right = true;
            long first = shape.firstBlockOf(piece);
            for (long b = first; b < first + shape.blocksOf(piece); b++) {
                right &= Integer.valueOf(truth(b)).equals(buffer.get(b));
            }
            if (right) {
                blocks.putAll(buffer);
                has.set(piece);
                feed(new Download.Input.PieceVerified(peer, piece));
            } else {
                feed(new Download.Input.PieceRefused(peer, piece));
            }
        }

        private void toldHas(Node from, int firstPiece, int count) {
            FirstCopies copies = firstCopies;
            if (copies != null && !gone && connected.containsKey(from.key.value())) {
                copies.has(from.key, firstPiece, count);
            }
        }

        private void requested(Node from, long firstBlock, int blockCount) {
            if (gone || !connected.containsKey(from.key.value()) || nature == Nature.SILENT) {
                return;
            }
            int lastPiece = (int) ((firstBlock + blockCount - 1) / shape.blocksPerPiece());
            for (int p = (int) (firstBlock / shape.blocksPerPiece()); p <= lastPiece; p++) {
                if (!has.get(p)) {
                    at(
                            now + delayTo(from),
                            () -> from.feed(new Download.Input.RequestRefused(key, firstBlock, blockCount, true)));
                    return;
                }
            }
            FirstCopies copies = firstCopies;
            if (copies != null) {
                int first = (int) (firstBlock / shape.blocksPerPiece());
                int count = lastPiece - first + 1;
                if (!copies.mayGive(from.key, first, count, now)) {
                    sentElsewhere++;
                    at(
                            now + delayTo(from),
                            () -> from.feed(new Download.Input.RequestElsewhere(key, firstBlock, blockCount)));
                    return;
                }
                copies.give(from.key, first, count);
                connected.values().stream()
                        .filter(other -> other != from)
                        .forEach(other -> tellPlaced(other, first, count));
            }
            long id = nextRequest++;
            asked.put(id, new Asked(from, firstBlock, blockCount, shape.blocksPerPiece(), new BitSet()));
            feedUploads(new UploadScheduler.Input.Requested(from.key, id, shape.bytesOfBlocks(firstBlock, blockCount)));
            if (nature == Nature.FLOODER) {
                for (int i = 0; i < 100; i++) {
                    deliver(from, random.nextLong(shape.blockCount()), 1, false);
                }
            }
        }

        private void withdrawn(Node from, long firstBlock, int blockCount) {
            for (Map.Entry<Long, Asked> entry : List.copyOf(asked.entrySet())) {
                Asked it = entry.getValue();
                if (it.from == from && it.cancel(firstBlock, blockCount)) {
                    asked.remove(entry.getKey());
                    if (firstCopies != null) {
                        firstCopies.takeBack(from.key, it.firstPiece(), it.pieceCount());
                    }
                    feedUploads(new UploadScheduler.Input.Withdrawn(from.key, entry.getKey()));
                }
            }
        }

        private void feedUploads(UploadScheduler.Input input) {
            for (UploadScheduler.Effect effect : List.copyOf(uploads.handle(input, now))) {
                switch (effect) {
                    case UploadScheduler.Effect.Send(PeerKey peer, long request) -> send(peer, request);
                    case UploadScheduler.Effect.Refuse(PeerKey _, long request) -> {
                        Asked it = Objects.requireNonNull(asked.remove(request));
                        at(
                                now + delayTo(it.from),
                                () -> it.from.feed(
                                        new Download.Input.RequestRefused(key, it.firstBlock, it.blockCount, false)));
                    }
                }
            }
            long deadline = uploads.deadlineNanos();
            if (deadline < uploadTimer) {
                uploadTimer = deadline;
                at(deadline, () -> {
                    uploadTimer = Long.MAX_VALUE;
                    feedUploads(new UploadScheduler.Input.Tick());
                });
            }
        }

        private void send(PeerKey peer, long request) {
            Asked it = asked.remove(request);
            if (it == null) {
                at(now, () -> feedUploads(new UploadScheduler.Input.Sent(peer, request)));
                return;
            }
            long done = 0;
            while (done < it.blockCount) { // as chunks of four blocks
                int count = (int) Math.min(4, it.blockCount - done);
                if (it.cancelled.nextClearBit((int) done) < done + count) {
                    deliver(it.from, it.firstBlock + done, count, true);
                }
                done += count;
            }
            at(uplinkFree, () -> {
                feedUploads(new UploadScheduler.Input.Sent(peer, request));
                if (firstCopies != null) {
                    firstCopies.sent(peer, it.firstPiece(), it.pieceCount(), now);
                }
            });
        }

        private void deliver(Node to, long firstBlock, int count, boolean truthful) {
            long bytes = shape.bytesOfBlocks(firstBlock, count);
            uplinkFree = Math.max(now, uplinkFree) + (long) (bytes / bytesPerNano);
            sentBytes += bytes;
            long again = loss > 0 && random.nextDouble() < loss ? 2 * delayTo(to) : 0;
            at(uplinkFree + delayTo(to) + again, () -> {
                if (gone || !to.connected.containsKey(key.value())) {
                    return;
                }
                for (long b = firstBlock; b < firstBlock + count; b++) {
                    int piece = (int) (b / shape.blocksPerPiece());
                    int value = nature == Nature.LIAR || !truthful ? 666 : truth(b);
                    to.buffers
                            .computeIfAbsent(key.value() << 32 | piece, _ -> new HashMap<>())
                            .put(b, value);
                }
                to.receivedBytes += bytes;
                to.feed(new Download.Input.BlocksArrived(key, firstBlock, count));
            });
        }
    }
}
