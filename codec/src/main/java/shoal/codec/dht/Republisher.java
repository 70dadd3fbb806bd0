package shoal.codec.dht;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;

/**
 * What this node itself provides, and when each key is due to be told again (paper, section 2.5): well before its record
 * expires, and sooner while few nodes hold it, since then the network is young.
 */
final class Republisher {
    static final long LIFETIME_SECONDS = 3600;
    static final long INTERVAL_NANOS = 1200 * 1_000_000_000L;
    static final long YOUNG_INTERVAL_NANOS = 60 * 1_000_000_000L;

    /** More keys than a node has shards; our own bound, so passing it is our own mistake. */
    static final int MAX_KEYS = RecordStore.MAX_PER_PROVIDER;

    private static final class Entry {
        final byte[] payload;
        long dueNanos;
        boolean running;

        Entry(byte[] payload, long dueNanos) {
            this.payload = payload;
            this.dueNanos = dueNanos;
        }
    }

    private final RandomGenerator random;
    private final Map<Hash256, Entry> entries = new LinkedHashMap<>();

    Republisher(RandomGenerator random) {
        this.random = random;
    }

    /** Due at once. */
    void add(Hash256 key, byte[] payload, long nowNanos) {
        if (entries.size() >= MAX_KEYS && !entries.containsKey(key)) {
            throw new IllegalStateException("announced keys are " + entries.size() + ", allowed 0.." + MAX_KEYS);
        }
        Entry old = entries.get(key);
        var entry = new Entry(payload.clone(), nowNanos);
        entry.running = old != null && old.running;
        entries.put(key, entry);
    }

    byte @Nullable [] payload(Hash256 key) {
        Entry entry = entries.get(key);
        return entry == null ? null : entry.payload;
    }

    boolean remove(Hash256 key) {
        return entries.remove(key) != null;
    }

    void allDue(long nowNanos) {
        entries.values().forEach(entry -> entry.dueNanos = nowNanos);
    }

    /** Takes up to max keys that are due; they rest until {@link #told}. */
    List<Hash256> takeDue(long nowNanos, int max) {
        var due = new ArrayList<Hash256>();
        entries.forEach((key, entry) -> {
            if (!entry.running && entry.dueNanos <= nowNanos && due.size() < max) {
                entry.running = true;
                entry.dueNanos = Long.MAX_VALUE;
                due.add(key);
            }
        });
        return due;
    }

    /** The key was told to so many nodes. */
    void told(Hash256 key, int count, long nowNanos) {
        Entry entry = entries.get(key);
        if (entry != null) {
            long interval = count < KBucket.K ? YOUNG_INTERVAL_NANOS : INTERVAL_NANOS;
            entry.running = false;
            entry.dueNanos = Math.min(entry.dueNanos, nowNanos + interval - random.nextLong(interval / 4));
        }
    }

    int runningCount() {
        return (int) entries.values().stream().filter(entry -> entry.running).count();
    }

    long deadlineNanos() {
        return entries.values().stream()
                .filter(entry -> !entry.running)
                .mapToLong(entry -> entry.dueNanos)
                .min()
                .orElse(Long.MAX_VALUE);
    }
}
