package shoal.verticles.pieceserver;

import io.vertx.core.Context;
import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.NodeId;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.PeerKey;
import shoal.codec.swarm.UploadScheduler;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.verticles.bus.Local;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.Lease;
import shoal.verticles.store.ShardStore;

/**
 * Who asks for pieces, and the answers on their way: streams come in, {@link UploadScheduler} decides whose turn it is, pieces are
 * read on workers. On the verticle's context.
 */
final class Uploads {
    private static final Logger LOG = LoggerFactory.getLogger(Uploads.class);
    private static final int MAX_STREAMS_PER_PEER = 16;
    private static final int FRAME_BYTES = 256 * 1024;
    private static final int MAX_FRAME_BYTES = Frame.RequestPiece.MAX_BLOCKS * Pieces.BLOCK_SIZE;

    private final Vertx vertx;
    private final Context vertxContext;
    private final ShardStore store;
    private final Catalog catalog;
    private final MachineDriver<UploadScheduler.Input, UploadScheduler.Effect> scheduler;
    private final Map<NodeId, Requester> requesters = new HashMap<>();
    private final Map<PeerKey, NodeId> requesterIds = new HashMap<>();
    private final Map<Long, Request> requests = new HashMap<>();
    private final Set<Session> sessions = new HashSet<>();
    private final AtomicLong sentBytes = new AtomicLong();
    /** Those of this process who send by another way than a stream, each under a name for whom it sends to. */
    private final Map<String, PeerKey> others = new HashMap<>();

    private final Map<Long, Turn> turns = new HashMap<>();
    private long nextKey;
    private long nextRequest;

    private record Turn(PeerKey to, Promise<Local.UploadTurn> come) {}

    /** Streams of one peer, which share one place in the queue. */
    private static final class Requester {
        final PeerKey key;
        int streams;

        Requester(PeerKey key) {
            this.key = key;
        }
    }

    private record Request(
            Session session,
            Frame.RequestPiece asked,
            long bytes,
            int frameBytes,
            Seeded file,
            int firstPiece,
            int pieceCount,
            BitSet cancelled) {
        /** The requester wants some pieces of it no longer; says whether it wants none. Too late once it is being sent. */
        boolean cancel(Frame.CancelRequest cancel) {
            long from = Math.max(cancel.firstBlock(), asked.firstBlock()) - asked.firstBlock();
            long to = Math.min(cancel.firstBlock() + cancel.blockCount(), asked.firstBlock() + asked.blockCount())
                    - asked.firstBlock();
            if (from < to) {
                cancelled.set((int) from, (int) to);
            }
            return cancelled.cardinality() == asked.blockCount();
        }

        void sent() {
            if (file.firstCopies != null) {
                file.firstCopies.sent(session.key(), firstPiece, pieceCount, MachineDriver.nowNanos());
            }
        }

        void notSent() {
            if (file.firstCopies != null) {
                file.firstCopies.takeBack(session.key(), firstPiece, pieceCount);
            }
        }
    }

    Uploads(Vertx vertx, ShardStore store, Catalog catalog, UploadScheduler.Settings settings) {
        this.vertx = vertx;
        vertxContext = vertx.getOrCreateContext();
        this.store = store;
        this.catalog = catalog;
        scheduler = new MachineDriver<>(
                vertx, new UploadScheduler(settings), new UploadScheduler.Input.Tick(), this::carryOut);
    }

    /** Gives up all streams, so that nobody waits for an answer; says whether there were any. */
    boolean stop() {
        scheduler.stop();
        boolean any = !sessions.isEmpty();
        Set.copyOf(sessions).forEach(Session::leave);
        return any;
    }

    /** Bytes of pieces that the transport has taken, of all requests together. For any thread. */
    long sentBytes() {
        return sentBytes.get();
    }

    void accept(FrameStream stream) {
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
        var session = new Session(stream, requester.key, catalog::known, catalog::lookUp, catalog::fileList);
        sessions.add(session);
        stream.onClose(() -> closed(session, requester));
        session.start(this::requested, this::withdrawn, this::told);
    }

    private void closed(Session session, Requester requester) {
        session.close();
        sessions.remove(session);
        catalog.unfollow(session);
        requests.entrySet().removeIf(entry -> {
            boolean its = entry.getValue().session == session;
            if (its) {
                entry.getValue().notSent();
                scheduler.feed(new UploadScheduler.Input.Withdrawn(requester.key, entry.getKey()));
            }
            return its;
        });
        if (--requester.streams == 0) {
            scheduler.feed(new UploadScheduler.Input.PeerLeft(requester.key));
            NodeId id = requesterIds.remove(requester.key);
            if (id != null) {
                requesters.remove(id);
            }
            catalog.left(requester.key);
        }
    }

