package shoal.verticles.quic;

import io.vertx.core.Handler;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.net.QuicConnection;
import io.vertx.core.net.QuicStream;
import io.vertx.core.net.SocketAddress;
import java.nio.ByteBuffer;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.List;
import javax.net.ssl.SSLPeerUnverifiedException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.FrameDecoder;
import shoal.codec.wire.FrameEncoder;
import shoal.codec.wire.StreamKind;
import shoal.verticles.identity.ClusterSecret;

/**
 * Hello and welcome, the first words on a connection, from either side: after them both know with whom they speak, and that they
 * belong together. On the endpoint's event loop.
 */
final class Greeting {
    /** Spoken by all versions, so that two that differ can say so instead of failing in the handshake. */
    static final String VERSION_PROTOCOL = "shoal/version";

    static final Duration HELLO_TIMEOUT = Duration.ofSeconds(10);
    private static final Logger LOG = LoggerFactory.getLogger(Greeting.class);

    private final QuicEndpoint endpoint;
    private final QuicEndpoint.Settings settings;
    private final Vertx vertx;

    Greeting(QuicEndpoint endpoint, QuicEndpoint.Settings settings) {
        this.endpoint = endpoint;
        this.settings = settings;
        vertx = endpoint.vertx();
    }

    // ------------------------------------------------------------------------------------ hello, from who dials

    /** Says hello, and completes the promise once the peer has said welcome. */
    void greet(QuicConnection connection, Endpoint target, Promise<PeerConnection> connected) {
        NodeId id = peerId(connection);
        if (id == null) {
            connected.tryFail(new PeerRefusedException(ErrorCode.LOST, target + " showed no certificate."));
            connection.close();
            return;
        }
        long timer = vertx.setTimer(HELLO_TIMEOUT.toMillis(), _ -> {
            connected.tryFail(new PeerRefusedException(ErrorCode.LOST, target + " does not say welcome."));
            connection.close();
        });
        connected.future().onComplete(_ -> vertx.cancelTimer(timer));
        connection.closeHandler(_ -> connected.tryFail(new PeerRefusedException(
                ErrorCode.VERSION,
                target
                        + " closed the connection during the hello. It refuses this machine, or speaks another protocol than "
                        + settings.protocol() + ".")));
        connection.openStream().onFailure(connected::tryFail).onSuccess(stream -> {
            var decoder = new FrameDecoder(StreamKind.CONTROL);
            stream.handler(bytes -> {
                try {
                    decoder.feed(
                            ByteBuffer.wrap(bytes.getBytes()),
                            frame -> welcomed(connection, stream, id, target, frame, connected));
                } catch (MalformedException malformed) {
                    connected.tryFail(
                            new PeerRefusedException(ErrorCode.MALFORMED, target + ": " + malformed.getMessage()));
                    connection.close();
                }
            });
            Hash256 proof =
                    settings.secret() == null ? Hash256.ZERO : settings.secret().proof(endpoint.nodeId(), id);
            var hello = new Frame.Hello(
                    settings.software(), settings.role(), settings.cluster(), endpoint.advertised(), proof);
            stream.write(opening(StreamKind.CONTROL, hello));
        });
    }

    private void welcomed(
            QuicConnection connection,
            QuicStream stream,
            NodeId id,
            Endpoint target,
            Frame frame,
            Promise<PeerConnection> connected) {
        switch (frame) {
            case Frame.Ping() -> {} // it is there, and the transport has noticed
            case Frame.Welcome welcome -> {
                ClusterSecret secret = settings.secret();
                if (secret != null && !secret.isProof(welcome.secretProof(), id, endpoint.nodeId())) {
                    connected.tryFail(new PeerRefusedException(
                            ErrorCode.SECRET,
                            target + " does not know the secret in cluster.secretFile. Start it with the same file."));
                    connection.close();
                    return;
                }
                var peer = new PeerConnection(
                        endpoint,
                        connection,
                        id,
                        welcome.role(),
                        welcome.cluster(),
                        welcome.software(),
                        target,
                        reachable(welcome.endpoints(), target.host()),
                        true);
                peer.welcome(welcome);
                peer.control(stream);
                endpoint.established(peer);
                connected.tryComplete(peer);
            }
            case Frame.Refused(ErrorCode code, String message) -> {
                connected.tryFail(new PeerRefusedException(code, target + ": " + message));
                connection.close();
            }
            default -> {
                connected.tryFail(new PeerRefusedException(
                        ErrorCode.MALFORMED, target + " answered a hello with " + frame.type()));
                connection.close();
            }
        }
    }

    // ------------------------------------------------------------------------------------ hello, from who is dialled

