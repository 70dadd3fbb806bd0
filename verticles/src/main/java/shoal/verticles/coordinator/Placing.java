package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.Result;
import shoal.codec.gguf.LayerWeights;
import shoal.codec.metainfo.ModelManifest;
import shoal.codec.pipeline.LikeSpeeds;
import shoal.codec.pipeline.LinkTimes;
import shoal.codec.pipeline.Moving;
import shoal.codec.pipeline.Pace;
import shoal.codec.pipeline.Placement;
import shoal.codec.pipeline.PlacementPlan;
import shoal.codec.pipeline.PlacementPlanner;
import shoal.codec.pipeline.SpeedWindow;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.QuicEndpoint;
import shoal.verticles.quic.RoundTrips;

/** Weighs nodes by what was measured of them and of the ways between them, and has layers placed. One event loop. */
final class Placing {
    private static final Logger LOG = LoggerFactory.getLogger(Placing.class);
    private static final Duration PING_TIMEOUT = Duration.ofSeconds(5);
    private static final long FRESH_NANOS = TimeUnit.MINUTES.toNanos(5);
    private static final int MAX_PAIRWISE = 16;

    /** Until then a node's own figures are of the time since. */
    private static final long SLOW_NANOS = TimeUnit.MINUTES.toNanos(3);

    /** A machine that is busy answers late: shorter round trips are taken for those of a local network. */
    private static final long LOCAL_ROUND_TRIP_NANOS = 5_000_000;

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final Commands commands;
    private final Profile profile;
    private final Map<Set<NodeId>, Long> roundTrips = new HashMap<>();
    private final Map<NodeId, Long> askedAt = new HashMap<>();

    /** Since when nodes are known to compute much slower than they were measured. */
    private final Map<NodeId, Long> slowSince = new HashMap<>();

