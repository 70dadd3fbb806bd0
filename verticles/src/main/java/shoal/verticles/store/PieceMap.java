package shoal.verticles.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.BitSet;
import shoal.codec.base.ByteCursor;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.swarm.Bitfield;

/**
 * Which pieces of a sparse file are there, on disk. Two files, so that neither a kill nor a power cut makes it claim what
 * is not there, and a kill costs nothing: the <i>map</i>, a bitfield with a checksum that is replaced only after the data
 * has been forced to disk, is trusted; the <i>log</i>, four bytes a piece written since then, is a hint of what to hash.
 * Not for several threads.
 */
final class PieceMap implements AutoCloseable {
    private static final byte[] MAGIC = {'S', 'H', 'O', 'A', 'L', 'M', 'A', 'P', 1};

    private final Path mapFile;
    private final Hash256 piecesRoot;
    private final int pieceCount;
    private final FileChannel log;
    private long logSize;

    /** What was found: pieces that are there, and pieces that may be. */
    record Found(Bitfield proven, Bitfield likely) {}

    PieceMap(Path mapFile, Path logFile, Hash256 piecesRoot, int pieceCount) throws IOException {
        this.mapFile = mapFile;
        this.piecesRoot = piecesRoot;
        this.pieceCount = pieceCount;
        log = FileChannel.open(logFile, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        logSize = log.size() / 4 * 4;
    }

    Found read() throws IOException {
        Bitfield proven = Bitfield.none(pieceCount);
        if (Files.exists(mapFile)) {
            int expected = MAGIC.length + Hash256.SIZE_BYTES + (pieceCount + 7) / 8 + Hash256.SIZE_BYTES;
            if (Files.size(mapFile) == expected) {
                proven = parse(Files.readAllBytes(mapFile));
            }
        }
        BitSet likely = new BitSet();
        ByteBuffer bytes = ByteBuffer.allocate((int) Math.min(logSize, 4L * Bitfield.MAX_PIECES));
        FileWriter.readFully(log, bytes, 0, mapFile);
        bytes.flip();
        while (bytes.hasRemaining()) {
            int piece = bytes.getInt();
            if (piece >= 0 && piece < pieceCount && !proven.get(piece)) {
                likely.set(piece);
            }
        }
        return new Found(proven, Bitfield.of(likely, pieceCount));
    }

    /** A map that is torn or of another file claims nothing. */
    private Bitfield parse(byte[] bytes) {
        int end = bytes.length - Hash256.SIZE_BYTES;
        try {
            ByteCursor cursor = new ByteCursor(bytes);
            boolean right = Arrays.equals(cursor.readBytes("magic", MAGIC.length), MAGIC)
                    && cursor.readHash("pieces root").equals(piecesRoot)
                    && Hash256.sha256(Arrays.copyOf(bytes, end)).equals(Hash256.of(bytes, end));
            return right
                    ? Bitfield.parse(cursor.readBytes("bits", (pieceCount + 7) / 8), pieceCount)
                    : Bitfield.none(pieceCount);
        } catch (MalformedException torn) {
            return Bitfield.none(pieceCount);
        }
    }

    /** The piece's data has been handed to the system. */
    void note(int piece) throws IOException {
        FileWriter.writeFully(log, ByteBuffer.allocate(4).putInt(0, piece), logSize);
        logSize += 4;
    }

    /** The data of all these pieces has been forced to disk. */
    void prove(Bitfield pieces) throws IOException {
        ByteWriter writer = new ByteWriter();
        writer.putBytes(MAGIC).putHash(piecesRoot).putBytes(pieces.toBytes());
        writer.putHash(Hash256.sha256(writer.toBytes()));
        FileWriter.writeAtomically(mapFile, writer.asBuffer(), true);
        log.truncate(0);
        logSize = 0;
    }

    @Override
    public void close() throws IOException {
        log.close();
    }
}
