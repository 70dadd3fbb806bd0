package shoal.codec.dht;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.security.GeneralSecurityException;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.Seeds;
import shoal.codec.wire.Frame;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.SignedRecord;

class DhtSimTest {
    /** The acceptance test: from one bootstrap address, every provider, without and with loss. */
    @ParameterizedTest(name = "{0} nodes, loss {1}, seed {2}")
    @CsvSource({
        "2,0,1",
        "2,0.05,2",
        "3,0.05,3",
        "5,0,4",
        "5,0.05,5",
        "20,0,6",
        "20,0.05,7",
        "50,0,8",
        "50,0.05,9",
        "300,0.05,10"
    })
    void fromOneBootstrapAddressEveryProviderIsFound(int size, double loss, long number) {
        long seed = Long.getLong("shoal.seed", Seeds.derive(1, number));
        var world = DhtWorld.of(seed, loss);
        List<DhtWorld.Node> nodes = world.swarm(size, Duration.ofSeconds(10));
        Hash256 key = world.hash("key", 0);
        List<DhtWorld.Node> providers = nodes.subList(size / 2, Math.min(size, size / 2 + 15));
        providers.forEach(node -> node.announce(key));
        world.simulation.runUntil(
                () -> providers.stream().allMatch(node -> node.announced.containsKey(key)), Duration.ofMinutes(2));
        Set<NodeId> expected = ids(providers);
        for (DhtWorld.Node asker : List.of(nodes.getFirst(), nodes.get(size / 3), nodes.getLast())) {
            long query = asker.find(key);
            world.await(asker, query);
            assertEquals(expected, asker.found(query), world.simulation.toString());
        }
    }

    /** In one data centre the answer is there before a person has blinked: no time-out is waited for. */
    @ParameterizedTest
    @SeedSource(10)
    void aSmallSwarmWorksFromTheFirstSecond(long seed) {
        var world = new DhtWorld(shoal.codec.sim.Simulation.of(seed).delayMillis(1, 5));
        Hash256 key = world.hash("key", 0);
        DhtWorld.Node first = world.node().bootstrap();
        var nodes = new ArrayList<DhtWorld.Node>();
        for (int i = 0; i < 5; i++) {
            nodes.add(world.node().bootstrap(first).announce(key));
        }
        world.simulation.runFor(Duration.ofMillis(500));
        for (DhtWorld.Node node : world.nodes) {
            long query = node.find(key);
            world.simulation.runFor(Duration.ofMillis(100));
            assertTrue(node.done.contains(query), world.simulation.toString());
            assertEquals(ids(nodes), node.found(query), world.simulation.toString());
        }
    }

    @ParameterizedTest
    @SeedSource(10)
    void aQuestionAskedBeforeJoiningIsAnsweredAfter(long seed) {
        var world = DhtWorld.of(seed, 0);
        Hash256 key = world.hash("key", 0);
        DhtWorld.Node first = world.node().bootstrap().announce(key);
        DhtWorld.Node late = world.node().bootstrap(first);
        long query = late.find(key);
        world.await(late, query);
        assertEquals(Set.of(first.id), late.found(query), world.simulation.toString());
    }

    @ParameterizedTest
    @SeedSource(20)
    void aLookupFindsTheTrulyClosestNodes(long seed) {
        var world = DhtWorld.of(seed, 0);
        List<DhtWorld.Node> nodes = world.swarm(60, Duration.ofSeconds(20));
        Hash256 target = world.hash("target", 0);
        DhtWorld.Node asker = nodes.get(17);
        asker.machine.feed(new Dht.FindNode(target, 99));
        world.simulation.runUntil(() -> asker.nodesFound.containsKey(99L), Duration.ofMinutes(1));
        List<NodeId> oracle = nodes.stream()
                .map(node -> node.id)
                .filter(id -> !id.equals(asker.id))
                .sorted((a, b) -> a.hash().xor(target).compareTo(b.hash().xor(target)))
                .limit(20)
                .toList();
        assertEquals(oracle, asker.nodesFound.get(99L).stream().map(Contact::id).toList(), world.simulation.toString());
    }

