package shoal.verticles.cli;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import shoal.verticles.store.StoreCatalog;
import tools.jackson.databind.json.JsonMapper;

/** Deletes files of a store. */
@Command(
        name = "rm",
        description =
                "Delete files from a store; one that lies elsewhere is only forgotten. What is pinned or in use stays.",
        mixinStandardHelpOptions = true)
final class RmCommand implements Callable<Integer> {
    @Parameters(arity = "1..*", paramLabel = "FILES", description = "Names, or the first digits of hashes.")
    @SuppressWarnings("NullAway.Init")
    private List<String> files;

    @Mixin
    @SuppressWarnings("NullAway.Init")
    private StoreOptions store;

    @Option(names = "--json", description = "Print one JSON line for each file.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        StoreCatalog catalog = store.catalog();
        for (String file : files) {
            StoreCatalog.Item item = catalog.find(file);
            catalog.remove(item);
            long freed = item.elsewhere() ? 0 : item.heldBytes();
            if (json) {
                var line = new LinkedHashMap<String, Object>();
                line.put("name", item.metainfo().name());
                line.put("info_hash", item.metainfo().infoHash().toHex());
                line.put("freed", freed);
                System.out.println(JsonMapper.shared().writeValueAsString(line));
            } else {
                System.out.printf(
                        java.util.Locale.ROOT,
                        "%s: %s%n",
                        item.metainfo().name(),
                        item.elsewhere()
                                ? "forgotten; it lies at " + item.path()
                                : String.format(java.util.Locale.ROOT, "%,d bytes freed", freed));
            }
        }
        return CommandLine.ExitCode.OK;
    }
}
