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
 * (start-time fair queueing, Goyal, Vin and Cheng, 1996), each and all together at most the rate that the owner allows, and
 * no more is read from disk at once than the transport is busy with for a short while: what it has can't be withdrawn any more. Queues are bounded: what does not fit is refused.
 *
 * <p>Only so many requesters are served at once, the holders of slots: a trickle to everybody would make nobody whole. Who has
 * nothing queued gives its slot up; and when others wait, who has had one longest gives it to who has waited longest
 * (BitTorrent's optimistic unchoke is for newcomers alone; without tit-for-tat every slot is one).
 */
public final class UploadScheduler implements Machine<UploadScheduler.Input, UploadScheduler.Effect> {
    private static final long SENDING_NANOS = 500_000_000L;
    private static final long DRAIN_NANOS = 50_000_000L;
    private static final long FIRST_SENDING_BYTES = 8L << 20;
    private static final long LEAST_SENDING_BYTES = 1L << 20;

    /**
     * What can be tuned.
     *
     * @param bytesPerSecond of all uploads together; {@link #UNLIMITED} for no limit
     * @param bytesPerSecondPerPeer to each requester; {@link #UNLIMITED} for no limit
     * @param burstBytes that may go out at once after a pause
     * @param maxQueuedRequests waiting, per requester
     * @param maxQueuedBytes waiting, per requester
     * @param maxSendingBytes read and not yet sent, of all together; one request may always be sent
     * @param maxSendingBytesPerPeer read and not yet sent, per requester; one request may always be sent
     * @param maxPeers requesters known at once
     * @param slots requesters served at once
     * @param slotNanos how long a slot is kept when others wait
     */
    public record Settings(
            long bytesPerSecond,
            long bytesPerSecondPerPeer,
            long burstBytes,
            int maxQueuedRequests,
            long maxQueuedBytes,
            long maxSendingBytes,
            long maxSendingBytesPerPeer,
            int maxPeers,
            int slots,
            long slotNanos) {
        public static final long UNLIMITED = RateLimit.UNLIMITED;
        public static final Settings DEFAULT = new Settings(
                UNLIMITED, UNLIMITED, 64 * 1024, 1024, 64L << 20, 64L << 20, 16L << 20, 1024, 32, 5_000_000_000L);

        public Settings {
            requireRange("bytes per second", bytesPerSecond, 1, UNLIMITED);
            requireRange("bytes per second and peer", bytesPerSecondPerPeer, 1, UNLIMITED);
            requireRange("slots", slots, 1, 1 << 20);
            requireRange("slot time", slotNanos, 1, Long.MAX_VALUE / 4);
            requireRange("burst", burstBytes, 0, 1L << 30);
            requireRange("queued requests", maxQueuedRequests, 1, 1 << 20);
            requireRange("queued bytes", maxQueuedBytes, 1, Long.MAX_VALUE);
            requireRange("sending bytes", maxSendingBytes, 1, Long.MAX_VALUE);
            requireRange("sending bytes per peer", maxSendingBytesPerPeer, 1, Long.MAX_VALUE);
            requireRange("peers", maxPeers, 1, 1 << 20);
        }

        public Settings withBytesPerSecond(long rate) {
            return withBytesPerSecond(rate, bytesPerSecondPerPeer);
        }

        public Settings withBytesPerSecond(long rate, long ratePerPeer) {
            return new Settings(
                    rate,
                    ratePerPeer,
                    burstBytes,
                    maxQueuedRequests,
                    maxQueuedBytes,
                    maxSendingBytes,
                    maxSendingBytesPerPeer,
                    maxPeers,
                    slots,
                    slotNanos);
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
        final RateLimit limit;
        long finish; // in virtual bytes: where its last answer ends
        boolean hasSlot;
        long sinceNanos; // that it has its slot, or waits for one

        Requester(PeerKey key, RateLimit limit) {
            this.key = key;
            this.limit = limit;
        }
    }

    private final Settings settings;
    private final Map<PeerKey, Requester> requesters = new TreeMap<>();
    private final List<Effect> effects = new ArrayList<>();
    private long virtualBytes;
    private long sendingBytes;
    private final RateLimit limit;
    private int slotsTaken;
    private double drainedPerNano; // bytes that the transport takes; 0 while not measured
    private long drainedSinceNanos;
    private long drainedBytes;
    private long deadline = Long.MAX_VALUE;

    public UploadScheduler(Settings settings) {
        this.settings = settings;
        limit = new RateLimit(settings.bytesPerSecond, settings.burstBytes);
    }

    @Override
    public List<Effect> handle(Input input, long nowNanos) {
        effects.clear();
        limit.spend(0, nowNanos); // its pause begins with the first input
        switch (input) {
            case Input.Requested(PeerKey peer, long request, long bytes) -> enqueue(peer, request, bytes, nowNanos);
            case Input.Withdrawn(PeerKey peer, long request) -> withdraw(peer, request);
            case Input.Sent(PeerKey peer, long request) -> sent(peer, request, nowNanos);
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

    private void enqueue(PeerKey peer, long request, long bytes, long nowNanos) {
        Requester requester = requesters.get(peer);
        if (requester == null) {
            if (requesters.size() >= settings.maxPeers) {
                effects.add(new Effect.Refuse(peer, request));
                return;
            }
            requester = new Requester(peer, new RateLimit(settings.bytesPerSecondPerPeer, settings.burstBytes));
            requesters.put(peer, requester);
        }
        boolean full = requester.queue.size() >= settings.maxQueuedRequests
                || !requester.queue.isEmpty() && requester.queuedBytes + bytes > settings.maxQueuedBytes;
        if (full) {
            effects.add(new Effect.Refuse(peer, request));
            return;
        }
        if (requester.queue.isEmpty() && !requester.hasSlot) {
            requester.sinceNanos = nowNanos;
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

    private void sent(PeerKey peer, long request, long nowNanos) {
        Requester requester = requesters.get(peer);
        Long bytes = requester == null ? null : requester.sending.remove(request);
        if (requester == null || bytes == null) {
            return;
        }
        requester.sendingBytes -= bytes;
        sendingBytes -= bytes;
        drained(bytes, nowNanos);
        forgetIfIdle(requester);
    }

    private void drained(long bytes, long nowNanos) {
        drainedBytes += bytes;
        long nanos = nowNanos - drainedSinceNanos;
        if (nanos >= DRAIN_NANOS) {
            double now = (double) drainedBytes / nanos;
            drainedPerNano = drainedPerNano == 0 ? now : (drainedPerNano + now) / 2;
            drainedBytes = 0;
            drainedSinceNanos = nowNanos;
        }
    }

    /** Of all requesters together: what the transport takes in half a second, as far as the owner allows. */
    private long maxSendingBytes() {
        long most = drainedPerNano == 0
                ? FIRST_SENDING_BYTES
                : Math.max(LEAST_SENDING_BYTES, (long) (drainedPerNano * SENDING_NANOS));
        return Math.min(most, settings.maxSendingBytes);
    }

    private void leave(PeerKey peer) {
        Requester requester = requesters.remove(peer);
        if (requester != null) {
            sendingBytes -= requester.sendingBytes;
            slotsTaken -= requester.hasSlot ? 1 : 0;
        }
    }

    /** A requester that has had its share and asks again at once keeps its place in virtual time. */
    private void forgetIfIdle(Requester requester) {
        if (requester.queue.isEmpty()
                && requester.sending.isEmpty()
                && requester.finish <= virtualBytes
                && requester.limit.isUnlimited()) {
            leave(requester.key);
        }
    }

    private void send(long nowNanos) {
        deadline = Long.MAX_VALUE;
        giveSlots(nowNanos);
        while (true) {
            Requester next = next(nowNanos);
            if (next == null) {
                return;
            }
            if (!limit.isFree(nowNanos)) {
                deadline = Math.min(deadline, limit.freeAtNanos(nowNanos));
                return;
            }
            Waiting waiting = next.queue.removeFirst();
            next.queuedBytes -= waiting.bytes;
            next.sending.put(waiting.request, waiting.bytes);
            next.sendingBytes += waiting.bytes;
            if (sendingBytes == 0) {
                drainedSinceNanos = nowNanos;
                drainedBytes = 0;
            }
            sendingBytes += waiting.bytes;
            virtualBytes = Math.max(virtualBytes, next.finish);
            next.finish = virtualBytes + waiting.bytes;
            limit.spend(waiting.bytes, nowNanos);
            next.limit.spend(waiting.bytes, nowNanos);
            effects.add(new Effect.Send(next.key, waiting.request));
        }
    }

    private void giveSlots(long nowNanos) {
        int waiting = 0;
        for (Requester requester : requesters.values()) {
            if (requester.hasSlot && requester.queue.isEmpty() && requester.sending.isEmpty()) {
                requester.hasSlot = false;
                slotsTaken--;
            }
            waiting += !requester.hasSlot && !requester.queue.isEmpty() ? 1 : 0;
        }
        while (waiting > 0) {
            if (slotsTaken >= settings.slots) {
                Requester longest = oldest(true);
                if (longest == null) {
                    return;
                }
                if (nowNanos - longest.sinceNanos < settings.slotNanos) {
                    deadline = Math.min(deadline, longest.sinceNanos + settings.slotNanos);
                    return;
                }
                longest.hasSlot = false;
                longest.sinceNanos = nowNanos;
                slotsTaken--;
            }
            Requester next = oldest(false);
            if (next == null) {
                return;
            }
            next.hasSlot = true;
            next.sinceNanos = nowNanos;
            slotsTaken++;
            waiting--;
        }
    }

    /** Who has had its slot longest, or who has waited longest for one. */
    private @Nullable Requester oldest(boolean hasSlot) {
        @Nullable Requester oldest = null;
        for (Requester requester : requesters.values()) {
            boolean counts = requester.hasSlot == hasSlot && (hasSlot || !requester.queue.isEmpty());
            if (counts && (oldest == null || requester.sinceNanos < oldest.sinceNanos)) {
                oldest = requester;
            }
        }
        return oldest;
    }

    /** The requester whose next answer would begin first in virtual time; null if none may begin. */
    private @Nullable Requester next(long nowNanos) {
        @Nullable Requester best = null;
        for (Requester requester : requesters.values()) {
            Waiting waiting = requester.queue.peekFirst();
            if (waiting == null
                    || !requester.hasSlot
                    || !requester.sending.isEmpty()
                            && requester.sendingBytes + waiting.bytes > settings.maxSendingBytesPerPeer) {
                continue;
            }
            if (!requester.limit.isFree(nowNanos)) {
                deadline = Math.min(deadline, requester.limit.freeAtNanos(nowNanos));
                continue;
            }
            if (best == null || Math.max(virtualBytes, requester.finish) < Math.max(virtualBytes, best.finish)) {
                best = requester;
            }
        }
        if (best != null && sendingBytes > 0) { // nobody's small request may overtake for ever what is next and large
            Waiting first = best.queue.getFirst();
            return sendingBytes + first.bytes > maxSendingBytes() ? null : best;
        }
        return best;
    }
}
