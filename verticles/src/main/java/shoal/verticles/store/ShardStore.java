package shoal.verticles.store;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.gguf.FileLayout;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;

/**
 * The files of one process: whole ones under {@code shards}, partial ones under {@code partial}, and what is known of
 * files anywhere under {@code known}, so that nothing unchanged is hashed twice. Every method blocks on disk: call it from
 * a worker or virtual thread, never from an event loop. Safe for several threads.
 */
public final class ShardStore implements AutoCloseable {
    /** Written since data was last forced to disk; so much is hashed again after a crash, at most. */
    static final long SYNC_EVERY_BYTES = 64L << 20;

    private final Path root;
    private final Path shards;
    private final KnownFiles known;
    private final PartialFiles partials;
    private final FileHasher hasher;
    private final LayoutWriter layouts;
    private final StoreLock lock;
    private final StoreNotes notes;
    private final List<Consumer<StoredFile>> removalListeners = new CopyOnWriteArrayList<>();
    private volatile long quotaBytes;
    private final Map<Hash256, StoreEntry> entries = new HashMap<>();
    private final Map<InfoHash, Hash256> infoHashes = new HashMap<>();

    private ShardStore(Path root, Path shards, FileHasher hasher, StoreLock lock) {
        this.root = root;
        this.hasher = hasher;
        this.lock = lock;
        this.shards = shards;
        partials = new PartialFiles(root.resolve("partial"), hasher);
        known = new KnownFiles(root.resolve("known"));
        layouts = new LayoutWriter(hasher);
        notes = new StoreNotes(root);
    }

    /**
     * Opens a root directory, which is made if it isn't there, and takes up what an earlier process left: whole files that
     * have not changed, partial files with the pieces that can be proven.
     *
     * @throws IOException if another process has it open, or it cannot be written
     */
    public static ShardStore open(Path root, BlockHasher hasher) throws IOException {
        return open(root, root.resolve("shards"), hasher);
    }

    /** The same, with whole files in another directory, which must be on the same disk. */
    public static ShardStore open(Path root, Path shards, BlockHasher hasher) throws IOException {
        Files.createDirectories(root);
        Files.createDirectories(shards);
        Path directory = root.toRealPath();
        Files.createDirectories(directory.resolve("partial"));
        Files.createDirectories(directory.resolve("known"));
        StoreLock lock = StoreLock.take(directory);
        try {
            var store = new ShardStore(directory, shards.toRealPath(), new FileHasher(hasher), lock);
            store.notes.open();
            store.recover();
            return store;
        } catch (Throwable failure) {
            lock.close();
            throw failure;
        }
    }

    // ------------------------------------------------------------------------------------- what is kept, and how much

    /** Bounds what lies in this store, whole and partial, in bytes; 0 for no bound. Files that lie elsewhere don't count. */
    public void limit(long bytes) {
        quotaBytes = bytes;
    }

    /** Somebody works with a file: it is not evicted or deleted until as many have {@link #release released} it. */
    public void hold(Hash256 piecesRoot, String who) throws IOException {
        notes.hold(piecesRoot, who);
    }

    public void release(Hash256 piecesRoot, String who) throws IOException {
        notes.release(piecesRoot, who);
    }

    /** Calls back, on the thread that does it, when a file is deleted or evicted. */
    public void onRemoved(Consumer<StoredFile> listener) {
        removalListeners.add(listener);
    }

    private boolean isOurs(StoreEntry entry) {
        return entry.map != null || entry.path.startsWith(shards);
    }

    /** Deletes what was used longest ago until so many bytes more keep to the quota. */
    private void makeRoom(Hash256 piecesRoot, long wantedBytes, String name) throws IOException {
        List<StoreEntry> own = entries.values().stream().filter(this::isOurs).toList();
        for (StoreEntry entry : Eviction.choose(own, notes, quotaBytes, piecesRoot, wantedBytes, name)) {
            remove(entry.root());
        }
    }

    /** The directory of the store. */
    public Path root() {
        return root;
    }

    /** Where whole files appear. */
    public Path shardsDirectory() {
        return shards;
    }

