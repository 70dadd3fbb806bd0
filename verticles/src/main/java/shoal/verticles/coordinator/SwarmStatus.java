package shoal.verticles.coordinator;

import io.vertx.core.Future;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.Result;
import shoal.codec.dht.DhtKeys;
import shoal.codec.wire.Availability;
import shoal.codec.wire.Role;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;

/**
 * Which machines are there, and what each does now. Who is lost is not shown. A node that is too busy to answer, but not lost, is shown
 * as it was last heard of; any other machine that does not answer is not shown.
 */
final class SwarmStatus {
    private static final Duration TIMEOUT = Duration.ofSeconds(1);

    private final CommandBus bus;
    private final Commands commands;
    private final Profile profile;
    private final NodeId self;
    private final Members members;
    private final Watch watch;
    private final Supplier<@Nullable Pipeline> pipeline;
    private final Map<NodeId, Result.Capabilities> lastHeard = new HashMap<>();

    SwarmStatus(
            CommandBus bus,
            Commands commands,
            Profile profile,
            NodeId self,
            Members members,
            Watch watch,
            Supplier<@Nullable Pipeline> pipeline) {
        this.bus = bus;
        this.commands = commands;
        this.profile = profile;
        this.self = self;
        this.members = members;
        this.watch = watch;
        this.pipeline = pipeline;
    }

    /** Asks every machine that is known or listed in the DHT; takes a second at most. */
    Future<List<Local.NodeState>> machines() {
        return bus.ask(
                        Addresses.FIND_PROVIDERS,
                        new Local.FindProviders(
                                DhtKeys.cluster(profile.cluster().name())),
                        Local.ProvidersFound.class)
                .compose(providers -> {
                    var ids = new TreeSet<>(members.ids());
                    providers
                            .records()
                            .forEach(
                                    signed -> ids.add(signed.record().provider().id()));
                    ids.add(self);
                    ids.removeIf(watch::isLost);
                    lastHeard.keySet().retainAll(ids);
                    var asking = new ArrayList<Future<?>>();
                    for (NodeId id : ids) {
                        asking.add(commands.ask(id, new Command.GetCapabilities(), Result.Capabilities.class, TIMEOUT)
                                .onSuccess(machine -> lastHeard.put(id, machine))
                                .onFailure(_ -> silent(id)));
                    }
                    return Future.join(asking).transform(_ -> {
                        var states = new ArrayList<Local.NodeState>();
                        for (NodeId id : ids) {
                            Result.Capabilities machine = lastHeard.get(id);
                            if (machine != null && !watch.isLost(id)) {
                                states.add(stateOf(machine));
                            }
                        }
                        states.sort(Comparator.comparing(Local.NodeState::role).thenComparing(Local.NodeState::node));
                        return Future.succeededFuture(states);
                    });
                });
    }

    private void silent(NodeId id) {
        Result.Capabilities known = members.get(id);
        if (known == null) {
            lastHeard.remove(id);
        } else {
            lastHeard.putIfAbsent(id, known);
        }
    }

    private Local.NodeState stateOf(Result.Capabilities machine) {
        Pipeline through = pipeline.get();
        boolean serves = through != null && through.runsOn(machine.node());
        List<LayerRange> layers = Stream.concat(
                        machine.loaded().stream().map(Result.LoadedShard::layers),
                        through == null ? Stream.of() : through.rangesOf(machine.node()))
                .distinct()
                .sorted()
                .toList();
        Availability availability = watch.availability(machine.node());
        String state = !machine.role().equals(Role.NODE.text())
                ? "ready"
                : availability != Availability.WORKING
                        ? availability.text()
                        : serves ? "serving" : layers.isEmpty() ? "idle" : "standby";
        return new Local.NodeState(
                machine.node(),
                machine.pid(),
                machine.role(),
                layers,
                through != null && serves ? through.epoch() : null,
                state,
                machine.kernels());
    }
}