    Placing(Vertx vertx, QuicEndpoint endpoint, Commands commands, Profile profile) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.commands = commands;
        this.profile = profile;
    }

    /**
     * A plan, and what it was made from.
     *
     * @param model whose shards the plan's placement is about; of an unsplit model, cut as the plan says
     * @param placement for each of the model's shards its nodes
     * @param parts of the model as they were planned: its shards, or its layers
     */
    record Planned(
            Model model,
            Placement placement,
            List<LayerRange> parts,
            PlacementPlanner.Question question,
            PlacementPlan plan) {
        /** For each of the model's shards who computes it. */
        List<NodeId> computing() {
            return placement.nodesByShard().stream().map(List::getFirst).toList();
        }

        /** Whether it is clearly better than what stands now; the model's parts must be those that stand. */
        boolean isWorthMoving(Pipeline now) {
            var byPart = new ArrayList<List<NodeId>>();
            for (LayerRange part : parts) {
                now.hops().stream()
                        .filter(hop -> hop.shard().layers().contains(part))
                        .findFirst()
                        .ifPresent(hop -> byPart.add(List.of(hop.node().id())));
            }
            return byPart.size() == parts.size() && Moving.isWorth(question, plan, new Placement(byPart));
        }
    }

    /**
     * Measures what is not known yet and plans.
     *
     * @param sequences how many are under way at once
     * @param keep whether what nodes have loaded comes before speed
     * @param explain whether it is told what each node is worth
     * @return fails with {@link PlacementPlanner.NoPlacementException}
     */
    Future<Planned> plan(
            Model model, Collection<Result.Capabilities> nodes, int sequences, boolean keep, boolean explain) {
        List<Result.Capabilities> all = nodes.stream().map(this::asOfLate).toList();
        Future<?> measured = keep ? Future.succeededFuture() : measureWays(all);
        return measured.compose(_ -> {
            Map<Set<NodeId>, Long> known = Map.copyOf(roundTrips);
            return vertx.executeBlocking(
                    () -> compute(model, all, links(known, endpoint.nodeId()), sequences, keep, explain), false);
        });
    }

    private Planned compute(
            Model model,
            List<Result.Capabilities> nodes,
            LinkTimes links,
            int sequences,
            boolean keep,
            boolean explain) {
        if (keep) { // the same cut, if that can be: nobody opens layers anew for it
            try {
                return solve(model, model.shardParts(), nodes, links, sequences, true, explain);
            } catch (PlacementPlanner.NoPlacementException tooCoarse) {
                if (!model.isUnsplit()) {
                    throw tooCoarse;
                }
            }
        }
        return solve(model, model.finestParts(), nodes, links, sequences, keep, explain);
    }

    private Planned solve(
            Model model,
            List<LayerWeights.Part> parts,
            List<Result.Capabilities> nodes,
            LinkTimes links,
            int sequences,
            boolean keep,
            boolean explain) {
        List<PlacementPlanner.Candidate> candidates = candidates(model, parts, nodes);
        var question = new PlacementPlanner.Question(
                parts.stream().map(LayerWeights.Part::memoryBytes).toList(),
                candidates,
                endpoint.nodeId(),
                links,
                sequences,
                keep);
        PlacementPlan plan = explain ? PlacementPlanner.explain(question) : PlacementPlanner.place(question);
        List<LayerRange> ranges = parts.stream().map(LayerWeights.Part::layers).toList();
        if (ranges.equals(model.shardRanges())) {
            return new Planned(model, plan.placement(), ranges, question, plan);
        }
        var cuts = new ArrayList<LayerRange>();
        var placed = new ArrayList<List<NodeId>>();
        for (PlacementPlan.Run run : plan.runs()) {
            cuts.add(new LayerRange(
                    ranges.get(run.firstPart()).first(),
                    ranges.get(run.lastPart()).last()));
            placed.add(plan.placement().nodesByShard().get(run.firstPart()));
        }
        return new Planned(model.cutAt(cuts), new Placement(placed), ranges, question, plan);
    }

    /**
     * Who computes the shards when one leaves; what others hold stays.
     *
     * @return fails with {@link PlacementPlanner.NoPlacementException} if nobody can
     */
    Future<List<NodeId>> keeping(Model model, Collection<Result.Capabilities> nodes) {
        List<Result.Capabilities> all = List.copyOf(nodes);
        return vertx.executeBlocking(
                () -> PlacementPlanner.planKeeping(sizes(model), candidates(model, all)).nodesByShard().stream()
                        .map(List::getFirst)
                        .toList(),
                false);
    }

    /** A node computes much slower than it did; its own figures will tell only later. */
    void slow(NodeId node) {
        slowSince.put(node, System.nanoTime());
    }

    private Result.Capabilities asOfLate(Result.Capabilities node) {
        Long since = slowSince.get(node.node());
        if (since == null) {
            return node;
        }
        if (System.nanoTime() - since > SLOW_NANOS) {
            slowSince.remove(node.node());
            return node;
        }
        return node.withSpeeds(node.speeds().stream()
                .map(speed -> new Result.Speed(
                        speed.weights(),
                        Math.max(1, speed.bytesPerSecond() / Pace.TIMES_SLOWER),
                        Math.max(1, speed.mayReach() / Pace.TIMES_SLOWER)))
                .toList());
    }

    /** Memory that each of the model's shards needs. */
    static List<Long> sizes(Model model) {
        return model.shardParts().stream().map(LayerWeights.Part::memoryBytes).toList();
    }

    /** Nodes as they could run the model's shards. */
    static List<PlacementPlanner.Candidate> candidates(Model model, Collection<Result.Capabilities> nodes) {
        return candidates(model, model.shardParts(), nodes);
    }

    private static List<PlacementPlanner.Candidate> candidates(
            Model model, List<LayerWeights.Part> parts, Collection<Result.Capabilities> nodes) {
        Map<NodeId, LikeSpeeds.Settled> speeds = speeds(model, nodes);
        return nodes.stream()
                .map(node -> {
                    LikeSpeeds.Settled speed = speeds.get(node.node());
                    return new PlacementPlanner.Candidate(
                            node.node(),
                            memoryFor(model, node),
                            held(model, parts, node),
                            node.pinnedShard(),
                            speed == null
                                    ? List.of()
                                    : speed.nanos(parts.stream().mapToLong(LayerWeights.Part::tokenBytes)),
                            speed == null ? PlacementPlanner.Doubt.NONE : speed.doubt());
                })
                .toList();
    }

    /** What a node has beside what it has loaded of other models, whose coordinators placed it there. */
    private static long memoryFor(Model model, Result.Capabilities node) {
        Set<Hash256> own = new HashSet<>();
        model.manifest().shards().forEach(shard -> own.add(shard.piecesRoot()));
        long others = node.loaded().stream()
                .filter(shard -> !own.contains(shard.piecesRoot()))
                .mapToLong(Result.LoadedShard::memoryBytes)
                .sum();
        return Math.max(0, node.memoryBytes() - others);
    }

    private static Set<Integer> held(Model model, List<LayerWeights.Part> parts, Result.Capabilities node) {
        var held = new HashSet<Integer>();
        for (int part = 0; part < parts.size(); part++) {
            LayerRange layers = parts.get(part).layers();
            ModelManifest.Shard shard = model.manifest().shardOfLayer(layers.first());
            boolean loaded = node.loaded().stream()
                    .anyMatch(has -> has.piecesRoot().equals(shard.piecesRoot())
                            && has.layers().contains(layers));
            if (loaded || node.onDisk().contains(shard.piecesRoot())) {
                held.add(part);
            }
        }
        return held;
    }

    /** How fast each node is taken to be with this model's weights; empty if none has told. */
    private static Map<NodeId, LikeSpeeds.Settled> speeds(Model model, Collection<Result.Capabilities> nodes) {
        return LikeSpeeds.of(nodes.stream()
                .map(node -> new LikeSpeeds.Told(
                        node.node(), node.kernels() + " on " + node.cores() + " cores", measured(model, node)))
                .toList());
    }

    private static SpeedWindow.@Nullable Estimate measured(Model model, Result.Capabilities node) {
        for (Result.Speed speed : node.speeds()) {
            if (speed.weights().equals(model.kind())) {
                return SpeedWindow.Estimate.told(speed.bytesPerSecond(), speed.mayReach());
            }
        }
        OptionalDouble others =
                node.speeds().stream().mapToDouble(Result.Speed::bytesPerSecond).average();
        return others.isEmpty() ? null : SpeedWindow.Estimate.doubtful(Math.round(others.getAsDouble()));
    }

    // ------------------------------------------------------------------------------------------- ways

    /** Between this machine and each node, and, while these are not too many, between all of them. */
    private Future<?> measureWays(List<Result.Capabilities> nodes) {
        long now = System.nanoTime();
        var contacts = nodes.stream().map(Result.Capabilities::contact).toList();
        boolean pairwise = contacts.size() <= MAX_PAIRWISE;
        var asking = new ArrayList<Future<?>>();
        var mine = contacts.stream()
                .filter(contact -> !isFresh(endpoint.nodeId(), contact.id(), now))
                .toList();
        if (!mine.isEmpty()) {
            asking.add(RoundTrips.measure(endpoint, mine)
                    .onSuccess(trips -> trips.forEach((node, nanos) -> learn(endpoint.nodeId(), node, nanos))));
        }
        for (int i = 0; pairwise && i < contacts.size(); i++) {
            NodeId node = contacts.get(i).id();
            List<Contact> others = contacts.subList(i + 1, contacts.size()).stream()
                    .filter(contact -> !isFresh(node, contact.id(), now))
                    .toList();
            if (!others.isEmpty()) {
                asking.add(commands.ask(node, new Command.PingPeers(others), Result.RoundTrips.class, PING_TIMEOUT)
                        .onSuccess(trips -> trips.peers()
                                .forEach(
                                        trip -> learn(node, trip.node(), TimeUnit.MICROSECONDS.toNanos(trip.micros()))))
                        .onFailure(failure -> LOG.debug("no round trips: {}", failure.getMessage())));
            }
        }
        askedAt.put(endpoint.nodeId(), now);
        contacts.forEach(contact -> askedAt.put(contact.id(), now));
        return Future.join(asking).otherwiseEmpty();
    }

    private boolean isFresh(NodeId a, NodeId b, long now) {
        Long asked = askedAt.get(a);
        return asked != null && now - asked < FRESH_NANOS && (a.equals(b) || roundTrips.containsKey(Set.of(a, b)));
    }

    private void learn(NodeId from, NodeId to, long nanos) {
        if (!from.equals(to)) {
            roundTrips.put(Set.of(from, to), nanos);
        }
    }

    static LinkTimes links(Map<Set<NodeId>, Long> roundTrips, NodeId coordinator) {
        return (from, to) -> {
            if (from.equals(to)) {
                return 0;
            }
            Long nanos = roundTrips.get(Set.of(from, to));
            if (nanos == null && !from.equals(coordinator) && !to.equals(coordinator)) {
                nanos = Math.max(
                        roundTrips.getOrDefault(Set.of(from, coordinator), 0L),
                        roundTrips.getOrDefault(Set.of(to, coordinator), 0L));
            }
            return nanos == null || nanos < LOCAL_ROUND_TRIP_NANOS ? LinkTimes.LOCAL_NANOS : nanos / 2;
        };
    }

    int sequences() {
        return profile.coordinator().placedFor();
    }
}
