package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.Simulation;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;

/**
 * Coordinators that are killed, frozen and cut off from one another and from the nodes, in virtual time: whoever works, no client is
 * told two different tokens for the same place of the same answer.
 */
final class SuccessionSimTest {
    private static final int TOKENS = 40;
    private static final long MILLI = 1_000_000;

    /** A machine that computes: it refuses whom another one outranks. */
    private static final class Node {
        private final int number;
        private final String order;
        private int term;
        private NodeId holder;

        Node(int number, String order) {
            this.number = number;
            this.order = order;
        }

        /** @return 0, or the term that outranks */
        int claim(int by, NodeId who) {
            if (by < term || (by == term && !who.equals(holder))) {
                return term;
            }
            term = by;
            holder = who;
            return 0;
        }
    }

    /** An answer at a coordinator: the orders that it was computed in, and how far it is. */
    private static final class Answer {
        private final List<String> orders = new ArrayList<>();
        private int position;
    }

    private record Commit(long number, Runnable tell) {}

    private final class World {
        private final Simulation simulation;
        private final RandomGenerator random;
        private final List<Coordinator> coordinators = new ArrayList<>();
        private final List<Node> nodes = new ArrayList<>();
        private final Set<String> cut = new HashSet<>();
        private final Map<String, Integer> told = new HashMap<>();
        private int begun;
        private int gone;
        private int takenOver;

        World(long seed, boolean alike) {
            simulation = Simulation.of(seed);
            random = simulation.random("succession", 0);
            for (int i = 0; i < 3; i++) {
                nodes.add(new Node(i, alike || random.nextBoolean() ? "x" : "y"));
            }
            int count = 2 + random.nextInt(2);
            for (int i = 0; i < count; i++) {
                var one = new Coordinator(this, i);
                coordinators.add(one);
                simulation.at(random.nextLong(3000) * MILLI, () -> one.feed(new Succession.Input.Begin(i(one) == 0)));
                simulation.at(0, one::poll);
            }
        }

        private int i(Coordinator one) {
            return coordinators.indexOf(one);
        }

        boolean reach(String one, String other) {
            return !cut.contains(one + other) && !cut.contains(other + one);
        }

        /** Cuts a link for a while. */
        void cutSomething() {
            String one = "c" + random.nextInt(coordinators.size());
            String other = random.nextBoolean()
                    ? "n" + random.nextInt(nodes.size())
                    : "c" + random.nextInt(coordinators.size());
            cut.add(one + other);
            simulation.after(Duration.ofMillis(100 + random.nextInt(8000)), () -> cut.remove(one + other));
        }

        /** What the model says at a place depends on all orders in which it was computed so far. */
        private int token(String id, int position, List<String> orders) {
            return Objects.hash(id, position, orders) & 0x7fff_ffff;
        }

        void tell(String id, int position, int token, Coordinator by) {
            Integer before = told.putIfAbsent(id + "/" + position, token);
            if (before != null) {
                assertEquals(before, token, () -> id + " has two tokens at " + position + ", the second by " + by.self);
            }
        }
    }

    /** From one that works to one that follows: what is sent comes in order, or it breaks. */
    private static final class Stream {
        private final Coordinator from;
        private final Coordinator to;
        private final Deque<Runnable> onTheWay = new ArrayDeque<>();
        private boolean broken;

        Stream(Coordinator from, Coordinator to) {
            this.from = from;
            this.to = to;
        }

        void send(Runnable arrive) {
            broken |= !from.world.reach(from.name, to.name);
            if (!broken) {
                onTheWay.add(arrive);
                from.world.simulation.after(Duration.ofMillis(from.world.random.nextLong(1, 30)), this::read);
            }
        }

        private void read() {
            if (to.dead || to.followed != this || onTheWay.isEmpty()) {
                return;
            }
            if (to.frozen) {
                from.world.simulation.after(Duration.ofMillis(100), this::read);
            } else {
                onTheWay.poll().run();
            }
        }

        void heard(long frames) {
            to.send(from, () -> from.heard(this, frames));
        }
    }

    private static final class Coordinator {
        private final World world;
        private final Map<String, Stream> followers = new HashMap<>();
        private final Map<NodeId, Long> late = new HashMap<>();
        private final Set<String> givenUp = new HashSet<>();
        private Stream followed;
        private final String name;
        private final NodeId self;
        private final Succession succession;
        private final Map<String, Answer> running = new HashMap<>();
        private final Deque<Commit> waiting = new ArrayDeque<>();
        private Journal journal = new Journal();
        private Coordinator leader;
        private long heardLeader;
        private Node node;
        private boolean inherits;
        private boolean dead;
        private boolean frozen;

