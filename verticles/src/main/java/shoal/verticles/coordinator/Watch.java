package shoal.verticles.coordinator;

import io.vertx.core.Vertx;
import io.vertx.core.net.NetClient;
import io.vertx.core.net.NetClientOptions;
import io.vertx.core.net.NetSocket;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.Epoch;
import shoal.codec.base.NodeId;
import shoal.codec.pipeline.Liveness;
import shoal.codec.wire.Availability;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Knows of every node whether it is there: a stream of beats to each, which waits for nothing else, and a TCP connection that breaks
 * when the node's process dies. One event loop.
 */
final class Watch {
    private static final Logger LOG = LoggerFactory.getLogger(Watch.class);
    private static final int WIRE_TIMEOUT_MILLIS = 1000;
    /** At one beat a second, a lost machine is asked for so long. */
    private static final int MAX_BEATS_TO_THE_LOST = 600;

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final Supplier<Epoch> epoch;
    private final Liveness.Bounds close;
    private final Listener listener;
    private final NetClient wires;
    private final Map<NodeId, Watched> watched = new HashMap<>();
    private Set<NodeId> serving = Set.of();

    /** Who hears of changes. */
    interface Listener {
        /** @param why to be read behind the node's name */
        void lost(NodeId node, String why);

        /** A node that was lost is there again. */
        void back(NodeId node);

        void availability(NodeId node, Availability availability);

        /** A node knows of an epoch. */
        void heardOf(Epoch epoch);
    }

