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
 * has been forced to disk, is trusted while the data file is the one that it was made for (the same inode, not written to since);
 * the <i>log</i>, piece and time of the file for each piece written since then, is a hint of what to hash. Not for several threads.
 */
final class PieceMap implements AutoCloseable {
    private static final byte[] MAGIC = {'S', 'H', 'O', 'A', 'L', 'M', 'A', 'P', 2};
    private static final int LOG_ENTRY_BYTES = 12;
    private static final int MAX_MAP_BYTES = 4 << 20;

    /** A kill can come between the last write and its note; what others did to the file later than that is noticed. */
    private static final long LAST_WRITE_NANOS = 2_000_000_000L;

    private final Path dataFile;
    private final Path mapFile;
    private final Hash256 piecesRoot;
    private final int pieceCount;
    private final FileChannel log;
    private long logSize;

    /** What was found: pieces that are there, and pieces that may be. */
    record Found(Bitfield proven, Bitfield likely) {}

    PieceMap(Path dataFile, Path mapFile, Path logFile, Hash256 piecesRoot, int pieceCount) throws IOException {
        this.dataFile = dataFile;
        this.mapFile = mapFile;
        this.piecesRoot = piecesRoot;
        this.pieceCount = pieceCount;
        log = FileChannel.open(logFile, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        logSize = log.size() / LOG_ENTRY_BYTES * LOG_ENTRY_BYTES;
    }

    /** What map and log claim, without a look at the data or a change to them; for who only wants to show it. */
    static Bitfield claimed(Path mapFile, Path logFile, Hash256 piecesRoot, int pieceCount) throws IOException {
        BitSet claimed = new BitSet();
        var nothing = new Saved(Bitfield.none(pieceCount), "", Long.MIN_VALUE);
        if (Files.exists(mapFile) && Files.size(mapFile) <= MAX_MAP_BYTES) {
            claimed.or(parse(Files.readAllBytes(mapFile), piecesRoot, pieceCount, nothing)
                    .pieces
                    .toBitSet());
        }
        if (Files.exists(logFile) && Files.size(logFile) <= (long) LOG_ENTRY_BYTES * Bitfield.MAX_PIECES) {
            ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(logFile));
            while (bytes.remaining() >= LOG_ENTRY_BYTES) {
                int piece = bytes.getInt();
                bytes.getLong();
                if (piece >= 0 && piece < pieceCount) {
                    claimed.set(piece);
                }
            }
        }
        return Bitfield.of(claimed, pieceCount);
    }

    /** What the map on disk says of the file as it was. */
    private record Saved(Bitfield pieces, String fileKey, long modifiedNanos) {}

    Found read() throws IOException {
        var saved = new Saved(Bitfield.none(pieceCount), "", Long.MIN_VALUE);
        if (Files.exists(mapFile) && Files.size(mapFile) <= MAX_MAP_BYTES) {
            saved = parse(Files.readAllBytes(mapFile), piecesRoot, pieceCount, saved);
        }
        BitSet likely = new BitSet();
        long lastWrite = saved.modifiedNanos;
        ByteBuffer bytes = ByteBuffer.allocate((int) Math.min(logSize, (long) LOG_ENTRY_BYTES * Bitfield.MAX_PIECES));
        FileWriter.readFully(log, bytes, 0, mapFile);
        bytes.flip();
        while (bytes.hasRemaining()) {
            int piece = bytes.getInt();
            lastWrite = Math.max(lastWrite, bytes.getLong());
            if (piece >= 0 && piece < pieceCount && !saved.pieces.get(piece)) {
                likely.set(piece);
            }
        }
        Fingerprint now = Fingerprint.of(dataFile);
        boolean unchanged = now.fileKey().equals(saved.fileKey) && now.modifiedNanos() - LAST_WRITE_NANOS <= lastWrite;
        if (!unchanged) {
            likely.or(saved.pieces.toBitSet());
        }
        return new Found(unchanged ? saved.pieces : Bitfield.none(pieceCount), Bitfield.of(likely, pieceCount));
    }

    /** A map that is torn or of another file claims nothing. */
    private static Saved parse(byte[] bytes, Hash256 piecesRoot, int pieceCount, Saved nothing) {
        int end = bytes.length - Hash256.SIZE_BYTES;
        try {
            ByteCursor cursor = new ByteCursor(bytes);
            boolean right = end > 0
                    && Arrays.equals(cursor.readBytes("magic", MAGIC.length), MAGIC)
                    && cursor.readHash("pieces root").equals(piecesRoot)
                    && Hash256.sha256(Arrays.copyOf(bytes, end)).equals(Hash256.of(bytes, end));
            if (!right) {
                return nothing;
            }
            String fileKey = cursor.readText("file key", 1 << 12);
            long modified = cursor.readLong("modified");
            return new Saved(
                    Bitfield.parse(cursor.readBytes("bits", (pieceCount + 7) / 8), pieceCount), fileKey, modified);
        } catch (MalformedException torn) {
            return nothing;
        }
    }

    /** The data of these pieces has been handed to the system. */
    void note(int... pieces) throws IOException {
        ByteBuffer entries = entries(pieces);
        int size = entries.remaining();
        FileWriter.writeFully(log, entries, logSize);
        logSize += size;
    }

    private ByteBuffer entries(int... pieces) throws IOException {
        ByteBuffer entries = ByteBuffer.allocate(LOG_ENTRY_BYTES * pieces.length);
        long modified = Fingerprint.of(dataFile).modifiedNanos();
        for (int piece : pieces) {
            entries.putInt(piece).putLong(modified);
        }
        return entries.flip();
    }

    /**
     * The data of all these pieces has been forced to disk.
     *
     * @param later pieces that have been {@link #note noted} since that began
     */
    void prove(Bitfield pieces, Bitfield later) throws IOException {
        ByteWriter writer = new ByteWriter();
        Fingerprint now = Fingerprint.of(dataFile);
        writer.putBytes(MAGIC).putHash(piecesRoot).putText(now.fileKey()).putLong(now.modifiedNanos());
        writer.putBytes(pieces.toBytes());
        writer.putHash(Hash256.sha256(writer.toBytes()));
        FileWriter.writeAtomically(mapFile, writer.asBuffer(), true);
        ByteBuffer entries = entries(later.toBitSet().stream().toArray());
        logSize = entries.remaining();
        FileWriter.writeFully(log, entries, 0); // over old entries, of the same size: at no time one is lost
        log.truncate(logSize);
    }

    @Override
    public void close() throws IOException {
        log.close();
    }
}
