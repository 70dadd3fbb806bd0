package shoal.verticles.client;

import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.dht.DhtKeys;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.codec.wire.SignedRecord;
import shoal.codec.wire.StreamKind;
import shoal.verticles.identity.ClusterSecret;
import shoal.verticles.identity.Identity;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.PeerRefusedException;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Looks at a swarm from outside, with a key of its own: asks the DHT machine by machine, and seeders for what they say that they have.
 * Believes signatures and hashes, nobody's word. Blocking.
 */
public final class SwarmProbe implements AutoCloseable {
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(5);

    /** Ways are measured first, and the search may take long where nodes are many and unlike. */
    private static final Duration PLAN_TIMEOUT = Duration.ofSeconds(60);

    private static final int MAX_ASKED = 64;
    private static final long CLOSE_SECONDS = 2;

    private final Vertx vertx = Vertx.vertx(new VertxOptions().setEventLoopPoolSize(1));
    private final QuicEndpoint endpoint;

    /** @param secret of the swarm's cluster, or null if it has none */
    public SwarmProbe(@Nullable ClusterSecret secret, String software) {
        endpoint = Blocking.await(QuicEndpoint.open(
                vertx,
                Identity.create(),
                new QuicEndpoint.Settings(null, List.of(), Role.CLIENT, "", secret, software, QuicEndpoint.PROTOCOL)));
    }

    /**
     * Who provides a key: asks those who are known first, then those whom they name, the nearest to the key first, until nobody nearer
     * is left.
     *
     * @return contacts whose records have the right signature and are not expired
     * @throws PeerRefusedException if none of the first can be asked
     */
    public List<Contact> providers(List<Endpoint> first, Hash256 key) {
        return providers(first, key, _ -> true);
    }

    private List<Contact> providers(List<Endpoint> first, Hash256 key, Predicate<SignedRecord> wanted) {
        Map<NodeId, Contact> found = new LinkedHashMap<>();
        Set<NodeId> asked = new HashSet<>();
        List<Contact> waiting = new ArrayList<>();
        PeerRefusedException silent = null;
        for (Endpoint target : first) {
            try {
                PeerConnection peer = Blocking.await(endpoint.connect(target));
                asked.add(peer.id());
                learn(peer, key, wanted, found, waiting);
            } catch (PeerRefusedException refused) {
                silent = refused;
            }
        }
        if (asked.isEmpty() && silent != null) {
            throw silent;
        }
        while (asked.size() < MAX_ASKED) {
            waiting.removeIf(contact -> asked.contains(contact.id()));
            Contact nearest = waiting.stream()
                    .min(Comparator.comparing(contact -> distance(contact.id(), key)))
                    .orElse(null);
            if (nearest == null) {
                break;
            }
            asked.add(nearest.id());
            try {
                learn(Blocking.await(endpoint.connect(nearest)), key, wanted, found, waiting);
            } catch (PeerRefusedException gone) {
                // a machine that is gone; others are asked
            }
        }
        return List.copyOf(found.values());
    }

    /**
     * Asks each coordinator of a cluster how layers would be placed now, as {@code shoal.codec.pipeline.PlanReport} tells it.
     *
     * @param first one of the cluster's machines or several; each is asked who else there is
     * @param sequences for how many at once, null for what each coordinator is set to
     * @return plans as JSON, one for each coordinator that works
     * @throws PeerRefusedException if no machine can be asked, or no coordinator tells a plan; with the reason
     */
    public List<String> plans(List<Endpoint> first, @Nullable Integer sequences) {
        PeerConnection begin = firstOf(first);
        if (begin.cluster().isEmpty()) {
            throw new PeerRefusedException(
                    ErrorCode.CLUSTER, begin + " is of no cluster. Name one of the swarm's machines.");
        }
        var coordinators = new ArrayList<Contact>();
        if (begin.role() == Role.COORDINATOR) {
            coordinators.add(begin.contact());
        }
        for (Contact contact : providers(first, DhtKeys.cluster(begin.cluster()), SwarmProbe::isCoordinators)) {
            if (!contact.id().equals(begin.id())) {
                coordinators.add(contact);
            }
        }
        var question = new Frame.AskPlan(sequences == null ? Frame.AskPlan.AS_CONFIGURED : sequences);
        var plans = new ArrayList<String>();
        var refusals = new ArrayList<String>();
        for (Contact coordinator : coordinators) {
            try {
                PeerConnection peer = Blocking.await(endpoint.connect(coordinator));
                switch (Blocking.await(peer.ask(StreamKind.GENERATE, question, PLAN_TIMEOUT))) {
                    case Frame.Plan(String json) -> plans.add(json);
                    case Frame other -> refusals.add(peer + " answered with " + other.type() + ".");
                }
            } catch (PeerRefusedException refused) {
                refusals.add(String.valueOf(refused.getMessage()));
            }
        }
        if (plans.isEmpty()) {
            throw new PeerRefusedException(
                    ErrorCode.NOT_READY,
                    refusals.isEmpty()
                            ? "cluster '" + begin.cluster() + "' has no coordinator. Start one with: shoal coordinator"
                                    + " --bootstrap " + begin.remote()
                            : String.join("; ", refusals));
        }
        return plans;
    }

