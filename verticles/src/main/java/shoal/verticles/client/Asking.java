package shoal.verticles.client;

import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;
import shoal.codec.dht.DhtKeys;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.ProviderRecord;
import shoal.codec.wire.Role;
import shoal.codec.wire.SignedRecord;
import shoal.codec.wire.StreamKind;
import shoal.verticles.quic.FrameStream;
import shoal.verticles.quic.PeerConnection;
import shoal.verticles.quic.PeerRefusedException;
import shoal.verticles.quic.QuicEndpoint;

/**
 * One question to a coordinator, and to those that take over from it. Tokens depend on the request alone, so whoever takes over says the
 * same again; only what was not heard yet is passed on. One event loop.
 */
final class Asking {
    /** After so long without a word others are asked whether they have taken over; who has not says so. */
    private static final Duration SILENCE = Duration.ofSeconds(2);

    private static final long LOOK_MILLIS = 500;
    private static final Duration ASK_TIMEOUT = Duration.ofSeconds(2);

    /** Others may take so long to take over. */
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private final Vertx vertx;
    private final QuicEndpoint endpoint;
    private final Frame.Generate request;
    private final Consumer<String> heard;
    private final Promise<GenerateClient.Answer> whole = Promise.promise();
    private final List<Frame.GeneratedToken> pieces = new ArrayList<>();
    private final StringBuilder text = new StringBuilder();
    private final List<Other> others = new ArrayList<>();
    private Frame.@Nullable GenerationStarted started;
    private @Nullable Telling telling;
    private @Nullable Telling trying;
    private PeerRefusedException lost =
            new PeerRefusedException(ErrorCode.LOST, "the coordinator is silent. Ask again.");
    private long heardNanos = System.nanoTime();
    private int turn;

    /** A way to somebody who may go on. */
    private interface Other {
        Future<PeerConnection> connect();
    }

    Asking(Vertx vertx, QuicEndpoint endpoint, Frame.Generate request, Consumer<String> heard) {
        this.vertx = vertx;
        this.endpoint = endpoint;
        this.request = request;
        this.heard = heard;
    }

    Future<GenerateClient.Answer> whole() {
        return whole.future();
    }

    /** @param coordinators the first of them that answers is asked; the others are, beside those that it knows, when it is lost */
    void begin(List<Endpoint> coordinators) {
        long timer = vertx.setPeriodic(LOOK_MILLIS, _ -> look());
        whole.future().onComplete(_ -> vertx.cancelTimer(timer));
        coordinators.forEach(each -> others.add(() -> endpoint.connect(each)));
        askFirst(coordinators, 0);
    }

    private void askFirst(List<Endpoint> coordinators, int index) {
        boolean last = index + 1 == coordinators.size();
        endpoint.connect(coordinators.get(index))
                .compose(peer -> learnOthers(peer).compose(_ -> peer.open(StreamKind.GENERATE)))
                .onFailure(failure -> {
                    if (last) {
                        whole.tryFail(failure);
                    } else {
                        askFirst(coordinators, index + 1);
                    }
                })
                .onSuccess(stream -> {
                    telling = new Telling(stream, others.get(index), refusal -> {
                        if (last || refusal.code() != ErrorCode.NOT_READY) {
                            whole.tryFail(refusal);
                        } else {
                            askFirst(coordinators, index + 1);
                        }
                    });
                    telling.ask();
                });
    }

    /** The cluster's other coordinators, as the first one knows them. */
    private Future<Void> learnOthers(PeerConnection peer) {
        if (peer.cluster().isEmpty()) {
            return Future.succeededFuture();
        }
        return peer.ask(StreamKind.DHT, new Frame.FindProviders(DhtKeys.cluster(peer.cluster())), ASK_TIMEOUT)
                .onSuccess(answer -> {
                    if (answer instanceof Frame.Providers providers) {
                        providers.records().stream()
                                .map(SignedRecord::record)
                                .filter(record -> new String(record.payload(), StandardCharsets.UTF_8)
                                        .equals(Role.COORDINATOR.text()))
                                .map(ProviderRecord::provider)
                                .filter(contact -> !contact.id().equals(peer.id()))
                                .forEach(contact -> others.add(() -> endpoint.connect(contact)));
                    }
                })
                .transform(_ -> Future.succeededFuture());
    }