    @ParameterizedTest
    @SeedSource(3)
    void aThirdOfTheSwarmMayDieAndOthersComeAndAllProvidersThatLiveAreFound(long seed) {
        var world = DhtWorld.of(seed, 0.05);
        List<DhtWorld.Node> nodes = new ArrayList<>(world.swarm(50, Duration.ofSeconds(10)));
        Hash256 key = world.hash("key", 0);
        List<DhtWorld.Node> providers = List.copyOf(nodes.subList(1, 6));
        providers.forEach(node -> node.announce(key));
        world.simulation.runFor(Duration.ofMinutes(2));
        for (int i = 30; i < 47; i++) {
            nodes.get(i).die();
            nodes.add(world.node().bootstrap(nodes.getFirst()));
            world.simulation.runFor(Duration.ofSeconds(20));
        }
        DhtWorld.Node asker = nodes.getLast();
        long query = asker.find(key);
        world.await(asker, query);
        assertEquals(ids(providers), asker.found(query), world.simulation.toString());
    }

    @ParameterizedTest
    @SeedSource(3)
    void republishingOutlivesTheDeathOfEveryHolder(long seed) {
        var world = DhtWorld.of(seed, 0.02);
        List<DhtWorld.Node> nodes = new ArrayList<>(world.swarm(60, Duration.ofSeconds(10)));
        Hash256 key = world.hash("key", 0);
        DhtWorld.Node provider = nodes.get(7).announce(key);
        world.simulation.runUntil(() -> provider.announced.containsKey(key), Duration.ofMinutes(1));
        List<DhtWorld.Node> holders = nodes.stream()
                .filter(node -> node != provider && node.dht.recordCount() > 0)
                .toList();
        assertTrue(holders.size() >= 15, holders.size() + " holders, " + world.simulation);
        holders.forEach(DhtWorld.Node::die);
        world.simulation.runFor(Duration.ofMinutes(45));
        List<DhtWorld.Node> second = nodes.stream()
                .filter(node -> node != provider && !holders.contains(node) && node.dht.recordCount() > 0)
                .toList();
        assertTrue(second.size() >= 15, second.size() + " new holders, " + world.simulation);
    }

    @ParameterizedTest
    @SeedSource(3)
    void aDeadProvidersRecordExpiresAndAWithdrawnOneGoesAtOnce(long seed) {
        var world = DhtWorld.of(seed, 0);
        List<DhtWorld.Node> nodes = world.swarm(8, Duration.ofSeconds(1));
        Hash256 key = world.hash("key", 0);
        DhtWorld.Node dying = nodes.get(3).announce(key);
        DhtWorld.Node leaving = nodes.get(4).announce(key);
        world.simulation.runFor(Duration.ofSeconds(10));
        dying.die();
        leaving.machine.feed(new Dht.Withdraw(key));
        world.simulation.runFor(Duration.ofSeconds(10));
        long soon = nodes.get(6).find(key);
        world.await(nodes.get(6), soon);
        assertEquals(Set.of(dying.id), nodes.get(6).found(soon), world.simulation.toString());
        world.simulation.runFor(Duration.ofSeconds(Republisher.LIFETIME_SECONDS + 120));
        long later = nodes.get(6).find(key);
        world.await(nodes.get(6), later);
        assertEquals(Set.of(), nodes.get(6).found(later), world.simulation.toString());
        assertEquals(0, nodes.get(6).dht.recordCount(), world.simulation.toString());
    }

    @ParameterizedTest
    @SeedSource(5)
    void whoJoinsLaterHoldsTheRecordsThatItShould(long seed) {
        var world = DhtWorld.of(seed, 0);
        List<DhtWorld.Node> nodes = world.swarm(4, Duration.ofSeconds(1));
        Hash256 key = world.hash("key", 0);
        nodes.get(1).announce(key);
        world.simulation.runFor(Duration.ofSeconds(10));
        DhtWorld.Node late = world.node().bootstrap(nodes.getFirst());
        world.simulation.runFor(Duration.ofSeconds(10));
        assertEquals(1, late.dht.recordCount(), world.simulation.toString());
    }

