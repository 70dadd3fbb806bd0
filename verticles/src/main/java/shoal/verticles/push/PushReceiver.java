package shoal.verticles.push;

import io.vertx.core.Vertx;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.List;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;

/** The files that come on one stream, one after another. On the stream's context; disk and hashing on workers. */
final class PushReceiver {
    private static final Logger LOG = LoggerFactory.getLogger(PushReceiver.class);
    private static final String USE = "being pushed";
    private static final long MAX_UNVERIFIED_BYTES = 32L << 20;

    private final Vertx vertx;
    private final FrameStream stream;
    private final ShardStore store;
    private final CommandBus bus;
    private final Path directory;
    private final UnaryOperator<String> storedName;

    private @Nullable Metainfo file;
    private String name = "";
    private BitSet verified = new BitSet();
    private long unverifiedBytes;
    private boolean busy;
    private boolean closed;

    /** @param directory where whole files go */
    PushReceiver(
            Vertx vertx,
            FrameStream stream,
            ShardStore store,
            CommandBus bus,
            Path directory,
            UnaryOperator<String> storedName) {
        this.vertx = vertx;
        this.stream = stream;
        this.store = store;
        this.bus = bus;
        this.directory = directory;
        this.storedName = storedName;
    }

    void start() {
        stream.onEnd(stream::end);
        stream.onClose(() -> {
            closed = true;
            letGo();
        });
        stream.onFrame(frame -> {
            switch (frame) {
                case Frame.Metadata offer -> offered(offer);
                case Frame.PieceData data -> arrived(data);
                default -> throw new MalformedException("frame " + frame.type() + " is nothing that is pushed");
            }
        });
    }

    private void offered(Frame.Metadata offer) {
        if (busy || file != null) {
            throw new MalformedException("a file is offered before the one before it is whole");
        }
        busy = true;
        byte[] info = bytes(offer.info());
        byte[] layer = bytes(offer.pieceLayer());
        vertx.executeBlocking(() -> begin(info, layer), false)
                .onFailure(this::refuse)
                .onSuccess(taken -> {
                    StoredFile begun = taken.begun();
                    busy = false;
                    if (closed) {
                        release(begun.piecesRoot());
                        return;
                    }
                    file = begun.metainfo();
                    name = taken.name();
                    verified = begun.verified().toBitSet();
                    stream.send(new Frame.Holding(
                            begun.piecesRoot(), ByteBuffer.wrap(begun.verified().toBytes())));
                    finishIfWhole();
                });
    }

    private record Offer(StoredFile begun, String name) {}

    private Offer begin(byte[] info, byte[] layer) throws IOException {
        Metainfo offered = Metainfo.ofInfo(info, layer);
        if (offered.pieceLength() > Frame.PieceData.MAX_DATA_BYTES) {
            throw new MalformedException(
                    "pieces of " + offered.pieceLength() + " bytes, allowed at most " + Frame.PieceData.MAX_DATA_BYTES);
        }
        String wantedName = Metainfo.checkName(storedName.apply(offered.name()));
        if (wantedName.startsWith(".") || !wantedName.endsWith(".gguf")) {
            throw new MalformedException("'" + wantedName + "' is no name for a file to seed; it must end with .gguf");
        }
        Metainfo renamed = Metainfo.of(
                wantedName, new MerkleTree.Result(offered.pieces(), offered.piecesRoot(), offered.pieceLayer()));
        store.hold(offered.piecesRoot(), USE);
        try {
            return new Offer(store.begin(renamed), wantedName);
        } catch (IOException | RuntimeException failure) {
            store.release(offered.piecesRoot(), USE);
            throw failure;
        }
    }

    private void refuse(Throwable failure) {
        LOG.warn("{} pushes in vain: {}", stream.peer(), failure.getMessage());
        ErrorCode code = failure instanceof MalformedException ? ErrorCode.MALFORMED : ErrorCode.INTERNAL;
        stream.refuse(code, String.valueOf(failure.getMessage()));
    }

    private void arrived(Frame.PieceData data) {
        Metainfo known = file;
        if (known == null || !known.piecesRoot().equals(data.piecesRoot())) {
            throw new MalformedException("a piece of a file that is not being pushed");
        }
        Pieces pieces = known.pieces();
        long block = data.firstBlock();
        boolean aligned = block < pieces.blockCount() && block % pieces.blocksPerPiece() == 0;
        int piece = aligned ? pieces.pieceOfBlock(block) : -1;
        int size = data.data().remaining();
        if (piece < 0 || size != pieces.sizeOf(piece)) {
            throw new MalformedException(size + " bytes from block " + block + " on are not one piece");
        }
        unverifiedBytes += size;
        if (unverifiedBytes > MAX_UNVERIFIED_BYTES) {
            throw new MalformedException("more than " + MAX_UNVERIFIED_BYTES + " bytes came before they were answered");
        }
        vertx.executeBlocking(() -> store.write(known.piecesRoot(), piece, data.data()), false)
                .onFailure(this::refuse)
                .onSuccess(right -> {
                    unverifiedBytes -= size;
                    if (closed) {
                        return;
                    }
                    if (!right) {
                        stream.send(new Frame.PieceRefused(known.piecesRoot(), block, ErrorCode.MALFORMED));
                        return;
                    }
                    verified.set(piece);
                    bus.tell(Addresses.PIECES_VERIFIED, new Local.PiecesVerified(known.piecesRoot(), piece, 1));
                    stream.send(new Frame.Have(known.piecesRoot(), piece, 1));
                    finishIfWhole();
                });
    }

    private void finishIfWhole() {
        Metainfo known = file;
        if (busy
                || known == null
                || !Bitfield.of(verified, known.pieces().count()).isFull()) {
            return;
        }
        busy = true;
        vertx.executeBlocking(
                        () -> {
                            Files.createDirectories(directory);
                            return store.finish(known.piecesRoot(), directory.resolve(name));
                        },
                        false)
                .onFailure(this::refuse)
                .onSuccess(stored -> {
                    busy = false;
                    letGo();
                    Metainfo now = stored.metainfo();
                    Hash256 infoHash = now.infoHash().hash();
                    LOG.info("{} has pushed {}", stream.peer(), stored.path());
                    bus.tell(
                            Addresses.FILE_STORED,
                            new Local.FileStored(now.piecesRoot(), infoHash, now.name(), now.length()));
                    stream.send(new Frame.FileList(
                            List.of(new Frame.FileEntry(infoHash, now.piecesRoot(), now.name(), now.length()))));
                });
    }

    private void letGo() {
        Metainfo known = file;
        file = null;
        if (known != null) {
            release(known.piecesRoot());
        }
    }

    private void release(Hash256 root) {
        vertx.executeBlocking(
                        () -> {
                            store.release(root, USE);
                            return null;
                        },
                        false)
                .onFailure(failure -> LOG.debug("{}", failure.toString()));
    }

    private static byte[] bytes(ByteBuffer buffer) {
        var bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }
}
