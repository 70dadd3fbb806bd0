package shoal.codec.dht;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.Seeds;

class RoutingTableTest {
    static Contact contact(int number) {
        byte[] id = new byte[32];
        id[30] = (byte) (number >> 8);
        id[31] = (byte) number;
        return new Contact(new NodeId(Hash256.of(id)), List.of(new Endpoint("10.0.0.1", number)));
    }

    static Hash256 randomHash(RandomGenerator random) {
        byte[] id = new byte[32];
        random.nextBytes(id);
        return Hash256.of(id);
    }

    @Test
    void whoWasSeenLastStandsLast() {
        var bucket = new KBucket();
        for (int i = 0; i < 3; i++) {
            bucket.seen(contact(i), true, i);
        }
        bucket.seen(contact(0), true, 5);
        assertEquals(List.of(contact(1), contact(2), contact(0)), bucket.contacts());
        assertEquals(List.of(contact(1)), bucket.staleSince(2));
    }

    @Test
    void aFullBucketKeepsItsOldMembersWhileTheyLive() {
        var bucket = full();
        Contact newcomer = contact(500);
        assertEquals(Optional.of(contact(0)), bucket.seen(newcomer, true, 100), "the least recently seen is asked");
        assertFalse(bucket.contains(newcomer.id()));
        bucket.seen(contact(0), true, 101);
        assertEquals(KBucket.K, bucket.size());
        assertEquals(contact(0), bucket.contacts().getLast());
        bucket.failed(contact(1).id());
        assertFalse(bucket.contains(contact(1).id()));
        assertTrue(bucket.contains(newcomer.id()), "the replacement takes the dead one's place");
    }

    @Test
    void whoNeverAnsweredMakesRoomForWhoDoes() {
        var bucket = new KBucket();
        for (int i = 0; i < KBucket.K; i++) {
            bucket.seen(contact(i), i != 4, i);
        }
        assertEquals(Optional.empty(), bucket.seen(contact(500), true, 100));
        assertTrue(bucket.contains(contact(500).id()));
        assertFalse(bucket.contains(contact(4).id()));
        assertEquals(Optional.of(contact(0)), bucket.seen(contact(501), false, 100), "nobody goes for hearsay");
    }

    @Test
    void oneSilenceIsForgivenWhileNobodyWaitsThreeAreNot() {
        var bucket = new KBucket();
        bucket.seen(contact(1), true, 0);
        bucket.failed(contact(1).id());
        bucket.failed(contact(1).id());
        assertTrue(bucket.contains(contact(1).id()));
        bucket.seen(contact(1), true, 1);
        bucket.failed(contact(1).id());
        bucket.failed(contact(1).id());
        assertTrue(bucket.contains(contact(1).id()), "an answer clears what was before");
        bucket.failed(contact(1).id());
        assertFalse(bucket.contains(contact(1).id()));
        bucket.seen(contact(2), false, 1);
        bucket.failed(contact(2).id());
        assertFalse(bucket.contains(contact(2).id()), "one that never answered goes at once");
    }

    @Test
    void replacementsAreBoundedAndTheNewestWaits() {
        var bucket = full();
        for (int i = 100; i < 1000; i++) {
            bucket.seen(contact(i), true, i);
        }
        assertEquals(KBucket.K, bucket.size());
        assertEquals(KBucket.K, bucket.replacementCount());
        bucket.failed(contact(3).id());
        assertTrue(bucket.contains(contact(999).id()));
    }

    private static KBucket full() {
        var bucket = new KBucket();
        for (int i = 0; i < KBucket.K; i++) {
            bucket.seen(contact(i), true, i);
        }
        return bucket;
    }

    @ParameterizedTest
    @SeedSource(20)
    void closestIsWhatSortingByXorGives(long seed) {
        var random = new Seeds(seed).random("table", 0);
        var self = new NodeId(randomHash(random));
        var table = new RoutingTable(self);
        var kept = new ArrayList<Contact>();
        for (int i = 0; i < 200; i++) {
            var contact = new Contact(new NodeId(randomHash(random)), List.of(new Endpoint("10.0.0.1", i)));
            table.seen(contact, true, i);
            if (table.contains(contact.id())) {
                kept.add(contact);
            }
        }
        table.seen(new Contact(self, List.of(new Endpoint("10.0.0.1", 1))), true, 0);
        assertFalse(table.contains(self));
        Hash256 target = randomHash(random);
        kept.sort((a, b) -> a.id().hash().xor(target).compareTo(b.id().hash().xor(target)));
        assertEquals(kept.subList(0, 20), table.closest(target, 20), "seed " + seed);
        assertEquals(kept.size(), table.size());
    }

    @ParameterizedTest
    @SeedSource(5)
    void aRandomIdFallsIntoItsBucket(long seed) {
        var random = new Seeds(seed).random("bucket", 0);
        var self = new NodeId(randomHash(random));
        var table = new RoutingTable(self);
        for (int bucket = 0; bucket < 256; bucket++) {
            Hash256 id = table.randomIn(bucket, random);
            assertEquals(bucket, self.hash().xor(id).leadingZeroBits(), "seed " + seed);
        }
    }

    /** Made with: printf 'shoal:cluster:llama-cluster' | sha256sum; (head -c 32 /dev/zero; printf '\0\0\0\10\0\0\0\17') | sha256sum. */
    @Test
    void keysAreAsDocumented() {
        assertEquals(
                "e3ce42aaee4ea0debc710e5d7dfc0b2306c02a372cf850100539be52065a559c",
                DhtKeys.cluster("llama-cluster").toHex());
        assertEquals(
                "a43625f616b5ec3125517c97f3a69165fe7ec6f4073ffccec457a26987d03bc1",
                DhtKeys.layers(Hash256.ZERO, new LayerRange(8, 15)).toHex());
    }
}
