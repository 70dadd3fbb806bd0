package shoal.verticles.cli;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import tools.jackson.databind.json.JsonMapper;

/** Compares a file with a .torrent. */
@Command(
        name = "verify-file",
        description = "Compare a file with a .torrent, piece by piece. Exit code 1 if a piece is wrong or missing.",
        mixinStandardHelpOptions = true)
final class VerifyFileCommand implements Callable<Integer> {
    private static final long MAX_TORRENT_BYTES = 64 << 20;
    private static final int BATCH_BYTES = 4 << 20;

    @Parameters(index = "0", paramLabel = "FILE", description = "The file.")
    @SuppressWarnings("NullAway.Init")
    private Path file;

    @Option(names = "--torrent", required = true, paramLabel = "FILE", description = "What it must be.")
    @SuppressWarnings("NullAway.Init")
    private Path torrent;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        Metainfo metainfo = readTorrent(torrent);
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + (Files.exists(file) ? " is no file." : " does not exist."));
        }
        long size = Files.size(file);
        List<Integer> wrong = wrongPieces(metainfo);
        int count = metainfo.pieces().count();
        boolean right = wrong.isEmpty() && size == metainfo.length();
        if (json) {
            var line = new LinkedHashMap<String, Object>();
            line.put("ok", right);
            line.put("info_hash", metainfo.infoHash().toHex());
            line.put("size", size);
            line.put("expected_size", metainfo.length());
            line.put("pieces", count);
            line.put("wrong_pieces", wrong);
            System.out.println(JsonMapper.shared().writeValueAsString(line));
        } else if (right) {
            System.out.printf(Locale.ROOT, "%s: all %,d pieces are right%n", file, count);
        } else {
            String sizes = size == metainfo.length()
                    ? ""
                    : String.format(Locale.ROOT, " It has %,d bytes, expected %,d.", size, metainfo.length());
            System.err.printf(
                    Locale.ROOT,
                    "shoal: %s: %,d of %,d pieces are wrong%s.%s Fetch it again: only these will travel.%n",
                    file,
                    wrong.size(),
                    count,
                    wrong.isEmpty() ? "" : ", the first is piece " + wrong.getFirst(),
                    sizes);
        }
        return right ? CommandLine.ExitCode.OK : CommandLine.ExitCode.SOFTWARE;
    }

    /** @throws IOException if it can't be read @throws MalformedException if it is no torrent of one file */
    static Metainfo readTorrent(Path torrent) throws IOException {
        if (!Files.isRegularFile(torrent)) {
            throw new IOException(torrent + (Files.exists(torrent) ? " is no file." : " does not exist."));
        }
        if (Files.size(torrent) > MAX_TORRENT_BYTES) {
            throw new MalformedException(
                    torrent + " has " + Files.size(torrent) + " bytes; a .torrent has at most " + MAX_TORRENT_BYTES);
        }
        try {
            return Metainfo.parse(Files.readAllBytes(torrent));
        } catch (MalformedException malformed) {
            throw new MalformedException(torrent + ": " + malformed.getMessage(), malformed);
        }
    }

    /** Reads and hashes many pieces at a time: their blocks go side by side. */
    private List<Integer> wrongPieces(Metainfo metainfo) throws IOException {
        Pieces pieces = metainfo.pieces();
        var wrong = new ArrayList<Integer>();
        int atOnce = Math.max(1, BATCH_BYTES / pieces.sizeOf(0));
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(Math.min(atOnce, pieces.count()) * pieces.sizeOf(0));
            for (int first = 0; first < pieces.count(); first += atOnce) {
                int end = Math.min(first + atOnce, pieces.count());
                long offset = pieces.offsetOf(first);
                int size = (int) (pieces.offsetOf(end - 1) - offset) + pieces.sizeOf(end - 1);
                buffer.clear().limit(size);
                while (buffer.hasRemaining() && channel.read(buffer, offset + buffer.position()) > 0) {
                    // read on
                }
                addWrong(metainfo, first, end, buffer.flip(), wrong);
            }
        }
        return wrong;
    }

    /** @param data of the pieces from first to before end, as far as the file has it */
    private static void addWrong(Metainfo metainfo, int first, int end, ByteBuffer data, List<Integer> wrong) {
        Pieces pieces = metainfo.pieces();
        int whole = first;
        int blocks = 0;
        int size = 0;
        while (whole < end && size + pieces.sizeOf(whole) <= data.remaining()) {
            blocks += pieces.blockCountOf(whole);
            size += pieces.sizeOf(whole++);
        }
        var leaves = new byte[Hash256.SIZE_BYTES * blocks];
        BlockHashers.best().hash(data.limit(size), leaves, 0);
        int at = 0;
        for (int piece = first; piece < end; piece++) {
            int next = at + Hash256.SIZE_BYTES * pieces.blockCountOf(piece);
            if (piece >= whole || !metainfo.isPiece(piece, Arrays.copyOfRange(leaves, at, next))) {
                wrong.add(piece);
            }
            at = next;
        }
    }
}