    /** Asks another one, if there is a reason to. */
    private void look() {
        long silence = System.nanoTime() - heardNanos;
        if (pieces.isEmpty() || whole.future().isComplete()) {
            return; // what one says can't be told from another model's answer yet
        }
        if (telling == null && (others.isEmpty() || silence > PATIENCE.toNanos())) {
            whole.tryFail(lost);
        } else if (trying == null && !others.isEmpty() && (telling == null || silence > SILENCE.toNanos())) {
            Other next = others.get(turn++ % others.size());
            if (telling != null && telling.other == next) {
                return; // it is the silent one
            }
            next.connect().compose(peer -> peer.open(StreamKind.GENERATE)).onSuccess(stream -> {
                if (trying == null) {
                    trying = new Telling(stream, next, _ -> {});
                    trying.ask();
                } else {
                    stream.reset();
                }
            });
        }
    }

    /** One coordinator's answer. */
    private final class Telling {
        private final FrameStream stream;
        private final Other other;
        private final Consumer<PeerRefusedException> refused;
        private Frame.@Nullable GenerationStarted begun;
        private int told;

        /** @param refused told if this one does not answer at all */
        Telling(FrameStream stream, Other other, Consumer<PeerRefusedException> refused) {
            this.stream = stream;
            this.other = other;
            this.refused = refused;
        }

        void ask() {
            stream.onFrame(this::hear);
            stream.onClose(
                    () -> gone(ErrorCode.LOST, stream.peer() + " went away before the answer was whole. Ask again."));
            stream.send(request).onSuccess(_ -> stream.end());
        }

        private void hear(Frame frame) {
            if (this != telling && this != trying) {
                return;
            }
            switch (frame) {
                case Frame.GenerationStarted start -> begun = start;
                case Frame.GeneratedToken piece -> {
                    if (told < pieces.size()) {
                        again(piece);
                    } else if (this == telling) {
                        told++;
                        pieces.add(piece);
                        text.append(piece.text());
                        heardNanos = System.nanoTime();
                        if (started == null) {
                            started = begun;
                        }
                        heard.accept(piece.text());
                    }
                }
                case Frame.GenerationDone done -> done(done);
                case Frame.Refused(ErrorCode code, String message) -> {
                    if (this == telling && pieces.isEmpty()) {
                        telling = null;
                        refused.accept(new PeerRefusedException(code, message));
                    } else {
                        gone(code, message);
                    }
                }
                default -> gone(ErrorCode.MALFORMED, stream.peer() + " answered with " + frame.type() + ".");
            }
        }

        /** What was heard already; with the last of it this one goes on. */
        private void again(Frame.GeneratedToken piece) {
            if (piece.token() != pieces.get(told).token()) {
                others.remove(other); // another model's, or other kernels'
                gone(ErrorCode.LOST, stream.peer() + " says something else.");
                return;
            }
            told++;
            if (told == pieces.size()) {
                Telling before = telling;
                telling = this;
                trying = null;
                heardNanos = System.nanoTime();
                if (before != null) {
                    before.stream.reset();
                }
            }
        }

        private void done(Frame.GenerationDone done) {
            if (this != telling) {
                gone(ErrorCode.LOST, stream.peer() + " says less.");
                return;
            }
            text.append(done.text());
            heard.accept(done.text());
            Frame.GenerationStarted start = started == null ? begun : started;
            whole.tryComplete(new GenerateClient.Answer(
                    start == null ? List.of() : start.promptTokens(),
                    start == null ? List.of() : start.stages(),
                    pieces.stream().map(Frame.GeneratedToken::token).toList(),
                    List.copyOf(pieces),
                    text.toString(),
                    done.stopped(),
                    done.firstTokenMicros(),
                    done.totalMicros()));
        }

        private void gone(ErrorCode code, String message) {
            if (this == trying) {
                trying = null;
                stream.reset();
            } else if (this == telling) {
                telling = null;
                others.remove(other); // if it comes back, it knows nothing of this answer
                lost = new PeerRefusedException(code, message);
                if (pieces.isEmpty()) {
                    whole.tryFail(lost);
                } else {
                    look();
                }
            }
        }
    }
}
