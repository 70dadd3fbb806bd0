package shoal.verticles.quic;

import io.vertx.core.Context;
import io.vertx.core.Deployable;
import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.ClientAuth;
import io.vertx.core.internal.ContextInternal;
import io.vertx.core.internal.VertxInternal;
import io.vertx.core.net.ClientSSLOptions;
import io.vertx.core.net.KeyCertOptions;
import io.vertx.core.net.QuicClient;
import io.vertx.core.net.QuicClientConfig;
import io.vertx.core.net.QuicConfig;
import io.vertx.core.net.QuicConnection;
import io.vertx.core.net.QuicServer;
import io.vertx.core.net.QuicServerConfig;
import io.vertx.core.net.QuicStream;
import io.vertx.core.net.ServerSSLOptions;
import io.vertx.core.net.SocketAddress;
import io.vertx.core.net.TrustOptions;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.FrameEncoder;
import shoal.codec.wire.Role;
import shoal.codec.wire.StreamKind;
import shoal.verticles.identity.ClusterSecret;
import shoal.verticles.identity.Identity;

/**
 * This process's QUIC: takes connections, makes them, keeps one to each peer, and hands each stream to who registered for its
 * kind. Mutual TLS with self-signed certificates; who a peer is follows from its key. All state lives on one event loop;
 * methods may be called from any thread, and futures complete on the caller's context.
 */
public final class QuicEndpoint {
    /** The application protocol. */
    public static final String PROTOCOL = "shoal/1";

    private static final Logger LOG = LoggerFactory.getLogger(QuicEndpoint.class);
    private static final Patience PATIENCE =
            new Patience(Duration.ofSeconds(10), Duration.ofSeconds(2), Duration.ofSeconds(60));

    private static final long CONNECTION_WINDOW_BYTES = 64L << 20;
    private static final long STREAM_WINDOW_BYTES = 32L << 20;
    private static final int MAX_STREAMS = 4096;
    private static final int MAX_CONNECTIONS = 1024;

    private final VertxInternal vertx;
    private final Identity identity;
    private final Settings settings;
    private final Patience patience;
    private final ContextInternal loop;
    private final Map<StreamKind, Acceptor> acceptors = new EnumMap<>(StreamKind.class);
    private final Map<NodeId, PeerConnection> peers = new HashMap<>();
    private final Set<PeerConnection> connections = new HashSet<>();
    private final Map<Endpoint, Future<PeerConnection>> dialing = new HashMap<>();
    private final List<Consumer<PeerConnection>> peerListeners = new CopyOnWriteArrayList<>();
    private final List<Consumer<PeerConnection>> lossListeners = new CopyOnWriteArrayList<>();
    private volatile Supplier<List<Endpoint>> busMembers = List::of;
    private final Greeting greeting;
    private @Nullable QuicServer server;
    private @Nullable QuicClient client;
    private Endpoint bound;
    private long pings = -1;

    /**
     * How long it waits for others.
     *
     * @param idle without a packet for so long a connection is lost
     * @param ping between two pings, which see to it that there are packets as long as a connection is of use
     * @param unused a connection on which no stream is open is of use for so long
     */
    record Patience(Duration idle, Duration ping, Duration unused) {}

    private record Acceptor(Context owner, Consumer<FrameStream> handler) {}

    /**
     * What the endpoint says of itself.
     *
     * @param bind address to listen on, port 0 for any; null to take no connections
     * @param advertised where others reach it; empty for the bound address
     * @param cluster name, empty for none
     */
    public record Settings(
            @Nullable Endpoint bind,
            List<Endpoint> advertised,
            Role role,
            String cluster,
            @Nullable ClusterSecret secret,
            String software,
            String protocol) {}

    private QuicEndpoint(Vertx vertx, Identity identity, Settings settings, Patience patience) {
        this.vertx = (VertxInternal) vertx;
        this.identity = identity;
        this.settings = settings;
        this.patience = patience;
        this.loop = this.vertx.createEventLoopContext();
        this.greeting = new Greeting(this, settings);
        this.bound = settings.bind() == null ? new Endpoint("0.0.0.0", 0) : settings.bind();
    }

    /** Opens the endpoint. Fails with one line if the port is taken. */
    public static Future<QuicEndpoint> open(Vertx vertx, Identity identity, Settings settings) {
        return open(vertx, identity, settings, PATIENCE);
    }

