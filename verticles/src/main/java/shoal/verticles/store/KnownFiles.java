package shoal.verticles.store;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.Metainfo;

/** What is remembered of whole files, one small file for each, so that none that is unchanged is hashed twice. */
final class KnownFiles {
    private final Path directory;

    KnownFiles(Path directory) {
        this.directory = directory;
    }

    Path directory() {
        return directory;
    }

    private Path note(Hash256 piecesRoot) {
        return directory.resolve(piecesRoot.toHex() + ".known");
    }

    void remember(Metainfo metainfo, Path path, Fingerprint fingerprint) throws IOException {
        FileWriter.writeAtomically(
                note(metainfo.piecesRoot()), new KnownFile(path, fingerprint, metainfo).toBytes(), false);
    }

    void forget(Hash256 piecesRoot) throws IOException {
        Files.deleteIfExists(note(piecesRoot));
    }

    /** All files that are as they were, opened; what is remembered of others is forgotten. */
    List<StoreEntry> recall() throws IOException {
        var recalled = new ArrayList<StoreEntry>();
        for (Path note : FileWriter.list(directory, "known")) {
            KnownFile then = KnownFile.read(note);
            if (then == null || !then.isUnchanged()) {
                Files.deleteIfExists(note);
                continue;
            }
            FileChannel channel = FileChannel.open(then.path(), StandardOpenOption.READ);
            recalled.add(StoreEntry.whole(then.metainfo(), then.path(), channel, then.fingerprint()));
        }
        return recalled;
    }
}
