package shoal.verticles.store;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.CopyRange;
import shoal.codec.gguf.FileLayout;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.InfoHash;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;

/**
 * The files of one process: whole ones under {@code shards}, partial ones under {@code partial}, and what is known of
 * files anywhere under {@code known}, so that nothing unchanged is hashed twice. Every method blocks on disk: call it from
 * a worker or virtual thread, never from an event loop. Safe for several threads.
 */
public final class ShardStore implements AutoCloseable {
    /**
     * Data is forced to disk so often, while more is written. What came since is hashed again after a crash, which takes a small part of
     * the time that it took to come.
     */
    private static final long SYNC_EVERY_NANOS = 10_000_000_000L;

    /** A file that has become whole is forced to disk so much later, unless the store is closed before. */
    private static final long SETTLE_MILLIS = 2_000;

    private static final int BUFFER_BYTES = 1 << 20; // whole blocks

    /** Stores open in this process: a second look at a lock file would let go of the lock (POSIX, fcntl). */
    private static final Set<Path> OPEN = ConcurrentHashMap.newKeySet();

    private final Path root;
    private final Path shards;
    private final Path partial;
    private final Path known;
    private final BlockHasher hasher;
    private final FileChannel lockFile;
    private final StoreNotes notes;
    private final List<Consumer<StoredFile>> removalListeners = new CopyOnWriteArrayList<>();
    private volatile long quotaBytes;
    private final Map<Hash256, Entry> entries = new HashMap<>();
    private final Map<InfoHash, Hash256> infoHashes = new HashMap<>();
    private long temporaryCount;

    /** One file; guarded by itself, but for the data, which is written and read at positions. */
    private static final class Entry {
        final Metainfo metainfo;
        final BitSet verified = new BitSet();
        Path path;
        FileChannel channel;

        @Nullable MemorySegment mapping;

        @Nullable PieceMap map; // of partial files

        @Nullable Fingerprint fingerprint; // of whole files

        long unsyncedBytes;
        long syncedNanos = System.nanoTime();
        boolean syncing;
        boolean settling; // whole, and perhaps not on disk
        boolean closed;

        @Nullable IOException syncFailure;

        Entry(Metainfo metainfo, Path path, FileChannel channel) {
            this.metainfo = metainfo;
            this.path = path;
            this.channel = channel;
        }

        Bitfield pieces() {
            return Bitfield.of(verified, metainfo.pieces().count());
        }

        StoredFile view() {
            return new StoredFile(path, metainfo, pieces());
        }

        void close() throws IOException {
            closed = true;
            channel.close();
            if (map != null) {
                map.close();
            }
        }
    }

    private ShardStore(Path root, Path shards, BlockHasher hasher, FileChannel lockFile) {
        this.root = root;
        this.hasher = hasher;
        this.lockFile = lockFile;
        this.shards = shards;
        partial = root.resolve("partial");
        known = root.resolve("known");
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
        if (!OPEN.add(directory)) {
            throw new IOException(directory + " is in use in this process already. Choose another directory.");
        }
        try {
            FileChannel lockFile = lock(directory);
            try {
                ShardStore store = new ShardStore(directory, shards.toRealPath(), hasher, lockFile);
                store.notes.open();
                store.recover();
                return store;
            } catch (Throwable failure) {
                lockFile.close();
                throw failure;
            }
        } catch (Throwable failure) {
            OPEN.remove(directory);
            throw failure;
        }
    }

    private static FileChannel lock(Path directory) throws IOException {
        FileChannel lockFile = FileChannel.open(
                directory.resolve(".lock"),
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE);
        try {
            if (lockFile.tryLock() == null) {
                throw new IOException(directory + " is in use by another Shoal" + owner(lockFile)
                        + ". Stop it, or choose another directory.");
            }
            lockFile.truncate(0);
            byte[] owner = Long.toString(ProcessHandle.current().pid()).getBytes(StandardCharsets.US_ASCII);
            FileWriter.writeFully(lockFile, ByteBuffer.wrap(owner), 0);
            return lockFile;
        } catch (Throwable failure) {
            lockFile.close();
            throw failure;
        }
    }

