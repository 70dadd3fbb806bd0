package shoal.verticles.coordinator;

import io.vertx.core.Future;
import io.vertx.core.VerticleBase;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.command.CommandException;
import shoal.codec.pipeline.Journal;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Fetches the model's vocabulary file, finds nodes, gives each its shards, keeps a pipeline of them standing, and takes requests while
 * one does; or stands by while another coordinator does all that. The prompt's text stays here; stages see token ids and activations.
 */
public final class CoordinatorVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(CoordinatorVerticle.class);
    private static final long RETRY_MILLIS = 1000;

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final Journal journal = new Journal();
    private Upkeep upkeep;
    private SwarmStatus status;
    private Requests requests;
    private JournalDesk desk;
    /** Null until the model is known. */
    private @Nullable Follower follower;

    /** Whether answers of another coordinator are still to be gone on with. */
    private boolean inherits;

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
        desk = new JournalDesk(vertx, journal, id -> requests.giveUp(id));
        requests = new Requests(vertx, endpoint, bus, profile, upkeep.generations(), this::serving, journal, desk);
        requests.start();
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
        endpoint.onStream(StreamKind.JOURNAL, this::serveJournal);
        upkeep.generations().listen(new Generations.Course() {
            @Override
            public void placed(Pipeline now, String order) {
                CoordinatorVerticle.this.placed(now, order);
            }

            @Override
            public void outranked(int by) {
                if (follower != null) {
                    follower.outranked(by);
                }
            }
        });
        upkeep.start();
        know();
        return Future.succeededFuture();
    }

    @Override
    public Future<?> stop() {
        upkeep.watch().stop();
        if (follower != null) {
            follower.stop();
        }
        return Future.succeededFuture();
    }

    // ------------------------------------------------------------------------------------------ who works

    /** Whether others work for the same model can be told once it is known. */
    private void know() {
        upkeep.findModel()
                .onSuccess(model -> {
                    var begun = new Follower(
                            vertx,
                            endpoint,
                            bus,
                            profile,
                            journal,
                            model.manifest().modelRoot(),
                            new Follower.Decided() {
                                @Override
                                public void work(int term) {
                                    CoordinatorVerticle.this.work(term);
                                }

                                @Override
                                public void rest(String why) {
                                    CoordinatorVerticle.this.rest(why);
                                }
                            });
                    follower = begun;
                    upkeep.troubled(null);
                    begun.begin();
                })
                .onFailure(failure -> {
                    upkeep.troubled(String.valueOf(failure.getMessage()));
                    vertx.setTimer(RETRY_MILLIS, _ -> know());
                });
    }

    private void work(int term) {
        inherits = true;
        Frame.JournalPlaced before = journal.placed();
        Model model = upkeep.model();
        if (before != null && model != null) {
            upkeep.inherit(cutAs(model, before), nodes(before));
        }
        upkeep.generations().work(term);
        upkeep.work();
    }

    private static Model cutAs(Model model, Frame.JournalPlaced placed) {
        List<LayerRange> ranges =
                placed.stages().stream().map(Frame.StageEntry::layers).toList();
        return model.isUnsplit() && !ranges.equals(model.shardRanges()) ? model.cutAt(ranges) : model;
    }

    private static List<NodeId> nodes(Frame.JournalPlaced placed) {
        return placed.stages().stream().map(Frame.StageEntry::node).toList();
    }

    private void rest(String why) {
        LOG.warn("{}; this one stands by", why);
        inherits = false;
        upkeep.rest(why + "; go on there with GET /v1/shoal/streams/ID");
        desk.close();
    }

    /** These compute from here on: answers of the one before are gone on with, or dropped. */
    private void placed(Pipeline now, String order) {
        if (upkeep.accepting() == null) {
            return; // the next ones will be told
        }
        Frame.JournalPlaced before = journal.placed();
        boolean same = before != null && before.order().equals(order);
        if (inherits) {
            journal.inherit();
        }
        List<Journal.Answer> going = inherits ? journal.answers() : List.of();
        var heirs = new ArrayList<Journal.Answer>();
        for (Journal.Answer answer : going) {
            if (answer.mayGoOn(same)) {
                heirs.add(answer);
            } else {
                LOG.warn(
                        "answer {} is not gone on with: its tokens might differ",
                        answer.begun().id());
                journal.forget(answer.begun().id());
            }
        }
        if (!same || !Objects.requireNonNull(before).stages().equals(now.entries())) {
            desk.write(new Frame.JournalPlaced(order, now.entries()));
        }
        if (inherits) {
            inherits = false;
            heirs.forEach(answer -> requests.goOn(answer, serving()));
            if (!heirs.isEmpty()) {
                LOG.info("{} answers are gone on with", heirs.size());
            }
        }
    }

    private void serveJournal(FrameStream stream) {
        Profile.Cluster cluster = profile.cluster();
        stream.onFrame(frame -> {
            switch (frame) {
                case Frame.FollowJournal follow -> {
                    Model known = upkeep.model();
                    Follower here = follower;
                    if (!stream.peer().isCoordinatorOf(cluster.name(), cluster.secretFile() != null)) {
                        stream.refuse(ErrorCode.NOT_ALLOWED, "a journal is for coordinators of this cluster alone.");
                    } else if (known != null && !known.manifest().modelRoot().equals(follow.model())) {
                        stream.refuse(ErrorCode.NOT_FOUND, "this coordinator's model is another one.");
                    } else if (here == null || !here.isWorking()) {
                        stream.refuse(ErrorCode.NOT_READY, "this coordinator stands by itself.");
                    } else {
                        desk.follow(stream, here.term());
                    }
                }
                case Frame.JournalHeard(long frames) -> desk.heard(stream, frames);
                case Frame.Refused _ -> stream.reset();
                default ->
                    stream.refuse(ErrorCode.UNSUPPORTED, "a coordinator's journal is followed, not " + frame.type());
            }
        });
    }

    // ------------------------------------------------------------------------------------------ what there is

    /** What requests may use. @throws CommandException if the swarm is not ready, with the reason */
    private Requests.Serving serving() {
        Model known = upkeep.model();
        Pipeline through = upkeep.accepting();
        if (known == null || through == null) {
            throw new CommandException(notReady());
        }
        return new Requests.Serving(known, through);
    }

    private String notReady() {
        Follower here = follower;
        return here == null || here.isWorking()
                ? upkeep.notReady()
                : "the swarm is not ready here: this coordinator stands by for " + here.standsByFor() + ".";
    }

    private Local.SwarmState swarmState(List<Local.NodeState> machines) {
        Model known = upkeep.model();
        boolean ready = upkeep.pipeline() != null && !inherits;
        return new Local.SwarmState(
                known == null ? null : known.name(),
                ready,
                upkeep.accepting() != null && !inherits,
                ready ? "" : notReady(),
                upkeep.generations().running(),
                machines);
    }
}
