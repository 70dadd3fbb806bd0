package shoal.verticles.fileserver;

import io.vertx.core.Future;
import io.vertx.core.VerticleBase;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpConnection;
import io.vertx.core.http.HttpMethod;
import io.vertx.core.http.HttpServer;
import io.vertx.core.http.HttpServerRequest;
import io.vertx.core.http.HttpServerResponse;
import io.vertx.core.net.SocketAddress;
import java.io.IOException;
import java.net.URLDecoder;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.metainfo.Metainfo;
import shoal.verticles.bus.Addresses;
import shoal.verticles.bus.CommandBus;
import shoal.verticles.bus.Local;
import shoal.verticles.config.Profile;
import shoal.verticles.store.ShardStore;
import shoal.verticles.store.StoredFile;
import tools.jackson.databind.json.JsonMapper;

/**
 * Whole, verified files over HTTP: {@code GET /files/} lists them, {@code /files/NAME} (or an info-hash, or a pieces root) gives one,
 * with ranges, and {@code .torrent} behind it what it is. Asks for no secret. Where uploads are limited, what it sends waits for its
 * turn at the piece server like everybody.
 */
public final class FileServerVerticle extends VerticleBase {
    private static final Logger LOG = LoggerFactory.getLogger(FileServerVerticle.class);
    private static final String FOLDER = "/files/";
    private static final String TORRENT = ".torrent";
    private static final int MAX_FILES = 4096;
    private static final int PART_BYTES = 256 * 1024;

    private final ShardStore store;
    private final CommandBus bus;
    private final boolean limited;
    private final Map<String, Integer> connections = new HashMap<>();
    private final String host;
    private final int wantedPort;
    private @Nullable HttpServer server;

    /** @param port 0 for any free one */
    public FileServerVerticle(ShardStore store, CommandBus bus, Profile.Upload upload, String host, int port) {
        this.store = store;
        this.bus = bus;
        this.limited = upload.bytesPerSecond() > 0 || upload.bytesPerSecondPerPeer() > 0;
        this.host = host;
        this.wantedPort = port;
    }

    @Override
    public Future<?> start() {
        return vertx.createHttpServer()
                .requestHandler(this::answer)
                .connectionHandler(this::count)
                .listen(wantedPort, host)
                .onSuccess(listening -> {
                    server = listening;
                    LOG.info("files are served at http://{}:{}{}", host, listening.actualPort(), FOLDER);
                })
                .recover(failure -> Future.failedFuture(new IOException(
                        "TCP port " + wantedPort + " of " + host + " cannot be used for HTTP: " + failure.getMessage()
                                + ". Choose another with upload.httpPort.",
                        failure)));
    }

    /** Who has no connection any more gives its place in the queue up. */
    private void count(HttpConnection connection) {
        String client = clientOf(connection);
        connections.merge(client, 1, Integer::sum);
        connection.closeHandler(_ -> {
            if (connections.merge(client, -1, Integer::sum) == 0) {
                connections.remove(client);
                bus.tell(Addresses.UPLOAD_LEFT, new Local.UploadLeft(client));
            }
        });
    }

    private static String clientOf(HttpConnection connection) {
        SocketAddress address = connection.remoteAddress();
        return "http " + (address == null ? "unknown" : address.hostAddress());
    }

    /** One part after another, each when its turn has come. */
    private void sendInTurn(HttpServerResponse response, String client, Path file, long offset, long size) {
        if (response.closed() || response.ended()) {
            return;
        }
        if (size == 0) {
            response.end();
            return;
        }
        int count = (int) Math.min(PART_BYTES, size);
        bus.ask(Addresses.ASK_UPLOAD, new Local.AskUpload(client, count), Local.UploadTurn.class)
                .compose(turn -> vertx.executeBlocking(() -> read(file, offset, count), false)
                        .compose(response::write)
                        .onComplete(_ -> bus.tell(Addresses.UPLOAD_SENT, new Local.UploadSent(turn.ticket()))))
                .onSuccess(_ -> sendInTurn(response, client, file, offset + count, size - count))
                .onFailure(failure -> {
                    LOG.debug("{} was not sent: {}", file, failure.toString());
                    response.reset();
                });
    }

