package shoal.bridge.library;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Locale;

/**
 * The project's own native library, built from src/main/c where a C compiler is. It lies in the jar as
 * {@code native/<os>-<arch>/libshoal.so} and is loaded from a private temporary file, which is gone once it is loaded. It stays
 * loaded as long as the JVM runs. Those who bind its symbols work without it too.
 */
public sealed interface NativeLibrary {
    /** What the library's C header says; see shoal.h. */
    int VERSION = 1;

    /** The system property that, set to {@code false}, leaves the library alone. */
    String SWITCH = "shoal.native";

    record Loaded(SymbolLookup symbols) implements NativeLibrary {
        /**
         * Binds a function.
         *
         * @throws IllegalStateException if the library has no such symbol
         */
        public MethodHandle bind(String symbol, FunctionDescriptor descriptor, Linker.Option... options) {
            return Linker.nativeLinker()
                    .downcallHandle(
                            symbols.find(symbol)
                                    .orElseThrow(() ->
                                            new IllegalStateException("the native library has no symbol " + symbol)),
                            descriptor,
                            options);
        }
    }

    /** @param reason why not; @param remedy what would change it */
    record Absent(String reason, String remedy) implements NativeLibrary {}

    /** The library, loaded at the first call. Does not throw. */
    static NativeLibrary get() {
        return Holder.LIBRARY;
    }

    /** Whether this build has one for this platform, without loading it. */
    static boolean isInBuild() {
        return !"false".equals(System.getProperty(SWITCH)) && LibraryFile.isInBuild();
    }

    /** Such as {@code linux-x86_64}: its folder in the jar. */
    static String platform() {
        String os = System.getProperty("os.name", "").toLowerCase(Locale.ROOT);
        String arch = System.getProperty("os.arch", "").toLowerCase(Locale.ROOT);
        return (os.startsWith("mac") ? "macos" : os.startsWith("win") ? "windows" : os)
                + "-"
                + switch (arch) {
                    case "amd64", "x86_64" -> "x86_64";
                    case "arm64" -> "aarch64";
                    default -> arch;
                };
    }

    /** Loads once. */
    final class Holder {
        private static final NativeLibrary LIBRARY = load();

        private Holder() {}

        private static NativeLibrary load() {
            if ("false".equals(System.getProperty(SWITCH))) {
                return new Absent("the property " + SWITCH + " is false", "Leave it out");
            }
            try {
                NativeLibrary found = LibraryFile.use(file -> check(SymbolLookup.libraryLookup(file, Arena.global())));
                return found != null
                        ? found
                        : new Absent(
                                "this build has no native library for " + platform(),
                                "Build it on such a machine with a C compiler (cc) in the PATH");
            } catch (IOException | IllegalArgumentException | IllegalCallerException failure) {
                return new Absent(
                        "the native library can't be loaded (" + failure.getMessage() + ")",
                        "Let " + System.getProperty("java.io.tmpdir")
                                + " be writable and its files executable, or name another folder with -Djava.io.tmpdir");
            }
        }

        private static NativeLibrary check(SymbolLookup symbols) {
            var loaded = new Loaded(symbols);
            int version;
            try {
                version = (int) loaded.bind("shoal_version", FunctionDescriptor.of(ValueLayout.JAVA_INT))
                        .invokeExact();
            } catch (Throwable failure) {
                return new Absent(
                        "the native library can't be called (" + failure.getMessage() + ")", "Build it again");
            }
            return version == VERSION
                    ? loaded
                    : new Absent(
                            "the native library has version " + version + ", this program needs " + VERSION,
                            "Build it again");
        }
    }
}
