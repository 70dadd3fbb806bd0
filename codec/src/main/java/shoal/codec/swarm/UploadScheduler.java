package shoal.codec.swarm;

import static shoal.codec.base.Bounds.requireRange;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Machine;

/**
 * Decides which request is answered next: each requester gets the same share of bytes, however many it asks for
 * (start-time fair queueing, Goyal, Vin and Cheng, 1996), all together at most the rate that the owner allows, and no
 * more is read from disk at once than the transport is busy with. Queues are bounded: what does not fit is refused.
 */
public final class UploadScheduler implements Machine<UploadScheduler.Input, UploadScheduler.Effect> {
    /**
     * What can be tuned.
     *
     * @param bytesPerSecond of all uploads together; {@link #UNLIMITED} for no limit
     * @param burstBytes that may go out at once after a pause
     * @param maxQueuedRequests waiting, per requester
     * @param maxQueuedBytes waiting, per requester
     * @param maxSendingBytes read and not yet sent, of all together; one request may always be sent
     * @param maxSendingBytesPerPeer read and not yet sent, per requester; one request may always be sent
     * @param maxPeers requesters known at once
     */
    public record Settings(
            long bytesPerSecond,
            long burstBytes,
            int maxQueuedRequests,
            long maxQueuedBytes,
            long maxSendingBytes,
            long maxSendingBytesPerPeer,
            int maxPeers) {
        public static final long UNLIMITED = Long.MAX_VALUE;
        public static final Settings DEFAULT =
                new Settings(UNLIMITED, 64 * 1024, 1024, 64L << 20, 64L << 20, 16L << 20, 1024);

        public Settings {
            requireRange("bytes per second", bytesPerSecond, 1, UNLIMITED);
            requireRange("burst", burstBytes, 0, 1L << 30);
            requireRange("queued requests", maxQueuedRequests, 1, 1 << 20);
            requireRange("queued bytes", maxQueuedBytes, 1, Long.MAX_VALUE);
            requireRange("sending bytes", maxSendingBytes, 1, Long.MAX_VALUE);
            requireRange("sending bytes per peer", maxSendingBytesPerPeer, 1, Long.MAX_VALUE);
            requireRange("peers", maxPeers, 1, 1 << 20);
        }

        public Settings withBytesPerSecond(long rate) {
            return new Settings(
                    rate,
                    burstBytes,
                    maxQueuedRequests,
                    maxQueuedBytes,
                    maxSendingBytes,
                    maxSendingBytesPerPeer,
                    maxPeers);
        }
    }

    /** What can happen. The driver numbers requests; a number is used once. */
    public sealed interface Input {
        /** A requester asks for bytes, at most 1 GiB. */
        record Requested(PeerKey peer, long request, long bytes) implements Input {
            public Requested {
                requireRange("bytes", bytes, 1, 1 << 30);
            }
        }

        /** A requester no longer wants an answer. Too late if it is being sent. */
        record Withdrawn(PeerKey peer, long request) implements Input {}

        /** An answer has been handed to the transport, or could not be. */
        record Sent(PeerKey peer, long request) implements Input {}

        record PeerLeft(PeerKey peer) implements Input {}

        record Tick() implements Input {}
    }

    /** What to do with a request: each gets exactly one of these, unless withdrawn or its requester left. */
    public sealed interface Effect {
        /** Read the bytes and send them, then report {@link Input.Sent}. */
        record Send(PeerKey peer, long request) implements Effect {}

        /** Too much is queued: say so to the requester. */
        record Refuse(PeerKey peer, long request) implements Effect {}
    }

    private record Waiting(long request, long bytes) {}

    private static final class Requester {
        final PeerKey key;
        final ArrayDeque<Waiting> queue = new ArrayDeque<>();
        final Map<Long, Long> sending = new HashMap<>();
        long queuedBytes;
        long sendingBytes;
        long finish; // in virtual bytes: where its last answer ends

        Requester(PeerKey key) {
            this.key = key;
        }
    }

    private final Settings settings;
    private final Map<PeerKey, Requester> requesters = new TreeMap<>();
    private final List<Effect> effects = new ArrayList<>();
    private long virtualBytes;
    private long sendingBytes;
    private boolean started;
    private long freeAtNanos; // when the rate allows the next answer
    private long owedFraction; // of a nanosecond, in units of 1 / bytesPerSecond
    private long deadline = Long.MAX_VALUE;

    public UploadScheduler(Settings settings) {
        this.settings = settings;
    }

