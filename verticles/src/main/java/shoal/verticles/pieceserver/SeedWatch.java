package shoal.verticles.pieceserver;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The {@code .gguf} files of some directories, and some files of any name, looked at again and again: which have come to rest, and
 * which are gone. A file that
 * is still being copied has no mark of it, so one counts as whole when its size and time have not moved for some looks. Blocking;
 * one thread at a time.
 */
final class SeedWatch {
    /** Looks without a change after which a file counts as whole. */
    static final int STILL_LOOKS = 3;

    private static final Seen NEVER = new Seen(-1, FileTime.fromMillis(0), "", 0, false, false);

    private final List<Path> directories;
    private final List<Path> files;
    private final Map<Path, Seen> seen = new HashMap<>();

    /**
     * A file at the last look.
     *
     * @param still looks since it changed
     * @param told whether it has been told as it is now
     * @param known whether it has been told in any form
     */
    private record Seen(long size, FileTime modified, String key, int still, boolean told, boolean known) {
        boolean isSame(BasicFileAttributes now) {
            return now.size() == size && now.lastModifiedTime().equals(modified) && key(now).equals(key);
        }

        /** Another file may have been moved there, with the time that it had. */
        static String key(BasicFileAttributes attributes) {
            return String.valueOf(attributes.fileKey());
        }
    }

    /**
     * What a look found.
     *
     * @param settled files that have just come to rest, new ones or changed ones, by name
     * @param gone files that were told as settled and are not there any more
     */
    record Change(List<Path> settled, List<Path> gone) {}

    /** @param files looked at beside the directories', where they lie */
    SeedWatch(List<Path> directories, List<Path> files) {
        this.directories = directories;
        this.files = files;
    }

    /** At the start: what is there now counts as settled. */
    Change first() throws IOException {
        return look(0);
    }

    Change look() throws IOException {
        return look(STILL_LOOKS);
    }

    /** Forgets a file, so that it is told as settled again. */
    void forget(Path file) {
        seen.remove(file);
    }

    private Change look(int patience) throws IOException {
        var settled = new ArrayList<Path>();
        Map<Path, BasicFileAttributes> now = list();
        now.forEach((file, attributes) -> {
            Seen before = seen.getOrDefault(file, NEVER);
            boolean same = before.isSame(attributes);
            int still = same ? Math.min(before.still + 1, STILL_LOOKS) : 0;
            boolean told = same && before.told;
            if (!told && still >= patience) {
                settled.add(file);
                told = true;
            }
            boolean known = told || before.known;
            seen.put(
                    file,
                    new Seen(
                            attributes.size(),
                            attributes.lastModifiedTime(),
                            Seen.key(attributes),
                            still,
                            told,
                            known));
        });
        var gone = new ArrayList<Path>();
        seen.entrySet().removeIf(entry -> {
            boolean missing = !now.containsKey(entry.getKey());
            if (missing && entry.getValue().known) {
                gone.add(entry.getKey());
            }
            return missing;
        });
        return new Change(settled, gone);
    }

    private Map<Path, BasicFileAttributes> list() throws IOException {
        var found = new TreeMap<Path, BasicFileAttributes>();
        for (Path file : files) {
            look(file, found);
        }
        for (Path directory : directories) {
            try (DirectoryStream<Path> entries = Files.newDirectoryStream(directory, "[!.]*.gguf")) {
                for (Path file : entries) {
                    look(file, found);
                }
            } catch (NoSuchFileException | NotDirectoryException none) {
                continue; // it may be made later
            }
        }
        return found;
    }

    private static void look(Path file, Map<Path, BasicFileAttributes> found) throws IOException {
        try {
            BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
            if (attributes.isRegularFile() && attributes.size() > 0) {
                found.put(file, attributes);
            }
        } catch (NoSuchFileException vanished) {
            return; // it may come back
        }
    }
}
