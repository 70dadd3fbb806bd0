package shoal.codec.dht;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;

/** All contacts, in one bucket for each number of leading bits shared with our own id (paper, section 2.2). */
final class RoutingTable {
    private static final int BITS = 8 * Hash256.SIZE_BYTES;

    private final NodeId self;
    private final KBucket[] buckets = new KBucket[BITS];

    RoutingTable(NodeId self) {
        this.self = self;
        for (int i = 0; i < BITS; i++) {
            buckets[i] = new KBucket();
        }
    }

    /** As {@link KBucket#seen}; our own id is passed over. */
    Optional<Contact> seen(Contact contact, boolean answered, long nowNanos) {
        return contact.id().equals(self)
                ? Optional.empty()
                : bucketOf(contact.id()).seen(contact, answered, nowNanos);
    }

    void failed(NodeId id) {
        if (!id.equals(self)) {
            bucketOf(id).failed(id);
        }
    }

    boolean contains(NodeId id) {
        return !id.equals(self) && bucketOf(id).contains(id);
    }

    boolean hasAnswered(NodeId id) {
        return !id.equals(self) && bucketOf(id).hasAnswered(id);
    }

    /** At most count contacts, closest to the target first. */
    List<Contact> closest(Hash256 target, int count) {
        var all = new ArrayList<Contact>();
        for (KBucket bucket : buckets) {
            all.addAll(bucket.contacts());
        }
        all.sort(byDistanceTo(target));
        return List.copyOf(all.subList(0, Math.min(count, all.size())));
    }

    int size() {
        int size = 0;
        for (KBucket bucket : buckets) {
            size += bucket.size();
        }
        return size;
    }

    List<Contact> staleSince(long nanos) {
        var stale = new ArrayList<Contact>();
        for (KBucket bucket : buckets) {
            stale.addAll(bucket.staleSince(nanos));
        }
        return stale;
    }

    /** The bucket of our nearest contact; -1 where there is none. */
    int deepestBucket() {
        for (int i = BITS - 1; i >= 0; i--) {
            if (buckets[i].size() > 0) {
                return i;
            }
        }
        return -1;
    }

    int bucketSize(int index) {
        return buckets[index].size();
    }

    /** An id that would fall into the bucket. */
    Hash256 randomIn(int bucket, RandomGenerator random) {
        byte[] id = new byte[Hash256.SIZE_BYTES];
        random.nextBytes(id);
        byte[] own = self.hash().toBytes();
        int whole = bucket / 8;
        System.arraycopy(own, 0, id, 0, whole);
        int kept = bucket % 8;
        int keptMask = 0xff00 >>> kept & 0xff;
        int flipped = 0x80 >>> kept;
        id[whole] = (byte) (own[whole] & keptMask | ~own[whole] & flipped | id[whole] & ~keptMask & ~flipped);
        return Hash256.of(id);
    }

    static Comparator<Contact> byDistanceTo(Hash256 target) {
        return (a, b) -> compareDistance(target, a.id().hash(), b.id().hash());
    }

    /** Negative if a is closer to the target than b. */
    static int compareDistance(Hash256 target, Hash256 a, Hash256 b) {
        for (int i = 0; i < Hash256.SIZE_BYTES; i++) {
            int t = target.byteAt(i);
            int order = Integer.compare(a.byteAt(i) ^ t, b.byteAt(i) ^ t);
            if (order != 0) {
                return order;
            }
        }
        return 0;
    }

    private KBucket bucketOf(NodeId id) {
        return buckets[self.hash().xor(id.hash()).leadingZeroBits()];
    }
}