    static Future<QuicEndpoint> open(Vertx vertx, Identity identity, Settings settings, Patience patience) {
        var endpoint = new QuicEndpoint(vertx, identity, settings, patience);
        Promise<QuicEndpoint> opened = endpoint.vertx.promise();
        endpoint.loop.runOnContext(_ -> endpoint.start()
                .onSuccess(_ -> endpoint.pings =
                        endpoint.vertx.setPeriodic(patience.ping().toMillis(), _ -> endpoint.ping()))
                .map(endpoint)
                .onComplete(opened));
        return opened.future();
    }

    /** Whoever does not acknowledge is gone: the transport gives the connection up when its time is over. */
    private void ping() {
        long now = System.nanoTime();
        for (PeerConnection peer : List.copyOf(connections)) {
            if (peer.isUsed(now, patience.unused().toNanos())) {
                peer.ping();
            }
        }
    }

    private Future<Void> start() {
        KeyCertOptions keys = KeyCertOptions.wrap(new OwnKey(identity));
        TrustOptions trust = TrustOptions.wrap(new SelfSignedTrustManager());
        List<String> protocols = List.of(settings.protocol(), Greeting.VERSION_PROTOCOL);
        var clientConfig = new QuicClientConfig();
        tune(clientConfig.getTransportConfig());
        clientConfig.setConnectTimeout(Duration.ofSeconds(5));
        int payloadBytes = payloadBytes();
        client = new UdpTuning.Client(
                vertx,
                clientConfig,
                new ClientSSLOptions()
                        .setHostnameVerificationAlgorithm("")
                        .setKeyCertOptions(keys)
                        .setTrustOptions(trust)
                        .setApplicationLayerProtocols(protocols),
                payloadBytes);
        Endpoint bind = settings.bind();
        if (bind == null) {
            return Future.succeededFuture();
        }
        var serverConfig = new QuicServerConfig();
        tune(serverConfig.getTransportConfig());
        serverConfig.setReuseAddress(false); // else a second process would silently share the port
        QuicServer created = new UdpTuning.Server(
                vertx,
                serverConfig,
                new ServerSSLOptions()
                        .setKeyCertOptions(keys)
                        .setTrustOptions(trust)
                        .setClientAuth(ClientAuth.REQUIRED)
                        .setApplicationLayerProtocols(protocols),
                payloadBytes);
        server = created;
        created.connectHandler(this::accept);
        created.exceptionHandler(failure -> LOG.debug("a handshake failed: {}", failure.toString()));
        return created.listen(bind.port(), bind.host())
                .recover(failure -> Future.failedFuture(new IllegalStateException(
                        "UDP " + bind + " cannot be used: " + rootMessage(failure)
                                + ". Choose another with --port, or 0 for any free one.",
                        failure)))
                .map(address -> {
                    bound = new Endpoint(bind.host(), address.port());
                    return null;
                });
    }

    /** Who listens on loopback alone speaks with nobody else; all others keep to what any network carries. */
    private int payloadBytes() {
        Endpoint bind = settings.bind();
        try {
            return bind != null && InetAddress.getByName(bind.host()).isLoopbackAddress()
                    ? UdpTuning.LOOPBACK_PAYLOAD_BYTES
                    : UdpTuning.NETWORK_PAYLOAD_BYTES;
        } catch (UnknownHostException unknown) {
            return UdpTuning.NETWORK_PAYLOAD_BYTES;
        }
    }

    private void tune(QuicConfig transport) {
        transport.setInitialMaxData(CONNECTION_WINDOW_BYTES);
        transport.setInitialMaxStreamDataBidiLocal(STREAM_WINDOW_BYTES);
        transport.setInitialMaxStreamDataBidiRemote(STREAM_WINDOW_BYTES);
        transport.setInitialMaxStreamsBidi(MAX_STREAMS);
        transport.setMaxIdleTimeout(patience.idle());
    }

    Vertx vertx() {
        return vertx;
    }

    public NodeId nodeId() {
        return identity.nodeId();
    }

    public Identity identity() {
        return identity;
    }

    /** Where this process listens. */
    public Endpoint bound() {
        return bound;
    }

    /** Where others reach this process: what was advertised, or else the bound address. */
    public List<Endpoint> advertised() {
        if (settings.bind() == null) {
            return List.of();
        }
        if (settings.advertised().isEmpty()) {
            return List.of(bound);
        }
        return settings.advertised().stream()
                .map(endpoint -> endpoint.port() == 0 ? new Endpoint(endpoint.host(), bound.port()) : endpoint)
                .toList();
    }

    /** This process as others should know it. */
    public Contact contact() {
        return new Contact(nodeId(), advertised());
    }

    List<Endpoint> busMembers() {
        return busMembers.get();
    }

    /** What {@link Frame.Welcome} says of the event bus. */
    public void tellBusMembers(Supplier<List<Endpoint>> members) {
        busMembers = members;
    }