    /** Waits for the peer's hello, and answers it. */
    void readHello(
            QuicConnection connection,
            NodeId id,
            QuicStream stream,
            Buffer rest,
            @Nullable PeerConnection[] holder,
            long timer) {
        var decoder = new FrameDecoder(StreamKind.CONTROL);
        Handler<Buffer> read = bytes -> {
            try {
                decoder.feed(ByteBuffer.wrap(bytes.getBytes()), frame -> {
                    if (frame instanceof Frame.Hello hello && holder[0] == null) {
                        vertx.cancelTimer(timer);
                        holder[0] = answerHello(connection, id, stream, hello);
                    }
                });
            } catch (MalformedException malformed) {
                refuse(connection, stream, ErrorCode.MALFORMED, String.valueOf(malformed.getMessage()));
            }
        };
        stream.handler(read);
        if (rest.length() > 0) {
            read.handle(rest);
        }
    }

    private @Nullable PeerConnection answerHello(
            QuicConnection connection, NodeId id, QuicStream stream, Frame.Hello hello) {
        if (VERSION_PROTOCOL.equals(connection.applicationLayerProtocol())) {
            return refuse(
                    connection,
                    stream,
                    ErrorCode.VERSION,
                    "this " + settings.role().text() + " (" + settings.software() + ") speaks " + settings.protocol()
                            + ", " + hello.software() + " speaks another version. Run the same version on both.");
        }
        if (!hello.cluster().isEmpty()
                && !settings.cluster().isEmpty()
                && !hello.cluster().equals(settings.cluster())) {
            return refuse(
                    connection,
                    stream,
                    ErrorCode.CLUSTER,
                    "this " + settings.role().text() + " serves cluster '" + settings.cluster() + "', not '"
                            + hello.cluster() + "'. Change cluster.name, or pass --cluster.");
        }
        ClusterSecret secret = settings.secret();
        if (secret != null && !secret.isProof(hello.secretProof(), id, endpoint.nodeId())) {
            return refuse(
                    connection,
                    stream,
                    ErrorCode.SECRET,
                    "the cluster's secret is missing or another one. Set cluster.secretFile, or pass --secret-file, with a copy of the cluster's file.");
        }
        SocketAddress address = connection.remoteAddress();
        var remote =
                new Endpoint(address.hostAddress() == null ? address.host() : address.hostAddress(), address.port());
        var peer = new PeerConnection(
                endpoint,
                connection,
                id,
                hello.role(),
                hello.cluster(),
                hello.software(),
                remote,
                reachable(hello.endpoints(), remote.host()),
                false);
        Hash256 proof = secret == null ? Hash256.ZERO : secret.proof(endpoint.nodeId(), id);
        boolean member = hello.cluster().equals(settings.cluster());
        stream.write(Buffer.buffer(FrameEncoder.toBytes(new Frame.Welcome(
                settings.software(),
                settings.role(),
                settings.cluster(),
                endpoint.advertised(),
                remote,
                member ? endpoint.busMembers() : List.of(),
                proof))));
        peer.control(stream);
        endpoint.established(peer);
        return peer;
    }

    private @Nullable PeerConnection refuse(
            QuicConnection connection, QuicStream stream, ErrorCode code, String message) {
        LOG.warn("refused {}: {}", connection.remoteAddress(), message);
        stream.write(Buffer.buffer(FrameEncoder.toBytes(new Frame.Refused(code, message))));
        stream.end();
        vertx.setTimer(1000, _ -> connection.close());
        return null;
    }

    /** Addresses that mean "any" are replaced by the one that packets come from. */
    private static List<Endpoint> reachable(List<Endpoint> endpoints, String observedHost) {
        return endpoints.stream()
                .map(endpoint ->
                        endpoint.host().equals("0.0.0.0") || endpoint.host().equals("::")
                                ? new Endpoint(observedHost, endpoint.port())
                                : endpoint)
                .filter(endpoint -> endpoint.port() != 0)
                .distinct()
                .toList();
    }

    private static Buffer opening(StreamKind kind, Frame frame) {
        return Buffer.buffer(new byte[] {(byte) kind.number()}).appendBytes(FrameEncoder.toBytes(frame));
    }

    /** Who has proven to be there; null if nobody has. */
    static @Nullable NodeId peerId(QuicConnection connection) {
        try {
            var certificate = (X509Certificate) connection.sslSession().getPeerCertificates()[0];
            return NodeId.ofPublicKey(certificate.getPublicKey().getEncoded());
        } catch (SSLPeerUnverifiedException | RuntimeException none) {
            return null;
        }
    }
}
