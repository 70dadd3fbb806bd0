package shoal.bench.report;

import java.io.File;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Stream;

/** The program as users start it. */
public final class FatJar {
    private FatJar() {}

    /** Where it lies; empty if this bench was not started beside it, as {@code ./shoal bench} does. */
    public static Optional<Path> onClassPath() {
        return Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .map(Path::of)
                .filter(path -> path.endsWith("shoal.jar"))
                .findFirst()
                .map(Path::toAbsolutePath);
    }
}
