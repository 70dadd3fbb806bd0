package shoal.verticles.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;
import shoal.verticles.config.Profile;
import shoal.verticles.config.ProfileReader;
import shoal.verticles.store.StoreCatalog;

/** Which store a command looks at: the one that a profile names, or a directory. */
final class StoreOptions {
    @Option(names = "--config", paramLabel = "FILE", description = "The profile that names the store.")
    private @Nullable Path config;

    @Option(
            names = "--store",
            paramLabel = "DIR",
            description = "store.directory: the store itself; else models_cache, or what the profile says.")
    private @Nullable Path directory;

    StoreCatalog catalog() throws IOException {
        var reader = new ProfileReader();
        if (config != null) {
            reader.file(config);
        }
        if (directory != null) {
            reader.option("--store", "store.directory", directory.toString());
        }
        Profile profile = reader.read();
        return StoreCatalog.open(
                profile.store().directoryPath(), profile.store().shardsPath());
    }
}
