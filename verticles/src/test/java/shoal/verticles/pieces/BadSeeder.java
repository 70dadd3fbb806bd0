package shoal.verticles.pieces;

import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.net.QuicStream;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.swarm.Bitfield;
import shoal.codec.wire.Frame;
import shoal.codec.wire.FrameEncoder;
import shoal.codec.wire.Role;
import shoal.codec.wire.StreamKind;
import shoal.verticles.identity.Identity;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;

/** Says it has a whole file, gives its right metadata, and then does one thing that no seeder should. */
final class BadSeeder implements AutoCloseable {
    private static final int BLOCK = 16_384;

    enum Fault {
        /** The blocks that were asked for, each with one wrong byte. */
        CORRUPT,
        /** Right bytes, but of other pieces than were asked for. */
        OTHER_PIECES,
        /** Sends without end, whatever was asked for. */
        ENDLESS,
        /** Takes requests and is silent. */
        NOTHING,
        /** Begins a frame and sends one byte of it each second. */
        ONE_BYTE_A_SECOND
    }

    private final Vertx vertx = Vertx.vertx();
    private final QuicEndpoint endpoint;
    private final Fault fault;
    private final Metainfo file;
    private final byte[] bytes;
    /** Down when it was asked for pieces. */
    final CountDownLatch asked = new CountDownLatch(1);
    /** Down when somebody has closed a stream. */
    final CountDownLatch dropped = new CountDownLatch(1);

    private volatile boolean closed;

    BadSeeder(Fault fault, Metainfo file, byte[] bytes) {
        this.fault = fault;
        this.file = file;
        this.bytes = bytes;
        endpoint = Peer.await(QuicEndpoint.open(
                vertx,
                Identity.create(),
                new QuicEndpoint.Settings(
                        new Endpoint("127.0.0.1", 0),
                        List.of(),
                        Role.NODE,
                        "test",
                        null,
                        "test",
                        QuicEndpoint.PROTOCOL)));
        endpoint.onStream(StreamKind.PIECES, stream -> {
            stream.onClose(dropped::countDown);
            stream.onFrame(frame -> answer(stream, frame));
        });
    }

    Contact contact() {
        return endpoint.contact();
    }

    private void answer(FrameStream stream, Frame frame) {
        switch (frame) {
            case Frame.ListFiles _ ->
                stream.send(new Frame.FileList(List.of(
                        new Frame.FileEntry(file.infoHash().hash(), file.piecesRoot(), file.name(), file.length()))));
            case Frame.RequestMetadata _ ->
                stream.send(new Frame.Metadata(ByteBuffer.wrap(file.infoBytes()), ByteBuffer.wrap(file.pieceLayer())));
            case Frame.Follow _ ->
                stream.send(new Frame.Holding(
                        file.piecesRoot(),
                        ByteBuffer.wrap(Bitfield.all(file.pieces().count()).toBytes())));
            case Frame.RequestPiece request -> {
                asked.countDown();
                misbehave(stream, request);
            }
            default -> {}
        }
    }

    private void misbehave(FrameStream stream, Frame.RequestPiece request) {
        int blocks = (int) file.pieces().blockCount();
        switch (fault) {
            case CORRUPT -> {
                byte[] wrong = part(request.firstBlock(), request.blockCount());
                for (int b = 0; b < wrong.length; b += BLOCK) {
                    wrong[b] ^= 1;
                }
                send(stream, request.firstBlock(), wrong);
            }
            case OTHER_PIECES -> {
                long other = (request.firstBlock() + blocks / 2) / 4 * 4 % (blocks - 4);
                send(stream, other, part(other, 4));
            }
            case ENDLESS -> endless(stream, blocks, 0);
            case NOTHING -> {}
            case ONE_BYTE_A_SECOND -> {
                byte[] whole = FrameEncoder.toBytes(new Frame.PieceData(
                        file.piecesRoot(),
                        request.firstBlock(),
                        ByteBuffer.wrap(part(request.firstBlock(), request.blockCount()))));
                QuicStream raw = raw(stream);
                raw.write(Buffer.buffer(Arrays.copyOf(whole, 60)));
                vertx.setPeriodic(1000, timer -> {
                    if (closed) {
                        vertx.cancelTimer(timer);
                    } else {
                        raw.write(Buffer.buffer(new byte[1]));
                    }
                });
            }
        }
    }

    private void endless(FrameStream stream, int blocks, int block) {
        if (!closed && dropped.getCount() > 0) {
            stream.send(new Frame.PieceData(file.piecesRoot(), block, ByteBuffer.wrap(part(block, 1))))
                    .onSuccess(_ -> stream.context().runOnContext(_ -> endless(stream, blocks, (block + 1) % blocks)));
        }
    }

    private void send(FrameStream stream, long firstBlock, byte[] data) {
        stream.send(new Frame.PieceData(file.piecesRoot(), firstBlock, ByteBuffer.wrap(data)));
    }

    private byte[] part(long firstBlock, int count) {
        int from = (int) (firstBlock * BLOCK);
        return Arrays.copyOfRange(bytes, from, Math.min(bytes.length, from + count * BLOCK));
    }

    /** Half a frame can't be sent by the house's own means. */
    private static QuicStream raw(FrameStream stream) {
        try {
            var field = FrameStream.class.getDeclaredField("stream");
            field.setAccessible(true);
            return (QuicStream) field.get(stream);
        } catch (ReflectiveOperationException renamed) {
            throw new IllegalStateException(renamed);
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        Peer.await(endpoint.close().otherwiseEmpty());
        Peer.await(vertx.close());
    }
}
