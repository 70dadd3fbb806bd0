package shoal.verticles.cli;

import java.io.IOException;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import shoal.verticles.store.StoreCatalog;
import tools.jackson.databind.json.JsonMapper;

/** What this machine holds. */
@Command(
        name = "ls",
        description = "List what a store holds: how much of each file, whether it is pinned, and what uses it.",
        mixinStandardHelpOptions = true)
final class LsCommand implements Callable<Integer> {
    @Mixin
    @SuppressWarnings("NullAway.Init")
    private StoreOptions store;

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        StoreCatalog catalog = store.catalog();
        List<StoreCatalog.Item> items = catalog.items();
        long own = items.stream()
                .filter(item -> !item.elsewhere())
                .mapToLong(StoreCatalog.Item::heldBytes)
                .sum();
        if (json) {
            var all = new LinkedHashMap<String, Object>();
            all.put("store", catalog.root().toString());
            all.put("open_in", catalog.openIn().isEmpty() ? null : catalog.openIn());
            all.put("bytes", own);
            all.put("files", items.stream().map(LsCommand::described).toList());
            System.out.println(JsonMapper.shared().writeValueAsString(all));
            return CommandLine.ExitCode.OK;
        }
        for (StoreCatalog.Item item : items) {
            System.out.printf(
                    Locale.ROOT,
                    "%-40s %15s  %s  %s%s%s%n",
                    item.metainfo().name(),
                    item.isWhole()
                            ? String.format(Locale.ROOT, "%,d", item.heldBytes())
                            : String.format(
                                    Locale.ROOT,
                                    "%,d of %,d",
                                    item.heldBytes(),
                                    item.metainfo().length()),
                    item.metainfo().infoHash().toHex().substring(0, 16),
                    item.pinned() ? "pinned " : "",
                    item.elsewhere() ? "at " + item.path() + " " : "",
                    item.users().isEmpty() ? "" : "used for " + String.join(", ", item.users()));
        }
        System.out.printf(
                Locale.ROOT,
                "%d files, %,d bytes in %s%s%n",
                items.size(),
                own,
                catalog.root(),
                catalog.openIn().isEmpty() ? "" : ", open in " + catalog.openIn());
        return CommandLine.ExitCode.OK;
    }

    private static Map<String, Object> described(StoreCatalog.Item item) {
        var file = new LinkedHashMap<String, Object>();
        file.put("name", item.metainfo().name());
        file.put("path", item.path().toString());
        file.put("size", item.metainfo().length());
        file.put("held", item.heldBytes());
        file.put("whole", item.isWhole());
        file.put("elsewhere", item.elsewhere());
        file.put("info_hash", item.metainfo().infoHash().toHex());
        file.put("pieces_root", item.metainfo().piecesRoot().toHex());
        file.put("pinned", item.pinned());
        file.put("used_for", item.users());
        file.put(
                "last_use",
                item.lastUse().equals(Instant.EPOCH) ? null : item.lastUse().toString());
        return file;
    }
}
