package shoal.verticles.pieceserver;

import io.vertx.core.Future;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;
import shoal.codec.swarm.PeerKey;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.verticles.quic.FrameStream;

/**
 * One peer's stream of questions. File lists, metadata and bitfields are answered in the order in which they were asked; pieces
 * come when their turn has come. On the verticle's context.
 */
final class Session {
    private static final Logger LOG = LoggerFactory.getLogger(Session.class);
    /** Answers, refusals and news that the transport has not taken yet: a peer that asks and never reads ends here. */
    private static final int MAX_UNSENT = 4096;
    /** A datagram costs the same with many pieces in it as with one. */
    private static final long GATHERING_MILLIS = 10;

    private final FrameStream stream;
    private final PeerKey key;
    private final Function<Hash256, @Nullable Seeded> known;
    private final Function<Hash256, Future<@Nullable Seeded>> lookUp;
    private final Supplier<Frame.FileList> files;
    private final Map<Seeded, BitSet> news = new HashMap<>();
    private Future<Void> lastAnswer = Future.succeededFuture();
    private int unsent;
    private boolean closed;

    Session(
            FrameStream stream,
            PeerKey key,
            Function<Hash256, @Nullable Seeded> known,
            Function<Hash256, Future<@Nullable Seeded>> lookUp,
            Supplier<Frame.FileList> files) {
        this.stream = stream;
        this.key = key;
        this.known = known;
        this.lookUp = lookUp;
        this.files = files;
    }

    PeerKey key() {
        return key;
    }

    void start(
            BiConsumer<Session, Frame.RequestPiece> requested,
            BiConsumer<Session, Frame.CancelRequest> withdrawn,
            BiConsumer<Session, Frame.Have> told) {
        stream.onDrain(this::tellNews);
        stream.onEnd(stream::end);
        stream.onFrame(frame -> {
            if (closed) {
                return;
            }
            switch (frame) {
                case Frame.ListFiles _ -> answer(() -> Future.<Frame>succeededFuture(files.get()));
                case Frame.RequestMetadata(Hash256 hash) ->
                    answer(() -> find(hash).<Frame>map(file -> file == null ? notHere(hash) : file.metadata()));
                case Frame.Follow(Hash256 root) -> answer(() -> find(root).<Frame>map(file -> follow(root, file)));
                case Frame.RequestPiece request -> requested.accept(this, request);
                case Frame.CancelRequest cancel -> withdrawn.accept(this, cancel);
                case Frame.Have have -> told.accept(this, have);
                default -> {
                    LOG.warn("{} sent {}, which is no question", stream.peer(), frame.type());
                    stream.refuse(ErrorCode.MALFORMED, frame.type() + " is no question");
                    stream.reset();
                }
            }
        });
    }

    /** Gives the stream up. */
    void leave() {
        stream.reset();
    }

    void close() {
        closed = true;
        news.clear();
    }

    private Frame follow(Hash256 root, @Nullable Seeded file) {
        if (file == null || !file.metainfo.piecesRoot().equals(root)) {
            return notHere(root);
        }
        if (!closed) {
            stream.context().runOnContext(_ -> followed(file)); // behind the answer
        }
        return file.holding();
    }

    private void followed(Seeded file) {
        lastAnswer.onComplete(_ -> {
            if (!closed) {
                file.follow(this);
            }
        });
    }

    /** Where others reach the peer; null if it takes no connections. */
    @Nullable Contact contact() {
        return stream.peer().isReachable() ? stream.peer().contact() : null;
    }

    /** Sends what the peer can do without, unless it is behind with reading. */
    void hint(Frame frame) {
        if (!closed && !stream.isFull()) {
            send(frame);
        }
    }

    private Future<@Nullable Seeded> find(Hash256 hash) {
        Seeded file = known.apply(hash);
        return file == null ? lookUp.apply(hash) : Future.succeededFuture(file);
    }

    private static Frame notHere(Hash256 hash) {
        return new Frame.Refused(ErrorCode.NOT_FOUND, "no file " + hash.toShortHex() + " is here");
    }

    private void answer(Supplier<Future<Frame>> question) {
        if (!count()) {
            return;
        }
        lastAnswer = lastAnswer
                .transform(_ -> question.get())
                .otherwise(_ -> new Frame.Refused(ErrorCode.INTERNAL, "the file cannot be read"))
                .compose(frame -> {
                    unsent--;
                    send(frame);
                    return Future.succeededFuture();
                });
    }

    void refuse(Frame.RequestPiece asked, ErrorCode code) {
        send(new Frame.PieceRefused(asked.piecesRoot(), asked.firstBlock(), code));
    }

    /** The piece is told in a moment, together with others, or when the stream has room again. */
    void tellHave(Seeded file, int piece) {
        if (closed) {
            return;
        }
        if (news.isEmpty()) {
            stream.context().owner().setTimer(GATHERING_MILLIS, _ -> tellNews());
        }
        news.computeIfAbsent(file, _ -> new BitSet()).set(piece);
    }

    private void tellNews() {
        if (closed || stream.isFull()) {
            return;
        }
        var told = Map.copyOf(news);
        news.clear();
        told.forEach((file, pieces) -> {
            for (int first = pieces.nextSetBit(0); first >= 0; ) {
                int end = pieces.nextClearBit(first);
                send(new Frame.Have(file.metainfo.piecesRoot(), first, end - first));
                first = pieces.nextSetBit(end);
            }
        });
    }

    Future<Void> send(Frame frame) {
        if (closed || !count()) {
            return Future.failedFuture("the stream is closed");
        }
        return stream.send(frame).onComplete(_ -> stream.context().runOnContext(_ -> unsent--));
    }

    /** Says whether one more may wait to be sent; if not, the stream is given up. */
    private boolean count() {
        if (++unsent <= MAX_UNSENT) {
            return true;
        }
        LOG.warn("{} asks and does not read; its stream is closed", stream.peer());
        stream.reset();
        return false;
    }
}