    private PeerConnection firstOf(List<Endpoint> first) {
        PeerRefusedException silent = null;
        for (Endpoint target : first) {
            try {
                return Blocking.await(endpoint.connect(target));
            } catch (PeerRefusedException refused) {
                silent = refused;
            }
        }
        throw silent == null ? new PeerRefusedException(ErrorCode.LOST, "no address was given.") : silent;
    }

    /** Of a cluster's machines: each announces itself with the name of its role. */
    private static boolean isCoordinators(SignedRecord signed) {
        return new String(signed.record().payload(), StandardCharsets.UTF_8).equals(Role.COORDINATOR.text());
    }

    private void learn(
            PeerConnection peer,
            Hash256 key,
            Predicate<SignedRecord> wanted,
            Map<NodeId, Contact> found,
            List<Contact> waiting) {
        Frame answer = Blocking.await(peer.ask(StreamKind.DHT, new Frame.FindProviders(key), ASK_TIMEOUT));
        if (!(answer instanceof Frame.Providers(List<SignedRecord> records, List<Contact> closer))) {
            return;
        }
        long now = System.currentTimeMillis() / 1000;
        for (SignedRecord signed : records) {
            if (signed.record().key().equals(key)
                    && signed.record().expiresAtSeconds() > now
                    && wanted.test(signed)
                    && signed.isAuthentic()) {
                found.put(signed.record().provider().id(), signed.record().provider());
            }
        }
        waiting.addAll(closer);
    }