    private static String owner(FileChannel lockFile) throws IOException {
        ByteBuffer text = ByteBuffer.allocate(20);
        lockFile.read(text, 0);
        String pid = new String(text.array(), 0, text.position(), StandardCharsets.US_ASCII);
        return pid.matches("[0-9]+") ? " (process " + pid + ")" : "";
    }

    /** The process that has a store's directory open, as text; empty if none has. Does not open it. */
    static String lockedBy(Path directory) throws IOException {
        Path real = directory.toRealPath();
        if (OPEN.contains(real)) {
            return "process " + ProcessHandle.current().pid();
        }
        Path file = real.resolve(".lock");
        if (!Files.exists(file)) {
            return "";
        }
        try (FileChannel lockFile = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
                FileLock lock = lockFile.tryLock()) {
            return lock != null ? "" : "another Shoal" + owner(lockFile);
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

    private boolean isOurs(Entry entry) {
        return entry.map != null || entry.path.startsWith(shards);
    }

    private static long heldBytes(Entry entry) {
        synchronized (entry) {
            return entry.view().heldBytes();
        }
    }

    /** Deletes what was used longest ago until so many bytes more keep to the quota. */
    private void makeRoom(Hash256 piecesRoot, long wantedBytes, String name) throws IOException {
        long quota = quotaBytes;
        if (quota == 0) {
            return;
        }
        long held = 0;
        var candidates = new ArrayList<Entry>();
        for (Entry entry : entries.values()) {
            if (isOurs(entry)) {
                held += heldBytes(entry);
                Hash256 root = entry.metainfo.piecesRoot();
                if (!root.equals(piecesRoot)
                        && !notes.isPinned(root)
                        && notes.users(root).isEmpty()) {
                    candidates.add(entry);
                }
            }
        }
        candidates.sort(Comparator.comparing((Entry entry) -> notes.lastUse(entry.metainfo.piecesRoot()))
                .thenComparing(entry -> entry.metainfo.piecesRoot()));
        long freeable = candidates.stream().mapToLong(ShardStore::heldBytes).sum();
        if (held - freeable + wantedBytes > quota) {
            throw new IOException(String.format(
                    java.util.Locale.ROOT,
                    "%s needs %,d bytes, store.quotaBytes is %,d, and %,d of them are pinned or in use. "
                            + "Raise the quota, or unpin something (shoal ls shows what).",
                    name,
                    wantedBytes,
                    quota,
                    held - freeable));
        }
        for (Entry entry : candidates) {
            if (held + wantedBytes <= quota) {
                return;
            }
            held -= heldBytes(entry);
            remove(entry.metainfo.piecesRoot());
        }
    }

    /** What computes its hashes. */
    public BlockHasher hasher() {
        return hasher;
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
        List<StoredFile> files = new ArrayList<>();
        for (Entry entry : entries.values()) {
            synchronized (entry) {
                files.add(entry.view());
            }
        }
        return files;
    }

    /** The file with this content, whole or partial. */
    public synchronized Optional<StoredFile> find(Hash256 piecesRoot) {
        Entry entry = entries.get(piecesRoot);
        if (entry == null) {
            return Optional.empty();
        }
        synchronized (entry) {
            return Optional.of(entry.view());
        }
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
            for (Entry entry : List.copyOf(entries.values())) {
                if (entry.map == null && entry.path.equals(path)) {
                    if (before.equals(entry.fingerprint)) {
                        return entry.view();
                    }
                    forget(entry);
                }
            }
        }
        return registerWhole(hash(path, before), path, before);
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
        requireUnchanged(path, before);
        return metainfo;
    }

    /** Takes up a file where it lies, all of whose pieces were right when it looked like this. @throws IOException if it has changed */
    StoredFile adoptAs(Metainfo metainfo, Path path, Fingerprint verified) throws IOException {
        requireUnchanged(path, verified);
        return registerWhole(metainfo, path, verified);
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
    public Bitfield verify(Path file, Metainfo metainfo) throws IOException {
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

    // -------------------------------------------------------------------------------------------- downloading

    /**
     * Makes ready to write pieces of a file, or finds what is there of it already, perhaps under another name and with
     * another piece length: go on with what is returned.
     *
     * @param wantedBytes how much of it will be written: so much must be free
     * @throws IOException if the disk has not the room
     */
    public synchronized StoredFile begin(Metainfo metainfo, long wantedBytes) throws IOException {
        Entry entry = entries.get(metainfo.piecesRoot());
        if (entry == null || entry.map != null) {
            makeRoom(metainfo.piecesRoot(), wantedBytes, metainfo.name());
            FileWriter.requireSpace(partial, wantedBytes, metainfo.name());
        }
        if (entry == null) {
            requireName(metainfo.name());
            FileWriter.writeAtomically(
                    partialFile(metainfo.piecesRoot(), "meta"), ByteBuffer.wrap(metainfo.toTorrent()), true);
            entry = openPartial(metainfo);
        }
        infoHashes.put(metainfo.infoHash(), metainfo.piecesRoot());
        notes.touch(metainfo.piecesRoot());
        synchronized (entry) {
            return entry.view();
        }
    }

    /** {@link #begin(Metainfo, long)} for the whole file. */
    public StoredFile begin(Metainfo metainfo) throws IOException {
        long held = find(metainfo.piecesRoot())
                .map(file -> (long) file.verified().count() * metainfo.pieceLength())
                .orElse(0L);
        return begin(metainfo, Math.max(0, metainfo.length() - held));
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
        Entry entry = entry(piecesRoot);
        Metainfo metainfo = entry.metainfo;
        BitSet right = right(metainfo, pieces, data);
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
            if (entry.syncFailure != null) {
                throw entry.syncFailure;
            }
            if (entry.syncing || System.nanoTime() - entry.syncedNanos < SYNC_EVERY_NANOS) {
                return right;
            }
            entry.syncing = true;
            entry.unsyncedBytes = 0;
        }
        Thread.ofPlatform().daemon().name("store-sync").start(() -> syncWhileOthersWrite(entry));
        return right;
    }

    /** Which pieces, by index in pieces, have the size and the hash that they must have. */
    private BitSet right(Metainfo metainfo, int[] pieces, List<ByteBuffer> data) {
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

    /**
     * Moves a file whose pieces are all written to its final place, durably; another file of that name is replaced. A file that
     * was whole before stays. Those who read it meanwhile are not disturbed.
     *
     * @throws IllegalStateException if pieces are missing
     */
    public StoredFile finish(Hash256 piecesRoot) throws IOException {
        return finish(piecesRoot, shards.resolve(entry(piecesRoot).metainfo.name()));
    }

    /**
     * {@link #finish} if all pieces are here, but without waiting for the disk: that the file is known as whole is noted once it has
     * been forced there, soon or when the store is closed. A crash before costs a hash of the file. Of a part, what is here is forced
     * to disk and stays where it is.
     */
    public synchronized StoredFile settle(Hash256 piecesRoot) throws IOException {
        Entry entry = entry(piecesRoot);
        synchronized (entry) {
            if (entry.map == null || entry.pieces().isFull()) {
                return finish(piecesRoot, shards.resolve(entry.metainfo.name()), false);
            }
            sync(entry);
            return entry.view();
        }
    }

    /** The same, with a place of the caller's choice; on another file system it is copied there, and appears whole. */
    public StoredFile finish(Hash256 piecesRoot, Path target) throws IOException {
        return finish(piecesRoot, target, true);
    }

    private synchronized StoredFile finish(Hash256 piecesRoot, Path target, boolean durably) throws IOException {
        Entry entry = entry(piecesRoot);
        synchronized (entry) {
            if (entry.map == null) {
                return entry.view();
            }
            if (!entry.pieces().isFull()) {
                throw new IllegalStateException(entry.metainfo.name() + " has only " + entry.pieces());
            }
            if (durably) {
                sync(entry);
            }
            forgetAllAt(target);
            FileWriter.moveOrCopy(entry.path, target);
            entry.map.close();
            entry.map = null;
            entry.path = target.toRealPath();
            entry.fingerprint = Fingerprint.of(target);
            if (durably) {
                FileWriter.syncDirectory(FileWriter.directoryOf(target));
                remember(entry.metainfo, target, entry.fingerprint);
            }
            deletePartial(piecesRoot);
            if (!durably) {
                entry.settling = true;
                Thread.ofPlatform().daemon().name("store-settle").start(() -> settleLater(entry));
            }
            return entry.view();
        }
    }

    private void settleLater(Entry entry) {
        try {
            Thread.sleep(SETTLE_MILLIS);
            forceToDisk(entry);
        } catch (IOException unproven) {
            // not noted as known: the next start hashes it
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    /** Does nothing for a file that was moved away, or changed since. */
    private void forceToDisk(Entry entry) throws IOException {
        Fingerprint whole;
        Path path;
        synchronized (entry) {
            whole = entry.fingerprint;
            path = entry.path;
            if (!entry.settling || entry.closed || whole == null) {
                return;
            }
            entry.settling = false;
        }
        if (Files.exists(path) && Fingerprint.of(path).equals(whole)) {
            entry.channel.force(true);
            FileWriter.syncDirectory(FileWriter.directoryOf(path));
            remember(entry.metainfo, path, whole);
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
        Entry entry = unchanged(piecesRoot);
        synchronized (entry) {
            long size = requireReadable(entry, firstBlock, blockCount);
            MemorySegment mapping = entry.mapping;
            if (mapping == null) {
                mapping = entry.channel.map(FileChannel.MapMode.READ_ONLY, 0, entry.metainfo.length(), Arena.ofAuto());
                entry.mapping = mapping;
            }
            return mapping.asSlice(firstBlock * Pieces.BLOCK_SIZE, size);
        }
    }

    /** @throws IOException if the file is not here, or has changed since it was verified: then it is forgotten */
    public void requireUnchanged(Hash256 piecesRoot) throws IOException {
        notes.touch(unchanged(piecesRoot).metainfo.piecesRoot());
    }

    /** Copies verified blocks into the caller's buffer, which must have room. @throws IOException as above */
    public void read(Hash256 piecesRoot, long firstBlock, int blockCount, ByteBuffer target) throws IOException {
        Entry entry = unchanged(piecesRoot);
        notes.touch(piecesRoot);
        ByteBuffer part;
        FileChannel channel;
        synchronized (entry) {
            int size = (int) requireReadable(entry, firstBlock, blockCount);
            part = target.slice(target.position(), size);
            target.position(target.position() + size);
            channel = entry.channel;
        }
        FileWriter.readFully(channel, part, firstBlock * Pieces.BLOCK_SIZE, entry.path);
    }

    private long requireReadable(Entry entry, long firstBlock, int blockCount) throws IOException {
        Pieces pieces = entry.metainfo.pieces();
        if (firstBlock < 0 || blockCount < 1 || firstBlock > pieces.blockCount() - blockCount) {
            throw new IOException("blocks " + firstBlock + " to " + (firstBlock + blockCount - 1) + " of "
                    + entry.metainfo.name() + ", which has " + pieces.blockCount());
        }
        int last = pieces.pieceOfBlock(firstBlock + blockCount - 1);
        int missing = entry.verified.nextClearBit(pieces.pieceOfBlock(firstBlock));
        if (missing <= last) {
            throw new IOException("piece " + missing + " of " + entry.metainfo.name() + " is not here");
        }
        return Math.min(entry.metainfo.length(), (firstBlock + blockCount) * Pieces.BLOCK_SIZE)
                - firstBlock * Pieces.BLOCK_SIZE;
    }

    // ------------------------------------------------------------------------------------------- writing anew

    /** Writes a file under {@link #shardsDirectory}: see {@link #write(Path, FileLayout, List)}. */
    public StoredFile write(String name, FileLayout layout, List<Path> sources) throws IOException {
        requireName(name);
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
        Path directory = place.getParent();
        Path fileName = place.getFileName();
        if (directory == null || fileName == null || layout.size() == 0) {
            throw new IOException(target + " is no place for a file of " + layout.size() + " bytes");
        }
        Files.createDirectories(directory);
        FileWriter.requireSpace(directory, layout.size(), fileName.toString());
        Path temporary = directory.resolve("."
                + Hash256.sha256(place.toString().getBytes(StandardCharsets.UTF_8))
                        .toShortHex() + "-" + ProcessHandle.current().pid() + "-" + nextTemporary() + ".tmp");
        List<FileChannel> channels = new ArrayList<>();
        try {
            for (Path source : sources) {
                channels.add(FileChannel.open(source, StandardOpenOption.READ));
            }
            Metainfo metainfo;
            try (FileChannel out =
                    FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                metainfo = named(fileName.toString(), copy(layout, channels, sources, out));
                out.force(true);
            }
            synchronized (this) {
                forgetAllAt(place);
                FileWriter.moveInPlace(temporary, place);
            }
            FileWriter.syncDirectory(directory);
            Path real = place.toRealPath();
            registerWhole(metainfo, real, null);
            return new StoredFile(real, metainfo, Bitfield.all(metainfo.pieces().count()));
        } finally {
            Files.deleteIfExists(temporary);
            for (FileChannel channel : channels) {
                channel.close();
            }
        }
    }

    private synchronized long nextTemporary() {
        return temporaryCount++;
    }

    private MerkleTree.Result copy(FileLayout layout, List<FileChannel> channels, List<Path> sources, FileChannel out)
            throws IOException {
        MerkleTree tree = new MerkleTree(Pieces.of(layout.size()));
        ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES);
        int next = 0; // the first range that does not end before the buffer
        for (long at = 0; at < layout.size(); at += BUFFER_BYTES) {
            long end = Math.min(layout.size(), at + BUFFER_BYTES);
            buffer.clear();
            while (at + buffer.position() < end) {
                long position = at + buffer.position();
                CopyRange range =
                        next < layout.ranges().size() ? layout.ranges().get(next) : null;
                if (position < layout.header().length) {
                    int count = (int) (Math.min(end, layout.header().length) - position);
                    buffer.put(layout.header(), (int) position, count);
                } else if (range != null && range.targetEnd() <= position) {
                    next++;
                } else if (range != null && range.targetOffset() <= position) {
                    int count = (int) (Math.min(end, range.targetEnd()) - position);
                    ByteBuffer part = buffer.slice(buffer.position(), count);
                    int source = range.sourceFile();
                    FileWriter.readFully(
                            channels.get(source),
                            part,
                            range.sourceOffset() + position - range.targetOffset(),
                            sources.get(source));
                    buffer.position(buffer.position() + count);
                } else {
                    long stop = Math.min(end, range == null ? end : range.targetOffset());
                    while (at + buffer.position() < stop) {
                        buffer.put((byte) 0);
                    }
                }
            }
            buffer.flip();
            FileWriter.writeFully(out, buffer, at);
            tree.add(buffer.flip(), hasher);
        }
        return tree.finish();
    }

    // --------------------------------------------------------------------------------------------- going away

    /** Deletes a file of this store, and forgets one that lies elsewhere. Mapped slices stay valid. Says if it was here. */
    public synchronized boolean remove(Hash256 piecesRoot) throws IOException {
        Entry entry = entries.get(piecesRoot);
        if (entry == null) {
            return false;
        }
        StoredFile view;
        synchronized (entry) {
            view = entry.view();
        }
        forget(entry);
        notes.forget(piecesRoot);
        if (entry.map != null) {
            deletePartial(piecesRoot);
        } else if (entry.path.startsWith(shards)) {
            Files.deleteIfExists(entry.path);
        }
        removalListeners.forEach(listener -> listener.accept(view));
        return true;
    }

    /** Lets go of whole files that are gone, or are not what they were when they were hashed. Reads none of them. */
    public synchronized void sweep() throws IOException {
        for (Entry entry : List.copyOf(entries.values())) {
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
        for (Entry entry : entries.values()) {
            synchronized (entry) {
                if (entry.map != null) {
                    sync(entry);
                }
                forceToDisk(entry);
                entry.close();
            }
        }
        entries.clear();
        infoHashes.clear();
        lockFile.close();
        OPEN.remove(root);
    }

    // ----------------------------------------------------------------------------------------------- inside

    private synchronized Entry entry(Hash256 piecesRoot) throws IOException {
        Entry entry = entries.get(piecesRoot);
        if (entry == null) {
            throw new IOException("no file with pieces root " + piecesRoot.toShortHex() + " is in " + root);
        }
        return entry;
    }

    /** The entry, unless its file has changed: that is forgotten, and an exception. */
    private Entry unchanged(Hash256 piecesRoot) throws IOException {
        Entry entry = entry(piecesRoot);
        Path path;
        Fingerprint fingerprint;
        synchronized (entry) {
            path = entry.path;
            fingerprint = entry.fingerprint;
        }
        if (fingerprint != null) {
            try {
                requireUnchanged(path, fingerprint);
            } catch (IOException changed) {
                forget(entry);
                throw changed;
            }
        }
        return entry;
    }

    private static void requireUnchanged(Path path, Fingerprint before) throws IOException {
        if (!Fingerprint.of(path).equals(before)) {
            throw new IOException(path + " has changed since it was hashed. It is hashed anew when it is whole.");
        }
    }

    /** A name from outside becomes a file name: no separators and the like, not hidden. */
    static String requireName(String name) {
        Metainfo.checkName(name);
        if (name.startsWith(".")) {
            throw new MalformedException("'" + name + "' is no name for a shard; it begins with a dot");
        }
        return name;
    }

    private static Metainfo named(String name, MerkleTree.Result tree) throws IOException {
        try {
            return Metainfo.of(name, tree);
        } catch (MalformedException badName) {
            throw new IOException(badName.getMessage() + ". Rename the file.", badName);
        }
    }

    private boolean isRight(FileChannel channel, Path file, Metainfo metainfo, int piece, ByteBuffer buffer)
            throws IOException {
        buffer.clear().limit(metainfo.pieces().sizeOf(piece));
        FileWriter.readFully(channel, buffer, metainfo.pieces().offsetOf(piece), file);
        return isRight(metainfo, piece, buffer.flip());
    }

    private boolean isRight(Metainfo metainfo, int piece, ByteBuffer data) {
        byte[] leaves = new byte[Hash256.SIZE_BYTES * metainfo.pieces().blockCountOf(piece)];
        hasher.hash(data, leaves, 0);
        return metainfo.isPiece(piece, leaves);
    }

    private Path partialFile(Hash256 piecesRoot, String kind) {
        return partial.resolve(piecesRoot.toHex() + "." + kind);
    }

    private void deletePartial(Hash256 piecesRoot) throws IOException {
        for (String kind : List.of("data", "map", "log", "meta")) { // meta last: without it the others are rubbish
            Files.deleteIfExists(partialFile(piecesRoot, kind));
        }
    }

    /** Forces to disk what is written by now; what is written meanwhile is noted again, as the log begins anew. */
    private static void syncWhileOthersWrite(Entry entry) {
        Bitfield written;
        synchronized (entry) {
            written = entry.pieces();
        }
        IOException failure = null;
        try {
            entry.channel.force(false);
        } catch (IOException broken) {
            failure = broken;
        }
        synchronized (entry) {
            entry.syncing = false;
            entry.syncedNanos = System.nanoTime();
            PieceMap map = entry.map;
            if (map == null || entry.closed) {
                return; // it has become whole meanwhile, or is gone
            }
            try {
                if (failure == null) {
                    map.prove(written, entry.pieces().minus(written));
                }
            } catch (IOException broken) {
                failure = broken;
            }
            entry.syncFailure = failure;
        }
    }

    private static void sync(Entry entry) throws IOException {
        PieceMap map = entry.map;
        if (map != null && entry.unsyncedBytes > 0) {
            entry.channel.force(false);
            map.prove(entry.pieces(), Bitfield.none(entry.metainfo.pieces().count()));
            entry.unsyncedBytes = 0;
        }
    }

    /** What lies there is about to be replaced. */
    private synchronized void forgetAllAt(Path target) throws IOException {
        for (Entry entry : List.copyOf(entries.values())) {
            if (entry.path.equals(target)) {
                forget(entry);
            }
        }
    }

    private synchronized void forget(Entry entry) throws IOException {
        entries.remove(entry.metainfo.piecesRoot());
        infoHashes.values().removeIf(entry.metainfo.piecesRoot()::equals);
        Files.deleteIfExists(knownFile(entry.metainfo.piecesRoot()));
        synchronized (entry) {
            entry.close();
        }
    }

    private synchronized void put(Entry entry) throws IOException {
        Entry old = entries.put(entry.metainfo.piecesRoot(), entry);
        if (old != null) {
            old.close();
        }
        infoHashes.put(entry.metainfo.infoHash(), entry.metainfo.piecesRoot());
    }

    private synchronized StoredFile registerWhole(Metainfo metainfo, Path path, @Nullable Fingerprint hashed)
            throws IOException {
        Entry there = entries.get(metainfo.piecesRoot());
        if (there != null && there.map == null && Files.exists(there.path) && there.path.startsWith(shards)) {
            infoHashes.put(metainfo.infoHash(), metainfo.piecesRoot());
            return there.view(); // the same bytes under two names are one file
        }
        Entry entry = new Entry(metainfo, path, FileChannel.open(path, StandardOpenOption.READ));
        entry.verified.set(0, metainfo.pieces().count());
        entry.fingerprint = hashed != null ? hashed : Fingerprint.of(path);
        put(entry);
        if (there != null && there.map != null) {
            deletePartial(metainfo.piecesRoot());
        }
        remember(entry.metainfo, path, entry.fingerprint);
        return entry.view();
    }

    private Path knownFile(Hash256 piecesRoot) {
        return known.resolve(piecesRoot.toHex() + ".known");
    }

    private void remember(Metainfo metainfo, Path path, Fingerprint fingerprint) throws IOException {
        FileWriter.writeAtomically(
                knownFile(metainfo.piecesRoot()), new KnownFile(path, fingerprint, metainfo).toBytes(), false);
    }

    /** Takes up what is on disk. What is torn, changed or gone is forgotten: it costs a hash, never a wrong byte. */
    private void recover() throws IOException {
        for (Path directory : List.of(shards, partial, known)) {
            for (Path file : files(directory, "tmp")) {
                Files.deleteIfExists(file);
            }
        }
        for (Path file : files(known, "known")) {
            if (!recall(file)) {
                Files.deleteIfExists(file);
            }
        }
        for (Path file : files(partial, "meta")) {
            Metainfo metainfo = null;
            try {
                metainfo = Metainfo.parse(Files.readAllBytes(file));
                requireName(metainfo.name());
            } catch (MalformedException torn) {
                metainfo = null;
            }
            if (metainfo == null || !file.equals(partialFile(metainfo.piecesRoot(), "meta"))) {
                Files.deleteIfExists(file);
            } else if (entries.containsKey(metainfo.piecesRoot())
                    || !Files.exists(partialFile(metainfo.piecesRoot(), "data"))) {
                deletePartial(metainfo.piecesRoot()); // it became whole, or had not begun, when the process died
            } else {
                openPartial(metainfo);
            }
        }
    }

    private static List<Path> files(Path directory, String ending) throws IOException {
        try (Stream<Path> all = Files.list(directory)) {
            return all.filter(file -> file.toString().endsWith("." + ending))
                    .sorted()
                    .toList();
        }
    }

    private boolean recall(Path file) throws IOException {
        KnownFile then = KnownFile.read(file);
        if (then == null || !then.isUnchanged()) {
            return false;
        }
        Entry entry = new Entry(then.metainfo(), then.path(), FileChannel.open(then.path(), StandardOpenOption.READ));
        entry.verified.set(0, then.metainfo().pieces().count());
        entry.fingerprint = then.fingerprint();
        put(entry);
        return true;
    }

    private Entry openPartial(Metainfo metainfo) throws IOException {
        Hash256 piecesRoot = metainfo.piecesRoot();
        Path data = partialFile(piecesRoot, "data");
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
                Files.deleteIfExists(partialFile(piecesRoot, "map"));
                Files.deleteIfExists(partialFile(piecesRoot, "log"));
            }
            Entry entry = new Entry(metainfo, data, channel);
            PieceMap map = new PieceMap(
                    data,
                    partialFile(piecesRoot, "map"),
                    partialFile(piecesRoot, "log"),
                    piecesRoot,
                    metainfo.pieces().count());
            entry.map = map;
            PieceMap.Found found = map.read();
            entry.verified.or(found.proven().toBitSet());
            ByteBuffer buffer = ByteBuffer.allocateDirect(metainfo.pieces().sizeOf(0));
            for (int piece = found.likely().nextSet(0);
                    piece >= 0;
                    piece = found.likely().nextSet(piece + 1)) {
                if (isRight(channel, data, metainfo, piece, buffer)) {
                    entry.verified.set(piece);
                    entry.unsyncedBytes += metainfo.pieces().sizeOf(piece);
                }
            }
            sync(entry);
            put(entry);
            return entry;
        } catch (Throwable failure) {
            channel.close();
            throw failure;
        }
    }
}