    private void requested(Session session, Frame.RequestPiece asked) {
        Seeded file = catalog.at(asked.piecesRoot());
        if (file == null || !file.has(asked.firstBlock(), asked.blockCount())) {
            session.refuse(asked, ErrorCode.NOT_FOUND);
            return;
        }
        int firstPiece = file.pieceOf(asked.firstBlock());
        int pieceCount = file.pieceOf(asked.firstBlock() + asked.blockCount() - 1) - firstPiece + 1;
        if (!file.give(session, firstPiece, pieceCount, MachineDriver.nowNanos())) {
            session.refuse(asked, ErrorCode.ELSEWHERE);
            return;
        }
        long request = nextRequest++;
        long bytes = file.bytesOf(asked.firstBlock(), asked.blockCount());
        int frameBytes = Math.clamp(file.metainfo.pieceLength(), FRAME_BYTES, MAX_FRAME_BYTES);
        requests.put(
                request, new Request(session, asked, bytes, frameBytes, file, firstPiece, pieceCount, new BitSet()));
        scheduler.feed(new UploadScheduler.Input.Requested(session.key(), request, bytes));
    }

    /** What a requester has, others can ask it for. */
    private void told(Session session, Frame.Have have) {
        Seeded file = catalog.at(have.piecesRoot());
        if (file != null) {
            file.told(session, have.firstPiece(), have.pieceCount());
        }
    }

    private void withdrawn(Session session, Frame.CancelRequest cancel) {
        requests.entrySet().removeIf(entry -> {
            boolean isIt = entry.getValue().session == session
                    && entry.getValue().asked.piecesRoot().equals(cancel.piecesRoot())
                    && entry.getValue().cancel(cancel);
            if (isIt) {
                entry.getValue().notSent();
                scheduler.feed(new UploadScheduler.Input.Withdrawn(session.key(), entry.getKey()));
            }
            return isIt;
        });
    }

    /** Somebody of this process wants to send bytes its own way: its turn comes as anybody's. */
    Future<Local.UploadTurn> ask(Local.AskUpload wish) {
        PeerKey key = others.computeIfAbsent(wish.to(), _ -> new PeerKey(nextKey++));
        var turn = new Turn(key, Promise.promise());
        long request = nextRequest++;
        turns.put(request, turn);
        scheduler.feed(new UploadScheduler.Input.Requested(key, request, wish.bytes()));
        return turn.come.future();
    }

    void sent(Local.UploadSent news) {
        Turn turn = turns.remove(news.ticket());
        if (turn != null) {
            scheduler.feed(new UploadScheduler.Input.Sent(turn.to, news.ticket()));
        }
    }

    void left(Local.UploadLeft news) {
        PeerKey key = others.remove(news.to());
        if (key != null) {
            turns.values().removeIf(turn -> turn.to.equals(key));
            scheduler.feed(new UploadScheduler.Input.PeerLeft(key));
        }
    }

    private void carryOut(UploadScheduler.Effect effect) {
        switch (effect) {
            case UploadScheduler.Effect.Send(PeerKey peer, long request) -> send(peer, request);
            case UploadScheduler.Effect.Refuse(PeerKey _, long number) -> {
                Request request = requests.remove(number);
                Turn turn = turns.remove(number);
                if (turn != null) {
                    turn.come.tryFail("too much waits to be sent already; ask again later");
                }
                if (request != null) {
                    request.notSent();
                    request.session.refuse(request.asked, ErrorCode.BUSY);
                }
            }
        }
    }

    /** Reads on a worker, and reports when the transport has taken the bytes: so no more is read than it is busy with. */
    private void send(PeerKey peer, long number) {
        Turn turn = turns.get(number);
        if (turn != null) {
            turn.come.tryComplete(new Local.UploadTurn(number));
            return;
        }
        Request request = requests.remove(number);
        if (request == null) {
            scheduler.feed(new UploadScheduler.Input.Sent(peer, number));
            return;
        }
        Frame.RequestPiece asked = request.asked;
        Lease lease = Lease.of((int) request.bytes);
        vertx.executeBlocking(
                        () -> {
                            ByteBuffer data = lease.bytes();
                            store.read(asked.piecesRoot(), asked.firstBlock(), asked.blockCount(), data);
                            return data.flip();
                        },
                        false)
                .onFailure(failure -> {
                    LOG.warn("[TORRENT] cannot read a piece: {}", failure.getMessage());
                    request.session.refuse(asked, ErrorCode.NOT_FOUND);
                    catalog.recheck(asked.piecesRoot());
                })
                .compose(data -> send(request, data))
                .onSuccess(_ -> {
                    sentBytes.addAndGet(request.bytes);
                    vertxContext.runOnContext(_ -> request.sent());
                })
                .onFailure(_ -> vertxContext.runOnContext(_ -> request.notSent()))
                .onComplete(_ -> {
                    lease.release();
                    scheduler.feed(new UploadScheduler.Input.Sent(peer, number));
                });
    }

    /** In frames of some pieces, so that the receiver can hash the first while the last are on their way. */
    private static Future<?> send(Request request, ByteBuffer data) {
        var sent = new ArrayList<Future<Void>>();
        for (int at = 0; at < data.limit(); at += request.frameBytes) {
            ByteBuffer part = data.slice(at, Math.min(request.frameBytes, data.limit() - at));
            int block = at / Pieces.BLOCK_SIZE;
            if (request.cancelled.nextClearBit(block) >= block + Math.ceilDiv(part.remaining(), Pieces.BLOCK_SIZE)) {
                continue;
            }
            sent.add(request.session.send(new Frame.PieceData(
                    request.asked.piecesRoot(), request.asked.firstBlock() + at / Pieces.BLOCK_SIZE, part)));
        }
        return Future.join(sent);
    }
}
