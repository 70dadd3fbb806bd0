package shoal.verticles.cli;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.bridge.hash.BlockHashers;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import tools.jackson.databind.json.JsonMapper;

/** Hashes a file and writes its .torrent. */
@Command(
        name = "torrent",
        description = "Write the .torrent of a file (BitTorrent v2), and print its hashes and magnet link.",
        mixinStandardHelpOptions = true)
final class TorrentCommand implements Callable<Integer> {
    private static final int BUFFER_BYTES = 1 << 20;

    @Parameters(index = "0", paramLabel = "FILE", description = "The file to share.")
    @SuppressWarnings("NullAway.Init")
    private Path file;

    @Option(names = "--out", paramLabel = "FILE", description = "Where to write it; else FILE.torrent.")
    private @Nullable Path out;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        Metainfo metainfo = hash(file);
        Path target = out == null ? file.resolveSibling(file.getFileName() + ".torrent") : out;
        Path temporary = target.resolveSibling("." + target.getFileName() + ".tmp");
        try {
            Files.write(temporary, metainfo.toTorrent());
            Files.move(temporary, target, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(temporary);
        }
        if (json) {
            var line = new LinkedHashMap<String, Object>();
            line.put("name", metainfo.name());
            line.put("size", metainfo.length());
            line.put("info_hash", metainfo.infoHash().toHex());
            line.put("pieces_root", metainfo.piecesRoot().toHex());
            line.put("piece_length", metainfo.pieceLength());
            line.put("magnet", metainfo.magnetLink().toString());
            line.put("path", target.toString());
            System.out.println(JsonMapper.shared().writeValueAsString(line));
            return CommandLine.ExitCode.OK;
        }
        System.out.println("info-hash    " + metainfo.infoHash());
        System.out.println("pieces root  " + metainfo.piecesRoot());
        System.out.println("magnet       " + metainfo.magnetLink());
        System.out.println("written to   " + target);
        return CommandLine.ExitCode.OK;
    }

    /** One pass over a file. @throws IOException in one line if it is missing, no file, or empty */
    static Metainfo hash(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new NoSuchFileException(file.toString());
        }
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + " is no file. Name a single file; a directory is shared file by file.");
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            long size = channel.size();
            if (size == 0) {
                throw new IOException(file + " is empty; there is nothing to share.");
            }
            var tree = new MerkleTree(Pieces.of(size));
            ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES);
            for (long at = 0; at < size; at += buffer.limit()) {
                buffer.clear().limit((int) Math.min(BUFFER_BYTES, size - at));
                while (buffer.hasRemaining()) {
                    if (channel.read(buffer, at + buffer.position()) < 0) {
                        throw new EOFException(file + " has become shorter while it was read. Try again.");
                    }
                }
                tree.add(buffer.flip(), BlockHashers.best());
            }
            return Metainfo.of(String.valueOf(file.getFileName()), tree.finish());
        }
    }
}
