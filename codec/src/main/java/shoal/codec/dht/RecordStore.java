package shoal.codec.dht;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.random.RandomGenerator;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.SignedRecord;

/**
 * The provider records that this node keeps for all: only authentic ones, the newest of each provider under each key, until they
 * expire. A record whose life is zero withdraws its elders. Bounded per key, per provider and in all.
 */
final class RecordStore {
    static final int MAX_PER_KEY = 512;
    static final int MAX_PER_PROVIDER = 1024;
    static final int MAX_RECORDS = 16_384;

    /** How far clocks may be apart. A withdrawal is remembered as long. */
    static final long MAX_SKEW_SECONDS = 600;

    private final Hash256 self;
    private final Predicate<SignedRecord> authentic;
    private final TreeMap<Hash256, Map<NodeId, SignedRecord>> byDistance = new TreeMap<>();
    private final Map<NodeId, Integer> countByProvider = new HashMap<>();
    private int count;

    RecordStore(NodeId self, Predicate<SignedRecord> authentic) {
        this.self = self.hash();
        this.authentic = authentic;
    }

    /** Whether the record is what it says, of now, and in force. Signatures are checked last: they cost most. */
    boolean isValid(SignedRecord signed, long nowSeconds) {
        return signed.record().issuedAtSeconds() <= nowSeconds + MAX_SKEW_SECONDS
                && endSeconds(signed.record()) > nowSeconds
                && authentic.test(signed);
    }

    /** Whether the record is kept now (a newer one of the same provider counts as refusal). */
    boolean add(SignedRecord signed, long nowSeconds) {
        ProviderRecord record = signed.record();
        Hash256 distance = record.key().xor(self);
        NodeId provider = record.provider().id();
        Map<NodeId, SignedRecord> sameKey = byDistance.getOrDefault(distance, Map.of());
        SignedRecord known = sameKey.get(provider);
        if (known != null) {
            if (known.equals(signed)) {
                return true;
            }
            if (known.record().issuedAtSeconds() > record.issuedAtSeconds() || !isValid(signed, nowSeconds)) {
                return false;
            }
            sameKey.put(provider, signed);
            return true;
        }
        if (sameKey.size() >= MAX_PER_KEY || countByProvider.getOrDefault(provider, 0) >= MAX_PER_PROVIDER) {
            return false;
        }
        if (count >= MAX_RECORDS && byDistance.lastKey().compareTo(distance) <= 0) {
            return false;
        }
        if (!isValid(signed, nowSeconds)) {
            return false;
        }
        if (count >= MAX_RECORDS) {
            Map<NodeId, SignedRecord> farthest = byDistance.lastEntry().getValue();
            remove(byDistance.lastKey(), farthest.keySet().iterator().next());
        }
        byDistance.computeIfAbsent(distance, _ -> new LinkedHashMap<>()).put(provider, signed);
        countByProvider.merge(provider, 1, Integer::sum);
        count++;
        return true;
    }

    /** Records in force under the key: all, or a random choice of max. */
    List<SignedRecord> find(Hash256 key, long nowSeconds, int max, RandomGenerator random) {
        var found = new ArrayList<SignedRecord>();
        for (SignedRecord signed :
                byDistance.getOrDefault(key.xor(self), Map.of()).values()) {
            if (signed.record().expiresAtSeconds() > nowSeconds) {
                found.add(signed);
            }
        }
        for (int i = 0; i < max && found.size() > max; i++) {
            int other = random.nextInt(i, found.size());
            SignedRecord swapped = found.get(i);
            found.set(i, found.get(other));
            found.set(other, swapped);
        }
        return List.copyOf(found.subList(0, Math.min(max, found.size())));
    }

    /** At most max keys, those closest to this node first. */
    List<Hash256> keys(int max) {
        return byDistance.keySet().stream()
                .limit(max)
                .map(distance -> distance.xor(self))
                .toList();
    }

    void expire(long nowSeconds) {
        var gone = new ArrayList<Map.Entry<Hash256, NodeId>>();
        byDistance.forEach((distance, records) -> records.forEach((provider, signed) -> {
            if (endSeconds(signed.record()) <= nowSeconds) {
                gone.add(Map.entry(distance, provider));
            }
        }));
        gone.forEach(entry -> remove(entry.getKey(), entry.getValue()));
    }

    int size() {
        return count;
    }

    private static long endSeconds(ProviderRecord record) {
        return record.expiresAtSeconds() == record.issuedAtSeconds()
                ? record.issuedAtSeconds() + MAX_SKEW_SECONDS
                : record.expiresAtSeconds();
    }

    private void remove(Hash256 distance, NodeId provider) {
        Map<NodeId, SignedRecord> records = byDistance.get(distance);
        if (records == null || records.remove(provider) == null) {
            throw new IllegalStateException("no such record to remove");
        }
        if (records.isEmpty()) {
            byDistance.remove(distance);
        }
        count--;
        countByProvider.computeIfPresent(provider, (_, n) -> n == 1 ? null : n - 1);
    }
}
