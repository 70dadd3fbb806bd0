package shoal.verticles.piecefetcher;

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpResponse.BodySubscribers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Hash256;
import shoal.codec.base.MalformedException;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.swarm.Bitfield;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;

/**
 * Speaks for a plain web server as a peer would: it has the whole file if the server says a file of that size is there and gives
 * ranges of it (RFC 9110, section 14), and knows the metadata if a .torrent lies beside the file. As in BEP 19, an address that ends
 * with a slash is a folder. What comes is verified as from anybody. Safe for several threads.
 */
final class WebSeed {
    private static final int MAX_CONCURRENT = 6;
    private static final int MAX_TORRENT_BYTES = 8 << 20;
    private static final Duration TIMEOUT = Duration.ofSeconds(30);

    /** One for the process: it keeps connections, and has no state of a fetch. */
    private static final HttpClient HTTP = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NORMAL)
            .connectTimeout(Duration.ofSeconds(10))
            .build();

    /** Called on threads of the HTTP client. */
    interface Listener {
        void heard(WebSeed seed, Frame frame);

        /** @param forLong whether it will not be better soon */
        void failed(WebSeed seed, String why, boolean forLong);
    }

    private final URI address;
    private final Supplier<@Nullable Metainfo> known;
    private final Listener listener;
    private final ArrayDeque<Frame.RequestPiece> waiting = new ArrayDeque<>();
    private final Map<Frame.RequestPiece, CompletableFuture<?>> running = new HashMap<>();
    private boolean closed;

    WebSeed(URI address, Supplier<@Nullable Metainfo> known, Listener listener) {
        this.address = address;
        this.known = known;
        this.listener = listener;
    }

    /** Takes what a fetch says to a peer. */
    void send(Frame frame) {
        switch (frame) {
            case Frame.ListFiles _ -> listener.heard(this, new Frame.FileList(List.of()));
            case Frame.RequestMetadata(Hash256 hash) -> metadata(hash);
            case Frame.Follow(Hash256 root) -> probe(root);
            case Frame.RequestPiece request -> {
                synchronized (this) {
                    waiting.add(request);
                }
                work();
            }
            case Frame.CancelRequest(Hash256 root, long firstBlock, int blockCount) ->
                cancel(new Frame.RequestPiece(root, firstBlock, blockCount));
            default -> throw new IllegalStateException("a web server is not told " + frame.type());
        }
    }

    synchronized void close() {
        closed = true;
        waiting.clear();
        running.values().forEach(request -> request.cancel(true));
        running.clear();
    }

    private URI file(@Nullable Metainfo metainfo, String ending) {
        String text = address.toString();
        if (text.endsWith("/") && metainfo != null) {
            text += URLEncoder.encode(metainfo.name(), StandardCharsets.UTF_8).replace("+", "%20");
        }
        return URI.create(text + ending);
    }

    private static HttpRequest get(URI file, long offset, long size) {
        return HttpRequest.newBuilder(file)
                .timeout(TIMEOUT)
                .header("Range", "bytes=" + offset + "-" + (offset + size - 1))
                .build();
    }

    /** Reads at most so many bytes of a part, and nothing of any other answer. */
    private static HttpResponse.BodyHandler<byte[]> part(int size) {
        return answer -> answer.statusCode() == 206
                ? BodySubscribers.limiting(BodySubscribers.ofByteArray(), size)
                : new Unread();
    }

    /** A body that is given up at once: it may be the whole file. */
    private static final class Unread implements HttpResponse.BodySubscriber<byte[]> {
        @Override
        public CompletionStage<byte[]> getBody() {
            return CompletableFuture.completedFuture(new byte[0]);
        }

        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            subscription.cancel();
        }

        @Override
        public void onNext(List<ByteBuffer> unwanted) {}

        @Override
        public void onError(Throwable failure) {}

        @Override
        public void onComplete() {}
    }

    // ------------------------------------------------------------------------------------------------ what is there

    private void metadata(Hash256 hash) {
        var none = new Frame.Refused(ErrorCode.NOT_FOUND, "there is no .torrent beside it");
        if (address.toString().endsWith("/")) {
            listener.heard(this, none);
            return;
        }
        HttpRequest request =
                HttpRequest.newBuilder(file(null, ".torrent")).timeout(TIMEOUT).build();
        HTTP.sendAsync(request, BodyHandlers.limiting(BodyHandlers.ofByteArray(), MAX_TORRENT_BYTES))
                .handle((response, _) -> {
                    try {
                        if (response != null && response.statusCode() == 200) {
                            Metainfo found = Metainfo.parse(response.body());
                            boolean right = found.piecesRoot().equals(hash)
                                    || found.infoHash().hash().equals(hash);
                            if (right) {
                                return new Frame.Metadata(
                                        ByteBuffer.wrap(found.infoBytes()), ByteBuffer.wrap(found.pieceLayer()));
                            }
                        }
                    } catch (MalformedException | IllegalArgumentException noTorrent) {
                        return none; // some servers answer a page for whatever is asked
                    }
                    return none;
                })
                .thenAccept(frame -> listener.heard(this, frame));
    }

    /** Asks for one byte: the answer tells the file's size, and whether ranges are given. */
    private void probe(Hash256 root) {
        Metainfo metainfo = known.get();
        if (metainfo == null) {
            throw new IllegalStateException("followed before it is known what");
        }
        HTTP.sendAsync(get(file(metainfo, ""), 0, 1), part(1)).whenComplete((response, failure) -> {
            String wrong = failure != null ? reason(failure) : wrong(response, 0, 1, metainfo.length());
            if (wrong == null) {
                byte[] all = Bitfield.all(metainfo.pieces().count()).toBytes();
                listener.heard(this, new Frame.Holding(root, ByteBuffer.wrap(all)));
            } else {
                listener.failed(this, wrong, response != null);
            }
        });
    }

    /** Why this is not the answer to a range request; null if it is. */
    private static @Nullable String wrong(HttpResponse<?> response, long offset, long size, long fileSize) {
        int status = response.statusCode();
        if (status == 200) {
            return "answers a request for a range with the whole file; only a server that gives ranges can be used";
        }
        if (status != 206) {
            return "answers " + status;
        }
        String range = response.headers().firstValue("Content-Range").orElse("none");
        String expected = "bytes " + offset + "-" + (offset + size - 1) + "/" + fileSize;
        return range.equals(expected)
                ? null
                : "has another file there: Content-Range is " + range + ", expected " + expected;
    }

    private static String reason(Throwable failure) {
        Throwable cause =
                failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        if (cause instanceof IOException && cause.getMessage() != null) {
            return cause.getMessage();
        }
        return cause instanceof java.net.ConnectException ? "does not answer" : cause.toString();
    }

    // ------------------------------------------------------------------------------------------------ pieces

    private void work() {
        Metainfo metainfo = known.get();
        while (metainfo != null) {
            Frame.RequestPiece next;
            CompletableFuture<HttpResponse<byte[]>> answer;
            long offset;
            int size;
            synchronized (this) {
                if (closed || running.size() >= MAX_CONCURRENT || waiting.isEmpty()) {
                    return;
                }
                next = waiting.remove();
                offset = next.firstBlock() * 16_384;
                size = (int) Math.min(next.blockCount() * 16_384L, metainfo.length() - offset);
                answer = HTTP.sendAsync(get(file(metainfo, ""), offset, size), part(size));
                running.put(next, answer);
            }
            answer.whenComplete((response, failure) -> answered(next, offset, size, metainfo, response, failure));
        }
    }

    private void answered(
            Frame.RequestPiece asked,
            long offset,
            int size,
            Metainfo metainfo,
            @Nullable HttpResponse<byte[]> response,
            @Nullable Throwable failure) {
        synchronized (this) {
            running.remove(asked);
            if (closed || answerIsUnwanted(failure)) {
                return;
            }
        }
        String wrong = failure != null || response == null
                ? reason(failure == null ? new IOException("no answer") : failure)
                : wrong(response, offset, size, metainfo.length());
        if (wrong == null && response != null && response.body().length == size) {
            listener.heard(
                    this,
                    new Frame.PieceData(asked.piecesRoot(), asked.firstBlock(), ByteBuffer.wrap(response.body())));
            work();
        } else {
            listener.failed(this, wrong == null ? "sent less than it said" : wrong, false);
        }
    }

    private static boolean answerIsUnwanted(@Nullable Throwable failure) {
        return failure instanceof java.util.concurrent.CancellationException;
    }

    private void cancel(Frame.RequestPiece request) {
        CompletableFuture<?> answer;
        synchronized (this) {
            waiting.remove(request);
            answer = running.remove(request);
        }
        if (answer != null) {
            answer.cancel(true);
        }
        work();
    }
}
