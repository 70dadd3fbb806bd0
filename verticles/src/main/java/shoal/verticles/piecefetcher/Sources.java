package shoal.verticles.piecefetcher;

import io.vertx.core.Context;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import java.net.URI;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.metainfo.Metainfo;
import shoal.codec.swarm.PeerKey;
import shoal.codec.wire.Frame;
import shoal.codec.wire.StreamKind;
import shoal.verticles.driver.MachineDriver;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.QuicEndpoint;

/**
 * Everybody who may have the file: one for each id, tried again and again with longer pauses, at most one stream to each. What is
 * said on the streams is the owner's. On the fetch's context.
 */
final class Sources {
    private static final long MILLI = 1_000_000L;
    private static final long FIRST_RETRY_NANOS = 500 * MILLI;
    private static final int MAX_RETRY_DOUBLINGS = 5;

    /** What the owner is told. */
    interface Listener {
        /** A stream is open. */
        void talks(Source source);

        void heard(Source source, Frame frame);

        /** The stream is gone. @param wasJoined it was known what the source has */
        void left(Source source, boolean wasJoined);
    }

    private final QuicEndpoint endpoint;
    private final int max;
    private final Listener listener;
    private final Supplier<@Nullable Metainfo> known;
    private final List<Source> all = new ArrayList<>();
    private final Map<NodeId, PeerKey> keys = new HashMap<>();
    private long nextKey;
    private boolean over;

    /**
     * @param max sources known at once: the budget of connections
     * @param known the file's metadata, once that is here
     */
    Sources(QuicEndpoint endpoint, int max, Listener listener, Supplier<@Nullable Metainfo> known) {
        this.known = known;
        this.endpoint = endpoint;
        this.max = max;
        this.listener = listener;
    }

    /** One source for each id; somebody who is not connected may have moved. */
    void add(Contact contact) {
        if (contact.id().equals(endpoint.nodeId())) {
            return;
        }
        for (Source source : all) {
            if (contact.id().equals(source.id)) {
                if (source.state == Source.State.APART) {
                    source.contact = contact;
                }
                return;
            }
        }
        if (all.size() < max) {
            all.add(new Source(contact, null));
        }
    }

    /** Somebody of whom only the address is known. */
    void add(Endpoint address) {
        if (all.size() < max) {
            all.add(new Source(null, address));
        }
    }

    /** A web server. */
    void add(URI web) {
        if (all.size() < max) {
            all.add(new Source(web));
        }
    }

    boolean isEmpty() {
        return all.isEmpty();
    }

    void forEach(Consumer<Source> action) {
        List.copyOf(all).forEach(action);
    }

    /** Tries those again whose pause is over. */
    void connectDue(long nowNanos) {
        forEach(source -> {
            if (source.state == Source.State.APART && nowNanos >= source.nextTryNanos) {
                connect(source);
            }
        });
    }

    private void connect(Source source) {
        source.state = Source.State.CONNECTING;
        source.lastWord = "does not answer yet";
        URI web = source.web;
        if (web != null) {
            source.state = Source.State.TALKING;
            if (source.key == null) {
                source.key = new PeerKey(nextKey++);
            }
            Context context = Objects.requireNonNull(Vertx.currentContext(), "a fetch has a context");
            source.seed = new WebSeed(web, known, new WebSeed.Listener() {
                @Override
                public void heard(WebSeed seed, Frame frame) {
                    context.runOnContext(_ -> {
                        if (!over && source.seed == seed) {
                            heardWeb(source, frame);
                        }
                    });
                }

                @Override
                public void failed(WebSeed seed, String why, boolean forLong) {
                    context.runOnContext(_ -> {
                        if (!over && source.seed == seed) {
                            source.failures += forLong ? MAX_RETRY_DOUBLINGS : 0;
                            drop(source, why);
                        }
                    });
                }
            });
            listener.talks(source);
            return;
        }
        Contact contact = source.contact;
        Future<PeerConnection> connecting =
                contact != null ? endpoint.connect(contact) : endpoint.connect(Objects.requireNonNull(source.address));
        connecting
                .compose(peer -> {
                    source.peer = peer;
                    boolean another = all.stream()
                            .anyMatch(other ->
                                    other != source && peer.id().equals(other.id) && other.state != Source.State.APART);
                    if (another || peer.id().equals(endpoint.nodeId())) {
                        return Future.failedFuture("it is here under another address already");
                    }
                    source.id = peer.id();
                    return peer.open(StreamKind.PIECES);
                })
                .onSuccess(stream -> talk(source, stream))
                .onFailure(failure -> {
                    if (!over) {
                        apart(source, String.valueOf(failure.getMessage()));
                    }
                });
    }

    private void talk(Source source, FrameStream stream) {
        if (over) {
            stream.reset();
            return;
        }
        source.state = Source.State.TALKING;
        source.stream = stream;
        source.lastWord = "has not said what it has";
        source.key = keys.computeIfAbsent(Objects.requireNonNull(source.id), _ -> new PeerKey(nextKey++));
        stream.onClose(() -> {
            if (source.stream == stream) {
                apart(source, "closed the stream");
            }
        });
        stream.lendBulk().onFrame(frame -> {
            if (source.stream == stream && !over) {
                listener.heard(source, frame);
            }
        });
        listener.talks(source);
    }

    private void heardWeb(Source source, Frame frame) {
        try {
            listener.heard(source, frame);
        } catch (MalformedException wrong) {
            drop(source, String.valueOf(wrong.getMessage()));
        }
    }

    /** No stream is open to it any more; it is tried again later, each time after a longer pause. */
    private void apart(Source source, String why) {
        boolean wasJoined = source.joined;
        source.reset();
        source.lastWord = why;
        source.nextTryNanos = Math.max(
                source.nextTryNanos,
                MachineDriver.nowNanos() + (FIRST_RETRY_NANOS << Math.min(source.failures++, MAX_RETRY_DOUBLINGS)));
        listener.left(source, wasJoined);
    }

    void drop(Source source, String why) {
        FrameStream stream = source.stream;
        apart(source, why);
        if (stream != null) {
            stream.reset();
        }
    }

    /** Drops it for the longest pause. */
    void dropForLong(Source source, String why) {
        source.failures += MAX_RETRY_DOUBLINGS;
        drop(source, why);
    }

    /** Closes all streams. Nothing is told after this. */
    void end() {
        over = true;
        for (Source source : all) {
            FrameStream stream = source.stream;
            source.reset();
            if (stream != null) {
                stream.reset();
            }
        }
    }

    /** Who was asked, and what came of it, for a reader. */
    @Override
    public String toString() {
        return all.isEmpty()
                ? "nobody is known"
                : all.stream()
                        .limit(8)
                        .map(source -> source + " (" + source.lastWord + ")")
                        .collect(Collectors.joining(", "));
    }
}
