package shoal.bridge.hash;

import org.jspecify.annotations.Nullable;
import shoal.bridge.library.NativeLibrary;

/** The native library's hashes, bound once. */
final class Library {
    static final @Nullable NativeHashes HASHES;

    /** Why there are none; empty if there are. */
    static final String WHY;

    static {
        NativeHashes hashes = null;
        String why = "";
        switch (NativeLibrary.get()) {
            case NativeLibrary.Loaded library -> {
                try {
                    hashes = new NativeHashes(library);
                } catch (IllegalStateException missing) {
                    why = String.valueOf(missing.getMessage());
                }
            }
            case NativeLibrary.Absent(String reason, String _) -> why = reason;
        }
        HASHES = hashes;
        WHY = why;
    }

    private Library() {}
}
