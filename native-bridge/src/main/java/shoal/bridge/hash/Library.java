package shoal.bridge.hash;

import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** The native library's hashes, loaded once. */
final class Library {
    static final @Nullable NativeHashes HASHES;
    static final String WHY;

    static {
        NativeHashes hashes = null;
        String why = "";
        try {
            String path = System.getProperty("shoal.hash.library");
            if (path == null) {
                why = "this build has none";
            } else {
                hashes = new NativeHashes(SymbolLookup.libraryLookup(Path.of(path), Arena.global()));
            }
        } catch (RuntimeException | LinkageError unusable) {
            why = unusable.toString();
        }
        HASHES = hashes;
        WHY = why;
    }

    private Library() {}
}
