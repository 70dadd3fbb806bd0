package shoal.verticles.store;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import shoal.codec.base.Hash256;

/** Which files go when there is not enough room for another: those used longest ago, never one that is pinned or in use. */
final class Eviction {
    private Eviction() {}

    /**
     * @param own the files that count against the quota
     * @param coming the file that needs room; what is here of it counts and stays
     * @param quota in bytes; 0 for no bound
     * @throws IOException if what may go is not enough, with the numbers; nothing is to go then
     */
    static List<StoreEntry> choose(
            Collection<StoreEntry> own, StoreNotes notes, long quota, Hash256 coming, long wantedBytes, String name)
            throws IOException {
        if (quota == 0) {
            return List.of();
        }
        long held = 0;
        var candidates = new ArrayList<StoreEntry>();
        for (StoreEntry entry : own) {
            held += entry.heldBytes();
            Hash256 root = entry.root();
            if (!root.equals(coming)
                    && !notes.isPinned(root)
                    && notes.users(root).isEmpty()) {
                candidates.add(entry);
            }
        }
        candidates.sort(Comparator.comparing((StoreEntry entry) -> notes.lastUse(entry.root()))
                .thenComparing(StoreEntry::root));
        long freeable = candidates.stream().mapToLong(StoreEntry::heldBytes).sum();
        if (held - freeable + wantedBytes > quota) {
            throw new IOException(String.format(
                    Locale.ROOT,
                    "%s needs %,d bytes, store.quotaBytes is %,d, and %,d of them are pinned or in use. "
                            + "Raise the quota, or unpin something (shoal ls shows what).",
                    name,
                    wantedBytes,
                    quota,
                    held - freeable));
        }
        var going = new ArrayList<StoreEntry>();
        for (StoreEntry entry : candidates) {
            if (held + wantedBytes <= quota) {
                break;
            }
            held -= entry.heldBytes();
            going.add(entry);
        }
        return going;
    }
}
