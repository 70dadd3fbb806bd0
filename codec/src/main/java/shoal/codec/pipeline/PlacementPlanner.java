package shoal.codec.pipeline;

import static shoal.codec.base.Bounds.requireRange;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.NodeId;

/**
 * Gives the parts of a model to nodes: which node computes which consecutive parts is searched exactly ({@link RouteSearch}) from what
 * each part costs on each node and how far the nodes are from each other; nodes that compute nothing hold copies.
 */
public final class PlacementPlanner {
    /** So many sequences that the slowest node alone counts. */
    public static final int MANY = 0;

    /** How fast a node is taken to be whose speed nobody knows, when no other's is known either. */
    private static final long ASSUMED_BYTES_PER_MICRO = 8_000;

    /** A coordinator that is as far from all nodes. */
    private static final NodeId ELSEWHERE = new NodeId(Hash256.sha256("coordinator".getBytes(StandardCharsets.UTF_8)));

    private PlacementPlanner() {}

    /**
     * A node that could run parts.
     *
     * @param memoryBytes what it has for them
     * @param held parts that it has loaded or on disk
     * @param pinned the only part that it wants to run, or null
     * @param partNanos what one token takes on it, for each part; empty if it was not measured
     * @param doubt how far from that it may be
     */
    public record Candidate(
            NodeId id,
            long memoryBytes,
            Set<Integer> held,
            @Nullable Integer pinned,
            List<Long> partNanos,
            Doubt doubt) {
        public Candidate {
            held = Set.copyOf(held);
            partNanos = List.copyOf(partNanos);
            for (long nanos : partNanos) {
                requireRange("nanoseconds of a part", nanos, 0, Long.MAX_VALUE / 1_000_000);
            }
        }

        /** One whose times are exact. */
        public Candidate(
                NodeId id, long memoryBytes, Set<Integer> held, @Nullable Integer pinned, List<Long> partNanos) {
            this(id, memoryBytes, held, pinned, partNanos, Doubt.NONE);
        }

        public boolean isMeasured() {
            return !partNanos.isEmpty() && !doubt.equals(Doubt.GUESS);
        }

        /** As fast as it may be. */
        Candidate fastest() {
            return scaled(doubt.leastTime());
        }

        /** As slow as it was seen. */
        Candidate slowest() {
            return scaled(doubt.mostTime());
        }

        private Candidate scaled(double by) {
            return new Candidate(
                    id,
                    memoryBytes,
                    held,
                    pinned,
                    partNanos.stream()
                            .map(nanos -> Math.min(Long.MAX_VALUE / 1_000_000, Math.round(nanos * by)))
                            .toList());
        }

        /** One that was not measured. */
        public Candidate(NodeId id, long memoryBytes, Set<Integer> held, @Nullable Integer pinned) {
            this(id, memoryBytes, held, pinned, List.of());
        }
    }

    /** How many times what it is taken for a node may need, at least and at most. */
    public record Doubt(double leastTime, double mostTime) {
        public static final Doubt NONE = new Doubt(1, 1);

        /** Of a node that was not measured itself, and is taken for one like others. */
        public static final Doubt GUESS = new Doubt(1 / SpeedWindow.MOST_DOUBT, SpeedWindow.MOST_DOUBT);

        public Doubt {
            if (!(leastTime > 0 && leastTime <= 1 && mostTime >= 1 && mostTime < Double.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException(
                        "doubt is " + leastTime + ".." + mostTime + ", allowed are above 0..1 and 1 and more");
            }
        }
    }

    /**
     * What is to be placed, and on what.
     *
     * @param partBytes memory that each part needs, in the model's order: shards of a split model, layers of one that is not
     * @param coordinator from where tokens come and to where they go
     * @param sequences how many are under way at once; {@link #MANY} to look at the slowest node alone
     * @param keep whether what nodes hold comes before speed, as when a stage was lost and people wait
     */
    public record Question(
            List<Long> partBytes,
            List<Candidate> candidates,
            NodeId coordinator,
            LinkTimes links,
            int sequences,
            boolean keep) {
        public Question {
            partBytes = List.copyOf(partBytes);
            candidates = candidates.stream()
                    .sorted(Comparator.comparing(Candidate::id))
                    .toList();
            requireRange("parts", partBytes.size(), 1, Integer.MAX_VALUE);
            requireRange("sequences", sequences, 0, Integer.MAX_VALUE);
            for (Candidate node : candidates) {
                if (!node.partNanos().isEmpty()) {
                    requireRange(
                            "measured parts of a node", node.partNanos().size(), partBytes.size(), partBytes.size());
                }
            }
        }

        /** The same, with each node seen otherwise. */
        Question at(UnaryOperator<Candidate> as) {
            return new Question(partBytes, candidates.stream().map(as).toList(), coordinator, links, sequences, keep);
        }
    }

