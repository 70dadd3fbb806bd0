package shoal.codec.dht;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.List;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.sim.Seeds;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.SignedRecord;

class RecordStoreTest {
    private static final long NOW = DhtWorld.EPOCH;
    private final RecordStore store = new RecordStore(new NodeId(Hash256.ZERO), DhtWorld::pretendedAuthentic);
    private final Hash256 key = RoutingTableTest.contact(77).id().hash();

    private static SignedRecord record(Hash256 key, int provider, long issued, long expires) {
        return DhtWorld.pretend(
                new ProviderRecord(key, RoutingTableTest.contact(provider), new byte[0], issued, expires));
    }

    private List<SignedRecord> found(long now) {
        return store.find(key, now, 1000, new Seeds(1).random("find", 0));
    }

    @Test
    void theNewestOfAProviderWins() {
        SignedRecord old = record(key, 1, NOW, NOW + 100);
        SignedRecord fresh = record(key, 1, NOW + 5, NOW + 200);
        assertTrue(store.add(fresh, NOW + 5));
        assertFalse(store.add(old, NOW + 6));
        assertTrue(store.add(fresh, NOW + 6), "the same again is kept");
        assertEquals(List.of(fresh), found(NOW + 6));
        assertEquals(1, store.size());
    }

    @Test
    void refusesWhatIsForgedOrNotOfNow() {
        SignedRecord good = record(key, 1, NOW, NOW + 100);
        assertFalse(store.add(new SignedRecord(good.record(), good.publicKey(), new byte[] {2}), NOW));
        assertFalse(store.add(
                new SignedRecord(
                        good.record(), RoutingTableTest.contact(2).id().hash().toBytes(), good.signature()),
                NOW));
        assertFalse(store.add(good, NOW + 100), "expired");
        assertFalse(store.add(record(key, 1, NOW + 601, NOW + 700), NOW), "from the future");
        assertTrue(store.add(record(key, 1, NOW + 600, NOW + 700), NOW), "within skew");
    }

    @Test
    void expiresAndForgets() {
        store.add(record(key, 1, NOW, NOW + 100), NOW);
        store.add(record(key, 2, NOW, NOW + 200), NOW);
        assertEquals(2, found(NOW + 99).size());
        assertEquals(1, found(NOW + 100).size());
        store.expire(NOW + 100);
        assertEquals(1, store.size());
        store.expire(NOW + 200);
        assertEquals(0, store.size());
        assertEquals(List.of(), store.keys(10));
    }

    @Test
    void aWithdrawalRemovesAndBarsTheElder() {
        SignedRecord elder = record(key, 1, NOW, NOW + 1000);
        store.add(elder, NOW);
        assertTrue(store.add(record(key, 1, NOW + 1, NOW + 1), NOW + 1));
        assertEquals(List.of(), found(NOW + 1));
        assertFalse(store.add(elder, NOW + 2), "a copy that comes late does not raise it again");
        store.expire(NOW + 1 + RecordStore.MAX_SKEW_SECONDS);
        assertEquals(0, store.size());
    }

    @Test
    void oneKeyAndOneProviderAreBounded() {
        for (int i = 0; i < RecordStore.MAX_PER_KEY + 10; i++) {
            assertEquals(i < RecordStore.MAX_PER_KEY, store.add(record(key, i, NOW, NOW + 100), NOW));
        }
        for (int i = 0; i < RecordStore.MAX_PER_PROVIDER + 10; i++) {
            Hash256 other = RoutingTableTest.contact(1000 + i).id().hash();
            assertEquals(i < RecordStore.MAX_PER_PROVIDER, store.add(record(other, 5000, NOW, NOW + 100), NOW));
        }
    }

    @Test
    void whenFullTheFarthestKeyGoes() {
        for (int i = 0; i < RecordStore.MAX_RECORDS; i++) {
            assertTrue(
                    store.add(record(RoutingTableTest.contact(20_000 + i).id().hash(), i, NOW, NOW + 100), NOW));
        }
        Hash256 far = RoutingTableTest.contact(65_000).id().hash();
        Hash256 near = RoutingTableTest.contact(7).id().hash();
        Hash256 farthest = RoutingTableTest.contact(20_000 + RecordStore.MAX_RECORDS - 1)
                .id()
                .hash();
        var random = new Seeds(1).random("find", 0);
        assertFalse(store.add(record(far, 40_000, NOW, NOW + 100), NOW));
        assertEquals(1, store.find(farthest, NOW, 9, random).size());
        assertTrue(store.add(record(near, 40_000, NOW, NOW + 100), NOW));
        assertEquals(0, store.find(farthest, NOW, 9, random).size());
        assertEquals(near, store.keys(1).getFirst());
        assertEquals(RecordStore.MAX_RECORDS, store.size());
    }

    @Test
    void ofManyAnswersARandomChoiceIsGivenWithoutRepeats() {
        for (int i = 0; i < 200; i++) {
            store.add(record(key, i, NOW, NOW + 100), NOW);
        }
        var random = new Seeds(3).random("find", 0);
        var seen = new HashSet<Contact>();
        for (int i = 0; i < 40; i++) {
            List<SignedRecord> some = store.find(key, NOW, 64, random);
            assertEquals(64, new HashSet<>(some).size());
            some.forEach(signed -> seen.add(signed.record().provider()));
        }
        assertEquals(200, seen.size());
    }
}