        Coordinator(World world, int number) {
            this.world = world;
            name = "c" + number;
            self = new NodeId(Hash256.sha256(("coordinator" + number).getBytes()));
            succession = new Succession(self);
        }

        private long now() {
            return world.simulation.nowNanos();
        }

        /** A message; lost where the way is cut when it is sent or when it comes, late where the receiver is frozen. */
        private void send(Coordinator to, Runnable arrive) {
            if (world.reach(name, to.name)) {
                deliver(to, arrive, world.random.nextLong(1, 30));
            }
        }

        private void deliver(Coordinator to, Runnable arrive, long millis) {
            world.simulation.after(Duration.ofMillis(millis), () -> {
                if (to.dead || !world.reach(name, to.name)) {
                    return;
                }
                if (to.frozen) {
                    deliver(to, arrive, 100);
                } else {
                    arrive.run();
                }
            });
        }

        void feed(Succession.Input input) {
            if (dead) {
                return;
            }
            for (Succession.Effect effect : List.copyOf(succession.handle(input, now()))) {
                switch (effect) {
                    case Succession.Effect.Look() -> look();
                    case Succession.Effect.Follow(NodeId whom) -> follow(whom);
                    case Succession.Effect.Work _ -> {
                        leader = null;
                        followed = null;
                        inherits = true;
                        world.takenOver += journal.answers().isEmpty() ? 0 : 1;
                    }
                    case Succession.Effect.Rest() -> {
                        running.clear();
                        waiting.clear();
                        followers.clear();
                        journal.clear();
                        node = null;
                    }
                }
            }
        }

        private void look() {
            for (Coordinator other : world.coordinators) {
                if (other != this && !other.dead) {
                    send(other, () -> {
                        int term = other.succession.term();
                        boolean works = other.succession.isWorking();
                        other.send(
                                this,
                                () -> feed(
                                        works
                                                ? new Succession.Input.Works(other.self, term)
                                                : new Succession.Input.StandsBy(other.self)));
                    });
                }
            }
        }

        private void follow(NodeId whom) {
            leader = world.coordinators.stream()
                    .filter(each -> each.self.equals(whom))
                    .findFirst()
                    .orElseThrow();
            heardLeader = now();
            journal = new Journal();
            var stream = new Stream(leader, this);
            followed = stream;
            send(leader, () -> {
                if (stream.from.succession.isWorking() && followed == stream) {
                    stream.from.followers.put(name, stream);
                    List<Frame> first = stream.from.journal.followedBy(self);
                    stream.send(() -> {
                        first.forEach(journal::write);
                        stream.heard(first.size());
                    });
                }
            });
        }

        private void write(Frame frame) {
            journal.write(frame).forEach(this::giveUp);
            for (Stream stream : followers.values()) {
                if (journal.isFollowedBy(stream.to.self)) {
                    stream.send(() -> {
                        stream.to.journal.write(frame);
                        stream.heard(1);
                    });
                }
            }
        }

        private void heard(Stream stream, long frames) {
            if (followers.get(stream.to.name) == stream) {
                journal.heard(stream.to.self, frames);
                commit();
            }
        }

        private void commit() {
            while (!waiting.isEmpty() && waiting.peek().number() <= journal.heard()) {
                waiting.poll().tell().run();
            }
        }

        private void giveUp(String id) {
            running.remove(id);
            givenUp.add(id);
            world.gone++;
        }

        /** Every few milliseconds: the clock, the leader, and a token for each answer. */
        void poll() {
            world.simulation.after(Duration.ofMillis(20), this::poll);
            if (dead || frozen) {
                return;
            }
            if (now() >= succession.deadlineNanos()) {
                feed(new Succession.Input.Tick());
            }
            watch();
            if (succession.isWorking()) {
                dropThoseWhoLag();
                work();
            }
        }

        private void watch() {
            if (leader == null) {
                return;
            }
            boolean reached = world.reach(name, leader.name);
            if (reached && !leader.dead && !leader.frozen && leader.followers.get(name) != followed) {
                feed(new Succession.Input.Broken());
            }
            if (reached && leader.dead) {
                feed(new Succession.Input.Lost(leader.self));
            } else if (reached && !leader.frozen) {
                heardLeader = now();
            } else if (now() - heardLeader > 2000 * MILLI) {
                feed(new Succession.Input.Lost(leader.self));
            }
        }

