package shoal.verticles.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** The lock on a store's directory: one process has it, and in that process one store. */
final class StoreLock implements AutoCloseable {
    /** Stores open in this process: a second look at a lock file would let go of the lock (POSIX, fcntl). */
    private static final Set<Path> OPEN = ConcurrentHashMap.newKeySet();

    private final Path directory;
    private final FileChannel file;

    private StoreLock(Path directory, FileChannel file) {
        this.directory = directory;
        this.file = file;
    }

    /** @param directory as a real path @throws IOException in one line if somebody has it */
    static StoreLock take(Path directory) throws IOException {
        if (!OPEN.add(directory)) {
            throw new IOException(directory + " is in use in this process already. Choose another directory.");
        }
        try {
            return new StoreLock(directory, lock(directory));
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
    static String holder(Path directory) throws IOException {
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

    @Override
    public void close() throws IOException {
        file.close();
        OPEN.remove(directory);
    }
}
