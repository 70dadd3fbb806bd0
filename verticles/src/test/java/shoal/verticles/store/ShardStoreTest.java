package shoal.verticles.store;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.gguf.CopyRange;
import shoal.codec.gguf.FileLayout;
import shoal.codec.metainfo.BlockHasher;
import shoal.codec.metainfo.MerkleTree;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;

class ShardStoreTest {
    private static final int PIECE = 65_536;

    @TempDir
    Path directory;

    private final List<ShardStore> opened = new ArrayList<>();

    /** Counts what is hashed. */
    private static final class CountingHasher implements BlockHasher {
        final AtomicLong bytes = new AtomicLong();

        @Override
        public int hash(ByteBuffer data, byte[] hashes, int offset) {
            bytes.addAndGet(data.remaining());
            return BlockHasher.plain().hash(data, hashes, offset);
        }

        @Override
        public String name() {
            return "counting";
        }
    }

    private final CountingHasher hasher = new CountingHasher();

    private ShardStore open(Path root) throws IOException {
        ShardStore store = ShardStore.open(root, hasher);
        opened.add(store);
        return store;
    }

    private ShardStore open() throws IOException {
        return open(directory.resolve("cache"));
    }

    @AfterEach
    void close() throws IOException {
        for (ShardStore store : opened) {
            store.close();
        }
    }

    private static byte[] randomBytes(int size) {
        byte[] bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        return bytes;
    }

    private static Metainfo metainfo(String name, byte[] bytes) {
        MerkleTree tree = new MerkleTree(Pieces.of(bytes.length));
        tree.add(ByteBuffer.wrap(bytes), BlockHasher.plain());
        return Metainfo.of(name, tree.finish());
    }

    private static ByteBuffer piece(byte[] bytes, int piece) {
        return ByteBuffer.wrap(bytes, piece * PIECE, Math.min(PIECE, bytes.length - piece * PIECE));
    }