    /**
     * A verticle that is to run on the endpoint's own event loop, so that no frame changes threads on its way from the socket to it or back:
     * waking a thread takes longer than a datagram on loopback. For those through whom each token goes; they must leave the loop soon.
     */
    public Deployable beside(Deployable verticle) {
        return new Beside(vertx, loop.nettyEventLoop(), verticle);
    }

    /** Gives all streams of a kind to the handler, on the current context. One handler a kind. */
    public void onStream(StreamKind kind, Consumer<FrameStream> handler) {
        Context owner = vertx.getOrCreateContext();
        loop.runOnContext(_ -> {
            if (acceptors.putIfAbsent(kind, new Acceptor(owner, handler)) != null) {
                throw new IllegalStateException("streams of kind " + kind + " are taken already");
            }
        });
    }

    /** Tells of each new connection, on the current context. */
    public void onPeer(Consumer<PeerConnection> listener) {
        Context owner = vertx.getOrCreateContext();
        peerListeners.add(peer -> owner.runOnContext(_ -> listener.accept(peer)));
    }

    /** Tells of each connection that is gone, on the current context. */
    public void onPeerLost(Consumer<PeerConnection> listener) {
        Context owner = vertx.getOrCreateContext();
        lossListeners.add(peer -> owner.runOnContext(_ -> listener.accept(peer)));
    }

    /** A connection to the contact, an open one if there is one; its addresses are tried in order. */
    public Future<PeerConnection> connect(Contact contact) {
        return onLoop(() -> {
            PeerConnection known = peers.get(contact.id());
            if (known != null && known.isOpen()) {
                return Future.succeededFuture(known);
            }
            return tryInOrder(contact, 0);
        });
    }

    private Future<PeerConnection> tryInOrder(Contact contact, int index) {
        Endpoint target = contact.endpoints().get(index);
        return dial(target)
                .compose(peer -> peer.id().equals(contact.id())
                        ? Future.succeededFuture(peer)
                        : Future.failedFuture(new PeerRefusedException(
                                ErrorCode.LOST,
                                target + " is " + peer.id().toShortHex() + ", not "
                                        + contact.id().toShortHex() + ".")))
                .recover(failure -> index + 1 < contact.endpoints().size()
                        ? tryInOrder(contact, index + 1)
                        : Future.failedFuture(failure));
    }

    /** A connection to whoever answers at the address. */
    public Future<PeerConnection> connect(Endpoint target) {
        return onLoop(() -> dial(target));
    }

    private Future<PeerConnection> dial(Endpoint target) {
        Future<PeerConnection> pending = dialing.get(target);
        if (pending != null && !(pending.succeeded() && !pending.result().isOpen())) {
            return pending;
        }
        QuicClient dialer = client;
        if (dialer == null) {
            return Future.failedFuture(new IllegalStateException("the endpoint is not open"));
        }
        Promise<PeerConnection> connected = loop.promise();
        dialing.put(target, connected.future());
        connected.future().onFailure(_ -> dialing.remove(target, connected.future()));
        dialer.connect(SocketAddress.inetSocketAddress(target.port(), target.host()))
                .onFailure(failure -> connected.tryFail(new PeerRefusedException(
                        ErrorCode.LOST,
                        target + " does not answer: " + rootMessage(failure)
                                + ". Is it running, and can its UDP port be reached from here?")))
                .onSuccess(connection -> greeting.greet(connection, target, connected));
        return connected.future();
    }

    // ------------------------------------------------------------------------------------ streams that come

    private void accept(QuicConnection connection) {
        NodeId id = Greeting.peerId(connection);
        if (id == null || peers.size() >= MAX_CONNECTIONS) {
            connection.close();
            return;
        }
        long timer = vertx.setTimer(Greeting.HELLO_TIMEOUT.toMillis(), _ -> connection.close());
        var holder = new PeerConnection[1];
        connection.streamHandler(stream -> {
            stream.pause();
            openedByPeer(connection, id, stream, holder, timer);
        });
        connection.closeHandler(_ -> {
            vertx.cancelTimer(timer);
            if (holder[0] != null) {
                lost(holder[0]);
            }
        });
    }

    /** Reads the stream's kind, one byte for all kinds there are, and hands the rest on. */
    private void openedByPeer(
            QuicConnection connection, NodeId id, QuicStream stream, @Nullable PeerConnection[] holder, long timer) {
        stream.handler(first -> {
            StreamKind kind;
            try {
                kind = StreamKind.ofNumber(first.getByte(0) & 0xff);
            } catch (MalformedException unknown) {
                LOG.warn("{} opened a stream: {}", id.toShortHex(), unknown.getMessage());
                stream.reset(0);
                return;
            }
            Buffer rest = first.slice(1, first.length());
            PeerConnection peer = holder[0];
            if (peer == null) {
                if (kind == StreamKind.CONTROL) {
                    greeting.readHello(connection, id, stream, rest, holder, timer);
                } else {
                    stream.reset(0);
                }
                return;
            }
            handOver(peer, kind, stream, rest);
        });
        stream.resume();
    }

