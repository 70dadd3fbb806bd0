package shoal.verticles.store;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.Metainfo;

/**
 * What a store on disk holds, read without opening it, so also while a process has it open. It shows what is written there and
 * verifies nothing. Blocking.
 */
public final class StoreCatalog {
    private final Path root;
    private final Path shards;
    private final StoreNotes notes;
    private final String openIn;

    /**
     * One file.
     *
     * @param heldBytes verified bytes, or those that are claimed for a partial file
     * @param elsewhere whether it lies outside of the store and is only known here
     * @param users what uses it in the process that has the store open
     * @param lastUse the epoch if never
     */
    public record Item(
            Path path,
            Metainfo metainfo,
            long heldBytes,
            boolean elsewhere,
            boolean pinned,
            List<String> users,
            Instant lastUse) {
        public boolean isWhole() {
            return heldBytes == metainfo.length();
        }
    }

    private StoreCatalog(Path root, Path shards, String openIn) {
        this.root = root;
        this.shards = shards;
        this.openIn = openIn;
        notes = new StoreNotes(root);
    }

    /** @throws IOException in one line if there is no such directory */
    public static StoreCatalog open(Path root, Path shards) throws IOException {
        if (!Files.isDirectory(root)) {
            throw new IOException(root + " is no directory. Name the store with --store, or a profile with --config.");
        }
        Path directory = root.toRealPath();
        return new StoreCatalog(
                directory,
                Files.isDirectory(shards) ? shards.toRealPath() : shards.toAbsolutePath(),
                StoreLock.holder(directory));
    }

    public Path root() {
        return root;
    }

    /** The process that has it open, as text; empty if none has. */
    public String openIn() {
        return openIn;
    }

    /** All files that are as they were when they were hashed, by name. */
    public List<Item> items() throws IOException {
        var items = new ArrayList<Item>();
        for (Path file : files("known", ".known")) {
            KnownFile known = readOrNull(file);
            if (known != null && known.isUnchanged()) {
                items.add(item(
                        known.path(),
                        known.metainfo(),
                        known.metainfo().length(),
                        !known.path().startsWith(shards)));
            }
        }
        for (Path file : files("partial", ".meta")) {
            Item partial = partial(file);
            if (partial != null) {
                items.add(partial);
            }
        }
        items.sort(Comparator.comparing((Item item) -> item.metainfo().name())
                .thenComparing(item -> item.metainfo().piecesRoot()));
        return items;
    }

    private static @Nullable KnownFile readOrNull(Path file) {
        try {
            return KnownFile.read(file);
        } catch (IOException goneMeanwhile) {
            return null;
        }
    }

    private @Nullable Item partial(Path meta) {
        try {
            Metainfo metainfo = Metainfo.parse(Files.readAllBytes(meta));
            String name = metainfo.piecesRoot().toHex();
            Path data = meta.resolveSibling(name + ".data");
            if (!Files.exists(data)) {
                return null;
            }
            var claimed = PieceMap.claimed(
                    meta.resolveSibling(name + ".map"),
                    meta.resolveSibling(name + ".log"),
                    metainfo.piecesRoot(),
                    metainfo.pieces().count());
            return item(data, metainfo, new StoredFile(data, metainfo, claimed).heldBytes(), false);
        } catch (IOException | MalformedException goneOrTorn) {
            return null;
        }
    }

    private Item item(Path path, Metainfo metainfo, long held, boolean elsewhere) throws IOException {
        Hash256 piecesRoot = metainfo.piecesRoot();
        return new Item(
                path,
                metainfo,
                held,
                elsewhere,
                notes.isPinned(piecesRoot),
                openIn.isEmpty() ? List.of() : notes.writtenUsers(piecesRoot),
                notes.lastUse(piecesRoot));
    }

    private List<Path> files(String directory, String ending) throws IOException {
        Path place = root.resolve(directory);
        if (!Files.isDirectory(place)) {
            return List.of();
        }
        try (Stream<Path> all = Files.list(place)) {
            return all.filter(file -> file.toString().endsWith(ending)).sorted().toList();
        }
    }

    /**
     * The one file that a name, an info-hash, a pieces root, or the first digits of one means.
     *
     * @throws IOException in one line if there is none, or several
     */
    public Item find(String what) throws IOException {
        List<Item> items = items();
        String digits = what.toLowerCase(Locale.ROOT);
        boolean isHash = digits.matches("[0-9a-f]{6,64}");
        List<Item> found = items.stream()
                .filter(item -> item.metainfo().name().equals(what)
                        || isHash
                                && (item.metainfo().piecesRoot().toHex().startsWith(digits)
                                        || item.metainfo().infoHash().toHex().startsWith(digits)))
                .toList();
        if (found.size() == 1) {
            return found.getFirst();
        }
        throw new IOException(
                found.isEmpty()
                        ? "'" + what + "' is not in " + root + "; shoal ls shows what is."
                        : "'" + what + "' means " + found.size() + " files; name one by its hash: "
                                + found.stream()
                                        .map(item ->
                                                item.metainfo().piecesRoot().toHex())
                                        .toList()
                                + ".");
    }

    /** Keeps a file from being evicted, or lets it be. Works while a process has the store open. */
    public void pin(Item item, boolean pinned) throws IOException {
        notes.pin(item.metainfo().piecesRoot(), pinned);
    }

    /**
     * Deletes a file; one that lies elsewhere is only forgotten. While a process has the store open, a whole file is taken from
     * under it, which that process notices.
     *
     * @throws IOException in one line if it is in use or pinned, or still coming
     */
    public void remove(Item item) throws IOException {
        String name = item.metainfo().name();
        if (item.pinned()) {
            throw new IOException(name + " is pinned. Unpin it first: shoal pin --off " + name);
        }
        if (!item.users().isEmpty()) {
            throw new IOException(name + " is in use by " + openIn + ": " + String.join(", ", item.users())
                    + ". Stop that, or unload the layers, first.");
        }
        if (openIn.isEmpty()) {
            try (ShardStore store = ShardStore.open(root, shards, BlockHasher.plain())) {
                store.remove(item.metainfo().piecesRoot());
            }
        } else if (item.elsewhere()) {
            throw new IOException(name + " lies at " + item.path() + " and is served by " + openIn
                    + ". Delete it there, or stop that process first.");
        } else if (item.isWhole()) {
            Files.deleteIfExists(item.path());
        } else {
            throw new IOException(name + " is partial and known to " + openIn + ". Stop that process first.");
        }
    }
}
