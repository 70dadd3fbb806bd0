package shoal.codec.dht;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.Seeds;

class LookupTest {
    private static final NodeId SELF = new NodeId(Hash256.ZERO);

    private static Contact contact(Hash256 id) {
        return new Contact(new NodeId(id), List.of(new Endpoint("10.0.0.1", 1)));
    }

    @Test
    void nobodyKnownIsNobodyFound() {
        assertEquals(
                List.of(new Lookup.Done(List.of())),
                new Lookup(Hash256.ZERO, SELF, List.of()).handle(new Lookup.Start(), 0));
    }

    @Test
    void threeAreAskedAtOnceAndTheSilentMakeRoomAfterOneSecond() {
        var known = new ArrayList<Contact>();
        for (int i = 1; i <= 10; i++) {
            known.add(RoutingTableTest.contact(i));
        }
        var lookup = new Lookup(Hash256.ZERO, SELF, known);
        assertEquals(
                List.of(new Lookup.Ask(known.get(0)), new Lookup.Ask(known.get(1)), new Lookup.Ask(known.get(2))),
                List.copyOf(lookup.handle(new Lookup.Start(), 7)));
        assertEquals(7 + Lookup.PATIENCE_NANOS, lookup.deadlineNanos());
        assertEquals(List.of(), lookup.handle(new Lookup.Tick(), 6 + Lookup.PATIENCE_NANOS));
        assertEquals(
                3, lookup.handle(new Lookup.Tick(), 7 + Lookup.PATIENCE_NANOS).size());
        var late = new Lookup.Answered(known.get(0).id(), List.of());
        assertEquals(List.of(), lookup.handle(late, 8 + Lookup.PATIENCE_NANOS), "a late answer opens no fourth place");
        for (int i = 3; i < 10; i++) {
            lookup.handle(new Lookup.Failed(known.get(i).id()), 9 + Lookup.PATIENCE_NANOS);
        }
        assertEquals(Long.MAX_VALUE, lookup.deadlineNanos(), "done");
    }

    /**
     * Each node knows its neighbours and some others, a quarter of them dead, and names twenty: so of the twenty closest that
     * live, the first ten must be found. The oracle is the whole list, sorted.
     */
    @ParameterizedTest
    @SeedSource(50)
    void findsTheClosestLivingNodesOfAWorldWithAtMostThreeInFlight(long seed) {
        var random = new Seeds(seed).random("world", 0);
        Hash256 target = RoutingTableTest.randomHash(random);
        var ids = new ArrayList<Hash256>();
        for (int i = 0; i < 200; i++) {
            ids.add(RoutingTableTest.randomHash(random));
        }
        var dead = new HashSet<>(ids.subList(150, 200));
        Map<Hash256, List<Contact>> knows = new HashMap<>();
        for (Hash256 id : ids) {
            var others = new ArrayList<>(ids);
            others.sort(Comparator.comparing(id::xor));
            var known = new ArrayList<>(others.subList(1, 60));
            for (int i = 0; i < 40; i++) {
                known.add(ids.get(random.nextInt(200)));
            }
            known.sort(Comparator.comparing(target::xor));
            knows.put(
                    id,
                    known.stream().distinct().limit(20).map(LookupTest::contact).toList());
        }
        var lookup = new Lookup(target, SELF, List.of(contact(ids.get(0)), contact(ids.get(1))));
        var inFlight = new ArrayDeque<Contact>();
        var done = new ArrayList<Contact>();
        var asked = new HashSet<NodeId>();
        var effects = List.copyOf(lookup.handle(new Lookup.Start(), 0));
        for (long now = 0; ; now++) {
            boolean ended = false;
            for (Lookup.Effect effect : effects) {
                switch (effect) {
                    case Lookup.Ask(Contact contact) -> {
                        assertTrue(asked.add(contact.id()), "asked twice, seed " + seed);
                        inFlight.add(contact);
                    }
                    case Lookup.Done(List<Contact> closest) -> {
                        done.addAll(closest);
                        ended = true;
                    }
                }
            }
            assertTrue(inFlight.size() <= Lookup.ALPHA, "seed " + seed);
            if (ended) {
                break;
            }
            Contact next = inFlight.remove();
            Hash256 id = next.id().hash();
            effects = List.copyOf(lookup.handle(
                    dead.contains(id) ? new Lookup.Failed(next.id()) : new Lookup.Answered(next.id(), knows.get(id)),
                    now));
        }
        List<Contact> oracle = ids.stream()
                .filter(id -> !dead.contains(id))
                .sorted(Comparator.comparing(target::xor))
                .limit(10)
                .map(LookupTest::contact)
                .toList();
        assertEquals(oracle, done.subList(0, 10), "seed " + seed);
    }

    /** One honest node, around which four died and two live, farther away. */
    @Test
    void whoseNeighboursDiedIsStillHeard() {
        var only = RoutingTableTest.contact(9);
        var lookup = new Lookup(Hash256.ZERO, SELF, List.of(only));
        lookup.handle(new Lookup.Start(), 0);
        var named = new ArrayList<Contact>();
        for (int i = 1; i <= 6; i++) {
            named.add(RoutingTableTest.contact(10 + i));
        }
        var questions = new ArrayDeque<>(lookup.handle(new Lookup.Answered(only.id(), named), 1));
        List<Contact> found = null;
        while (found == null) {
            switch (questions.remove()) {
                case Lookup.Ask(Contact asked) ->
                    questions.addAll(lookup.handle(
                            named.indexOf(asked) < 4
                                    ? new Lookup.Failed(asked.id())
                                    : new Lookup.Answered(asked.id(), List.of()),
                            2));
                case Lookup.Done(List<Contact> closest) -> found = closest;
            }
        }
        assertEquals(List.of(only, named.get(4), named.get(5)), found);
    }

    /** Everybody answers and names twenty new nodes, each closer than all before: an endless retreat. */
    @Test
    void anEndlessRetreatEnds() {
        var random = new Seeds(1).random("sybil", 0);
        var lookup = new Lookup(Hash256.ZERO, SELF, List.of(RoutingTableTest.contact(60_000)));
        var inFlight = new ArrayDeque<Contact>();
        boolean ended = false;
        var effects = List.copyOf(lookup.handle(new Lookup.Start(), 0));
        for (int step = 0; step < 100_000 && !ended; step++) {
            for (Lookup.Effect effect : effects) {
                switch (effect) {
                    case Lookup.Ask(Contact contact) -> inFlight.add(contact);
                    case Lookup.Done(List<Contact> _) -> ended = true;
                }
            }
            if (!ended) {
                var garbage = new ArrayList<Contact>();
                for (int i = 0; i < 64; i++) {
                    byte[] id = new byte[32];
                    int zeros = Math.min(26, step / 16);
                    for (int b = zeros; b < 32; b++) {
                        id[b] = (byte) random.nextInt();
                    }
                    garbage.add(contact(Hash256.of(id)));
                }
                effects = List.copyOf(
                        lookup.handle(new Lookup.Answered(inFlight.remove().id(), garbage), step));
            }
        }
        assertTrue(ended);
        assertTrue(lookup.askedCount() <= Lookup.MAX_ASKED, lookup.askedCount() + " asked");
    }
}
