package shoal.verticles.coordinator;

import io.vertx.core.Vertx;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import shoal.codec.base.NodeId;
import shoal.codec.pipeline.Journal;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.verticles.quic.FrameStream;

/**
 * Where the coordinator that works writes down what it does, and tells those that follow. What a client is told waits until they have
 * it; one that is too slow is followed no more. One event loop.
 */
final class JournalDesk {
    private static final Logger LOG = LoggerFactory.getLogger(JournalDesk.class);

    /** How long a client may wait for a follower. */
    private static final long PATIENCE_MILLIS = 1000;

    /** How long an answer that is whole can still be asked for. */
    private static final long KEEP_MILLIS = 60_000;

    private final Vertx vertx;
    private final Journal journal;
    private final Consumer<String> giveUp;
    private final Map<NodeId, FrameStream> followers = new HashMap<>();
    private final Deque<Waiting> waiting = new ArrayDeque<>();

    private record Waiting(long frames, Runnable tell) {}

    /** @param giveUp told of answers that must end, since who follows would go on with them differently */
    JournalDesk(Vertx vertx, Journal journal, Consumer<String> giveUp) {
        this.vertx = vertx;
        this.journal = journal;
        this.giveUp = giveUp;
    }

    /** Somebody who may wants to know from now on. */
    void follow(FrameStream stream, int term) {
        NodeId follower = stream.peer().id();
        leave(follower);
        List<Frame> backlog = journal.followedBy(follower);
        followers.put(follower, stream);
        stream.onClose(() -> {
            if (followers.get(follower) == stream) {
                leave(follower);
            }
        });
        stream.send(new Frame.JournalOpened(term));
        backlog.forEach(stream::send);
        LOG.info("coordinator {} stands by", follower.toShortHex());
    }

    /** A follower has so many frames more. */
    void heard(FrameStream stream, long frames) {
        if (followers.get(stream.peer().id()) == stream) {
            journal.heard(stream.peer().id(), frames);
            tell();
        }
    }

    void write(Frame frame) {
        List<String> over = journal.write(frame);
        followers.values().forEach(stream -> stream.send(frame));
        over.forEach(giveUp);
    }

    /** An answer is whole; it is kept for a while. */
    void end(String id, Frame.StopReason reason) {
        write(new Frame.JournalEnded(id, true, reason));
        forgetLater(id);
    }

    void forgetLater(String id) {
        vertx.setTimer(KEEP_MILLIS, _ -> forget(id));
    }

    void forget(String id) {
        if (journal.has(id)) {
            write(new Frame.JournalEnded(id, false, Frame.StopReason.STOP));
        }
    }

    /** Runs it once all that was written is known to all who follow, in the order in which it was asked for. */
    void whenHeard(Runnable tell) {
        long frames = journal.written();
        if (waiting.isEmpty() && journal.heard() >= frames) {
            tell.run();
            return;
        }
        if (waiting.isEmpty()) {
            look(frames);
        }
        waiting.add(new Waiting(frames, tell));
    }

    private void tell() {
        long heard = journal.heard();
        while (!waiting.isEmpty() && waiting.peek().frames() <= heard) {
            waiting.poll().tell().run();
        }
    }

    /** Whoever has not heard of a frame when the time is up does not follow any more. */
    private void look(long frames) {
        vertx.setTimer(PATIENCE_MILLIS, _ -> {
            for (NodeId late : journal.behind(frames)) {
                LOG.warn("coordinator {}, which stands by, is too slow; going on without it", late.toShortHex());
                leave(late);
            }
            tell();
            if (!waiting.isEmpty()) {
                look(journal.written());
            }
        });
    }

    private void leave(NodeId follower) {
        FrameStream stream = followers.remove(follower);
        List<String> over = journal.left(follower);
        if (stream != null) {
            stream.reset();
        }
        over.forEach(giveUp);
        tell();
    }

    /** This coordinator works no more; who waits to be told is told, and nobody follows. */
    void close() {
        Map.copyOf(followers).forEach((follower, stream) -> {
            followers.remove(follower);
            stream.refuse(ErrorCode.NOT_READY, "this coordinator works no more");
        });
        journal.clear();
        tell();
    }
}
