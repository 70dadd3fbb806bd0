package shoal.verticles.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
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

    private final BlockHasher hasher;

    FileHasher(BlockHasher hasher) {
        this.hasher = hasher;
    }

    /** One pass over a file that looks like this; where it lies becomes its name. @throws IOException if it changes meanwhile */
    Metainfo hash(Path path, Fingerprint before) throws IOException {
        if (before.size() == 0) {
            throw new IOException(path + " is empty");
        }
        Metainfo metainfo;
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            MerkleTree tree = new MerkleTree(Pieces.of(before.size()));
            ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES);
            for (long at = 0; at < before.size(); at += BUFFER_BYTES) {
                buffer.clear().limit((int) Math.min(BUFFER_BYTES, before.size() - at));
                FileWriter.readFully(channel, buffer, at, path);
                tree.add(buffer.flip(), hasher);
            }
            metainfo = named(path.getFileName().toString(), tree.finish());
        }
        before.requireStill(path);
        return metainfo;
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
        var right = new BitSet();
        var runs = new ArrayList<ByteBuffer>();
        int blocks = 0;
        for (int i = 0; i < pieces.length; i++) {
            if (data.get(i).remaining() == metainfo.pieces().sizeOf(pieces[i])) {
                right.set(i);
                runs.add(data.get(i).duplicate());
                blocks += metainfo.pieces().blockCountOf(pieces[i]);
            }
        }
        var leaves = new byte[Hash256.SIZE_BYTES * blocks];
        hasher.hash(runs, leaves, 0);
        int at = 0;
        for (int i = right.nextSetBit(0); i >= 0; i = right.nextSetBit(i + 1)) {
            int end = at + Hash256.SIZE_BYTES * metainfo.pieces().blockCountOf(pieces[i]);
            right.set(i, metainfo.isPiece(pieces[i], Arrays.copyOfRange(leaves, at, end)));
            at = end;
        }
        return right;
    }
}
