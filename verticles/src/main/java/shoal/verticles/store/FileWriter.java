package shoal.verticles.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/** Files that appear whole or not at all, and the space they need. */
final class FileWriter {
    private FileWriter() {}

    /** Makes what was renamed or created in a directory last through a power cut, where the system can. */
    static void syncDirectory(Path directory) {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        } catch (IOException notPossibleHere) {
            // Windows does not open directories; the rename itself is journalled there
        }
    }

    static Path directoryOf(Path file) {
        return Objects.requireNonNull(file.toAbsolutePath().getParent(), "a file lies in a directory");
    }

    static void moveInPlace(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (AtomicMoveNotSupportedException otherDisk) {
            throw new IOException(
                    "cannot rename " + from + " to " + to + ": they lie on different file systems", otherDisk);
        }
    }

    /** Moves a file; to another file system by a copy beside the target, so that it appears there whole. */
    static void moveOrCopy(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (AtomicMoveNotSupportedException otherDisk) {
            Path temporary = to.resolveSibling("." + to.getFileName() + ".tmp");
            try {
                requireSpace(directoryOf(to), Files.size(from), String.valueOf(to.getFileName()));
                Files.copy(from, temporary, StandardCopyOption.REPLACE_EXISTING);
                try (FileChannel copied = FileChannel.open(temporary, StandardOpenOption.WRITE)) {
                    copied.force(true);
                }
                moveInPlace(temporary, to);
            } finally {
                Files.deleteIfExists(temporary);
            }
            Files.deleteIfExists(from);
        }
    }

    /** A small file, by way of a temporary one beside it. */
    static void writeAtomically(Path target, ByteBuffer bytes, boolean durable) throws IOException {
        Path temporary = target.resolveSibling(target.getFileName() + ".tmp");
        try (FileChannel channel = FileChannel.open(
                temporary, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING)) {
            writeFully(channel, bytes, 0);
            if (durable) {
                channel.force(true);
            }
        }
        moveInPlace(temporary, target);
    }

    static void writeFully(FileChannel channel, ByteBuffer bytes, long offset) throws IOException {
        long at = offset;
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }

    /** Reads until the buffer is full. @throws IOException if the file ends before */
    static void readFully(FileChannel channel, ByteBuffer target, long offset, Path file) throws IOException {
        long at = offset;
        while (target.hasRemaining()) {
            int count = channel.read(target, at);
            if (count < 0) {
                throw new IOException(file + " ends at byte " + String.format("%,d", at) + ", more was expected there."
                        + " It has changed; start again.");
            }
            at += count;
        }
    }

    /** Files whose names end with a dot and this, by name. */
    static List<Path> list(Path directory, String ending) throws IOException {
        try (Stream<Path> all = Files.list(directory)) {
            return all.filter(file -> file.toString().endsWith("." + ending))
                    .sorted()
                    .toList();
        }
    }

    /** @throws IOException in one line if a directory's disk has not needed bytes free */
    static void requireSpace(Path directory, long needed, String what) throws IOException {
        long found = Files.getFileStore(directory).getUsableSpace();
        if (found < needed) {
            throw new IOException(String.format(
                    "%s needs %,d bytes in %s, which has %,d free. Make room there or choose another directory.",
                    what, needed, directory, found));
        }
    }
}
