package shoal.verticles.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitOption;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Hash256;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.metainfo.Pieces;
import shoal.codec.swarm.Bitfield;

/**
 * Finds files that are on this machine already, under any name, by content: those of the right size or with the right first piece,
 * then by the hashes of all pieces. What a file turned out to be is remembered with its size, time and inode. Blocking.
 */
public final class LookIn {
    private static final Logger LOG = LoggerFactory.getLogger(LookIn.class);
    private static final int MAX_FILES = 100_000;
    private static final int MAX_DEPTH = 16;
    private static final byte[] GGUF = {'G', 'G', 'U', 'F'};

    private final ShardStore store;
    private final Path cache;
    private final List<Path> directories;

    /** A file with pieces of the one that is wanted. */
    record Match(Path path, Fingerprint fingerprint, Bitfield pieces) {}

    /** @param directories looked through with all below them; those that are missing have nothing */
    public LookIn(ShardStore store, List<Path> directories) {
        this.store = store;
        this.directories = List.copyOf(directories);
        cache = store.root().resolve("seen");
    }

    /**
     * The file whose pieces root, or whose info-hash under its own name, this is: every GGUF file is hashed for it, once.
     */
    public Optional<Metainfo> identify(Hash256 hash) throws IOException {
        for (Path file : candidates()) {
            try {
                Metainfo metainfo = hashed(file);
                if (metainfo.piecesRoot().equals(hash)
                        || metainfo.infoHash().hash().equals(hash)) {
                    return Optional.of(metainfo);
                }
            } catch (IOException unreadable) {
                LOG.warn("{} is passed over: {}", file, unreadable.getMessage());
            }
        }
        return Optional.empty();
    }

    private Metainfo hashed(Path file) throws IOException {
        Path path = file.toRealPath();
        Fingerprint now = Fingerprint.of(path);
        Path note = note(path, "whole", ".known");
        if (Files.exists(note)) {
            KnownFile known = KnownFile.read(note);
            if (known != null
                    && known.path().equals(path)
                    && known.fingerprint().equals(now)) {
                return known.metainfo();
            }
        }
        Metainfo metainfo = store.hash(path, now);
        Files.createDirectories(cache);
        FileWriter.writeAtomically(note, new KnownFile(path, now, metainfo).toBytes(), false);
        return metainfo;
    }

    /** Files that have pieces of this one, whole ones first. */
    List<Match> find(Metainfo wanted) throws IOException {
        var matches = new ArrayList<Match>();
        for (Path file : candidates()) {
            try {
                Match match = match(file.toRealPath(), wanted);
                if (match != null && match.pieces().isFull()) {
                    return List.of(match);
                }
                if (match != null && !match.pieces().isEmpty()) {
                    matches.add(match);
                }
            } catch (IOException unreadable) {
                LOG.warn("{} is passed over: {}", file, unreadable.getMessage());
            }
        }
        matches.sort((one, other) ->
                Integer.compare(other.pieces().count(), one.pieces().count()));
        return matches;
    }

    /**
     * Takes what is found of a file that has been {@link ShardStore#begin begun}: a whole file is served and mapped from where it
     * lies; of others the wanted pieces are copied.
     *
     * @param taken is told the bytes of each piece
     */
    public StoredFile take(Metainfo wanted, Bitfield pieces, LongConsumer taken) throws IOException {
        for (Match match : find(wanted)) {
            if (match.pieces().isFull()) {
                long before = store.find(wanted.piecesRoot())
                        .map(StoredFile::heldBytes)
                        .orElse(0L);
                StoredFile whole = store.adoptAs(wanted, match.path(), match.fingerprint());
                taken.accept(wanted.length() - before);
                return whole;
            }
            copy(wanted, match, pieces, taken);
        }
        return store.find(wanted.piecesRoot()).orElseThrow();
    }

    private void copy(Metainfo wanted, Match match, Bitfield pieces, LongConsumer taken) throws IOException {
        Bitfield here =
                store.find(wanted.piecesRoot()).map(StoredFile::verified).orElseThrow();
        Bitfield useful = match.pieces().and(pieces).minus(here);
        Pieces shape = wanted.pieces();
        try (FileChannel channel = FileChannel.open(match.path(), StandardOpenOption.READ)) {
            for (int piece = useful.nextSet(0); piece >= 0; piece = useful.nextSet(piece + 1)) {
                ByteBuffer data = ByteBuffer.allocate(shape.sizeOf(piece));
                FileWriter.readFully(channel, data, shape.offsetOf(piece), match.path());
                if (store.write(wanted.piecesRoot(), piece, data.flip())) {
                    taken.accept(shape.sizeOf(piece));
                }
            }
        }
    }

    /** Which pieces of wanted the file has; null if neither size nor first piece are right. */
    private @Nullable Match match(Path file, Metainfo wanted) throws IOException {
        Fingerprint now = Fingerprint.of(file);
        boolean sameSize = now.size() == wanted.length();
        if (!sameSize && !store.hasPiece(file, wanted, 0)) {
            return null;
        }
        Path note = note(
                file,
                now.size() + "." + now.modifiedNanos() + "." + now.fileKey() + "."
                        + wanted.piecesRoot().toHex() + "." + wanted.pieceLength(),
                ".bits");
        int count = wanted.pieces().count();
        if (Files.exists(note) && Files.size(note) == (count + 7) / 8) {
            return new Match(file, now, Bitfield.parse(Files.readAllBytes(note), count));
        }
        Bitfield pieces = store.verify(file, wanted);
        if (Fingerprint.of(file).equals(now)) {
            Files.createDirectories(cache);
            FileWriter.writeAtomically(note, ByteBuffer.wrap(pieces.toBytes()), false);
        }
        return new Match(file, now, pieces);
    }

    private Path note(Path file, String what, String ending) {
        byte[] name = (file + "\n" + what).getBytes(StandardCharsets.UTF_8);
        return cache.resolve(Hash256.sha256(name).toHex() + ending);
    }

    /** Files that begin as GGUF files do, in the order of their paths. */
    private List<Path> candidates() throws IOException {
        var found = new ArrayList<Path>();
        for (Path directory : directories) {
            if (!Files.isDirectory(directory)) {
                continue;
            }
            Files.walkFileTree(
                    directory, EnumSet.of(FileVisitOption.FOLLOW_LINKS), MAX_DEPTH, new SimpleFileVisitor<>() {
                        @Override
                        public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                            if (attributes.isRegularFile() && attributes.size() > GGUF.length && beginsAsGguf(file)) {
                                found.add(file);
                            }
                            return found.size() < MAX_FILES ? FileVisitResult.CONTINUE : FileVisitResult.TERMINATE;
                        }

                        @Override
                        public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes)
                                throws IOException {
                            boolean own = directory.toRealPath().startsWith(store.root());
                            return own ? FileVisitResult.SKIP_SUBTREE : FileVisitResult.CONTINUE;
                        }

                        @Override
                        public FileVisitResult visitFileFailed(Path file, IOException unreadable) {
                            return FileVisitResult.CONTINUE;
                        }
                    });
        }
        found.sort(null);
        return found;
    }

    private static boolean beginsAsGguf(Path file) {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            ByteBuffer start = ByteBuffer.allocate(GGUF.length);
            FileWriter.readFully(channel, start, 0, file);
            return start.flip().equals(ByteBuffer.wrap(GGUF));
        } catch (IOException unreadable) {
            return false;
        }
    }
}