    /** Liars name a full list of dead contacts, each time others, closer to the target than anybody. */
    @ParameterizedTest
    @SeedSource(5)
    void liarsDoNotStopALookup(long seed) {
        var world = DhtWorld.of(seed, 0.02);
        List<DhtWorld.Node> nodes = world.swarm(50, Duration.ofSeconds(10));
        Hash256 key = world.hash("key", 0);
        List<DhtWorld.Node> providers = List.copyOf(nodes.subList(1, 6));
        providers.forEach(node -> node.announce(key));
        world.simulation.runFor(Duration.ofMinutes(1));
        var random = world.simulation.random("liar", 0);
        for (DhtWorld.Node liar : nodes.subList(40, 50)) {
            liar.lie = question -> {
                var garbage = new ArrayList<Contact>();
                for (int i = 0; i < 64; i++) {
                    byte[] id = key.toBytes();
                    for (int b = 20; b < 32; b++) {
                        id[b] = (byte) random.nextInt();
                    }
                    garbage.add(new Contact(new NodeId(Hash256.of(id)), List.of(new Endpoint("192.0.2.1", 9))));
                }
                return question.frame() instanceof Frame.FindProviders
                        ? new Frame.Providers(List.of(forged(key, liar.id, nodes.get(20).id)), garbage)
                        : new Frame.Nodes(garbage);
            };
        }
        DhtWorld.Node asker = nodes.get(30);
        long before = asker.askedForProviders;
        long query = asker.find(key);
        world.simulation.runUntil(() -> asker.done.contains(query), Duration.ofMinutes(1));
        assertEquals(ids(providers), asker.found(query), world.simulation.toString());
        assertTrue(asker.askedForProviders - before < Lookup.MAX_ASKED, world.simulation.toString());
    }

    private static SignedRecord forged(Hash256 key, NodeId signer, NodeId victim) {
        var record = new ProviderRecord(
                key,
                new Contact(victim, List.of(new Endpoint("192.0.2.2", 9))),
                new byte[0],
                DhtWorld.EPOCH,
                DhtWorld.EPOCH + 80_000);
        return new SignedRecord(record, signer.hash().toBytes(), new byte[] {1});
    }

    @Test
    void aBootstrapThatIsNotUpYetIsWaitedFor() {
        var world = DhtWorld.of(1, 0);
        DhtWorld.Node first = world.node();
        world.network.leave(first.endpoint);
        Hash256 key = world.hash("key", 0);
        DhtWorld.Node early = world.node().bootstrap(first).announce(key);
        world.simulation.runFor(Duration.ofSeconds(20));
        assertFalse(early.joined());
        assertTrue(early.joinEvents.contains("waiting"));
        DhtWorld.Node same = world.new Node(world.hash("again", 0), first.endpoint, null);
        same.bootstrap();
        world.simulation.runUntil(early::joined, Duration.ofSeconds(30));
        long query = same.find(key);
        world.await(same, query);
        assertEquals(Set.of(early.id), same.found(query));
    }

    @Test
    void aBootstrapThatNeverComesIsGivenUpUnlessToldOtherwise() {
        var world = DhtWorld.of(1, 0);
        DhtWorld.Node first = world.node();
        first.die();
        DhtWorld.Node meek = world.node().bootstrap(first);
        DhtWorld.Node stubborn = world.node();
        stubborn.machine.feed(new Dht.Bootstrap(List.of(first.endpoint), true));
        long query = meek.find(world.hash("key", 0));
        world.simulation.runFor(Duration.ofMinutes(10));
        assertEquals("failed", meek.joinEvents.getLast());
        assertEquals(Dht.MAX_BOOTSTRAP_TRIES - 1, meek.joinEvents.size() - 1);
        assertTrue(meek.done.contains(query), "the query must end");
        assertEquals(1, stubborn.joinEvents.stream().filter("failed"::equals).count());
        DhtWorld.Node same = world.new Node(world.hash("again", 0), first.endpoint, null);
        same.bootstrap();
        world.simulation.runUntil(stubborn::joined, Duration.ofSeconds(40));
    }

    /** Another node answers at the address: that contact has failed, and no answer of it counts. */
    @Test
    void whoAnswersInAnothersPlaceIsNotBelieved() {
        var world = DhtWorld.of(1, 0);
        List<DhtWorld.Node> nodes = world.swarm(3, Duration.ofSeconds(1));
        nodes.get(2).die();
        DhtWorld.Node impostor = world.new Node(world.hash("impostor", 0), nodes.get(2).endpoint, null);
        DhtWorld.Node asker = nodes.get(1);
        asker.machine.feed(new Dht.FindNode(nodes.get(2).id.hash(), 5));
        world.simulation.runFor(Duration.ofSeconds(10));
        assertEquals(
                List.of(nodes.getFirst().id),
                asker.nodesFound.get(5L).stream().map(Contact::id).toList());
        assertEquals(0, impostor.dht.recordCount());
    }

