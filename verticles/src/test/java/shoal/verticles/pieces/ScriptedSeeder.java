package shoal.verticles.pieces;

import io.vertx.core.Vertx;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.swarm.Bitfield;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.codec.wire.StreamKind;
import shoal.verticles.identity.Identity;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Says it has a whole file, or the start of it, and gives its right metadata; sends what it was given as bytes, and only as
 * many as it may.
 */
final class ScriptedSeeder implements AutoCloseable {
    private static final long BLOCK = 16_384;

    private final Vertx vertx = Vertx.vertx();
    private final QuicEndpoint endpoint;
    private final Metainfo file;
    private final byte[] bytes;
    private final LinkedBlockingQueue<Runnable> held = new LinkedBlockingQueue<>();
    private final List<FrameStream> followers = new ArrayList<>();
    /** Down when somebody has closed a stream. */
    final CountDownLatch dropped = new CountDownLatch(1);

    private long blocksAllowed;
    /** The pieces that it says it has: so many from the first on. */
    private int piecesHeld;

    private boolean closed;

    /** @param bytes as long as the file, right or wrong */
    ScriptedSeeder(Role role, Metainfo file, byte[] bytes, long blocksAllowed) {
        this.file = file;
        this.bytes = bytes;
        this.blocksAllowed = blocksAllowed;
        piecesHeld = file.pieces().count();
        endpoint = Peer.await(QuicEndpoint.open(
                vertx,
                Identity.create(),
                new QuicEndpoint.Settings(
                        new Endpoint("127.0.0.1", 0), List.of(), role, "test", null, "test", QuicEndpoint.PROTOCOL)));
        endpoint.onStream(StreamKind.PIECES, stream -> {
            stream.onClose(dropped::countDown);
            stream.onFrame(frame -> answer(stream, frame));
        });
    }

    /** One that has only the file's first pieces until {@link #open}. */
    static ScriptedSeeder ofFirst(int pieces, Metainfo file, byte[] bytes) {
        var seeder = new ScriptedSeeder(Role.NODE, file, bytes, Long.MAX_VALUE);
        seeder.piecesHeld = pieces;
        return seeder;
    }

    Contact contact() {
        return endpoint.contact();
    }

    /** Sends what was held back, tells those who follow of the pieces that it hid, and holds nothing back any more. */
    synchronized void open() {
        blocksAllowed = Long.MAX_VALUE;
        held.forEach(Runnable::run);
        held.clear();
        int count = file.pieces().count();
        if (piecesHeld < count) {
            var rest = new Frame.Have(file.piecesRoot(), piecesHeld, count - piecesHeld);
            followers.forEach(stream -> stream.send(rest));
            piecesHeld = count;
        }
    }

    private synchronized void answer(FrameStream stream, Frame frame) {
        switch (frame) {
            case Frame.ListFiles _ ->
                stream.send(new Frame.FileList(List.of(
                        new Frame.FileEntry(file.infoHash().hash(), file.piecesRoot(), file.name(), file.length()))));
            case Frame.RequestMetadata _ ->
                stream.send(new Frame.Metadata(ByteBuffer.wrap(file.infoBytes()), ByteBuffer.wrap(file.pieceLayer())));
            case Frame.Follow _ -> {
                var pieces = new BitSet();
                pieces.set(0, piecesHeld);
                stream.send(new Frame.Holding(
                        file.piecesRoot(),
                        ByteBuffer.wrap(
                                Bitfield.of(pieces, file.pieces().count()).toBytes())));
                followers.add(stream);
            }
            case Frame.RequestPiece request -> {
                int offset = (int) (request.firstBlock() * BLOCK);
                int size = (int) Math.min(request.blockCount() * BLOCK, bytes.length - offset);
                Runnable send = () -> stream.send(new Frame.PieceData(
                        file.piecesRoot(), request.firstBlock(), ByteBuffer.wrap(bytes, offset, size)));
                if (blocksAllowed >= request.blockCount()) {
                    blocksAllowed -= request.blockCount();
                    send.run();
                } else {
                    held.add(send);
                }
            }
            default -> {}
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