    /** All files, whole and partial. */
    public synchronized List<StoredFile> list() {
        return entries.values().stream().map(StoreEntry::view).toList();
    }

    /** The file with this content, whole or partial. */
    public synchronized Optional<StoredFile> find(Hash256 piecesRoot) {
        return Optional.ofNullable(entries.get(piecesRoot)).map(StoreEntry::view);
    }

    public synchronized Optional<StoredFile> find(InfoHash infoHash) {
        Hash256 piecesRoot = infoHashes.get(infoHash);
        return piecesRoot == null ? Optional.empty() : find(piecesRoot);
    }

    // ------------------------------------------------------------------------------------- files already there

    /**
     * Adopts all {@code .gguf} files of a directory, not of those below it; a missing directory has none.
     *
     * @param onProblem is told of a file that can't be adopted; the others are
     */
    public List<StoredFile> scan(Path directory, BiConsumer<Path, IOException> onProblem) throws IOException {
        List<Path> paths = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, "[!.]*.gguf")) {
            files.forEach(paths::add);
        } catch (NoSuchFileException _) {
            return List.of();
        }
        paths.sort(null);
        List<StoredFile> found = new ArrayList<>();
        for (Path path : paths) {
            try {
                if (Files.isRegularFile(path)) {
                    found.add(adopt(path));
                }
            } catch (IOException problem) {
                onProblem.accept(path, problem);
            }
        }
        return found;
    }

    /**
     * Takes up a file where it lies: hashed in one pass, or not at all if it is known and its size, time and inode are
     * what they were.
     *
     * @throws IOException if it can't be read, is empty, or changes meanwhile
     */
    public StoredFile adopt(Path file) throws IOException {
        Path path = file.toRealPath();
        Fingerprint before = Fingerprint.of(path);
        synchronized (this) {
            for (StoreEntry entry : List.copyOf(entries.values())) {
                if (entry.map == null && entry.path.equals(path)) {
                    if (before.equals(entry.fingerprint)) {
                        return entry.view();
                    }
                    forget(entry);
                }
            }
        }
        return registerWhole(hasher.hash(path, before), path, before);
    }

    /** One pass over a file that looks like this; where it lies becomes its name. @throws IOException if it changes meanwhile */
    Metainfo hash(Path path, Fingerprint before) throws IOException {
        return hasher.hash(path, before);
    }

    /** Takes up a file where it lies, all of whose pieces were right when it looked like this. @throws IOException if it has changed */
    StoredFile adoptAs(Metainfo metainfo, Path path, Fingerprint verified) throws IOException {
        verified.requireStill(path);
        return registerWhole(metainfo, path, verified);
    }

    /** Whether a file has the right bytes of this piece. */
    boolean hasPiece(Path file, Metainfo metainfo, int piece) throws IOException {
        return hasher.hasPiece(file, metainfo, piece);
    }

    /** Which pieces of a file have the hashes of metainfo; pieces past its end have not. */
    public Bitfield verify(Path file, Metainfo metainfo) throws IOException {
        return hasher.verify(file, metainfo);
    }

    // -------------------------------------------------------------------------------------------- downloading

    /**
     * Makes ready to write pieces of a file, or finds what is there of it already, perhaps under another name and with
     * another piece length: go on with what is returned.
     *
     * @param wantedBytes how much of it will be written: so much must be free
     * @throws IOException if the disk has not the room
     */
    public synchronized StoredFile begin(Metainfo metainfo, long wantedBytes) throws IOException {
        StoreEntry entry = entries.get(metainfo.piecesRoot());
        if (entry == null || entry.map != null) {
            makeRoom(metainfo.piecesRoot(), wantedBytes, metainfo.name());
            FileWriter.requireSpace(partials.directory(), wantedBytes, metainfo.name());
        }
        if (entry == null) {
            PartialFiles.requireName(metainfo.name());
            entry = partials.create(metainfo);
            put(entry);
        }
        infoHashes.put(metainfo.infoHash(), metainfo.piecesRoot());
        notes.touch(metainfo.piecesRoot());
        return entry.view();
    }

    /** {@link #begin(Metainfo, long)} for the whole file. */
    public StoredFile begin(Metainfo metainfo) throws IOException {
        long held = find(metainfo.piecesRoot())
                .map(file -> (long) file.verified().count() * metainfo.pieceLength())
                .orElse(0L);
        return begin(metainfo, Math.max(0, metainfo.length() - held));
    }

    /**
     * To wait for pieces of a file that is {@link #begin begun}.
     *
     * @throws IOException if it is not
     */
    public Arrival arrival(Hash256 piecesRoot, Arrival.Wish wish) throws IOException {
        return new Arrival(entry(piecesRoot), wish);
    }

    /**
     * Hashes a piece and writes it if it is right.
     *
     * @param data what remains is the whole piece; its position may move
     * @return whether it was right; if not, nothing is written
     * @throws IOException if the disk is full or broken, or the file is not {@link #begin begun}
     */
    public boolean write(Hash256 piecesRoot, int piece, ByteBuffer data) throws IOException {
        return write(piecesRoot, new int[] {piece}, List.of(data)).get(0);
    }

    /**
     * The same for several pieces, whose blocks are hashed side by side.
     *
     * @param pieces different ones
     * @return which of them, by index in pieces, were right
     */
    public BitSet write(Hash256 piecesRoot, int[] pieces, List<ByteBuffer> data) throws IOException {
        StoreEntry entry = entry(piecesRoot);
        Metainfo metainfo = entry.metainfo;
        BitSet right = hasher.right(metainfo, pieces, data);
        BitSet missing = (BitSet) right.clone();
        synchronized (entry) {
            right.stream().filter(i -> entry.verified.get(pieces[i])).forEach(missing::clear);
        }
        try {
            for (int i = missing.nextSetBit(0); i >= 0; i = missing.nextSetBit(i + 1)) {
                FileWriter.writeFully(
                        entry.channel, data.get(i), metainfo.pieces().offsetOf(pieces[i]));
            }
        } catch (IOException failure) {
            throw new IOException(
                    entry.path + " cannot be written: " + failure.getMessage()
                            + ". Make room there, or check the disk, and start again: what is here is kept",
                    failure);
        }
        synchronized (entry) {
            missing.stream().filter(i -> entry.verified.get(pieces[i])).forEach(missing::clear);
            if (entry.map == null || missing.isEmpty()) {
                return right;
            }
            entry.map.note(missing.stream().map(i -> pieces[i]).toArray());
            missing.stream().forEach(i -> {
                entry.verified.set(pieces[i]);
                entry.unsyncedBytes += metainfo.pieces().sizeOf(pieces[i]);
            });
            entry.notifyAll();
            if (entry.unsyncedBytes < SYNC_EVERY_BYTES || entry.syncing) {
                return right;
            }
            entry.syncing = true;
            entry.unsyncedBytes = 0;
        }
        entry.syncWhileOthersWrite();
        return right;
    }

    /**
     * Moves a file whose pieces are all written to its final place, durably; another file of that name is replaced. A file that
     * was whole before stays. Those who read it meanwhile are not disturbed.
     *
     * @throws IllegalStateException if pieces are missing
     */
    public StoredFile finish(Hash256 piecesRoot) throws IOException {
        return finish(piecesRoot, shards.resolve(entry(piecesRoot).metainfo.name()));
    }

    /** {@link #finish} if all pieces are here; of a part, what is here is forced to disk and stays where it is. */
    public synchronized StoredFile settle(Hash256 piecesRoot) throws IOException {
        StoreEntry entry = entry(piecesRoot);
        synchronized (entry) {
            if (entry.map == null || entry.pieces().isFull()) {
                return finish(piecesRoot);
            }
            entry.sync();
            return entry.view();
        }
    }

    /** The same, with a place of the caller's choice; on another file system it is copied there, and appears whole. */
    public synchronized StoredFile finish(Hash256 piecesRoot, Path target) throws IOException {
        StoreEntry entry = entry(piecesRoot);
        synchronized (entry) {
            if (entry.map == null) {
                return entry.view();
            }
            if (!entry.pieces().isFull()) {
                throw new IllegalStateException(entry.metainfo.name() + " has only " + entry.pieces());
            }
            entry.sync();
            forgetAllAt(target);
            FileWriter.moveOrCopy(entry.path, target);
            FileWriter.syncDirectory(FileWriter.directoryOf(target));
            entry.map.close();
            entry.map = null;
            entry.path = target.toRealPath();
            entry.fingerprint = Fingerprint.of(target);
            known.remember(entry.metainfo, target, entry.fingerprint);
            partials.delete(piecesRoot);
            return entry.view();
        }
    }

    // ------------------------------------------------------------------------------------------------ reading

    /**
     * Verified blocks, mapped: nothing is copied. The mapping lives as long as somebody holds the segment (automatic arena).
     * A file that others shorten while the bytes are used can end the process: for those use {@link #read(Hash256, long,
     * int, ByteBuffer)}.
     *
     * @throws IOException if the file or one of the pieces isn't here, or the file has changed
     */
    public MemorySegment read(Hash256 piecesRoot, long firstBlock, int blockCount) throws IOException {
        StoreEntry entry = unchanged(piecesRoot);
        synchronized (entry) {
            long size = entry.requireReadable(firstBlock, blockCount);
            return entry.mapped().asSlice(firstBlock * Pieces.BLOCK_SIZE, size);
        }
    }

    /** @throws IOException if the file is not here, or has changed since it was verified: then it is forgotten */
    public void requireUnchanged(Hash256 piecesRoot) throws IOException {
        notes.touch(unchanged(piecesRoot).metainfo.piecesRoot());
    }

    /** Copies verified blocks into the caller's buffer, which must have room. @throws IOException as above */
    public void read(Hash256 piecesRoot, long firstBlock, int blockCount, ByteBuffer target) throws IOException {
        StoreEntry entry = unchanged(piecesRoot);
        notes.touch(piecesRoot);
        ByteBuffer part;
        FileChannel channel;
        synchronized (entry) {
            int size = (int) entry.requireReadable(firstBlock, blockCount);
            part = target.slice(target.position(), size);
            target.position(target.position() + size);
            channel = entry.channel;
        }
        FileWriter.readFully(channel, part, firstBlock * Pieces.BLOCK_SIZE, entry.path);
    }

    // ------------------------------------------------------------------------------------------- writing anew

    /** Writes a file under {@link #shardsDirectory}: see {@link #write(Path, FileLayout, List)}. */
    public StoredFile write(String name, FileLayout layout, List<Path> sources) throws IOException {
        PartialFiles.requireName(name);
        return write(shards.resolve(name), layout, sources);
    }

    /**
     * Writes a new file from a plan and hashes it in the same pass. It appears whole, by rename from a temporary file beside
     * it, or not at all; a file of that name is replaced.
     *
     * @param sources the files that the plan's ranges name by index
     */
    public StoredFile write(Path target, FileLayout layout, List<Path> sources) throws IOException {
        Path place = target.toAbsolutePath().normalize();
        LayoutWriter.Written written = layouts.write(place, layout, sources);
        Metainfo metainfo = written.metainfo();
        try {
            synchronized (this) {
                forgetAllAt(place);
                FileWriter.moveInPlace(written.temporary(), place);
            }
        } finally {
            Files.deleteIfExists(written.temporary());
        }
        FileWriter.syncDirectory(FileWriter.directoryOf(place));
        Path real = place.toRealPath();
        registerWhole(metainfo, real, null);
        return new StoredFile(real, metainfo, Bitfield.all(metainfo.pieces().count()));
    }

    // --------------------------------------------------------------------------------------------- going away

    /** Deletes a file of this store, and forgets one that lies elsewhere. Mapped slices stay valid. Says if it was here. */
    public synchronized boolean remove(Hash256 piecesRoot) throws IOException {
        StoreEntry entry = entries.get(piecesRoot);
        if (entry == null) {
            return false;
        }
        StoredFile view = entry.view();
        forget(entry);
        notes.forget(piecesRoot);
        if (entry.map != null) {
            partials.delete(piecesRoot);
        } else if (entry.path.startsWith(shards)) {
            Files.deleteIfExists(entry.path);
        }
        removalListeners.forEach(listener -> listener.accept(view));
        return true;
    }

    /** Lets go of whole files that are gone, or are not what they were when they were hashed. Reads none of them. */
    public synchronized void sweep() throws IOException {
        for (StoreEntry entry : List.copyOf(entries.values())) {
            Fingerprint then;
            StoredFile view;
            synchronized (entry) {
                then = entry.map == null ? entry.fingerprint : null;
                view = entry.view();
            }
            if (then != null && !new KnownFile(view.path(), then, view.metainfo()).isUnchanged()) {
                forget(entry);
                removalListeners.forEach(listener -> listener.accept(view));
            }
        }
    }

    /** Forces all data to disk and lets go of the directory. */
    @Override
    public synchronized void close() throws IOException {
        for (StoreEntry entry : entries.values()) {
            synchronized (entry) {
                if (entry.map != null) {
                    entry.sync();
                }
                entry.close();
            }
        }
        entries.clear();
        infoHashes.clear();
        lock.close();
    }

    // ----------------------------------------------------------------------------------------------- inside

    private synchronized StoreEntry entry(Hash256 piecesRoot) throws IOException {
        StoreEntry entry = entries.get(piecesRoot);
        if (entry == null) {
            throw new IOException("no file with pieces root " + piecesRoot.toShortHex() + " is in " + root);
        }
        return entry;
    }

    /** The entry, unless its file has changed: that is forgotten, and an exception. */
    private StoreEntry unchanged(Hash256 piecesRoot) throws IOException {
        StoreEntry entry = entry(piecesRoot);
        Path path;
        Fingerprint fingerprint;
        synchronized (entry) {
            path = entry.path;
            fingerprint = entry.fingerprint;
        }
        if (fingerprint != null) {
            try {
                fingerprint.requireStill(path);
            } catch (IOException changed) {
                forget(entry);
                throw changed;
            }
        }
        return entry;
    }

    /** What lies there is about to be replaced. */
    private synchronized void forgetAllAt(Path target) throws IOException {
        for (StoreEntry entry : List.copyOf(entries.values())) {
            if (entry.path.equals(target)) {
                forget(entry);
            }
        }
    }

    private synchronized void forget(StoreEntry entry) throws IOException {
        entries.remove(entry.metainfo.piecesRoot());
        infoHashes.values().removeIf(entry.metainfo.piecesRoot()::equals);
        known.forget(entry.root());
        entry.close();
    }

    private synchronized void put(StoreEntry entry) throws IOException {
        StoreEntry old = entries.put(entry.metainfo.piecesRoot(), entry);
        if (old != null) {
            old.close();
        }
        infoHashes.put(entry.metainfo.infoHash(), entry.metainfo.piecesRoot());
    }

    private synchronized StoredFile registerWhole(Metainfo metainfo, Path path, @Nullable Fingerprint hashed)
            throws IOException {
        StoreEntry there = entries.get(metainfo.piecesRoot());
        if (there != null && there.map == null && Files.exists(there.path) && there.path.startsWith(shards)) {
            infoHashes.put(metainfo.infoHash(), metainfo.piecesRoot());
            return there.view(); // the same bytes under two names are one file
        }
        Fingerprint now = hashed != null ? hashed : Fingerprint.of(path);
        var entry = StoreEntry.whole(metainfo, path, FileChannel.open(path, StandardOpenOption.READ), now);
        put(entry);
        if (there != null && there.map != null) {
            partials.delete(metainfo.piecesRoot());
        }
        known.remember(entry.metainfo, path, now);
        return entry.view();
    }

    /** Takes up what is on disk. What is torn, changed or gone is forgotten: it costs a hash, never a wrong byte. */
    private void recover() throws IOException {
        for (Path directory : List.of(shards, partials.directory(), known.directory())) {
            for (Path file : FileWriter.list(directory, "tmp")) {
                Files.deleteIfExists(file);
            }
        }
        for (StoreEntry whole : known.recall()) {
            put(whole);
        }
        for (StoreEntry partial : partials.recover(entries::containsKey)) {
            put(partial);
        }
    }
}