        private void dropThoseWhoLag() {
            List<NodeId> behind = journal.behind(journal.written());
            late.keySet().retainAll(behind);
            for (NodeId follower : behind) {
                if (now() - late.computeIfAbsent(follower, _ -> now()) > 1000 * MILLI) {
                    late.remove(follower);
                    journal.left(follower).forEach(this::giveUp);
                    followers.values().removeIf(stream -> stream.to.self.equals(follower));
                    commit();
                }
            }
        }

        private void work() {
            List<Node> reached = world.nodes.stream()
                    .filter(each -> world.reach(name, "n" + each.number))
                    .toList();
            if (reached.isEmpty()) {
                return;
            }
            if (node == null || !reached.contains(node)) {
                node = reached.get(world.random.nextInt(reached.size()));
            }
            int outrankedBy = node.claim(succession.term(), self);
            if (outrankedBy != 0) {
                feed(new Succession.Input.Outranked(outrankedBy));
                return;
            }
            place();
            if (world.random.nextInt(10) == 0 && running.size() < 4) {
                String id = "answer" + world.begun++;
                write(new Frame.JournalBegun(id, "", "", List.of(1), TOKENS, Sampling.GREEDY, List.of(), false));
                running.put(id, new Answer());
            }
            for (String id : List.copyOf(running.keySet())) {
                step(id);
            }
            commit();
        }

        private void place() {
            Frame.JournalPlaced before = journal.placed();
            if (inherits) {
                inherits = false;
                journal.inherit();
                boolean same = before != null && before.order().equals(node.order);
                for (Journal.Answer each : journal.answers()) {
                    String id = each.begun().id();
                    if (!each.mayGoOn(same)) {
                        journal.forget(id);
                    } else if (each.ended() == null) {
                        var answer = new Answer();
                        answer.position = each.tokens().size();
                        running.put(id, answer);
                    }
                }
            }
            if (before == null || !before.order().equals(node.order)) {
                var stage = new Frame.StageEntry(self, new LayerRange(0, 1));
                write(new Frame.JournalPlaced(node.order, List.of(stage)));
            }
        }

        private void step(String id) {
            Answer answer = running.get(id);
            if (answer == null) {
                return;
            }
            if (answer.position == TOKENS) {
                running.remove(id);
                write(new Frame.JournalEnded(id, true, Frame.StopReason.LENGTH));
                return;
            }
            if (answer.orders.isEmpty() || !answer.orders.getLast().equals(node.order)) {
                answer.orders.add(node.order);
            }
            int position = answer.position++;
            int token = world.token(id, position, answer.orders);
            write(new Frame.JournalToken(id, token, 0, List.of(), SamplingState.START));
            long number = journal.written();
            waiting.add(new Commit(number, () -> {
                if (!givenUp.contains(id)) {
                    world.tell(id, position, token, this);
                }
            }));
        }
    }

    @ParameterizedTest
    @SeedSource(300)
    void noTwoCoordinatorsTellDifferentTokens(long seed) {
        World world = trouble(seed, false);
        world.simulation.runFor(Duration.ofSeconds(30));
        assertOneWorks(world);
    }

    @Test
    void answersAreInherited() {
        int takenOver = 0;
        int gone = 0;
        for (long seed = 0; seed < 20; seed++) {
            World world = trouble(seed, true);
            world.simulation.runFor(Duration.ofSeconds(30));
            takenOver += world.takenOver;
            gone += world.gone;
        }
        assertTrue(takenOver > 5, "only " + takenOver + " took anything over");
        assertEquals(0, gone, "where all compute alike, no answer needs to end");
    }

    private static void assertOneWorks(World world) {
        List<Coordinator> working = world.coordinators.stream()
                .filter(each -> !each.dead && each.succession.isWorking())
                .toList();
        assertEquals(1, working.size(), () -> "work: " + working.size() + " in " + world.simulation);
    }

    private World trouble(long seed, boolean alike) {
        var world = new World(seed, alike);
        long until = 40_000;
        for (long at = 2000; at < until; at += 200 + world.random.nextInt(2500)) {
            world.simulation.at(at * MILLI, () -> {
                Coordinator victim = world.coordinators.get(world.random.nextInt(world.coordinators.size()));
                switch (world.random.nextInt(6)) {
                    case 0 -> {
                        boolean isLast = world.coordinators.stream()
                                        .filter(each -> !each.dead)
                                        .count()
                                == 1;
                        victim.dead |= !isLast && world.random.nextInt(3) == 0;
                    }
                    case 1 -> {
                        victim.frozen = true;
                        world.simulation.after(
                                Duration.ofMillis(200 + world.random.nextInt(6000)), () -> victim.frozen = false);
                    }
                    default -> world.cutSomething();
                }
            });
        }
        world.simulation.runFor(Duration.ofMillis(until));
        return world;
    }
}
