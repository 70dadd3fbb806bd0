package shoal.verticles.path;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.util.HashMap;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import shoal.codec.base.Endpoint;

/**
 * A UDP proxy that delays, loses and paces datagrams in both directions. Who sends to {@link #entrance} reaches the target, which
 * sees one address of this machine for each sender. It owns one thread and its sockets until it is closed.
 */
public final class UdpPath implements AutoCloseable {
    private static final int MAX_DATAGRAM_BYTES = 65_536;
    private static final int SOCKET_BUFFER_BYTES = 8 << 20;
    private static final int MAX_SENDERS = 256;
    /** A queue that takes so long shows that more comes than passes. */
    private static final long FULL_NANOS = 5_000_000;

    /**
     * What the path does, each way alike.
     *
     * @param loss chance in 0..1 that a datagram is lost
     * @param delayNanos one way, 0..60 s
     * @param bytesPerSecond that pass; 0 for no limit
     * @param queueBytes that wait for their turn at that rate; what comes beyond them is lost
     */
    public record Conditions(double loss, long delayNanos, long bytesPerSecond, int queueBytes) {
        public Conditions {
            if (!(loss >= 0 && loss <= 1)) {
                throw new IllegalArgumentException("loss is " + loss + ", allowed 0..1");
            }
            if (delayNanos < 0 || delayNanos > 60_000_000_000L) {
                throw new IllegalArgumentException("delay is " + delayNanos + " ns, allowed 0..60 s");
            }
            if (bytesPerSecond < 0 || queueBytes < 0) {
                throw new IllegalArgumentException(
                        "rate and queue are " + bytesPerSecond + " and " + queueBytes + ", allowed 0 or more");
            }
        }

        /** No limit of rate. */
        public static Conditions of(double loss, long oneWayMillis) {
            return new Conditions(loss, TimeUnit.MILLISECONDS.toNanos(oneWayMillis), 0, 0);
        }
    }

    private record Datagram(
            long dueNanos,
            long order,
            DatagramChannel from,
            @Nullable SocketAddress to,
            ByteBuffer bytes) implements Comparable<Datagram> {
        @Override
        public int compareTo(Datagram other) {
            return dueNanos != other.dueNanos
                    ? Long.signum(dueNanos - other.dueNanos)
                    : Long.compare(order, other.order);
        }
    }

    /** One direction's place in time, and how well it was used. */
    private static final class Lane {
        long freeAtNanos;
        boolean wasFull;
        long idleNanos;
        volatile long busyBytes;
        volatile double used;

        /** A datagram passes. @param queuedNanos how long it waits for those before it; less than 0 if nobody was there for so long */
        void count(long queuedNanos, int size, long bytesPerSecond) {
            wasFull |= queuedNanos > FULL_NANOS;
            if (wasFull) {
                idleNanos += Math.max(0, -queuedNanos);
                busyBytes += size;
                double busy = busyBytes * 1e9 / bytesPerSecond;
                used = busy / (busy + idleNanos);
            }
        }
    }

    private volatile Conditions conditions;
    private final InetSocketAddress target;
    private final SplittableRandom random;
    private final Selector selector;
    private final DatagramChannel front;
    private final Endpoint entrance;
    private final Map<SocketAddress, DatagramChannel> backs = new HashMap<>();
    private final PriorityQueue<Datagram> onTheWay = new PriorityQueue<>();
    private final ByteBuffer input = ByteBuffer.allocateDirect(MAX_DATAGRAM_BYTES);
    private final Lane there = new Lane();
    private final Lane back = new Lane();
    private final AtomicLong passed = new AtomicLong();
    private final AtomicLong lost = new AtomicLong();
    private final Thread thread;
    private long order;
    private volatile Predicate<SocketAddress> cut = _ -> false;
    private volatile boolean closed;

