package shoal.verticles.coordinator;

import io.vertx.core.Vertx;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.dht.DhtKeys;
import shoal.codec.pipeline.Journal;
import shoal.codec.pipeline.Liveness;
import shoal.codec.pipeline.Succession;
import shoal.codec.wire.Availability;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.Role;
import shoal.codec.wire.SignedRecord;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Finds the other coordinators of the model, copies the journal of the one that works, and watches it; {@link Succession} decides who
 * works. One event loop.
 */
final class Follower implements Watch.Listener {
    private static final Logger LOG = LoggerFactory.getLogger(Follower.class);

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final Journal journal;
    private final Hash256 model;
    private final Decided decided;
    private final Watch watch;
    private final Succession succession;
    private final MachineDriver<Succession.Input, Succession.Effect> driver;
    private final Map<NodeId, FrameStream> open = new HashMap<>();
    private final Set<NodeId> asking = new HashSet<>();
    private @Nullable FrameStream followed;

    /** Who carries out what was decided. */
    interface Decided {
        void work(int term);

        void rest(String why);
    }

    Follower(
            Vertx vertx,
            QuicEndpoint endpoint,
            CommandBus bus,
            Profile profile,
            Journal journal,
            Hash256 model,
            Decided decided) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.journal = journal;
        this.model = model;
        this.decided = decided;
        watch = new Watch(vertx, endpoint, () -> Epoch.FIRST, Liveness.Bounds.PATIENT, this);
        succession = new Succession(endpoint.nodeId());
        driver = new MachineDriver<>(vertx, succession, new Succession.Input.Tick(), this::carryOut);
    }

    void begin() {
        driver.feed(new Succession.Input.Begin(!profile.coordinator().standby()));
    }

    void stop() {
        driver.stop();
        watch.stop();
    }

    void outranked(int term) {
        driver.feed(new Succession.Input.Outranked(term));
    }

    boolean isWorking() {
        return succession.isWorking();
    }

    int term() {
        return succession.term();
    }

    /** Whom this one stands by for, to be read. */
    String standsByFor() {
        NodeId leader = succession.leader();
        return leader == null
                ? "whoever works for its model, and looks for that one"
                : "coordinator " + leader.toShortHex();
    }

    private void carryOut(Succession.Effect effect) {
        switch (effect) {
            case Succession.Effect.Look() -> look();
            case Succession.Effect.Follow(NodeId leader) -> follow(leader);
            case Succession.Effect.Work(int term) -> {
                FrameStream before = followed;
                followed = null;
                if (before != null) {
                    before.reset();
                }
                LOG.info("works under term {}", term);
                decided.work(term);
            }
            case Succession.Effect.Rest() -> decided.rest("another coordinator works for the model");
        }
    }

    // ------------------------------------------------------------------------------------------- the others

    private void look() {
        var key = new Local.FindProviders(DhtKeys.cluster(profile.cluster().name()));
        bus.ask(Addresses.FIND_PROVIDERS, key, Local.ProvidersFound.class)
                .onFailure(failure -> LOG.debug("the DHT was not asked: {}", failure.getMessage()))
                .onSuccess(found -> {
                    for (SignedRecord signed : found.records()) {
                        ProviderRecord record = signed.record();
                        boolean isCoordinator =
                                new String(record.payload(), StandardCharsets.UTF_8).equals(Role.COORDINATOR.text());
                        if (isCoordinator && !record.provider().id().equals(endpoint.nodeId())) {
                            ask(record.provider());
                        }
                    }
                });
    }

    private void ask(Contact other) {
        if (open.containsKey(other.id()) || !asking.add(other.id())) {
            return;
        }
        endpoint.connect(other)
                .compose(peer -> peer.open(StreamKind.JOURNAL))
                .onComplete(_ -> asking.remove(other.id()))
                .onFailure(failure -> LOG.debug("{} was not asked: {}", other, failure.getMessage()))
                .onSuccess(stream -> {
                    open.put(other.id(), stream);
                    stream.onFrame(frame -> heard(other, stream, frame));
                    stream.onClose(() -> closed(other, stream));
                    stream.send(new Frame.FollowJournal(model));
                });
    }

    private void heard(Contact from, FrameStream stream, Frame frame) {
        switch (frame) {
            case Frame.JournalOpened opened -> {
                watch.over(from);
                driver.feed(new Succession.Input.Works(from.id(), opened.term()));
                if (stream != followed) {
                    stream.reset();
                }
            }
            case Frame.JournalPlaced _, Frame.JournalBegun _, Frame.JournalToken _, Frame.JournalEnded _ -> {
                if (stream == followed) {
                    write(stream, frame);
                }
            }
            case Frame.Refused(ErrorCode code, String why) -> {
                LOG.debug("{}: {}", from, why);
                if (code == ErrorCode.NOT_READY) {
                    driver.feed(new Succession.Input.StandsBy(from.id()));
                }
                stream.end();
                stream.reset();
            }
            default -> stream.refuse(ErrorCode.UNSUPPORTED, "a journal has no " + frame.type());
        }
    }

    private void write(FrameStream stream, Frame frame) {
        try {
            journal.write(frame);
        } catch (MalformedException tooMuch) {
            LOG.warn("the journal of {} is followed no more: {}", stream.peer(), tooMuch.getMessage());
            stream.refuse(ErrorCode.MALFORMED, String.valueOf(tooMuch.getMessage()));
            stream.reset();
            return;
        }
        stream.send(new Frame.JournalHeard(1));
    }

    private void follow(NodeId leader) {
        FrameStream before = followed;
        followed = open.get(leader);
        if (before != null && before != followed) {
            before.reset();
        }
        journal.clear();
        watch.serve(Set.of(leader));
        LOG.info("stands by for coordinator {}", leader.toShortHex());
    }

    private void closed(Contact from, FrameStream stream) {
        open.remove(from.id(), stream);
        if (stream == followed) {
            followed = null;
            driver.feed(new Succession.Input.Broken());
        }
    }

    // ----------------------------------------------------------------------------------------------- beats

    @Override
    public void lost(NodeId node, String why) {
        if (node.equals(succession.leader())) {
            LOG.warn("coordinator {} is lost: {}", node.toShortHex(), why);
        }
        driver.feed(new Succession.Input.Lost(node));
    }

    @Override
    public void back(NodeId node) {
        look();
    }

    @Override
    public void availability(NodeId node, Availability availability) {}

    @Override
    public void heardOf(Epoch epoch) {}
}
