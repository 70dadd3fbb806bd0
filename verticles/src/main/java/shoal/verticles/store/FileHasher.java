package shoal.verticles.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;

/** Hashes of files and pieces: what a file is, and which of its pieces are right. */
final class FileHasher {
    private static final int BUFFER_BYTES = 1 << 20; // whole blocks
    /** Of a larger file each thread takes so much at a time; and whole pieces, whose trees it hashes side by side. */
    private static final int SHARE_BYTES = 4 << 20;

    private static final long LARGE_BYTES = 64L << 20;
    private static final int MAX_THREADS = 8; // more would wait for memory or disk

    private final BlockHasher hasher;

    FileHasher(BlockHasher hasher) {
        this.hasher = hasher;
    }

    BlockHasher blocks() {
        return hasher;
    }

    /** One pass over a file that looks like this; where it lies becomes its name. @throws IOException if it changes meanwhile */
    Metainfo hash(Path path, Fingerprint before) throws IOException {
        if (before.size() == 0) {
            throw new IOException(path + " is empty");
        }
        Metainfo metainfo;
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            Pieces pieces = Pieces.of(before.size());
            metainfo = named(
                    path.getFileName().toString(),
                    before.size() < LARGE_BYTES
                            ? hash(channel, path, pieces)
                            : hashTogether(
                                    channel,
                                    path,
                                    pieces,
                                    SHARE_BYTES,
                                    Math.min(MAX_THREADS, Runtime.getRuntime().availableProcessors())));
        }
        before.requireStill(path);
        return metainfo;
    }

    private MerkleTree.Result hash(FileChannel channel, Path path, Pieces pieces) throws IOException {
        MerkleTree tree = new MerkleTree(pieces);
        ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES);
        for (long at = 0; at < pieces.length(); at += BUFFER_BYTES) {
            buffer.clear().limit((int) Math.min(BUFFER_BYTES, pieces.length() - at));
            FileWriter.readFully(channel, buffer, at, path);
            tree.add(buffer.flip(), hasher);
        }
        return tree.finish();
    }

    /**
     * The same by several threads.
     *
     * @param pieces more than one
     * @param shareBytes what a thread takes at a time, rounded up to whole pieces
     */
    MerkleTree.Result hashTogether(FileChannel channel, Path path, Pieces pieces, int shareBytes, int threads)
            throws IOException {
        var layer = new byte[pieces.layerSize()];
        int share = Math.ceilDiv(shareBytes, pieces.pieceLength());
        var next = new AtomicInteger();
        Callable<Void> shares = () -> {
            ByteBuffer buffer = ByteBuffer.allocateDirect(share * pieces.pieceLength());
            for (int first = next.getAndAdd(share); first < pieces.count(); first = next.getAndAdd(share)) {
                hashShare(channel, path, pieces, first, Math.min(share, pieces.count() - first), buffer.clear(), layer);
            }
            return null;
        };
        try (var together = Executors.newFixedThreadPool(
                threads, Thread.ofPlatform().daemon().name("hash-", 0).factory())) {
            for (Future<Void> done : together.invokeAll(Collections.nCopies(threads, shares))) {
                done.get();
            }
        } catch (ExecutionException failure) {
            if (failure.getCause() instanceof IOException unreadable) {
                throw unreadable;
            }
            throw new IllegalStateException(failure);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
            throw new IOException(path + " was not hashed: the thread was told to end", ended);
        }
        return new MerkleTree.Result(pieces, MerkleTree.rootOfLayer(pieces, layer, hasher), layer);
    }

    /** Of count pieces from first on the hashes go to their places in layer. */
    private void hashShare(
            FileChannel channel, Path path, Pieces pieces, int first, int count, ByteBuffer buffer, byte[] layer)
            throws IOException {
        int last = first + count - 1;
        long offset = pieces.offsetOf(first);
        buffer.limit((int) (pieces.offsetOf(last) + pieces.sizeOf(last) - offset));
        FileWriter.readFully(channel, buffer, offset, path);
        var leaves = new byte[Hash256.SIZE_BYTES * Math.ceilDiv(buffer.flip().remaining(), Pieces.BLOCK_SIZE)];
        hasher.hash(buffer, leaves, 0);
        int whole = pieces.blockCountOf(last) == pieces.blocksPerPiece() ? count : count - 1;
        int wholeLeaves = whole * pieces.blocksPerPiece() * Hash256.SIZE_BYTES;
        if (whole < count) {
            MerkleTree.pieceRoot(pieces, last, Arrays.copyOfRange(leaves, wholeLeaves, leaves.length))
                    .copyTo(layer, last * Hash256.SIZE_BYTES);
        }
        MerkleTree.reducePieces(pieces, leaves, whole, hasher);
        System.arraycopy(leaves, 0, layer, first * Hash256.SIZE_BYTES, whole * Hash256.SIZE_BYTES);
    }

    /** @throws IOException in one line if that is no name for a file */
    static Metainfo named(String name, MerkleTree.Result tree) throws IOException {
        try {
            return Metainfo.of(name, tree);
        } catch (MalformedException badName) {
            throw new IOException(badName.getMessage() + ". Rename the file.", badName);
        }
    }

    /** The next bytes of a file; whole blocks, but at its end. */
    void add(MerkleTree tree, ByteBuffer bytes) {
        tree.add(bytes, hasher);
    }

    /** Whether a file has the right bytes of this piece. */
    boolean hasPiece(Path file, Metainfo metainfo, int piece) throws IOException {
        Pieces pieces = metainfo.pieces();
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return pieces.offsetOf(piece) + pieces.sizeOf(piece) <= channel.size()
                    && isRight(channel, file, metainfo, piece, ByteBuffer.allocateDirect(pieces.sizeOf(piece)));
        }
    }

    /** Which pieces of a file have the hashes of metainfo; pieces past its end have not. */
    Bitfield verify(Path file, Metainfo metainfo) throws IOException {
        Pieces pieces = metainfo.pieces();
        BitSet right = new BitSet();
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            long size = channel.size();
            ByteBuffer buffer = ByteBuffer.allocateDirect(pieces.sizeOf(0));
            for (int piece = 0; piece < pieces.count(); piece++) {
                if (pieces.offsetOf(piece) + pieces.sizeOf(piece) <= size
                        && isRight(channel, file, metainfo, piece, buffer)) {
                    right.set(piece);
                }
            }
        }
        return Bitfield.of(right, pieces.count());
    }

    /** @param buffer with room for a piece */
    boolean isRight(FileChannel channel, Path file, Metainfo metainfo, int piece, ByteBuffer buffer)
            throws IOException {
        buffer.clear().limit(metainfo.pieces().sizeOf(piece));
        FileWriter.readFully(channel, buffer, metainfo.pieces().offsetOf(piece), file);
        byte[] leaves = new byte[Hash256.SIZE_BYTES * metainfo.pieces().blockCountOf(piece)];
        hasher.hash(buffer.flip(), leaves, 0);
        return metainfo.isPiece(piece, leaves);
    }

    /** Which pieces, by index in pieces, have the size and the hash that they must have. */
    BitSet right(Metainfo metainfo, int[] pieces, List<ByteBuffer> data) {
        var sized = new ArrayList<Integer>();
        var runs = new ArrayList<ByteBuffer>();
        int blocks = 0;
        for (int i = 0; i < pieces.length; i++) {
            if (data.get(i).remaining() == metainfo.pieces().sizeOf(pieces[i])) {
                sized.add(i);
                runs.add(data.get(i).duplicate());
                blocks += metainfo.pieces().blockCountOf(pieces[i]);
            }
        }
        var leaves = new byte[Hash256.SIZE_BYTES * blocks];
        hasher.hash(runs, leaves, 0);
        var right = new BitSet();
        metainfo.arePieces(sized.stream().mapToInt(i -> pieces[i]).toArray(), leaves, hasher).stream()
                .forEach(j -> right.set(sized.get(j)));
        return right;
    }
}
