package shoal.verticles.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.Metainfo;

/**
 * Sparse files of which some pieces are here, each as four files named by the pieces root: {@code data}, {@code map} and {@code log}
 * (see {@link PieceMap}), and {@code meta}, without which the others are rubbish.
 */
final class PartialFiles {
    private final Path directory;
    private final FileHasher hasher;

    PartialFiles(Path directory, FileHasher hasher) {
        this.directory = directory;
        this.hasher = hasher;
    }

    Path directory() {
        return directory;
    }

    private Path file(Hash256 piecesRoot, String kind) {
        return directory.resolve(piecesRoot.toHex() + "." + kind);
    }

    /** Makes a new one, of which nothing is here. */
    StoreEntry create(Metainfo metainfo) throws IOException {
        FileWriter.writeAtomically(file(metainfo.piecesRoot(), "meta"), ByteBuffer.wrap(metainfo.toTorrent()), true);
        return open(metainfo);
    }

    /** A name from outside becomes a file name: no separators and the like, not hidden. */
    static String requireName(String name) {
        Metainfo.checkName(name);
        if (name.startsWith(".")) {
            throw new MalformedException("'" + name + "' is no name for a shard; it begins with a dot");
        }
        return name;
    }

    /** What an earlier process left, but for files that have become whole; what is torn is deleted. */
    List<StoreEntry> recover(Predicate<Hash256> whole) throws IOException {
        var recovered = new ArrayList<StoreEntry>();
        for (Path meta : FileWriter.list(directory, "meta")) {
            Metainfo metainfo = readOrNull(meta);
            if (metainfo == null || !meta.equals(file(metainfo.piecesRoot(), "meta"))) {
                Files.deleteIfExists(meta);
            } else if (whole.test(metainfo.piecesRoot()) || !Files.exists(file(metainfo.piecesRoot(), "data"))) {
                delete(metainfo.piecesRoot()); // it became whole, or had not begun, when the process died
            } else {
                recovered.add(open(metainfo));
            }
        }
        return recovered;
    }

    private static @Nullable Metainfo readOrNull(Path meta) throws IOException {
        try {
            Metainfo metainfo = Metainfo.parse(Files.readAllBytes(meta));
            requireName(metainfo.name());
            return metainfo;
        } catch (MalformedException torn) {
            return null;
        }
    }

    void delete(Hash256 piecesRoot) throws IOException {
        for (String kind : List.of("data", "map", "log", "meta")) { // meta last
            Files.deleteIfExists(file(piecesRoot, kind));
        }
    }

    /** Takes up what is here: pieces that are proven, and those that are right when they are hashed. */
    StoreEntry open(Metainfo metainfo) throws IOException {
        Hash256 piecesRoot = metainfo.piecesRoot();
        Path data = file(piecesRoot, "data");
        FileChannel channel = FileChannel.open(
                data,
                StandardOpenOption.CREATE,
                StandardOpenOption.SPARSE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE);
        try {
            boolean sized = channel.size() == metainfo.length();
            if (!sized) {
                channel.truncate(0);
                FileWriter.writeFully(channel, ByteBuffer.allocate(1), metainfo.length() - 1);
                Files.deleteIfExists(file(piecesRoot, "map"));
                Files.deleteIfExists(file(piecesRoot, "log"));
            }
            var entry = new StoreEntry(metainfo, data, channel);
            var map = new PieceMap(
                    data,
                    file(piecesRoot, "map"),
                    file(piecesRoot, "log"),
                    piecesRoot,
                    metainfo.pieces().count());
            entry.map = map;
            PieceMap.Found found = map.read();
            entry.verified.or(found.proven().toBitSet());
            ByteBuffer buffer = ByteBuffer.allocateDirect(metainfo.pieces().sizeOf(0));
            for (int piece = found.likely().nextSet(0);
                    piece >= 0;
                    piece = found.likely().nextSet(piece + 1)) {
                if (hasher.isRight(channel, data, metainfo, piece, buffer)) {
                    entry.verified.set(piece);
                    entry.unsyncedBytes += metainfo.pieces().sizeOf(piece);
                }
            }
            entry.sync();
            return entry;
        } catch (Throwable failure) {
            channel.close();
            throw failure;
        }
    }
}
