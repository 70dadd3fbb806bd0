package shoal.verticles.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.ByteCursor;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.Metainfo;

/** The hashes of a whole file and what it looked like when it was hashed, as written to disk. */
record KnownFile(Path path, Fingerprint fingerprint, Metainfo metainfo) {
    private static final byte[] MAGIC = {'S', 'H', 'O', 'A', 'L', 'K', 'N', 'W', 1};
    private static final int MAX_BYTES = 64 << 20;

    ByteBuffer toBytes() {
        ByteWriter writer = new ByteWriter();
        writer.putBytes(MAGIC).putText(path.toString()).putLong(fingerprint.size());
        writer.putLong(fingerprint.modifiedNanos()).putText(fingerprint.fileKey());
        writer.putSizedBytes(metainfo.toTorrent());
        writer.putHash(Hash256.sha256(writer.toBytes()));
        return writer.asBuffer();
    }

    /** What a file says, or null if it is torn or of another version. */
    static @Nullable KnownFile read(Path file) throws IOException {
        if (Files.size(file) > MAX_BYTES) {
            return null;
        }
        byte[] bytes = Files.readAllBytes(file);
        int end = bytes.length - Hash256.SIZE_BYTES;
        if (end < 0 || !Hash256.sha256(Arrays.copyOf(bytes, end)).equals(Hash256.of(bytes, end))) {
            return null;
        }
        try {
            ByteCursor cursor = new ByteCursor(bytes);
            if (!Arrays.equals(cursor.readBytes("magic", MAGIC.length), MAGIC)) {
                return null;
            }
            Path path = Path.of(cursor.readText("path", 1 << 16));
            Fingerprint then = new Fingerprint(
                    cursor.readLong("size"), cursor.readLong("modified"), cursor.readText("file key", 1 << 12));
            return new KnownFile(path, then, Metainfo.parse(cursor.readSizedBytes("torrent", MAX_BYTES)));
        } catch (MalformedException otherVersion) {
            return null;
        }
    }

    /** Whether the file is there and as it was. */
    boolean isUnchanged() {
        try {
            return Files.isRegularFile(path) && Fingerprint.of(path).equals(fingerprint);
        } catch (IOException gone) {
            return false;
        }
    }
}