    @Override
    public List<Effect> handle(Input input, long nowNanos) {
        effects.clear();
        if (!started) {
            started = true;
            freeAtNanos = nowNanos;
        }
        switch (input) {
            case Input.Requested(PeerKey peer, long request, long bytes) -> enqueue(peer, request, bytes);
            case Input.Withdrawn(PeerKey peer, long request) -> withdraw(peer, request);
            case Input.Sent(PeerKey peer, long request) -> sent(peer, request);
            case Input.PeerLeft(PeerKey peer) -> leave(peer);
            case Input.Tick() -> {}
        }
        send(nowNanos);
        return effects;
    }

    @Override
    public long deadlineNanos() {
        return deadline;
    }

    /** Requests waiting, of all requesters. */
    public int queued() {
        return requesters.values().stream().mapToInt(r -> r.queue.size()).sum();
    }

    private void enqueue(PeerKey peer, long request, long bytes) {
        Requester requester = requesters.get(peer);
        if (requester == null) {
            if (requesters.size() >= settings.maxPeers) {
                effects.add(new Effect.Refuse(peer, request));
                return;
            }
            requester = new Requester(peer);
            requesters.put(peer, requester);
        }
        boolean full = requester.queue.size() >= settings.maxQueuedRequests
                || !requester.queue.isEmpty() && requester.queuedBytes + bytes > settings.maxQueuedBytes;
        if (full) {
            effects.add(new Effect.Refuse(peer, request));
            return;
        }
        requester.queue.add(new Waiting(request, bytes));
        requester.queuedBytes += bytes;
    }

    private void withdraw(PeerKey peer, long request) {
        Requester requester = requesters.get(peer);
        if (requester == null) {
            return;
        }
        requester.queue.removeIf(waiting -> {
            if (waiting.request != request) {
                return false;
            }
            requester.queuedBytes -= waiting.bytes;
            return true;
        });
        forgetIfIdle(requester);
    }

    private void sent(PeerKey peer, long request) {
        Requester requester = requesters.get(peer);
        Long bytes = requester == null ? null : requester.sending.remove(request);
        if (requester == null || bytes == null) {
            return;
        }
        requester.sendingBytes -= bytes;
        sendingBytes -= bytes;
        forgetIfIdle(requester);
    }

    private void leave(PeerKey peer) {
        Requester requester = requesters.remove(peer);
        if (requester != null) {
            sendingBytes -= requester.sendingBytes;
        }
    }

    /** A requester that has had its share and asks again at once keeps its place in virtual time. */
    private void forgetIfIdle(Requester requester) {
        if (requester.queue.isEmpty() && requester.sending.isEmpty() && requester.finish <= virtualBytes) {
            requesters.remove(requester.key);
        }
    }

    private void send(long nowNanos) {
        deadline = Long.MAX_VALUE;
        while (true) {
            Requester next = next();
            if (next == null) {
                return;
            }
            if (freeAtNanos > nowNanos) {
                deadline = freeAtNanos;
                return;
            }
            Waiting waiting = next.queue.removeFirst();
            next.queuedBytes -= waiting.bytes;
            next.sending.put(waiting.request, waiting.bytes);
            next.sendingBytes += waiting.bytes;
            sendingBytes += waiting.bytes;
            virtualBytes = Math.max(virtualBytes, next.finish);
            next.finish = virtualBytes + waiting.bytes;
            spend(waiting.bytes, nowNanos);
            effects.add(new Effect.Send(next.key, waiting.request));
        }
    }

    /** The requester whose next answer would begin first in virtual time; null if none may begin. */
    private @Nullable Requester next() {
        @Nullable Requester best = null;
        for (Requester requester : requesters.values()) {
            Waiting waiting = requester.queue.peekFirst();
            if (waiting == null
                    || !requester.sending.isEmpty()
                            && requester.sendingBytes + waiting.bytes > settings.maxSendingBytesPerPeer) {
                continue;
            }
            if (best == null || Math.max(virtualBytes, requester.finish) < Math.max(virtualBytes, best.finish)) {
                best = requester;
            }
        }
        if (best != null && sendingBytes > 0) { // nobody's small request may overtake for ever what is next and large
            Waiting first = best.queue.getFirst();
            return sendingBytes + first.bytes > settings.maxSendingBytes ? null : best;
        }
        return best;
    }

    /** The bytes take their time at the allowed rate; after a pause, burstBytes of it are forgiven. No rounding is lost. */
    private void spend(long bytes, long nowNanos) {
        if (settings.bytesPerSecond == Settings.UNLIMITED) {
            return;
        }
        long rate = settings.bytesPerSecond;
        long burstNanos = (long) (settings.burstBytes * 1e9 / rate);
        if (freeAtNanos < nowNanos - burstNanos) {
            freeAtNanos = nowNanos - burstNanos;
            owedFraction = 0;
        }
        long work = bytes * 1_000_000_000L + owedFraction;
        freeAtNanos += work / rate;
        owedFraction = work % rate;
    }
}