    /** What kill -9 leaves: all that was handed to the system, nothing that was in the process. */
    private static void copyTree(Path from, Path to) throws IOException {
        try (Stream<Path> all = Files.walk(from)) {
            for (Path path : all.toList()) {
                Path target = to.resolve(from.relativize(path));
                if (Files.isDirectory(path)) {
                    Files.createDirectories(target);
                } else {
                    Files.copy(path, target);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 1_048_577})
    void downloadsPieceByPieceAndNamesTheFileAtTheEnd(int size) throws IOException {
        byte[] bytes = randomBytes(size);
        Metainfo metainfo = metainfo("shard-1.gguf", bytes);
        ShardStore store = open();
        assertEquals(0, store.begin(metainfo).verified().count());
        for (int p = metainfo.pieces().count() - 1; p >= 0; p--) {
            assertFalse(Files.exists(store.shardsDirectory().resolve("shard-1.gguf")));
            assertTrue(store.write(metainfo.piecesRoot(), p, piece(bytes, p)));
        }
        StoredFile file = store.finish(metainfo.piecesRoot());
        assertTrue(file.isWhole());
        assertEquals(store.shardsDirectory().resolve("shard-1.gguf"), file.path());
        assertArrayEquals(bytes, Files.readAllBytes(file.path()));
        assertEquals(file, store.find(metainfo.infoHash()).orElseThrow());
        try (Stream<Path> left = Files.list(directory.resolve("cache/partial"))) {
            assertEquals(List.of(), left.toList());
        }
    }

    @Test
    void writesNoWrongPiece() throws IOException {
        byte[] bytes = randomBytes(3 * PIECE + 5);
        Metainfo metainfo = metainfo("a.gguf", bytes);
        ShardStore store = open();
        store.begin(metainfo);
        ByteBuffer wrong = ByteBuffer.allocate(PIECE).put(piece(bytes, 1)).flip();
        wrong.put(100, (byte) (wrong.get(100) + 1));
        assertFalse(store.write(metainfo.piecesRoot(), 1, wrong));
        assertFalse(store.write(metainfo.piecesRoot(), 3, piece(bytes, 1)));
        assertEquals(
                "....",
                store.find(metainfo.piecesRoot()).orElseThrow().verified().picture());
        assertThrows(IllegalStateException.class, () -> store.finish(metainfo.piecesRoot()));
    }

    @Test
    void resumesAfterAKillWithEveryPieceThatWasWritten() throws IOException {
        byte[] bytes = randomBytes(8 * PIECE + 5);
        Metainfo metainfo = metainfo("a.gguf", bytes);
        ShardStore store = open();
        store.begin(metainfo);
        for (int p : new int[] {0, 3, 8}) {
            store.write(metainfo.piecesRoot(), p, piece(bytes, p));
        }
        Path copy = directory.resolve("killed");
        copyTree(directory.resolve("cache"), copy);
        assertEquals(
                "#..#....#",
                open(copy).find(metainfo.piecesRoot()).orElseThrow().verified().picture());
    }

    @Test
    void trustsNoPieceOfTheLogWithoutLooking() throws IOException {
        byte[] bytes = randomBytes(8 * PIECE);
        Metainfo metainfo = metainfo("a.gguf", bytes);
        ShardStore store = open();
        store.begin(metainfo);
        for (int p : new int[] {0, 3, 5}) {
            store.write(metainfo.piecesRoot(), p, piece(bytes, p));
        }
        Path copy = directory.resolve("power-cut"); // the log reached the disk, a piece's data did not
        copyTree(directory.resolve("cache"), copy);
        String name = metainfo.piecesRoot().toHex();
        try (FileChannel data = FileChannel.open(copy.resolve("partial/" + name + ".data"), StandardOpenOption.WRITE)) {
            data.write(ByteBuffer.allocate(10), 3L * PIECE + 77);
        }
        Files.write( // and the log ends in a torn entry and one out of range
                copy.resolve("partial/" + name + ".log"), new byte[] {0x7f, 0, 0, 0, 0, 0}, StandardOpenOption.APPEND);
        assertEquals(
                "#....#..",
                open(copy).find(metainfo.piecesRoot()).orElseThrow().verified().picture());
    }

    @Test
    void aTornMapClaimsNothing() throws IOException {
        byte[] bytes = randomBytes(8 * PIECE);
        Metainfo metainfo = metainfo("a.gguf", bytes);
        ShardStore store = open();
        store.begin(metainfo);
        store.write(metainfo.piecesRoot(), 2, piece(bytes, 2));
        store.close();
        Path map = directory.resolve("cache/partial/" + metainfo.piecesRoot().toHex() + ".map");
        byte[] whole = Files.readAllBytes(map);
        assertEquals(
                "..#.....",
                open().find(metainfo.piecesRoot()).orElseThrow().verified().picture());
        close();
        for (int i = 0; i < whole.length; i++) {
            byte[] torn = whole.clone();
            torn[i] ^= 0x10;
            Files.write(map, torn);
            try (ShardStore again = ShardStore.open(directory.resolve("cache"), hasher)) {
                assertEquals(
                        "........",
                        again.find(metainfo.piecesRoot())
                                .orElseThrow()
                                .verified()
                                .picture());
            }
            Files.write(map, Arrays.copyOf(whole, i));
            try (ShardStore again = ShardStore.open(directory.resolve("cache"), hasher)) {
                assertEquals(
                        "........",
                        again.find(metainfo.piecesRoot())
                                .orElseThrow()
                                .verified()
                                .picture());
            }
        }
    }

    @Test
    void provenPiecesAreNotHashedAgain() throws IOException {
        byte[] bytes = randomBytes(8 * PIECE);
        Metainfo metainfo = metainfo("a.gguf", bytes);
        ShardStore store = open();
        store.begin(metainfo);
        store.write(metainfo.piecesRoot(), 2, piece(bytes, 2));
        store.close();
        hasher.bytes.set(0);
        assertEquals(
                1, open().find(metainfo.piecesRoot()).orElseThrow().verified().count());
        assertEquals(0, hasher.bytes.get());
    }

    @Test
    void hashesAFileOnceAndAgainWhenItHasChanged() throws IOException {
        byte[] bytes = randomBytes(5 * PIECE + 1);
        Path file = directory.resolve("model.gguf");
        Files.write(file, bytes);
        ShardStore store = open();
        StoredFile first = store.adopt(file);
        assertEquals(metainfo("model.gguf", bytes), first.metainfo());
        assertTrue(first.isWhole());
        assertEquals(bytes.length, hasher.bytes.get());
        store.close();
        assertEquals(first, open().adopt(file));
        assertEquals(bytes.length, hasher.bytes.get(), "hashed again, though unchanged");
        bytes[7]++;
        Files.write(file, bytes);
        StoredFile second = opened.getLast().adopt(file);
        assertEquals(metainfo("model.gguf", bytes), second.metainfo());
        assertTrue(opened.getLast().find(first.piecesRoot()).isEmpty(), "the old content is still claimed");
    }

    @Test
    void noticesOnRestartThatAFileHasChanged() throws IOException {
        byte[] bytes = randomBytes(5 * PIECE + 1);
        Path file = directory.resolve("model.gguf");
        Files.write(file, bytes);
        ShardStore store = open();
        StoredFile first = store.adopt(file);
        store.close();
        Files.write(file, randomBytes(5 * PIECE));
        assertTrue(open().find(first.piecesRoot()).isEmpty());
    }

    @Test
    void refusesToReadAFileThatHasChanged() throws IOException {
        Path file = directory.resolve("model.gguf");
        Files.write(file, randomBytes(5 * PIECE));
        ShardStore store = open();
        Hash256 piecesRoot = store.adopt(file).piecesRoot();
        Files.write(file, randomBytes(4 * PIECE));
        IOException changed = assertThrows(IOException.class, () -> store.read(piecesRoot, 0, 1));
        assertTrue(changed.getMessage().contains("has changed"), changed.getMessage());
        assertTrue(store.find(piecesRoot).isEmpty());
    }

    @Test
    void readsVerifiedBlocksMappedAndCopied() throws IOException {
        byte[] bytes = randomBytes(3 * PIECE + 20_000);
        Metainfo metainfo = metainfo("a.gguf", bytes);
        ShardStore store = open();
        store.begin(metainfo);
        store.write(metainfo.piecesRoot(), 3, piece(bytes, 3));
        store.write(metainfo.piecesRoot(), 1, piece(bytes, 1));
        MemorySegment end = store.read(metainfo.piecesRoot(), 12, 2);
        assertArrayEquals(Arrays.copyOfRange(bytes, 3 * PIECE, bytes.length), end.toArray(ValueLayout.JAVA_BYTE));
        ByteBuffer copy = ByteBuffer.allocate(40_000);
        store.read(metainfo.piecesRoot(), 5, 2, copy);
        assertEquals(ByteBuffer.wrap(bytes, 5 * 16_384, 32_768), copy.flip());
        for (int p : new int[] {0, 2}) {
            assertThrows(IOException.class, () -> store.read(metainfo.piecesRoot(), 3, 6));
            store.write(metainfo.piecesRoot(), p, piece(bytes, p));
        }
        assertThrows(IOException.class, () -> store.read(metainfo.piecesRoot(), 13, 2));
        assertThrows(IOException.class, () -> store.read(metainfo.piecesRoot(), -1, 2));
        store.finish(metainfo.piecesRoot());
        assertArrayEquals(bytes, store.read(metainfo.piecesRoot(), 0, 14).toArray(ValueLayout.JAVA_BYTE));
        assertTrue(store.remove(metainfo.piecesRoot()));
        assertEquals(bytes[bytes.length - 1], end.get(ValueLayout.JAVA_BYTE, end.byteSize() - 1));
        assertFalse(Files.exists(store.shardsDirectory().resolve("a.gguf")));
    }

    @Test
    void findsTheCorruptPieceOfAFile() throws IOException {
        byte[] bytes = randomBytes(5 * PIECE + 1);
        Metainfo metainfo = metainfo("a.gguf", bytes);
        byte[] corrupt = bytes.clone();
        corrupt[3 * PIECE - 1] ^= 1;
        Path file = directory.resolve("b.gguf");
        Files.write(file, corrupt);
        assertEquals("##.###", open().verify(file, metainfo).picture());
        Files.write(file, Arrays.copyOf(bytes, 4 * PIECE));
        assertEquals("####..", opened.getLast().verify(file, metainfo).picture());
    }

    @Test
    void writesFromAPlanInOnePass() throws IOException {
        Random random = new Random(5);
        byte[] source = randomBytes(3_000_000);
        Path from = directory.resolve("source.gguf");
        Files.write(from, source);
        byte[] header = randomBytes(1_100_000);
        List<CopyRange> ranges = new ArrayList<>();
        long at = header.length + 32;
        for (int i = 0; i < 20; i++) {
            int size = 1 + random.nextInt(200_000);
            ranges.add(new CopyRange(0, random.nextInt(source.length - size), size, at));
            at += size + (i % 3) * 31;
        }
        byte[] expected = new byte[(int) at + 7];
        System.arraycopy(header, 0, expected, 0, header.length);
        for (CopyRange range : ranges) {
            System.arraycopy(
                    source, (int) range.sourceOffset(), expected, (int) range.targetOffset(), (int) range.size());
        }
        ShardStore store = open();
        StoredFile file = store.write("shard-2.gguf", new FileLayout(header, ranges, expected.length), List.of(from));
        assertArrayEquals(expected, Files.readAllBytes(file.path()));
        assertEquals(metainfo("shard-2.gguf", expected), file.metainfo());
        assertEquals(expected.length, hasher.bytes.get());
        assertEquals(file, store.adopt(file.path()));
        assertEquals(expected.length, hasher.bytes.get());
    }

    @Test
    void leavesNothingHalfWritten() throws IOException {
        Path from = directory.resolve("source.gguf");
        Files.write(from, randomBytes(1000));
        ShardStore store = open();
        FileLayout tooLong = new FileLayout(new byte[10], List.of(new CopyRange(0, 0, 1001, 10)), 2000);
        IOException ends = assertThrows(IOException.class, () -> store.write("a.gguf", tooLong, List.of(from)));
        assertTrue(ends.getMessage().contains("ends at byte 1,000"), ends.getMessage());
        FileLayout huge = new FileLayout(new byte[10], List.of(), 1L << 43);
        IOException full = assertThrows(IOException.class, () -> store.write("a.gguf", huge, List.of()));
        assertTrue(full.getMessage().contains("needs 8,796,093,022,208 bytes"), full.getMessage());
        try (Stream<Path> left = Files.list(store.shardsDirectory())) {
            assertEquals(List.of(), left.toList());
        }
    }

    @Test
    void saysBeforeADownloadThatTheDiskIsTooSmall() throws IOException {
        Metainfo metainfo = metainfo("a.gguf", randomBytes(PIECE));
        ShardStore store = open();
        IOException full = assertThrows(IOException.class, () -> store.begin(metainfo, 1L << 60));
        assertTrue(
                full.getMessage().matches("a.gguf needs [0-9,]+ bytes in .*, which has [0-9,]+ free.*"),
                full::getMessage);
        assertTrue(store.list().isEmpty());
    }

    @Test
    void scansADirectoryAndTellsWhatItCannotTake() throws IOException {
        Path models = Files.createDirectory(directory.resolve("models"));
        Files.write(models.resolve("b.gguf"), randomBytes(100));
        Files.write(models.resolve("a.gguf"), randomBytes(PIECE + 1));
        Files.write(models.resolve("empty.gguf"), new byte[0]);
        Files.write(models.resolve("notes.txt"), randomBytes(5));
        Files.createDirectory(models.resolve("directory.gguf"));
        List<Path> problems = new ArrayList<>();
        List<StoredFile> found = open().scan(models, (path, _) -> problems.add(path));
        assertEquals(
                List.of("a.gguf", "b.gguf"),
                found.stream().map(file -> file.metainfo().name()).toList());
        assertEquals(List.of(models.resolve("empty.gguf")), problems);
    }

    @Test
    void refusesADirectoryThatIsInUse() throws IOException {
        open();
        IOException inUse = assertThrows(IOException.class, this::open);
        assertTrue(inUse.getMessage().contains("in use"), inUse.getMessage());
    }

    private Metainfo stored(ShardStore store, String name, int size) throws IOException {
        byte[] bytes = randomBytes(size);
        Metainfo metainfo = metainfo(name, bytes);
        store.begin(metainfo);
        for (int p = 0; p < metainfo.pieces().count(); p++) {
            store.write(metainfo.piecesRoot(), p, piece(bytes, p));
        }
        store.finish(metainfo.piecesRoot());
        return metainfo;
    }

    /** When a file was last used is the time of its note: tests set it, rather than wait. */
    private void usedAt(Metainfo file, long second) throws IOException {
        Path note = directory.resolve("cache/used/" + file.piecesRoot().toHex());
        Files.createDirectories(note.getParent());
        Files.write(note, new byte[0]);
        Files.setLastModifiedTime(note, FileTime.from(second, TimeUnit.SECONDS));
    }

    @Test
    void evictsWhatWasUsedLongestAgoAndNeverWhatIsPinnedOrInUse() throws IOException {
        ShardStore store = open();
        var removed = new ArrayList<String>();
        store.onRemoved(file -> removed.add(file.metainfo().name()));
        Metainfo pinned = stored(store, "pinned.gguf", 3 * PIECE);
        Metainfo used = stored(store, "used.gguf", 3 * PIECE + 1);
        Metainfo old = stored(store, "old.gguf", 3 * PIECE + 2);
        Metainfo older = stored(store, "older.gguf", 3 * PIECE + 3);
        usedAt(pinned, 1);
        usedAt(older, 3);
        usedAt(old, 4);
        store.hold(used.piecesRoot(), "layers 0-3");
        usedAt(used, 2);
        StoreCatalog catalog = StoreCatalog.open(directory.resolve("cache"), store.shardsDirectory());
        catalog.pin(catalog.find("pinned.gguf"), true);
        store.limit(13 * PIECE);

        stored(store, "new.gguf", 3 * PIECE + 4);
        assertEquals(List.of("older.gguf"), removed);
        assertFalse(Files.exists(store.shardsDirectory().resolve("older.gguf")));
        Metainfo large = metainfo("large.gguf", randomBytes(8 * PIECE));
        IOException full = assertThrows(IOException.class, () -> store.begin(large));
        assertTrue(
                full.getMessage().contains("store.quotaBytes is 851,968, and 393,217 of them are pinned or in use"),
                full::getMessage);
        assertEquals(List.of("older.gguf"), removed, "nothing is evicted in vain");
        store.release(used.piecesRoot(), "layers 0-3");
        store.begin(large);
        assertEquals(List.of("older.gguf", "used.gguf", "old.gguf"), removed.subList(0, 3));
        assertTrue(Files.exists(store.shardsDirectory().resolve("pinned.gguf")));
    }

    @Test
    void theCatalogShowsWhatIsThereWithoutOpeningIt() throws IOException {
        ShardStore store = open();
        Metainfo whole = stored(store, "b.gguf", 2 * PIECE);
        byte[] bytes = randomBytes(4 * PIECE + 7);
        Metainfo partial = metainfo("a.gguf", bytes);
        store.begin(partial);
        store.write(partial.piecesRoot(), 4, piece(bytes, 4));
        store.hold(whole.piecesRoot(), "layers 0-3");
        Path outside = Files.write(directory.resolve("c.gguf"), randomBytes(9));
        store.adopt(outside);
        StoreCatalog catalog = StoreCatalog.open(directory.resolve("cache"), store.shardsDirectory());
        List<StoreCatalog.Item> items = catalog.items();
        assertEquals(
                List.of("a.gguf", "b.gguf", "c.gguf"),
                items.stream().map(item -> item.metainfo().name()).toList());
        assertEquals(
                List.of(7L, 2L * PIECE, 9L),
                items.stream().map(StoreCatalog.Item::heldBytes).toList());
        assertEquals(
                List.of(false, false, true),
                items.stream().map(StoreCatalog.Item::elsewhere).toList());
        assertEquals(List.of("layers 0-3"), items.get(1).users());
        assertEquals("process " + ProcessHandle.current().pid(), catalog.openIn());
        IOException inUse = assertThrows(IOException.class, () -> catalog.remove(items.get(1)));
        assertTrue(inUse.getMessage().startsWith("b.gguf is in use by process"), inUse::getMessage);

        close();
        StoreCatalog closed = StoreCatalog.open(directory.resolve("cache"), directory.resolve("cache/shards"));
        assertEquals("", closed.openIn());
        closed.remove(closed.find(partial.piecesRoot().toHex().substring(0, 10)));
        closed.remove(closed.find("c.gguf"));
        assertTrue(Files.exists(outside));
        assertEquals(
                List.of("b.gguf"),
                closed.items().stream().map(item -> item.metainfo().name()).toList());
        IOException none = assertThrows(IOException.class, () -> closed.find("a.gguf"));
        assertTrue(none.getMessage().contains("'a.gguf' is not in"), none::getMessage);
    }

    @Test
    void hashesAPartialFileAnewThatOthersHaveWrittenTo() throws IOException {
        byte[] bytes = randomBytes(8 * PIECE);
        Metainfo metainfo = metainfo("a.gguf", bytes);
        ShardStore store = open();
        store.begin(metainfo);
        for (int p : new int[] {1, 2, 6}) {
            store.write(metainfo.piecesRoot(), p, piece(bytes, p));
        }
        store.close();
        Path data = directory.resolve("cache/partial/" + metainfo.piecesRoot().toHex() + ".data");
        FileTime before = Files.getLastModifiedTime(data);
        try (FileChannel channel = FileChannel.open(data, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.allocate(10), 2L * PIECE + 77);
        }
        Files.setLastModifiedTime(data, FileTime.from(before.toInstant().plusSeconds(60)));
        assertEquals(
                ".#....#.",
                open().find(metainfo.piecesRoot()).orElseThrow().verified().picture());
        close();
        Path other = directory.resolve("other"); // another file in its place, with the same time
        Files.copy(data, other);
        Files.setLastModifiedTime(other, Files.getLastModifiedTime(data));
        Files.move(other, data, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        hasher.bytes.set(0);
        assertEquals(
                ".#....#.",
                open().find(metainfo.piecesRoot()).orElseThrow().verified().picture());
        assertEquals(2 * PIECE, hasher.bytes.get(), "what was proven for another file is hashed again");
    }

    @Test
    void looksInDirectoriesForPiecesUnderAnyName() throws IOException {
        byte[] bytes = randomBytes(8 * PIECE + 5);
        System.arraycopy("GGUF".getBytes(java.nio.charset.StandardCharsets.US_ASCII), 0, bytes, 0, 4);
        Metainfo metainfo = metainfo("a.gguf", bytes);
        Path models = Files.createDirectories(directory.resolve("models/deep"));
        Files.write(models.resolve("unfinished.part"), Arrays.copyOf(bytes, 3 * PIECE + 100));
        byte[] damaged = bytes.clone();
        damaged[5] ^= 1;
        damaged[4 * PIECE + 9] ^= 1;
        Files.write(models.resolve("damaged.bin"), damaged);
        Files.write(
                models.resolve("other.gguf"),
                Arrays.copyOf("GGUF".getBytes(java.nio.charset.StandardCharsets.US_ASCII), PIECE * 2));
        ShardStore store = open();
        store.begin(metainfo);
        var lookIn = new LookIn(store, List.of(directory.resolve("models"), directory.resolve("missing")));
        var taken = new AtomicLong();
        Bitfield all = Bitfield.all(9);
        StoredFile found = lookIn.take(metainfo, all.without(6), taken::addAndGet);
        assertEquals("####.#.##", found.verified().picture());
        assertEquals(6 * PIECE + 5, taken.get());

        Path whole = Files.write(models.resolve("sha256-abc"), bytes);
        StoredFile mapped = lookIn.take(metainfo, all, taken::addAndGet);
        assertTrue(mapped.isWhole());
        assertEquals(whole.toRealPath(), mapped.path(), "a whole file is used where it lies");
        try (Stream<Path> left = Files.list(directory.resolve("cache/partial"))) {
            assertEquals(List.of(), left.toList());
        }
        hasher.bytes.set(0);
        assertEquals(whole.toRealPath(), lookIn.find(metainfo).getFirst().path());
        assertEquals(
                PIECE, hasher.bytes.get(), "files of the right size are known; of others the first piece is looked at");
        assertEquals(
                metainfo.piecesRoot(),
                lookIn.identify(metainfo.piecesRoot()).orElseThrow().piecesRoot());
        hasher.bytes.set(0);
        assertEquals(
                metainfo.piecesRoot(),
                lookIn.identify(metainfo.piecesRoot()).orElseThrow().piecesRoot());
        assertEquals(0, hasher.bytes.get());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", ".", "..", "../a.gguf", "a/b.gguf", "a\\b.gguf", "/etc/passwd", "a\nb", ".hidden", "c:d"})
    void refusesNamesThatAreNoPlainFileNames(String name) throws IOException {
        ShardStore store = open();
        FileLayout layout = new FileLayout(new byte[10], List.of(), 10);
        assertThrows(MalformedException.class, () -> store.write(name, layout, List.of()));
    }
}