    /** No placement exists; the message says why and what would help. */
    public static final class NoPlacementException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        public NoPlacementException(String message) {
            super(message);
        }
    }

    /** Where nothing was measured: as even as memory allows, on as many nodes as help. */
    public static Placement plan(List<Long> partBytes, List<Candidate> candidates) {
        return plan(partBytes, candidates, false);
    }

    /** As {@link #plan(List, List)}, but what nodes hold comes before everything else. */
    public static Placement planKeeping(List<Long> partBytes, List<Candidate> candidates) {
        return plan(partBytes, candidates, true);
    }

    private static Placement plan(List<Long> partBytes, List<Candidate> candidates, boolean keep) {
        return place(new Question(partBytes, candidates, ELSEWHERE, (from, to) -> from.equals(to) ? 0 : 1, MANY, keep))
                .placement();
    }

    /**
     * The placement alone, without what each node is worth.
     *
     * @throws NoPlacementException if the nodes can't hold all parts
     */
    public static PlacementPlan place(Question question) {
        return solve(question, false);
    }

    /** The placement, with what the swarm would be with and without each node. @throws NoPlacementException as {@link #place} */
    public static PlacementPlan explain(Question question) {
        return solve(question, true);
    }

    /** What a placement that is there already would be under these costs; its nodes must be candidates. */
    public static PlacementPlan predict(Question question, Placement placement) {
        return predicted(question, placement, List.of(), false);
    }

    private static NoPlacementException nobody() {
        return new NoPlacementException(
                "no node is here to run layers. Start one with: shoal node --bootstrap HOST:PORT");
    }

    private static PlacementPlan solve(Question question, boolean withNotes) {
        if (question.candidates().isEmpty()) {
            throw nobody();
        }
        int parts = question.partBytes().size();
        var placed = new ArrayList<List<NodeId>>();
        for (int part = 0; part < parts; part++) {
            placed.add(new ArrayList<>());
        }
        var free = new ArrayList<Candidate>();
        for (Candidate node : holdersFirst(question)) {
            Integer pin = node.pinned();
            if (pin == null) {
                free.add(node);
            } else if (pin >= 0 && pin < parts && question.partBytes().get(pin) <= node.memoryBytes()) {
                placed.get(pin).add(node.id());
            }
        }
        var open = new ArrayList<Integer>();
        for (int part = 0; part < parts; part++) {
            if (placed.get(part).isEmpty()) {
                open.add(part);
            }
        }
        boolean exact = open.size() == parts;
        List<PlacementPlan.Note> notes = List.of();
        if (!open.isEmpty()) {
            if (free.isEmpty()) {
                throw new NoPlacementException("shard " + open.getFirst()
                        + " has no node: every node is pinned to another. Start a node without --shard-id.");
            }
            var costs = new Costs(question, open, free);
            RouteSearch.Route route = costs.search().best(question.sequences(), question.keep());
            if (route == null) {
                throw tooLittleMemory(question.partBytes(), open, free);
            }
            for (int i = 0; i < open.size(); i++) {
                placed.get(open.get(i)).add(free.get(route.owners()[i]).id());
            }
            exact &= costs.search().isExact();
            notes = withNotes ? notes(question, costs, route, free) : List.of();
        }
        new Copies(question.partBytes(), placed)
                .give(free.stream()
                        .filter(node -> placed.stream().noneMatch(nodes -> nodes.contains(node.id())))
                        .toList());
        return predicted(question, new Placement(placed), notes, exact);
    }

    /** Of several nodes pinned to one part the first computes it: where that matters, one that has it. */
    private static List<Candidate> holdersFirst(Question question) {
        return !question.keep()
                ? question.candidates()
                : question.candidates().stream()
                        .sorted(Comparator.comparing(
                                node -> node.pinned() == null || !node.held().contains(node.pinned())))
                        .toList();
    }

    private static NoPlacementException tooLittleMemory(List<Long> bytes, List<Integer> open, List<Candidate> free) {
        int largest = Collections.max(open, Comparator.comparing(bytes::get));
        long needed = open.stream().mapToLong(bytes::get).sum();
        long all = free.stream().mapToLong(Candidate::memoryBytes).sum();
        long most = free.stream().mapToLong(Candidate::memoryBytes).max().orElse(0);
        return new NoPlacementException(String.format(
                java.util.Locale.ROOT,
                "the nodes have too little memory: shard %d needs %,d bytes, the largest node has %,d; all shards need %,d, "
                        + "all nodes have %,d. Add nodes, or split into more shards.",
                largest,
                bytes.get(largest),
                most,
                needed,
                all));
    }

