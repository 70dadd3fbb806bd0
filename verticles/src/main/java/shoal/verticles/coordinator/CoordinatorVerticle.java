package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.VerticleBase;
import java.util.List;
import shoal.codec.command.CommandException;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Fetches the model's vocabulary file, finds nodes, gives each its shards, keeps a pipeline of them standing, and takes requests while
 * one does. The prompt's text stays here; stages see token ids and activations.
 */
public final class CoordinatorVerticle extends VerticleBase {
    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private Upkeep upkeep;
    private SwarmStatus status;

    @SuppressWarnings("NullAway.Init") // all runs on the verticle's event loop, which is known when it starts
    public CoordinatorVerticle(QuicEndpoint endpoint, CommandBus bus, Profile profile) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
    }

    @Override
    public Future<?> start() {
        var commands = new Commands(bus, endpoint.nodeId());
        upkeep = new Upkeep(vertx, endpoint, bus, profile, commands);
        status = new SwarmStatus(
                bus, commands, profile, endpoint.nodeId(), upkeep.members(), upkeep.watch(), upkeep::pipeline);
        new Requests(vertx, endpoint, bus, profile, upkeep.generations(), this::serving).start();
        bus.answerLocally(
                Addresses.SWARM_STATE,
                Local.AskSwarm.class,
                wish -> wish.machines()
                        ? status.machines().map(this::swarmState)
                        : Future.succeededFuture(swarmState(List.of())));
        bus.answerLocally(
                Addresses.WORK,
                Local.AskWork.class,
                _ -> Future.succeededFuture(new Local.Work(upkeep.generations().work())));
        bus.answerLocally(Addresses.PLAN, Local.AskPlan.class, wish -> upkeep.plan(wish.sequences()));
        bus.answerLocally(Addresses.PROOF, Local.AskProof.class, wish -> {
            Requests.Serving serving = serving();
            return new Proving(upkeep.generations(), commands, profile)
                    .prove(serving.model(), serving.pipeline(), wish);
        });
        upkeep.start();
        return Future.succeededFuture();
    }

    @Override
    public Future<?> stop() {
        upkeep.watch().stop();
        return Future.succeededFuture();
    }

    /** What requests may use. @throws CommandException if the swarm is not ready, with the reason */
    private Requests.Serving serving() {
        Model known = upkeep.model();
        Pipeline through = upkeep.accepting();
        if (known == null || through == null) {
            throw new CommandException(upkeep.notReady());
        }
        return new Requests.Serving(known, through);
    }

    private Local.SwarmState swarmState(List<Local.NodeState> machines) {
        Model known = upkeep.model();
        boolean ready = upkeep.pipeline() != null;
        return new Local.SwarmState(
                known == null ? null : known.name(),
                ready,
                ready ? "" : upkeep.notReady(),
                upkeep.generations().running(),
                machines);
    }
}
