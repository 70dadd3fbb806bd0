package shoal.verticles.store;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import shoal.codec.base.Hash256;

/**
 * What is noted beside the files of a store, each in a small file named by the pieces root, so that another process can read it:
 * which files must stay ({@code pins}), which are in use and by what ({@code uses}), and when each was last used (the time of its
 * note under {@code used}). Safe for several threads.
 */
final class StoreNotes {
    private static final long TOUCH_NANOS = 30_000_000_000L;

    private final Path pins;
    private final Path uses;
    private final Path used;
    private final Map<Hash256, List<String>> users = new HashMap<>();
    private final Map<Hash256, Long> touched = new HashMap<>();

    StoreNotes(Path root) {
        pins = root.resolve("pins");
        uses = root.resolve("uses");
        used = root.resolve("used");
    }

    /** Makes the directories, and forgets what used files in an earlier process. */
    void open() throws IOException {
        for (Path directory : List.of(pins, uses, used)) {
            Files.createDirectories(directory);
        }
        try (Stream<Path> files = Files.list(uses)) {
            for (Path file : files.toList()) {
                Files.deleteIfExists(file);
            }
        }
    }

    void pin(Hash256 piecesRoot, boolean pinned) throws IOException {
        Files.createDirectories(pins);
        if (pinned) {
            Files.writeString(pins.resolve(piecesRoot.toHex()), "");
        } else {
            Files.deleteIfExists(pins.resolve(piecesRoot.toHex()));
        }
    }

    boolean isPinned(Hash256 piecesRoot) {
        return Files.exists(pins.resolve(piecesRoot.toHex()));
    }

    synchronized void hold(Hash256 piecesRoot, String who) throws IOException {
        users.computeIfAbsent(piecesRoot, _ -> new ArrayList<>()).add(who);
        writeUsers(piecesRoot);
        touched.remove(piecesRoot);
        touch(piecesRoot);
    }

    synchronized void release(Hash256 piecesRoot, String who) throws IOException {
        List<String> all = users.get(piecesRoot);
        if (all != null) {
            all.remove(who);
            if (all.isEmpty()) {
                users.remove(piecesRoot);
            }
            writeUsers(piecesRoot);
        }
    }

    /** Who uses it in this process. */
    synchronized List<String> users(Hash256 piecesRoot) {
        return List.copyOf(users.getOrDefault(piecesRoot, List.of()));
    }

    /** Who used it when the process that has the store open last wrote it down. */
    List<String> writtenUsers(Hash256 piecesRoot) throws IOException {
        try {
            return Files.readAllLines(uses.resolve(piecesRoot.toHex()), StandardCharsets.UTF_8);
        } catch (NoSuchFileException nobody) {
            return List.of();
        }
    }

    private void writeUsers(Hash256 piecesRoot) throws IOException {
        List<String> all = users.getOrDefault(piecesRoot, List.of());
        Path file = uses.resolve(piecesRoot.toHex());
        if (all.isEmpty()) {
            Files.deleteIfExists(file);
        } else {
            Files.write(file, all, StandardCharsets.UTF_8);
        }
    }

    /** It is used now; written down at most twice a minute. */
    synchronized void touch(Hash256 piecesRoot) throws IOException {
        long now = System.nanoTime();
        Long before = touched.get(piecesRoot);
        if (before != null && now - before < TOUCH_NANOS) {
            return;
        }
        touched.put(piecesRoot, now);
        Path file = used.resolve(piecesRoot.toHex());
        if (!Files.exists(file)) {
            Files.writeString(file, "");
        }
        Files.setLastModifiedTime(file, FileTime.from(Instant.now()));
    }

    /** When it was last used; the epoch if never. */
    Instant lastUse(Hash256 piecesRoot) {
        try {
            return Files.getLastModifiedTime(used.resolve(piecesRoot.toHex())).toInstant();
        } catch (IOException never) {
            return Instant.EPOCH;
        }
    }

    synchronized void forget(Hash256 piecesRoot) throws IOException {
        touched.remove(piecesRoot);
        Files.deleteIfExists(used.resolve(piecesRoot.toHex()));
        Files.deleteIfExists(pins.resolve(piecesRoot.toHex()));
    }
}