    /** @param seed of what is lost */
    public UdpPath(Endpoint target, Conditions conditions, long seed) {
        this.conditions = conditions;
        this.target = new InetSocketAddress(target.host(), target.port());
        random = new SplittableRandom(seed);
        there.freeAtNanos = System.nanoTime();
        back.freeAtNanos = there.freeAtNanos;
        try {
            selector = Selector.open();
            front = open(null);
            var bound = (InetSocketAddress) front.getLocalAddress();
            entrance = new Endpoint(bound.getAddress().getHostAddress(), bound.getPort());
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        thread =
                Thread.ofPlatform().daemon().name("udp-path-" + entrance.port()).start(this::run);
    }

    /** Where to send to. */
    public Endpoint entrance() {
        return entrance;
    }

    /** What the path does to what comes from now on. */
    public void become(Conditions next) {
        conditions = next;
    }

    /** From now on nothing comes through, or again what the conditions let through. */
    public void cut(boolean nothingPasses) {
        cut = _ -> nothingPasses;
    }

    /**
     * From now on nothing comes through from these senders, nor to them.
     *
     * @param senders asked on the path's own thread, for each datagram
     */
    public void cut(Predicate<SocketAddress> senders) {
        cut = senders;
    }

    /** Bytes that have come through, both ways. */
    public long passedBytes() {
        return passed.get();
    }

    /**
     * How much of its rate the path was used for, from the target to the senders: from when first more came than passes (slow start is
     * over) until the last datagram, 0..1. 0 while it was never full, or has no limit.
     */
    public double usedBack() {
        return back.used;
    }

    /** Bytes in those datagrams. */
    public long usedBackBytes() {
        return back.busyBytes;
    }

    /** Datagrams that have not. */
    public long lostDatagrams() {
        return lost.get();
    }

    /** @param sender whose answers come on it; null for the one that all send to */
    private DatagramChannel open(@Nullable SocketAddress sender) throws IOException {
        DatagramChannel channel = DatagramChannel.open();
        channel.setOption(StandardSocketOptions.SO_RCVBUF, SOCKET_BUFFER_BYTES);
        channel.setOption(StandardSocketOptions.SO_SNDBUF, SOCKET_BUFFER_BYTES);
        channel.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        channel.configureBlocking(false);
        channel.register(selector, SelectionKey.OP_READ, sender);
        return channel;
    }

    private void run() {
        try {
            while (!closed) {
                Datagram first = onTheWay.peek();
                long wait = first == null ? Long.MAX_VALUE : first.dueNanos - System.nanoTime();
                if (wait == Long.MAX_VALUE) {
                    selector.select();
                } else if (wait > 1_000_000) {
                    selector.select(wait / 1_000_000);
                } else {
                    selector.selectNow();
                }
                for (SelectionKey key : selector.selectedKeys()) {
                    receive((DatagramChannel) key.channel(), (SocketAddress) key.attachment());
                }
                selector.selectedKeys().clear();
                sendDue();
            }
        } catch (IOException failure) {
            if (!closed) {
                throw new UncheckedIOException("the path " + entrance + " broke", failure);
            }
        }
    }

    private void receive(DatagramChannel channel, @Nullable SocketAddress sender) throws IOException {
        while (true) {
            input.clear();
            SocketAddress from = channel.receive(input);
            if (from == null) {
                return;
            }
            input.flip();
            if (sender != null) {
                take(back, front, sender, sender);
                continue;
            }
            DatagramChannel out = backs.get(from);
            if (out == null && backs.size() < MAX_SENDERS) {
                out = open(from);
                backs.put(from, out);
            }
            if (out != null) {
                take(there, out, target, from);
            }
        }
    }

    private void take(Lane lane, DatagramChannel out, SocketAddress to, SocketAddress sender) {
        Conditions conditions = this.conditions;
        long now = System.nanoTime();
        int size = input.remaining();
        long due = now;
        if (conditions.bytesPerSecond > 0) {
            long free = Math.max(now, lane.freeAtNanos);
            long queuedNanos = lane.freeAtNanos - now;
            long queued = (long) ((free - now) * (conditions.bytesPerSecond / 1e9));
            if (queued > conditions.queueBytes) {
                lost.incrementAndGet();
                return;
            }
            lane.count(queuedNanos, size, conditions.bytesPerSecond);
            lane.freeAtNanos = free + size * 1_000_000_000L / conditions.bytesPerSecond;
            due = lane.freeAtNanos;
        }
        if (random.nextDouble() < conditions.loss || cut.test(sender)) {
            lost.incrementAndGet();
            return;
        }
        byte[] bytes = new byte[size];
        input.get(bytes);
        onTheWay.add(new Datagram(due + conditions.delayNanos, order++, out, to, ByteBuffer.wrap(bytes)));
    }

    private void sendDue() throws IOException {
        for (Datagram next = onTheWay.peek();
                next != null && next.dueNanos - System.nanoTime() <= 0;
                next = onTheWay.peek()) {
            onTheWay.remove();
            int size = next.bytes.remaining();
            if (next.from.send(next.bytes, next.to) == size) {
                passed.addAndGet(size);
            } else { // the socket's buffer is full
                lost.incrementAndGet();
            }
        }
    }

    @Override
    public void close() {
        closed = true;
        selector.wakeup();
        try {
            thread.join(TimeUnit.SECONDS.toMillis(10));
            for (DatagramChannel channel : backs.values()) {
                channel.close();
            }
            front.close();
            selector.close();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
