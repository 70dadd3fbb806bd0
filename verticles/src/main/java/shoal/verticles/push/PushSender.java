package shoal.verticles.push;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.BitSet;
import java.util.List;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.PeerRefusedException;

/** Uploads files on one stream, one after another; what is there already does not travel. */
public final class PushSender {
    private static final long WINDOW_BYTES = 8L << 20;

    private final Vertx vertx;
    private final FrameStream stream;
    private @Nullable Upload current;
    private @Nullable Throwable lost;

    private PushSender(Vertx vertx, FrameStream stream) {
        this.vertx = vertx;
        this.stream = stream;
        stream.onClose(() -> fail(new PeerRefusedException(
                ErrorCode.LOST, "the connection to " + stream.peer() + " is gone. Push again: it goes on there.")));
        stream.onFrame(this::heard);
    }

    public static Future<PushSender> open(Vertx vertx, PeerConnection peer) {
        return peer.open(StreamKind.PUSH).map(stream -> new PushSender(vertx, stream));
    }

    /**
     * What became of a file.
     *
     * @param name under which it is seeded now
     * @param sentBytes that travelled
     */
    public record Pushed(String name, Hash256 infoHash, long sentBytes) {}

    private static final class Upload {
        final Metainfo metainfo;
        final FileChannel channel;
        final LongConsumer progress;
        final Promise<Pushed> done = Promise.promise();
        final BitSet there = new BitSet();
        int next;
        long unanswered;
        long sent;
        long thereBytes;
        boolean begun;
        boolean reading;

        Upload(Metainfo metainfo, FileChannel channel, LongConsumer progress) {
            this.metainfo = metainfo;
            this.channel = channel;
            this.progress = progress;
        }
    }

    /**
     * Uploads a file; the one before must be done.
     *
     * @param progress is told how many bytes are there
     */
    public Future<Pushed> push(Path path, Metainfo metainfo, LongConsumer progress) {
        return vertx.executeBlocking(() -> FileChannel.open(path, StandardOpenOption.READ), false)
                .compose(channel -> {
                    var upload = new Upload(metainfo, channel, progress);
                    stream.context().runOnContext(_ -> begin(upload));
                    return upload.done.future().onComplete(_ -> close(channel));
                });
    }

    private static void close(FileChannel channel) {
        try {
            channel.close();
        } catch (IOException cannotMatter) {
            return; // it was only read
        }
    }

    private void begin(Upload upload) {
        if (lost != null) {
            upload.done.tryFail(lost);
            return;
        }
        current = upload;
        stream.send(new Frame.Metadata(
                ByteBuffer.wrap(upload.metainfo.infoBytes()), ByteBuffer.wrap(upload.metainfo.pieceLayer())));
    }

    private void heard(Frame frame) {
        Upload upload = current;
        if (frame instanceof Frame.Refused(ErrorCode code, String message)) {
            fail(new PeerRefusedException(code, stream.peer() + " refuses: " + message));
            return;
        }
        if (upload == null) {
            throw new MalformedException("frame " + frame.type() + " answers nothing");
        }
        switch (frame) {
            case Frame.Holding holding -> {
                byte[] bits = new byte[holding.bitfield().remaining()];
                holding.bitfield().duplicate().get(bits);
                Bitfield has = Bitfield.parse(bits, upload.metainfo.pieces().count());
                for (int piece = has.nextSet(0); piece >= 0; piece = has.nextSet(piece + 1)) {
                    isThere(upload, piece);
                }
                upload.begun = true;
                upload.progress.accept(upload.thereBytes);
                sendOn(upload);
            }
            case Frame.Have(Hash256 _, int piece, int count) -> {
                if (count != 1 || piece >= upload.metainfo.pieces().count()) {
                    throw new MalformedException("an answer to a piece that was not sent");
                }
                upload.unanswered -= upload.metainfo.pieces().sizeOf(piece);
                isThere(upload, piece);
                upload.progress.accept(upload.thereBytes);
                sendOn(upload);
            }
            case Frame.PieceRefused refused ->
                fail(new IllegalStateException(upload.metainfo.name() + " has changed since it was hashed (block "
                        + refused.firstBlock() + "). Push it again."));
            case Frame.FileList(List<Frame.FileEntry> files)
            when files.size() == 1 -> {
                current = null;
                upload.done.tryComplete(
                        new Pushed(files.getFirst().name(), files.getFirst().infoHash(), upload.sent));
            }
            default -> throw new MalformedException("frame " + frame.type() + " is no answer to a push");
        }
    }

    private static void isThere(Upload upload, int piece) {
        if (!upload.there.get(piece)) {
            upload.there.set(piece);
            upload.thereBytes += upload.metainfo.pieces().sizeOf(piece);
        }
    }

    /** One piece after another is read; several are on their way. */
    private void sendOn(Upload upload) {
        Pieces pieces = upload.metainfo.pieces();
        int piece = upload.there.nextClearBit(upload.next);
        if (!upload.begun || upload.reading || piece >= pieces.count() || upload.unanswered >= WINDOW_BYTES) {
            return;
        }
        upload.next = piece + 1;
        upload.reading = true;
        int size = pieces.sizeOf(piece);
        upload.unanswered += size;
        vertx.executeBlocking(
                        () -> {
                            ByteBuffer data = ByteBuffer.allocate(size);
                            while (data.hasRemaining()) {
                                if (upload.channel.read(data, pieces.offsetOf(piece) + data.position()) < 0) {
                                    throw new IOException(upload.metainfo.name()
                                            + " has become shorter while it was pushed. Push it again.");
                                }
                            }
                            return data.flip();
                        },
                        false)
                .onFailure(this::fail)
                .onSuccess(data -> stream.context().runOnContext(_ -> {
                    upload.reading = false;
                    if (current == upload) {
                        upload.sent += size;
                        stream.send(
                                new Frame.PieceData(upload.metainfo.piecesRoot(), pieces.firstBlockOf(piece), data));
                        sendOn(upload);
                    }
                }));
    }

    private void fail(Throwable why) {
        lost = why;
        Upload upload = current;
        current = null;
        if (upload != null) {
            upload.done.tryFail(why);
        }
    }
}
