package shoal.verticles.guard;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.VerticleBase;
import io.vertx.core.net.NetServerOptions;
import io.vertx.core.net.NetSocket;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Epoch;
import shoal.codec.command.Command;
import shoal.codec.command.Envelope;
import shoal.codec.command.EnvelopeCodec;
import shoal.codec.wire.Availability;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Role;
import shoal.codec.wire.StreamKind;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Answers beats of coordinators, holds the trip-wires by which it notices this process's death, and asks it to take the work back
 * when the machine is to rest or to end. Its event loop never computes.
 */
public final class GuardVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(GuardVerticle.class);
    private static final int MAX_WIRES = 64;

    private final QuicEndpoint endpoint;
    private final CommandBus bus;
    private final Profile profile;
    private final Role role;
    /** Those who watch, and the number of the last beat of each. */
    private final Map<FrameStream, Integer> watchers = new HashMap<>();

    private final Set<NetSocket> wires = new HashSet<>();
    private Availability availability = Availability.WORKING;
    private Epoch newest = Epoch.FIRST;
    private int wirePort;
    private @Nullable Promise<Boolean> handingOver;

    public GuardVerticle(QuicEndpoint endpoint, CommandBus bus, Profile profile, Role role) {
        this.endpoint = endpoint;
        this.bus = bus;
        this.profile = profile;
        this.role = role;
    }

    @Override
    public Future<?> start() {
        bus.answerLocally(Addresses.LEAVE, Local.Leave.class, _ -> handOver(Availability.LEAVING));
        return layWire().onComplete(_ -> {
            endpoint.onStream(StreamKind.WATCH, this::serve);
            if (role == Role.NODE) {
                bus.broadcast(EnvelopeCodec.write(new Envelope.Request(
                        UUID.randomUUID().toString(), endpoint.nodeId().toHex(), null, new Command.NodeReady())));
            }
        });
    }

    // ----------------------------------------------------------------------------------------- trip-wires

    /** Without one, beats alone tell that this process is alive. */
    private Future<?> layWire() {
        var options =
                new NetServerOptions().setHost(profile.quic().host()).setPort(0).setTcpKeepAlive(true);
        return vertx.createNetServer(options)
                .connectHandler(this::hold)
                .listen()
                .onSuccess(server -> wirePort = server.actualPort())
                .otherwise(failure -> {
                    LOG.warn("no trip-wire for others, who will notice a death here later: {}", failure.getMessage());
                    return null;
                });
    }

    /** Says nothing and takes nothing. */
    private void hold(NetSocket wire) {
        if (wires.size() >= MAX_WIRES) {
            wire.close();
            return;
        }
        wires.add(wire);
        wire.handler(_ -> wire.close());
        wire.closeHandler(_ -> wires.remove(wire));
        wire.exceptionHandler(_ -> {});
    }

    // ---------------------------------------------------------------------------------------------- beats

    private void serve(FrameStream stream) {
        stream.onFrame(frame -> {
            boolean fromAbove = mayWatch(stream.peer());
            switch (frame) {
                case Frame.Beat beat
                when fromAbove -> {
                    newest = beat.epoch().compareTo(newest) > 0 ? beat.epoch() : newest;
                    watchers.put(stream, beat.number());
                    answer(stream, beat.number());
                }
                case Frame.Relieved relieved when fromAbove -> relieved(relieved.epoch());
                case Frame.Rest rest -> rest(stream, rest.rest());
                case Frame.Beat _, Frame.Relieved _ ->
                    stream.refuse(ErrorCode.NOT_ALLOWED, "coordinators of this cluster alone may watch.");
                default -> stream.refuse(ErrorCode.UNSUPPORTED, "beats are taken here, not " + frame.type());
            }
        });
        stream.onClose(() -> {
            watchers.remove(stream);
            if (watchers.isEmpty()) {
                done(true); // whoever gave work is gone itself
            }
        });
    }

    private boolean mayWatch(PeerConnection peer) {
        return peer.role() == Role.COORDINATOR
                && peer.cluster().equals(profile.cluster().name());
    }

    private void answer(FrameStream stream, int number) {
        stream.send(new Frame.BeatBack(number, newest, availability, wirePort));
    }

    // ------------------------------------------------------------------------------------------- handing over

    /** @return whether it was handed over in time, or nobody gave any */
    private Future<Boolean> handOver(Availability next) {
        availability = next;
        done(false);
        if (watchers.isEmpty()) {
            return Future.succeededFuture(true);
        }
        Promise<Boolean> promise = Promise.promise();
        handingOver = promise;
        List.copyOf(watchers.entrySet()).forEach(watcher -> answer(watcher.getKey(), watcher.getValue()));
        long timer = vertx.setTimer(profile.cluster().drainSeconds() * 1000L, _ -> {
            if (promise.tryComplete(false)) {
                LOG.warn(
                        "nobody took this node's work over within {} s",
                        profile.cluster().drainSeconds());
            }
        });
        return promise.future().onComplete(_ -> vertx.cancelTimer(timer));
    }

    /** Who stands behind an older epoch than another coordinator does gives no work any more. */
    private void relieved(Epoch epoch) {
        if (epoch.compareTo(newest) >= 0) {
            newest = epoch;
            done(true);
        }
    }

    private void done(boolean relieved) {
        Promise<Boolean> waiting = handingOver;
        handingOver = null;
        if (waiting != null) {
            waiting.tryComplete(relieved);
        }
    }

    // ---------------------------------------------------------------------------------------------- the owner

    private void rest(FrameStream stream, boolean rest) {
        PeerConnection peer = stream.peer();
        if (role != Role.NODE) {
            stream.refuse(ErrorCode.UNSUPPORTED, "a " + role.text() + " computes nothing; only a node can rest.");
            return;
        }
        if (!peer.id().equals(endpoint.nodeId()) && !isThisMachine(peer)) {
            stream.refuse(
                    ErrorCode.NOT_ALLOWED,
                    "only this machine's owner may: ask from the machine itself, or with its key (--store DIR).");
            return;
        }
        if (availability == Availability.LEAVING) {
            stream.refuse(ErrorCode.BUSY, "this node is on its way out.");
            return;
        }
        LOG.info(rest ? "the owner needs this machine; handing its work over" : "this machine takes work again");
        Future<Boolean> handed;
        if (rest) {
            handed = handOver(Availability.RESTING);
        } else {
            availability = Availability.WORKING;
            done(false);
            List.copyOf(watchers.entrySet()).forEach(watcher -> answer(watcher.getKey(), watcher.getValue()));
            handed = Future.succeededFuture(true);
        }
        handed.onComplete(done ->
                stream.send(new Frame.Rested(availability, done.result())).onComplete(_ -> stream.end()));
    }

    private static boolean isThisMachine(PeerConnection peer) {
        try {
            return InetAddress.getByName(peer.remote().host()).isLoopbackAddress();
        } catch (UnknownHostException unknown) {
            return false;
        }
    }
}
