package shoal.bridge.library;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** The native library as a file: it lies in the jar, and can be loaded only from a file system. */
final class LibraryFile {
    private static final String RESOURCE = "/native/" + NativeLibrary.platform() + "/" + System.mapLibraryName("shoal");

    private LibraryFile() {}

    /** Whether this build has one for this platform. */
    static boolean isInBuild() {
        return NativeLibrary.class.getResource(RESOURCE) != null;
    }

    /** Hands over a private file, which is gone afterwards: what is mapped stays mapped. Null where the build has no library. */
    static <T> @Nullable T use(Function<Path, T> loading) throws IOException {
        try (InputStream bytes = NativeLibrary.class.getResourceAsStream(RESOURCE)) {
            if (bytes == null) {
                return null;
            }
            Path directory = Files.createTempDirectory("shoal-native-"); // readable by its owner alone
            Path file = directory.resolve(System.mapLibraryName("shoal"));
            try {
                Files.copy(bytes, file);
                return loading.apply(file);
            } finally {
                Files.deleteIfExists(file);
                Files.deleteIfExists(directory);
            }
        }
    }
}
