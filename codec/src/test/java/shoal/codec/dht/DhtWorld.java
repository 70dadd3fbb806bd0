package shoal.codec.dht;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;
import shoal.codec.sim.SimMachine;
import shoal.codec.sim.SimNetwork;
import shoal.codec.sim.Simulation;
import shoal.codec.wire.Frame;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.SignedRecord;

/** DHT nodes on a simulated network. Signatures are pretended unless a signer is given: the curve has its own tests. */
final class DhtWorld {
    static final long EPOCH = 1_790_000_000L;
    private static final byte[] PRETENDED = {1};

    sealed interface Message {}

    record Question(NodeId from, List<Endpoint> endpoints, long requestId, Frame frame) implements Message {}

    record Answer(NodeId from, long requestId, Frame frame) implements Message {}

    final class Node {
        final NodeId id;
        final Endpoint endpoint;
        final Dht dht;
        final SimMachine<Dht.Input, Dht.Effect> machine;
        final Map<Long, Set<NodeId>> found = new HashMap<>();
        final Set<Long> done = new HashSet<>();
        final Map<Long, List<Contact>> nodesFound = new HashMap<>();
        final Map<Hash256, Integer> announced = new HashMap<>();
        final List<String> joinEvents = new ArrayList<>();
        Function<Question, Frame> lie;
        long asked;
        long askedForProviders;

        Node(Hash256 id, Endpoint endpoint, Function<ProviderRecord, SignedRecord> signer) {
            this.id = new NodeId(id);
            this.endpoint = endpoint;
            Predicate<SignedRecord> authentic =
                    signer == null ? DhtWorld::pretendedAuthentic : SignedRecord::isAuthentic;
            dht = new Dht(
                    this.id,
                    List.of(endpoint),
                    EPOCH,
                    simulation.random("node", count),
                    signer == null ? DhtWorld::pretend : signer,
                    authentic);
            machine = simulation.drive(dht, new Dht.Tick(), this::carryOut);
            network.join(endpoint, this::received);
        }

        private void carryOut(Dht.Effect effect) {
            switch (effect) {
                case Dht.Ask(long requestId, Contact contact, Frame request) ->
                    ask(requestId, contact.endpoints().getFirst(), request);
                case Dht.AskEndpoint(long requestId, Endpoint to, Frame request) -> ask(requestId, to, request);
                case Dht.Respond(long requestId, Frame response) -> responses.put(requestId, response);
                case Dht.ProvidersFound(long query, Hash256 _, List<SignedRecord> records) ->
                    records.forEach(r -> found.computeIfAbsent(query, _ -> new HashSet<>())
                            .add(r.record().provider().id()));
                case Dht.NodesFound(long query, List<Contact> closest) -> nodesFound.put(query, closest);
                case Dht.QueryDone(long query, int _) -> done.add(query);
                case Dht.Announced(Hash256 key, int holders) -> announced.put(key, holders);
                case Dht.Bootstrapped(int contacts) -> joinEvents.add("joined");
                case Dht.BootstrapWaiting(int tries, long pause) -> joinEvents.add("waiting");
                case Dht.BootstrapFailed(int tries) -> joinEvents.add("failed");
            }
        }

        private final Map<Long, Frame> responses = new HashMap<>();

        private void ask(long requestId, Endpoint to, Frame request) {
            asked++;
            askedForProviders += request instanceof Frame.FindProviders ? 1 : 0;
            network.send(endpoint, to, new Question(id, List.of(endpoint), requestId, request), 100);
        }

        private void received(Endpoint from, Message message) {
            switch (message) {
                case Question question -> {
                    Frame response;
                    if (lie != null) {
                        response = lie.apply(question);
                    } else {
                        long id = nextIncoming++;
                        machine.feed(new Dht.Received(question.from, question.endpoints, id, question.frame));
                        response = responses.remove(id);
                    }
                    if (response != null) {
                        network.send(endpoint, from, new Answer(this.id, question.requestId, response), 1000);
                    }
                }
                case Answer(NodeId who, long requestId, Frame frame) ->
                    machine.feed(new Dht.Answered(requestId, who, frame));
            }
        }

        Node bootstrap(Node... by) {
            machine.feed(new Dht.Bootstrap(
                    List.of(by).stream().map(node -> node.endpoint).toList(), false));
            return this;
        }

        Node announce(Hash256 key) {
            machine.feed(new Dht.Announce(key, new byte[] {7}));
            return this;
        }

        /** Starts a query and returns its number. */
        long find(Hash256 key) {
            long query = nextQuery++;
            machine.feed(new Dht.FindProviders(key, query));
            return query;
        }

        Set<NodeId> found(long query) {
            return found.getOrDefault(query, Set.of());
        }

        boolean joined() {
            return joinEvents.contains("joined");
        }

        void die() {
            machine.stop();
            network.leave(endpoint);
        }
    }

    final Simulation simulation;
    final SimNetwork<Endpoint, Message> network;
    final List<Node> nodes = new ArrayList<>();
    private long nextQuery = 1;
    private long nextIncoming = 1;
    private int count;

    DhtWorld(Simulation simulation) {
        this.simulation = simulation;
        network = new SimNetwork<>(simulation);
    }

    static DhtWorld of(long seed, double loss) {
        return new DhtWorld(Simulation.of(seed).loss(loss).delayMillis(1, 100));
    }

    Node node() {
        return node(hash("node", count), null);
    }

    Node node(Hash256 id, Function<ProviderRecord, SignedRecord> signer) {
        int number = count++;
        var endpoint = new Endpoint("10.0." + number / 256 + "." + number % 256, 51820);
        var node = new Node(id, endpoint, signer);
        nodes.add(node);
        return node;
    }

    /** The first is the bootstrap of all; the others join within the spread. */
    List<Node> swarm(int size, Duration spread) {
        var all = new ArrayList<Node>();
        Node first = node().bootstrap();
        all.add(first);
        var random = simulation.random("join", 0);
        for (int i = 1; i < size; i++) {
            Node node = node();
            all.add(node);
            simulation.after(Duration.ofNanos(random.nextLong(spread.toNanos())), () -> node.bootstrap(first));
        }
        simulation.runUntil(() -> all.stream().allMatch(Node::joined), Duration.ofMinutes(5));
        return all;
    }

    Hash256 hash(String what, long number) {
        byte[] bytes = new byte[32];
        simulation.random(what, number).nextBytes(bytes);
        return Hash256.of(bytes);
    }

    void await(Node node, long query) {
        simulation.runUntil(() -> node.done.contains(query), Duration.ofMinutes(3));
    }

    static SignedRecord pretend(ProviderRecord record) {
        return new SignedRecord(record, record.provider().id().hash().toBytes(), PRETENDED);
    }

    static boolean pretendedAuthentic(SignedRecord signed) {
        return signed.signature()[0] == 1
                && Hash256.of(signed.publicKey())
                        .equals(signed.record().provider().id().hash());
    }
}