    private void handOver(PeerConnection peer, StreamKind kind, QuicStream stream, Buffer rest) {
        Acceptor acceptor = acceptors.get(kind);
        if (acceptor == null) {
            stream.write(Buffer.buffer(FrameEncoder.toBytes(new Frame.Refused(
                    ErrorCode.UNSUPPORTED, "a " + settings.role().text() + " takes no streams of kind " + kind))));
            stream.end();
            stream.abort(0);
            return;
        }
        stream.pause();
        var frames = new FrameStream(peer, kind, stream, acceptor.owner());
        frames.begin(rest);
        acceptor.owner().runOnContext(_ -> acceptor.handler().accept(frames));
    }

    // -------------------------------------------------------------------------------------------------- peers

    /** The hello is done. On the event loop. */
    void established(PeerConnection peer) {
        connections.add(peer);
        PeerConnection before = peers.get(peer.id());
        if (before == null || !before.isOpen()) {
            peers.put(peer.id(), peer);
        }
        if (peer.isOutgoing()) {
            peer.connection().streamHandler(stream -> {
                stream.pause();
                openedByPeer(peer.connection(), peer.id(), stream, new PeerConnection[] {peer}, -1);
            });
            peer.connection().closeHandler(_ -> lost(peer));
        }
        LOG.debug("connected with {}", peer);
        peerListeners.forEach(listener -> listener.accept(peer));
    }

    private void lost(PeerConnection peer) {
        peer.markClosed();
        connections.remove(peer);
        if (peers.remove(peer.id(), peer)) {
            LOG.debug("lost {}", peer);
            lossListeners.forEach(listener -> listener.accept(peer));
        }
        dialing.values().removeIf(pending -> pending.succeeded() && pending.result() == peer);
    }

    Future<FrameStream> openStream(PeerConnection peer, StreamKind kind, Context owner) {
        Promise<FrameStream> opened = ((ContextInternal) owner).promise();
        loop.runOnContext(_ -> peer.connection()
                .openStream()
                .onFailure(failure -> opened.tryFail(new PeerRefusedException(
                        ErrorCode.LOST, peer + " takes no stream: " + rootMessage(failure) + ".")))
                .onSuccess(stream -> {
                    stream.pause();
                    stream.write(Buffer.buffer(new byte[] {(byte) kind.number()}));
                    opened.tryComplete(new FrameStream(peer, kind, stream, owner));
                }));
        return opened.future();
    }

    Future<Void> close(PeerConnection peer) {
        return onLoop(() -> closed(peer));
    }

    private static Future<Void> closed(PeerConnection peer) {
        peer.markClosed(); // from now on, whether the other side has heard it or not
        return peer.connection().close();
    }

    /** Closes all connections and the socket. */
    public Future<Void> close() {
        return onLoop(() -> {
            vertx.cancelTimer(pings);
            var closing = new ArrayList<Future<Void>>();
            new ArrayList<>(connections).forEach(peer -> closing.add(closed(peer)));
            return Future.join(closing).transform(_ -> {
                Future<Void> serverClosed = server == null ? Future.succeededFuture() : server.close();
                return serverClosed.transform(_ -> client == null ? Future.succeededFuture() : client.close());
            });
        });
    }

    private <T> Future<T> onLoop(Supplier<Future<T>> task) {
        Promise<T> done = vertx.promise();
        loop.runOnContext(_ -> {
            try {
                task.get().onComplete(done);
            } catch (RuntimeException failure) {
                done.tryFail(failure);
            }
        });
        return done.future();
    }

    private static String rootMessage(Throwable failure) {
        Throwable cause = failure;
        while (cause.getCause() != null && cause.getCause() != cause) {
            cause = cause.getCause();
        }
        String message = cause.getMessage();
        if (message == null || message.isBlank()) {
            return cause.getClass().getSimpleName();
        }
        int internals = message.indexOf(": QuicConnectionAddress"); // says nothing to a reader
        return message.substring(0, internals < 0 ? message.length() : internals)
                .replaceFirst("^[a-z]+\\(\\.\\.\\) failed with error\\(-?[0-9]+\\): ", "") // nor does this, of epoll's
                .lines()
                .findFirst()
                .orElse("");
    }
}
