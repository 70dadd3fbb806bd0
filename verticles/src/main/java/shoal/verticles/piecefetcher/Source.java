package shoal.verticles.piecefetcher;

import java.net.URI;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.NodeId;
import shoal.codec.swarm.Download;
import shoal.codec.swarm.PeerKey;
import shoal.codec.swarm.SourceClass;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.Lease;
import shoal.verticles.quic.PeerConnection;

/** Somebody who may have the file: whom to try, and once there is an answer, what was asked of it. On the fetch's context. */
final class Source {
    enum State {
        /** Nothing is open; tried when {@link #nextTryNanos} has come. */
        APART,
        CONNECTING,
        TALKING
    }

    /** What is asked on the stream and answered in order. */
    enum Question {
        LIST,
        METADATA,
        FOLLOW
    }

    final @Nullable Endpoint address;
    final @Nullable URI web;
    final ArrayDeque<Question> questions = new ArrayDeque<>();
    /** Block counts of requests not answered yet, by first block. */
    final Map<Long, Integer> requested = new HashMap<>();
    /** Pieces that it will be told are here. */
    final BitSet news = new BitSet();
    /** Bytes of pieces that were asked for. */
    private final Map<Integer, PieceBuffer> pieces = new HashMap<>();

    State state = State.APART;

    @Nullable Contact contact;

    @Nullable NodeId id;

    @Nullable PeerKey key;

    @Nullable PeerConnection peer;

    @Nullable FrameStream stream;

    /** Of a web server, what speaks for it while it is talked to. */
    @Nullable WebSeed seed;

    String lastWord = "not tried yet";
    long nextTryNanos;
    long askedNanos;
    long refusedNanos = Long.MIN_VALUE / 2;
    int failures;
    int badPiece = -1;
    boolean listed;
    boolean offersFile;
    boolean joined;

    private static final class PieceBuffer {
        @Nullable ByteBuffer bytes;

        @Nullable Lease lease;

        void set(ByteBuffer newBytes, @Nullable Lease newLease) {
            release();
            bytes = newBytes;
            lease = newLease;
        }

        void release() {
            bytes = null;
            if (lease != null) {
                lease.release();
                lease = null;
            }
        }
    }

    /** The bytes of one piece; who takes it closes it when nobody reads them any more. */
    record Piece(ByteBuffer bytes, @Nullable Lease lease) implements AutoCloseable {
        @Override
        public void close() {
            if (lease != null) {
                lease.release();
            }
        }
    }

    /** A web server. */
    Source(URI web) {
        this.web = web;
        address = null;
    }

    Source(@Nullable Contact contact, @Nullable Endpoint address) {
        web = null;
        this.contact = contact;
        this.address = address;
        id = contact == null ? null : contact.id();
    }

    boolean isTalking() {
        return state == State.TALKING;
    }

    boolean isOrigin() {
        return peer != null && peer.role() == Role.RENDEZVOUS;
    }

    SourceClass sourceClass() {
        if (web != null) {
            return SourceClass.WEB;
        }
        return isOrigin() ? SourceClass.ORIGIN : SourceClass.PEER;
    }

    void send(Frame frame) {
        if (stream != null) {
            stream.send(frame);
        } else if (seed != null) {
            seed.send(frame);
        }
    }

    /** Nothing of an earlier stream counts any more. */
    void reset() {
        state = State.APART;
        questions.clear();
        requested.clear();
        news.clear();
        pieces.values().forEach(PieceBuffer::release);
        pieces.clear();
        stream = null;
        if (seed != null) {
            seed.close();
            seed = null;
        }
        listed = false;
        offersFile = false;
        joined = false;
    }

    // ------------------------------------------------------------------------------------------------ pieces

    void expect(Download.Shape shape, long firstBlock, int blockCount) {
        requested.put(firstBlock, blockCount);
        int last = pieceOf(shape, firstBlock + blockCount - 1);
        for (int piece = pieceOf(shape, firstBlock); piece <= last; piece++) {
            pieces.computeIfAbsent(piece, _ -> new PieceBuffer());
        }
    }

    void forget(Download.Shape shape, long firstBlock, int blockCount) {
        int last = pieceOf(shape, firstBlock + blockCount - 1);
        for (int piece = pieceOf(shape, firstBlock); piece <= last; piece++) {
            PieceBuffer forgotten = pieces.remove(piece);
            if (forgotten != null) {
                forgotten.release();
            }
        }
    }

    /** Keeps the bytes of pieces that are expected. A piece that comes in one frame is not copied. */
    void keep(Download.Shape shape, long firstBlock, ByteBuffer data) {
        requested.remove(firstBlock);
        Lease lease = stream == null ? null : stream.lease();
        long offset = firstBlock * Download.BLOCK_BYTES;
        int last = pieceOf(shape, firstBlock + (data.remaining() - 1) / Download.BLOCK_BYTES);
        for (int piece = pieceOf(shape, firstBlock); piece <= last; piece++) {
            PieceBuffer buffer = pieces.get(piece);
            if (buffer == null) {
                continue;
            }
            long begin = (long) piece * shape.pieceBytes();
            int size = shape.bytesOf(piece);
            int from = (int) Math.max(0, begin - offset);
            int to = (int) Math.min(data.remaining(), begin + size - offset);
            ByteBuffer part = data.slice(data.position() + from, to - from);
            if (to - from == size) {
                buffer.set(part, lease == null ? null : lease.retain());
            } else {
                ByteBuffer whole = buffer.bytes;
                if (whole == null) {
                    Lease own = Lease.of(size);
                    whole = own.bytes();
                    buffer.set(whole, own);
                }
                whole.put((int) (offset + from - begin), part, 0, part.remaining());
            }
        }
    }

    /** A piece that is whole. */
    Piece take(int piece) {
        PieceBuffer buffer = pieces.remove(piece);
        if (buffer == null || buffer.bytes == null) {
            throw new IllegalStateException("piece " + piece + " is said to be whole and was not kept");
        }
        return new Piece(buffer.bytes.duplicate(), buffer.lease);
    }

    private static int pieceOf(Download.Shape shape, long block) {
        return (int) (block / shape.blocksPerPiece());
    }

    /** Who it is, as far as that is known, for a reader. */
    @Override
    public String toString() {
        return peer != null ? peer.toString() : String.valueOf(contact != null ? contact : web != null ? web : address);
    }
}