    private static Buffer read(Path file, long offset, int count) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(count);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (bytes.hasRemaining()) {
                if (channel.read(bytes, offset + bytes.position()) < 0) {
                    throw new IOException(file + " has become shorter");
                }
            }
        }
        return Buffer.buffer(bytes.array());
    }

    /** The bound port, once it has started. */
    public int port() {
        return server == null ? wantedPort : server.actualPort();
    }

    private void answer(HttpServerRequest request) {
        HttpServerResponse response = request.response();
        boolean isHead = request.method().equals(HttpMethod.HEAD);
        if (!isHead && !request.method().equals(HttpMethod.GET)) {
            response.setStatusCode(405).putHeader("Allow", "GET, HEAD").end();
            return;
        }
        String path = request.path() == null ? "" : request.path();
        if (path.equals("/") || path.equals("/files") || path.equals(FOLDER)) {
            vertx.executeBlocking(this::list, false)
                    .onSuccess(list -> response.putHeader("Content-Type", "application/json")
                            .end(isHead ? "" : list));
            return;
        }
        String name = path.startsWith(FOLDER) ? decoded(path.substring(FOLDER.length())) : null;
        if (name == null) {
            response.setStatusCode(404).end();
            return;
        }
        vertx.executeBlocking(() -> find(name), false).onComplete(result -> {
            if (result.failed()) {
                LOG.warn("{} cannot be served: {}", name, result.cause().getMessage());
                response.setStatusCode(500).end();
            } else if (result.result().isPresent()) {
                send(request, isHead, result.result().get());
            } else if (name.endsWith(TORRENT)) {
                sendTorrent(response, isHead, name.substring(0, name.length() - TORRENT.length()));
            } else {
                response.setStatusCode(404).end();
            }
        });
    }

    private static @Nullable String decoded(String text) {
        try {
            return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException notEncoded) {
            return null;
        }
    }

    private String list() {
        List<Map<String, Object>> files = store.list().stream()
                .filter(StoredFile::isWhole)
                .sorted(Comparator.comparing(file -> file.metainfo().name()))
                .limit(MAX_FILES)
                .map(FileServerVerticle::described)
                .toList();
        return JsonMapper.shared().writeValueAsString(Map.of("files", files));
    }

    private static Map<String, Object> described(StoredFile file) {
        var described = new LinkedHashMap<String, Object>();
        described.put("name", file.metainfo().name());
        described.put("size", file.metainfo().length());
        described.put("info_hash", file.metainfo().infoHash().toHex());
        described.put("pieces_root", file.piecesRoot().toHex());
        return described;
    }

    /** The whole file of this name or hash, unchanged since it was verified. */
    private Optional<StoredFile> find(String name) throws IOException {
        Optional<StoredFile> found = store.list().stream()
                .filter(StoredFile::isWhole)
                .filter(file -> isCalled(file.metainfo(), name))
                .findFirst();
        if (found.isPresent()) {
            store.requireUnchanged(found.get().piecesRoot());
        }
        return found;
    }

    private static boolean isCalled(Metainfo file, String name) {
        return file.name().equals(name)
                || file.infoHash().toHex().equals(name)
                || file.piecesRoot().toHex().equals(name);
    }

    private void sendTorrent(HttpServerResponse response, boolean isHead, String name) {
        vertx.executeBlocking(() -> find(name), false).onComplete(result -> {
            if (result.succeeded() && result.result().isPresent()) {
                byte[] torrent = result.result().get().metainfo().toTorrent();
                response.putHeader("Content-Type", "application/x-bittorrent");
                response.putHeader("Content-Length", String.valueOf(torrent.length));
                response.end(isHead ? Buffer.buffer() : Buffer.buffer(torrent));
            } else {
                response.setStatusCode(404).end();
            }
        });
    }

    private void send(HttpServerRequest request, boolean isHead, StoredFile file) {
        HttpServerResponse response = request.response();
        long size = file.metainfo().length();
        String tag = "\"" + file.piecesRoot().toHex() + "\"";
        response.putHeader("Content-Type", "application/octet-stream")
                .putHeader("Accept-Ranges", "bytes")
                .putHeader("ETag", tag);
        String ifRange = request.getHeader("If-Range");
        boolean sameFile = ifRange == null || ifRange.equals(tag);
        switch (ByteRequest.parse(sameFile ? request.getHeader("Range") : null, size)) {
            case ByteRequest.Nothing() ->
                response.setStatusCode(416)
                        .putHeader("Content-Range", "bytes */" + size)
                        .end();
            case ByteRequest.Whole() -> send(request, isHead, file, 0, size);
            case ByteRequest.Part(long first, long last) -> {
                response.setStatusCode(206).putHeader("Content-Range", "bytes " + first + "-" + last + "/" + size);
                send(request, isHead, file, first, last - first + 1);
            }
        }
    }

    private void send(HttpServerRequest request, boolean isHead, StoredFile file, long offset, long size) {
        HttpServerResponse response = request.response();
        response.putHeader("Content-Length", String.valueOf(size));
        if (isHead) {
            response.end();
        } else if (limited) {
            sendInTurn(response, clientOf(request.connection()), file.path(), offset, size);
        } else {
            response.sendFile(file.path().toString(), offset, size)
                    .onFailure(failure -> LOG.debug("{} was not sent: {}", file.path(), failure.toString()));
        }
    }
}