    @Test
    void strangersCannotMakeANodeGrowWithoutBound() {
        var world = DhtWorld.of(1, 0);
        DhtWorld.Node node = world.node().bootstrap();
        var random = world.simulation.random("flood", 0);
        for (int i = 0; i < 60_000; i++) {
            byte[] bytes = new byte[32];
            random.nextBytes(bytes);
            var stranger = new NodeId(Hash256.of(bytes));
            random.nextBytes(bytes);
            var at = List.of(new Endpoint("192.0.2.1", 9));
            var record = new ProviderRecord(
                    Hash256.of(bytes), new Contact(stranger, at), new byte[200], DhtWorld.EPOCH, DhtWorld.EPOCH + 3600);
            node.machine.feed(
                    new Dht.Received(stranger, at, 1_000_000 + i, new Frame.AddProvider(DhtWorld.pretend(record))));
        }
        assertEquals(RecordStore.MAX_RECORDS, node.dht.recordCount());
        assertTrue(node.dht.contactCount() <= 256 * KBucket.K, node.dht.contactCount() + " contacts");
        assertTrue(node.asked <= 64, node.asked + " life checks at once");
        world.simulation.runFor(Duration.ofMinutes(5));
        assertTrue(node.dht.contactCount() < 256 * KBucket.K, node.dht.contactCount() + " contacts");
    }

    /** The whole way with real keys: P-256, SHA-256 of the encoded public key as id. */
    @Test
    void realSignaturesPassAndForgedOnesDoNot() throws GeneralSecurityException {
        var world = DhtWorld.of(1, 0);
        DhtWorld.Node[] nodes = new DhtWorld.Node[4];
        for (int i = 0; i < nodes.length; i++) {
            var generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            var pair = generator.generateKeyPair();
            byte[] spki = pair.getPublic().getEncoded();
            boolean forger = i == 3;
            Function<ProviderRecord, SignedRecord> signer = record -> {
                try {
                    var signature = Signature.getInstance("SHA256withECDSA");
                    signature.initSign(pair.getPrivate());
                    signature.update(forger ? new byte[5] : record.toBytes());
                    return new SignedRecord(record, spki, signature.sign());
                } catch (GeneralSecurityException broken) {
                    throw new IllegalStateException(broken);
                }
            };
            nodes[i] = world.node(NodeId.ofPublicKey(spki).hash(), signer);
            nodes[i].bootstrap(i == 0 ? new DhtWorld.Node[0] : new DhtWorld.Node[] {nodes[0]});
        }
        Hash256 key = DhtKeys.cluster("llama-cluster");
        for (int i = 1; i < 4; i++) {
            nodes[i].announce(key);
        }
        world.simulation.runFor(Duration.ofSeconds(5));
        long query = nodes[0].find(key);
        world.await(nodes[0], query);
        assertEquals(Set.of(nodes[1].id, nodes[2].id), nodes[0].found(query));
    }

    @Test
    void aSwarmCutInTwoGrowsTogetherAgain() {
        var world = DhtWorld.of(3, 0);
        List<DhtWorld.Node> nodes = world.swarm(10, Duration.ofSeconds(1));
        Hash256 key = world.hash("key", 0);
        nodes.get(8).announce(key);
        world.simulation.runFor(Duration.ofSeconds(5));
        world.network.partition(
                nodes.subList(5, 10).stream().map(node -> node.endpoint).collect(Collectors.toSet()));
        world.simulation.runFor(Duration.ofHours(3));
        world.network.heal();
        world.simulation.runFor(Duration.ofMinutes(25));
        long query = nodes.get(1).find(key);
        world.await(nodes.get(1), query);
        assertEquals(Set.of(nodes.get(8).id), nodes.get(1).found(query));
    }

    private static Set<NodeId> ids(List<DhtWorld.Node> nodes) {
        var ids = new HashSet<NodeId>();
        nodes.forEach(node -> ids.add(node.id));
        return ids;
    }
}