    private static Hash256 distance(NodeId node, Hash256 key) {
        byte[] bytes = node.hash().toBytes();
        byte[] other = key.toBytes();
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] ^= other[i];
        }
        return Hash256.of(bytes);
    }

    /**
     * What a seeder has of a file.
     *
     * @param pieces verified ones, as it says
     * @param proven a piece that it sent and whose hash is right, -1 if there was none to ask for
     */
    public record Copy(int pieces, int pieceCount, int proven) {
        public boolean isWhole() {
            return pieces == pieceCount;
        }
    }

    /**
     * Asks a seeder which pieces of a file it has, and for one of them.
     *
     * @param random chooses the piece
     * @throws PeerRefusedException if it can't be asked, does not have the file, or sends no piece
     * @throws MalformedException if what it sends does not hash to the root
     */
    public Copy copy(Contact seeder, Hash256 piecesRoot, RandomGenerator random) {
        PeerConnection peer = Blocking.await(endpoint.connect(seeder));
        Metainfo file = metainfo(peer, piecesRoot);
        Frame holding = ask(peer, new Frame.Follow(piecesRoot), Frame.Holding.class);
        BitSet has = bits(((Frame.Holding) holding).bitfield(), file.pieces().count());
        if (has.isEmpty()) {
            return new Copy(0, file.pieces().count(), -1);
        }
        int piece =
                has.stream().skip(random.nextInt(has.cardinality())).findFirst().orElseThrow();
        byte[] data = piece(peer, file, piece);
        byte[] leaves = new byte[32 * file.pieces().blockCountOf(piece)];
        BlockHasher.plain().hash(ByteBuffer.wrap(data), leaves, 0);
        if (!file.isPiece(piece, leaves)) {
            throw new MalformedException("piece " + piece + " that " + peer + " sent is wrong");
        }
        return new Copy(has.cardinality(), file.pieces().count(), piece);
    }

    private Metainfo metainfo(PeerConnection peer, Hash256 piecesRoot) {
        var answer = (Frame.Metadata) ask(peer, new Frame.RequestMetadata(piecesRoot), Frame.Metadata.class);
        Metainfo file = Metainfo.ofInfo(bytes(answer.info()), bytes(answer.pieceLayer()));
        if (!file.piecesRoot().equals(piecesRoot)) {
            throw new MalformedException(peer + " told of another file than " + piecesRoot.toShortHex());
        }
        return file;
    }

    private byte[] piece(PeerConnection peer, Metainfo file, int piece) {
        Pieces pieces = file.pieces();
        byte[] data = new byte[pieces.sizeOf(piece)];
        long first = (long) piece * pieces.blocksPerPiece();
        int blocks = pieces.blockCountOf(piece);
        for (int done = 0; done < blocks; ) {
            int count = Math.min(blocks - done, Frame.RequestPiece.MAX_BLOCKS);
            int offset = done * Pieces.BLOCK_SIZE;
            int wanted = Math.min(count * Pieces.BLOCK_SIZE, data.length - offset);
            byte[] part = blocks(peer, new Frame.RequestPiece(file.piecesRoot(), first + done, count), wanted);
            System.arraycopy(part, 0, data, offset, wanted);
            done += count;
        }
        return data;
    }

    /** Blocks may come in several frames, and out of order. */
    private byte[] blocks(PeerConnection peer, Frame.RequestPiece request, int wanted) {
        Promise<byte[]> all = Promise.promise();
        byte[] data = new byte[wanted];
        int[] missing = {wanted};
        within(peer, all, request, frame -> {
            switch (frame) {
                case Frame.PieceData part -> {
                    int size = part.data().remaining();
                    long at = (part.firstBlock() - request.firstBlock()) * Pieces.BLOCK_SIZE;
                    if (at < 0 || at + size > wanted) {
                        all.tryFail(new MalformedException(peer + " sent other blocks than were asked for"));
                        return;
                    }
                    part.data().duplicate().get(data, (int) at, size);
                    missing[0] -= size;
                    if (missing[0] <= 0) {
                        all.tryComplete(data);
                    }
                }
                case Frame.PieceRefused refused ->
                    all.tryFail(new PeerRefusedException(refused.code(), peer + " sends no piece: " + refused.code()));
                default -> {}
            }
        });
        return Blocking.await(all.future());
    }

    private Frame ask(PeerConnection peer, Frame question, Class<? extends Frame> wanted) {
        Promise<Frame> answer = Promise.promise();
        within(peer, answer, question, frame -> {
            if (wanted.isInstance(frame)) {
                answer.tryComplete(frame);
            }
        });
        return Blocking.await(answer.future());
    }

    /** One question on a stream of pieces of its own; the stream ends with the answer, or when time is up. */
    private <T> void within(
            PeerConnection peer, Promise<T> answer, Frame question, java.util.function.Consumer<Frame> heard) {
        long timer = vertx.setTimer(
                ASK_TIMEOUT.toMillis(),
                _ -> answer.tryFail(new PeerRefusedException(ErrorCode.LOST, peer + " does not answer")));
        peer.open(StreamKind.PIECES).onFailure(answer::tryFail).onSuccess(stream -> {
            stream.onFrame(frame -> {
                if (frame instanceof Frame.Refused(ErrorCode code, String message)) {
                    answer.tryFail(new PeerRefusedException(code, peer + ": " + message));
                } else {
                    heard.accept(frame);
                }
            });
            stream.onClose(() -> answer.tryFail(
                    new PeerRefusedException(ErrorCode.LOST, peer + " closed the stream without an answer")));
            stream.send(question).onFailure(answer::tryFail);
            answer.future().onComplete(_ -> {
                vertx.cancelTimer(timer);
                stream.end();
            });
        });
    }

    private static BitSet bits(ByteBuffer bitfield, int count) {
        var bits = new BitSet(count);
        ByteBuffer bytes = bitfield.duplicate();
        for (int piece = 0; piece < count && piece / 8 < bytes.remaining(); piece++) {
            if ((bytes.get(bytes.position() + piece / 8) & 0x80 >> piece % 8) != 0) {
                bits.set(piece);
            }
        }
        return bits;
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    @Override
    public void close() {
        try {
            endpoint.close()
                    .transform(_ -> vertx.close())
                    .toCompletionStage()
                    .toCompletableFuture()
                    .orTimeout(CLOSE_SECONDS, TimeUnit.SECONDS)
                    .join();
        } catch (CompletionException late) {
            // the threads are daemons; nothing is lost with what did not close in time
        }
    }
}
