package shoal.bridge.kernel.device;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.jspecify.annotations.Nullable;

/**
 * What compilers made of kernels, kept in a directory of the user's by the SHA-256 of all that it was made from. A directory that
 * can't be written is done without.
 *
 * @param directory null to keep nothing
 */
public record KernelCache(@Nullable Path directory) {
    /** {@code $XDG_CACHE_HOME/shoal/kernels}, or {@code ~/.cache/shoal/kernels} (XDG Base Directory Specification). */
    public static KernelCache ofUser() {
        String named = System.getenv("XDG_CACHE_HOME");
        Path root = named != null && Path.of(named).isAbsolute()
                ? Path.of(named)
                : Path.of(System.getProperty("user.home"), ".cache");
        return new KernelCache(root.resolve("shoal").resolve("kernels"));
    }

    /** A name for what is made of these: a hash in hexadecimal. */
    public static String key(String... parts) {
        return sha256((String.join("\0", parts) + "\0").getBytes(StandardCharsets.UTF_8));
    }

    /** In hexadecimal. */
    public static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** What was kept under that name, null if nothing was. */
    public byte @Nullable [] find(String name) {
        try {
            Path file = directory == null ? null : directory.resolve(name);
            return file != null && Files.isRegularFile(file) ? Files.readAllBytes(file) : null;
        } catch (IOException unreadable) {
            return null;
        }
    }

    public void keep(String name, byte[] made) {
        if (directory == null || made.length == 0) {
            return;
        }
        try {
            Files.createDirectories(directory);
            Path temporary = Files.createTempFile(directory, "kernels", ".part");
            Files.write(temporary, made, StandardOpenOption.TRUNCATE_EXISTING);
            Files.move(
                    temporary,
                    directory.resolve(name),
                    StandardCopyOption.REPLACE_EXISTING,
                    StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException notWritable) {
            return; // compiled again next time
        }
    }
}
