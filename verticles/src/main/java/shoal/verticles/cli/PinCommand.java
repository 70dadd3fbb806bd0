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

/** Keeps files of a store from being evicted. */
@Command(
        name = "pin",
        description = "Keep files in a store, whatever its quota says; --off lets them go again.",
        mixinStandardHelpOptions = true)
final class PinCommand implements Callable<Integer> {
    @Parameters(arity = "1..*", paramLabel = "FILES", description = "Names, or the first digits of hashes.")
    @SuppressWarnings("NullAway.Init")
    private List<String> files;

    @Option(names = "--off", description = "Unpin.")
    private boolean off;

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
            catalog.pin(item, !off);
            if (json) {
                var line = new LinkedHashMap<String, Object>();
                line.put("name", item.metainfo().name());
                line.put("info_hash", item.metainfo().infoHash().toHex());
                line.put("pinned", !off);
                System.out.println(JsonMapper.shared().writeValueAsString(line));
            } else {
                System.out.println(item.metainfo().name() + (off ? " is no longer pinned" : " is pinned"));
            }
        }
        return CommandLine.ExitCode.OK;
    }
}