    private static List<PlacementPlan.Note> notes(
            Question question, Costs costs, RouteSearch.Route chosen, List<Candidate> free) {
        var notes = new ArrayList<PlacementPlan.Note>();
        for (int node = 0; node < free.size(); node++) {
            int number = node;
            boolean computes = Arrays.stream(chosen.owners()).anyMatch(owner -> owner == number);
            RouteSearch.Route with =
                    computes ? chosen : costs.search().through(node).best(question.sequences(), question.keep());
            RouteSearch.Route without =
                    computes ? costs.search().without(node).best(question.sequences(), question.keep()) : chosen;
            notes.add(new PlacementPlan.Note(
                    free.get(node).id(),
                    computes,
                    with == null ? -1 : with.total(),
                    with == null ? -1 : with.slowest(),
                    without == null ? -1 : without.total(),
                    without == null ? -1 : without.slowest()));
        }
        return notes;
    }

    /** The costs of the open parts on the free nodes, as numbers. */
    private static final class Costs {
        private final long[][] nanos;
        private final long[][] held;
        private final long[] bytes;
        private final long[] memory;
        private final long[][] links;

        Costs(Question question, List<Integer> open, List<Candidate> free) {
            bytes = open.stream().mapToLong(question.partBytes()::get).toArray();
            memory = free.stream().mapToLong(Candidate::memoryBytes).toArray();
            nanos = new long[free.size()][];
            held = new long[free.size()][open.size()];
            for (int node = 0; node < free.size(); node++) {
                Candidate candidate = free.get(node);
                List<Long> all = nanosOf(question, candidate);
                nanos[node] = open.stream().mapToLong(all::get).toArray();
                for (int i = 0; i < open.size(); i++) {
                    held[node][i] = candidate.held().contains(open.get(i)) ? bytes[i] : 0;
                }
            }
            links = new long[free.size() + 1][free.size() + 1];
            for (int from = 0; from <= free.size(); from++) {
                for (int to = 0; to <= free.size(); to++) {
                    links[from][to] = question.links().nanos(id(question, free, from), id(question, free, to));
                }
            }
        }

        private static NodeId id(Question question, List<Candidate> free, int number) {
            return number == free.size()
                    ? question.coordinator()
                    : free.get(number).id();
        }

        RouteSearch search() {
            return new RouteSearch(nanos, held, bytes, memory, links);
        }
    }

    /** What each part takes on a node; of one that was not measured, what it takes on the one in the middle of those that were. */
    static List<Long> nanosOf(Question question, Candidate node) {
        if (!node.partNanos().isEmpty()) {
            return node.partNanos();
        }
        var measured = question.candidates().stream()
                .filter(other -> !other.partNanos().isEmpty())
                .sorted(Comparator.comparingLong(other ->
                        other.partNanos().stream().mapToLong(Long::longValue).sum()))
                .toList();
        return measured.isEmpty()
                ? question.partBytes().stream()
                        .map(bytes -> Math.max(1, bytes * 1000 / ASSUMED_BYTES_PER_MICRO))
                        .toList()
                : measured.get(measured.size() / 2).partNanos();
    }

    private static PlacementPlan predicted(
            Question question, Placement placement, List<PlacementPlan.Note> notes, boolean exact) {
        var runs = new ArrayList<PlacementPlan.Run>();
        NodeId before = question.coordinator();
        long total = 0;
        for (int part = 0; part < question.partBytes().size(); ) {
            NodeId node = placement.first(part);
            Candidate candidate = question.candidates().stream()
                    .filter(each -> each.id().equals(node))
                    .findFirst()
                    .orElseThrow();
            int first = part;
            long nanos = 0;
            while (part < question.partBytes().size() && placement.first(part).equals(node)) {
                nanos += nanosOf(question, candidate).get(part++);
            }
            long way = question.links().nanos(before, node);
            runs.add(new PlacementPlan.Run(node, first, part - 1, nanos, way));
            total += nanos + way;
            before = node;
        }
        long slowest = new TreeSet<>(runs.stream().map(PlacementPlan.Run::node).toList())
                .stream()
                        .mapToLong(node -> runs.stream()
                                .filter(run -> run.node().equals(node))
                                .mapToLong(PlacementPlan.Run::nanos)
                                .sum())
                        .max()
                        .orElse(0);
        return new PlacementPlan(
                placement,
                runs,
                total + question.links().nanos(before, question.coordinator()),
                slowest,
                question.sequences(),
                notes,
                exact);
    }
}
