package shoal.bridge.make;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import shoal.bridge.library.LargePages;

/**
 * A file that appears whole or not at all: written from front to back under a temporary name beside the target, 2 MiB at a time, so
 * that systems keep it in {@linkplain LargePages large pages}.
 */
final class NewFile implements AutoCloseable {
    private final Path target;
    private final Path temporary;
    private final FileChannel channel;
    private final ByteBuffer step = ByteBuffer.allocateDirect(LargePages.BYTES);
    private long written;
    private boolean finished;

    private NewFile(Path target, Path temporary, FileChannel channel) {
        this.target = target;
        this.temporary = temporary;
        this.channel = channel;
    }

    /** @throws IOException in one line if the folder is missing, or its disk has not size bytes free */
    static NewFile create(Path target, long size) throws IOException {
        Path folder = target.toAbsolutePath().getParent();
        Path name = target.getFileName();
        if (folder == null || name == null || Files.isDirectory(target)) {
            throw new IOException(target + " is a folder; name a file in it.");
        }
        if (!Files.isDirectory(folder)) {
            throw new IOException(folder + " does not exist; make that folder, or name another one.");
        }
        long free = Files.getFileStore(folder).getUsableSpace();
        if (free < size) {
            throw new IOException(String.format(
                    Locale.ROOT,
                    "%s needs %,d bytes, and %,d are free in %s. Make room there, or name another folder.",
                    target,
                    size,
                    free,
                    folder));
        }
        Path temporary =
                folder.resolve("." + name + "." + ProcessHandle.current().pid() + ".tmp");
        return new NewFile(
                target,
                temporary,
                FileChannel.open(
                        temporary,
                        StandardOpenOption.CREATE,
                        StandardOpenOption.WRITE,
                        StandardOpenOption.TRUNCATE_EXISTING));
    }

    /** Bytes taken so far. */
    long position() {
        return written + step.position();
    }

    void write(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            int size = Math.min(bytes.remaining(), step.remaining());
            step.put(step.position(), bytes, bytes.position(), size).position(step.position() + size);
            bytes.position(bytes.position() + size);
            if (!step.hasRemaining()) {
                flush();
            }
        }
    }

    private void flush() throws IOException {
        step.flip();
        try {
            while (step.hasRemaining()) {
                written += channel.write(step);
            }
            step.clear();
        } catch (IOException failure) {
            throw new IOException(
                    target + " could not be written: " + failure.getMessage()
                            + String.format(Locale.ROOT, " after %,d bytes. Make room there.", written),
                    failure);
        }
    }

    /** Zero bytes up to a position. */
    void padTo(long end) throws IOException {
        if (end > position()) {
            write(ByteBuffer.allocate(Math.toIntExact(end - position())));
        }
    }

    /** The file is whole: it gets its name, in place of another that had it. */
    void finish() throws IOException {
        flush();
        channel.force(true);
        channel.close();
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        finished = true;
    }

    @Override
    public void close() throws IOException {
        channel.close();
        if (!finished) {
            Files.deleteIfExists(temporary);
        }
    }
}
