package shoal.codec.gguf;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/**
 * The data that lies beside a checkout, in ../shared; a test that needs it is skipped where it is missing. The model that is
 * bundled with the product is always here.
 */
public final class Shared {
    private Shared() {}

    /** A file or folder there. */
    public static Path path(String relative) {
        Path repository = Path.of(System.getProperty("shoal.repository", ".."));
        Path bundled = repository.resolve("verticles/src/main/resources").resolve(relative);
        if (Files.isRegularFile(bundled)) {
            return bundled;
        }
        String given = System.getenv("SHOAL_SHARED");
        Path root = given != null ? Path.of(given) : repository.resolve("../shared");
        Path path = root.resolve(relative);
        Assumptions.assumeTrue(Files.exists(path), () -> path + " is not here (SHOAL_SHARED names its folder)");
        return path;
    }

    public static byte[] bytes(String relative) {
        try {
            return Files.readAllBytes(path(relative));
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }
}
