package shoal.verticles.pieces;

import io.vertx.core.Vertx;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CountDownLatch;
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

/** Says it has a whole file, gives its right metadata, and answers every request with zeros. */
final class Liar implements AutoCloseable {
    private final Vertx vertx = Vertx.vertx();
    private final QuicEndpoint endpoint;
    private final Metainfo file;
    /** Down when somebody has closed a stream. */
    final CountDownLatch dropped = new CountDownLatch(1);

    Liar(Metainfo file) {
        this.file = file;
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
            case Frame.RequestPiece request ->
                stream.send(new Frame.PieceData(file.piecesRoot(), request.firstBlock(), ByteBuffer.allocate((int)
                        Math.min(request.blockCount() * 16_384L, file.length() - request.firstBlock() * 16_384L))));
            default -> {}
        }
    }

    @Override
    public void close() {
        Peer.await(endpoint.close().otherwiseEmpty());
        Peer.await(vertx.close());
    }
}