    /**
     * @param epoch the newest that was given out here
     * @param close how closely those are watched who serve
     */
    Watch(Vertx vertx, QuicEndpoint endpoint, Supplier<Epoch> epoch, Liveness.Bounds close, Listener listener) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.epoch = epoch;
        this.close = close;
        this.listener = listener;
        this.wires = vertx.createNetClient(new NetClientOptions().setConnectTimeout(WIRE_TIMEOUT_MILLIS));
    }

    /** Begins to watch a node, if it isn't watched at this address yet. */
    void over(Contact node) {
        Watched known = watched.get(node.id());
        if (known == null || !known.contact.equals(node)) {
            forget(node.id());
            var begun = new Watched(node);
            watched.put(node.id(), begun);
            begun.start();
        }
    }

    void forget(NodeId node) {
        Watched known = watched.remove(node);
        if (known != null) {
            known.stop();
        }
    }

    /** These are watched closely, all others loosely. */
    void serve(Set<NodeId> nodes) {
        serving = Set.copyOf(nodes);
        watched.values().forEach(Watched::tellPace);
    }

    boolean isLost(NodeId node) {
        Watched known = watched.get(node);
        return known != null && known.lost;
    }

    Availability availability(NodeId node) {
        Watched known = watched.get(node);
        return known == null ? Availability.WORKING : known.availability;
    }

    /** Lets a node that wants to leave or to rest do so. */
    void relieve(NodeId node) {
        Watched known = watched.get(node);
        if (known != null && known.stream != null) {
            known.stream.send(new Frame.Relieved(epoch.get()));
        }
    }

    /**
     * Somebody else says that the process is gone. The bus says so, long after, also of one that was frozen and is there again: while
     * the trip-wire holds, its process lives, and beats tell whether it answers.
     */
    void ended(NodeId node) {
        Watched known = watched.get(node);
        if (known != null && known.wire == null) {
            known.driver.feed(new Liveness.Input.Ended());
        }
    }

    void stop() {
        List.copyOf(watched.keySet()).forEach(this::forget);
    }

    private final class Watched {
        private final Contact contact;
        private final MachineDriver<Liveness.Input, Liveness.Effect> driver;
        private Availability availability = Availability.WORKING;
        private @Nullable FrameStream stream;
        private @Nullable NetSocket wire;
        private boolean opening;
        private boolean wiring;
        private boolean broken;
        private boolean stopped;
        private boolean lost;
        private int unreachablePort;
        private int beatsWhileLost;

        Watched(Contact contact) {
            this.contact = contact;
            driver = new MachineDriver<>(
                    vertx, new Liveness(close, Liveness.Bounds.LOOSE), new Liveness.Input.Tick(), this::carryOut);
        }

        void start() {
            tellPace();
            driver.feed(new Liveness.Input.Reached());
        }

        void tellPace() {
            driver.feed(new Liveness.Input.Serves(serving.contains(contact.id())));
        }

        private void carryOut(Liveness.Effect effect) {
            switch (effect) {
                case Liveness.Effect.Beat(int number) -> beat(number);
                case Liveness.Effect.Lost(String why) -> {
                    lost = true;
                    reopen();
                    listener.lost(contact.id(), why);
                }
                case Liveness.Effect.Back() -> {
                    lost = false;
                    beatsWhileLost = 0;
                    listener.back(contact.id());
                }
            }
        }

        private void beat(int number) {
            if (lost && ++beatsWhileLost > MAX_BEATS_TO_THE_LOST) {
                forget(contact.id());
                return;
            }
            FrameStream open = stream;
            if (open == null) {
                open();
            } else {
                open.send(new Frame.Beat(epoch.get(), number));
            }
        }

        private void open() {
            if (opening) {
                return;
            }
            opening = true;
            endpoint.connect(contact)
                    .compose(peer -> peer.open(StreamKind.WATCH))
                    .onFailure(failure -> {
                        opening = false;
                        LOG.debug("no beats to {}: {}", contact.id().toShortHex(), failure.getMessage());
                    })
                    .onSuccess(opened -> {
                        opening = false;
                        if (stopped) {
                            opened.reset();
                            return;
                        }
                        stream = opened;
                        opened.onClose(() -> stream = stream == opened ? null : stream);
                        opened.onFrame(frame -> heard(opened, frame));
                        opened.send(new Frame.Beat(epoch.get(), 0));
                    });
        }

        /** The next beat goes out on a stream of its own. */
        private void reopen() {
            FrameStream open = stream;
            stream = null;
            if (open != null) {
                open.reset();
            }
        }

        private void heard(FrameStream from, Frame frame) {
            if (stopped) {
                return;
            }
            if (!(frame instanceof Frame.BeatBack back)) {
                if (frame instanceof Frame.Refused) {
                    reopen(); // it may not be wholly up yet
                } else {
                    from.refuse(
                            ErrorCode.UNSUPPORTED, "a coordinator takes answers to beats here, not " + frame.type());
                }
                return;
            }
            listener.heardOf(back.epoch());
            boolean changed = availability != back.availability();
            availability = back.availability();
            driver.feed(new Liveness.Input.Heard(back.number()));
            lay(from, back.wirePort());
            if (changed && !stopped) {
                listener.availability(contact.id(), availability);
            }
        }

        /** Makes the trip-wire. One that broke and is refused now means that nobody listens there any more. */
        private void lay(FrameStream over, int port) {
            if (port == 0 || wiring || wire != null || port == unreachablePort) {
                return;
            }
            wiring = true;
            wires.connect(port, over.peer().remote().host())
                    .onFailure(failure -> {
                        wiring = false;
                        boolean refused = String.valueOf(failure.getMessage()).contains("refused");
                        if (broken && refused && !stopped) {
                            driver.feed(new Liveness.Input.Ended());
                        } else {
                            unreachablePort = port;
                            LOG.debug("no trip-wire to {}: {}", contact.id().toShortHex(), failure.getMessage());
                        }
                        broken = false;
                    })
                    .onSuccess(socket -> {
                        wiring = false;
                        if (stopped) {
                            socket.close();
                            return;
                        }
                        wire = socket;
                        socket.exceptionHandler(_ -> {});
                        socket.closeHandler(_ -> {
                            wire = null;
                            if (!stopped) {
                                broken = true;
                                lay(over, port);
                            }
                        });
                    });
        }

        void stop() {
            stopped = true;
            driver.stop();
            if (wire != null) {
                wire.close();
            }
            if (stream != null) {
                stream.end();
            }
        }
    }
}
