package shoal.verticles.api;

import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpClient;
import io.vertx.core.http.HttpClientOptions;
import io.vertx.core.http.HttpClientRequest;
import io.vertx.core.http.HttpClientResponse;
import io.vertx.core.http.HttpMethod;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.PoolOptions;
import io.vertx.core.http.RequestOptions;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.config.Profile;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Takes requests that other coordinators of the cluster hand on, and puts them to this one's own HTTP server: what is checked there is
 * checked for them too. One event loop.
 */
final class DoorServer {
    /** Names who asks, behind a word that only this process knows; a request with it is not handed on again. */
    private static final String HEADER = "Shoal-Door";

    private static final int MAX_REQUESTS = 65_536;

    private final QuicEndpoint endpoint;
    private final Profile profile;
    private final @Nullable String key;
    private final IntSupplier port;
    private final HttpClient client;
    private final String word;

    /**
     * @param key of the own HTTP server, null for none
     * @param port of it, once it listens
     */
    DoorServer(Vertx vertx, QuicEndpoint endpoint, Profile profile, @Nullable String key, IntSupplier port) {
        this.endpoint = endpoint;
        this.profile = profile;
        this.key = key;
        this.port = port;
        client = vertx.createHttpClient(
                new HttpClientOptions().setKeepAlive(false), new PoolOptions().setHttp1MaxSize(MAX_REQUESTS));
        byte[] random = new byte[16];
        new SecureRandom().nextBytes(random);
        word = HexFormat.of().formatHex(random);
    }

    void start() {
        endpoint.onStream(StreamKind.DOOR, this::serve);
    }

    /** Who asked another coordinator, which handed the request on to this one; null for a request of this one's own. */
    @Nullable String user(HttpServerRequest request) {
        String sent = request.getHeader(HEADER);
        if (sent == null || sent.length() < word.length()) {
            return null;
        }
        boolean known = MessageDigest.isEqual(
                sent.substring(0, word.length()).getBytes(StandardCharsets.UTF_8),
                word.getBytes(StandardCharsets.UTF_8));
        return known ? sent.substring(word.length()).strip() : null;
    }

    private void serve(FrameStream stream) {
        Profile.Cluster cluster = profile.cluster();
        stream.onFrame(frame -> {
            switch (frame) {
                case Frame.DoorAsk ask -> {
                    if (!stream.peer().isCoordinatorOf(cluster.name(), cluster.secretFile() != null)) {
                        stream.refuse(
                                ErrorCode.NOT_ALLOWED, "coordinators of this cluster alone may hand requests on.");
                    } else if (!isTaken(ask)) {
                        stream.refuse(ErrorCode.NOT_ALLOWED, "GET and POST of /v1/ are handed on, nothing else.");
                    } else {
                        new Inner(stream).begin(ask);
                    }
                }
                case Frame.Refused _ -> stream.reset();
                default -> stream.refuse(ErrorCode.UNSUPPORTED, "a door takes requests, not " + frame.type());
            }
        });
    }

    /** Nothing that could be read as more than one line of a request. */
    private static boolean isTaken(Frame.DoorAsk ask) {
        return (ask.method().equals("GET") || ask.method().equals("POST"))
                && ask.path().startsWith("/v1/")
                && ask.path().chars().allMatch(c -> c > ' ' && c < 127)
                && ask.lastEventId().chars().allMatch(c -> c >= ' ' && c < 127)
                && ask.user().chars().allMatch(c -> c > ' ' && c < 127);
    }

    /** One request to the own HTTP server. */
    private final class Inner {
        private final FrameStream stream;
        private @Nullable HttpClientRequest request;
        private boolean gone;
        private boolean over;

        Inner(FrameStream stream) {
            this.stream = stream;
        }

        void begin(Frame.DoorAsk ask) {
            stream.onClose(() -> {
                gone = true;
                HttpClientRequest open = request;
                if (open != null && !over) {
                    open.reset();
                }
            });
            var options = new RequestOptions()
                    .setHost(host())
                    .setPort(port.getAsInt())
                    .setMethod(HttpMethod.valueOf(ask.method()))
                    .setURI(ask.path())
                    .putHeader(HEADER, word + " " + ask.user());
            if (profile.api().isLoopback()) {
                options.putHeader("Host", "localhost");
            }
            if (key != null) {
                options.putHeader("Authorization", "Bearer " + key);
            }
            if (!ask.lastEventId().isEmpty()) {
                options.putHeader("Last-Event-ID", ask.lastEventId());
            }
            byte[] body = new byte[ask.body().remaining()];
            ask.body().duplicate().get(body);
            if (body.length > 0) {
                options.putHeader("Content-Type", "application/json");
            }
            client.request(options)
                    .onSuccess(open -> {
                        request = open;
                        if (gone) {
                            open.reset();
                        }
                    })
                    .compose(open -> open.send(Buffer.buffer(body)))
                    .onFailure(failure -> refuse(String.valueOf(failure.getMessage())))
                    .onSuccess(this::answer);
        }

        private String host() {
            return switch (profile.api().host()) {
                case "0.0.0.0" -> "127.0.0.1";
                case "::" -> "::1";
                default -> profile.api().host();
            };
        }

        private void answer(HttpClientResponse response) {
            String type = response.getHeader("Content-Type");
            stream.send(new Frame.DoorHead(response.statusCode(), type == null ? "" : type));
            response.handler(bytes -> {
                for (int at = 0; at < bytes.length(); at += Frame.DoorBytes.MAX_BYTES) {
                    int end = Math.min(bytes.length(), at + Frame.DoorBytes.MAX_BYTES);
                    stream.send(new Frame.DoorBytes(ByteBuffer.wrap(bytes.getBytes(at, end))));
                }
                if (stream.isFull()) {
                    response.pause();
                    stream.onDrain(response::resume);
                }
            });
            response.exceptionHandler(failure -> {
                if (!gone && !over) {
                    over = true;
                    stream.reset();
                }
            });
            response.endHandler(_ -> {
                over = true;
                stream.end();
            });
        }

        private void refuse(String why) {
            if (!gone) {
                over = true;
                stream.refuse(ErrorCode.LOST, why);
            }
        }
    }
}
