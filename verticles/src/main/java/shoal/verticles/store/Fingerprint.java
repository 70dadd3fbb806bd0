package shoal.verticles.store;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.concurrent.TimeUnit;

/**
 * What tells an unchanged file without reading it.
 *
 * @param size in bytes
 * @param modifiedNanos since 1970
 * @param fileKey device and inode where the system has them, else empty
 */
record Fingerprint(long size, long modifiedNanos, String fileKey) {
    static Fingerprint of(Path file) throws IOException {
        BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
        if (!attributes.isRegularFile()) {
            throw new IOException(file + " is not a regular file");
        }
        Object key = attributes.fileKey();
        return new Fingerprint(
                attributes.size(),
                attributes.lastModifiedTime().to(TimeUnit.NANOSECONDS),
                key == null ? "" : key.toString());
    }

    /** @throws IOException in one line if the file looks different now, or is gone */
    void requireStill(Path file) throws IOException {
        if (!of(file).equals(this)) {
            throw new IOException(file + " has changed since it was hashed. It is hashed anew when it is whole.");
        }
    }
}
