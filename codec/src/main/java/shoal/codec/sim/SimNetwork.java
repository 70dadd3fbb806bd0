package shoal.codec.sim;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.random.RandomGenerator;

/**
 * Carries opaque messages between nodes, with the simulation's {@link Faults}, and partitions. Who lies is the node's own affair.
 *
 * @param <A> address, with equals and hashCode
 * @param <M> message
 */
public final class SimNetwork<A, M> {
    private record Link<A>(A from, A to) {}

    private final Simulation simulation;
    private final RandomGenerator random;
    private final Map<A, BiConsumer<A, M>> nodes = new HashMap<>();
    private final Map<A, Long> lineFreeNanos = new HashMap<>();
    private final Map<A, Long> uploadRates = new HashMap<>();
    private final Map<Link<A>, Long> lastArrivalNanos = new HashMap<>();
    private final Set<A> island = new HashSet<>();
    private long sent;
    private long sentBytes;
    private long lost;

    public SimNetwork(Simulation simulation) {
        this.simulation = simulation;
        random = simulation.random("network", 0);
    }

    /** From now on messages to the address reach the handler as (from, message). Replaces an earlier one. */
    public void join(A address, BiConsumer<A, M> handler) {
        nodes.put(address, handler);
    }

    /** What is under way to the address is lost. */
    public void leave(A address) {
        nodes.remove(address);
    }

    public boolean isPresent(A address) {
        return nodes.containsKey(address);
    }

    /** A slower or faster line than {@link Faults#uploadBytesPerSecond} for one node; 0 for no limit. */
    public void uploadBytesPerSecond(A address, long rate) {
        uploadRates.put(address, rate);
    }

    /** Cuts these nodes off from all others, until {@link #heal}. */
    public void partition(Set<A> side) {
        island.clear();
        island.addAll(side);
    }

    public void heal() {
        island.clear();
    }

    /** Like a datagram: may be lost, may be overtaken. */
    public void send(A from, A to, M message, long sizeBytes) {
        sent++;
        sentBytes += sizeBytes;
        long leaves = leaveNanos(from, sizeBytes);
        if (random.nextDouble() < simulation.faults().loss()) {
            lost++;
            return;
        }
        deliverAt(leaves + delayNanos(), from, to, message);
    }

    /** Like a QUIC stream: in order on each link; a loss costs a round trip instead. Lost only with its receiver or by partition. */
    public void sendInOrder(A from, A to, M message, long sizeBytes) {
        sent++;
        sentBytes += sizeBytes;
        long arrives = leaveNanos(from, sizeBytes) + delayNanos();
        for (int tries = 0;
                tries < 20 && random.nextDouble() < simulation.faults().loss();
                tries++) {
            lost++;
            arrives += 2 * delayNanos();
        }
        arrives = Math.max(arrives, lastArrivalNanos.getOrDefault(new Link<>(from, to), 0L));
        lastArrivalNanos.put(new Link<>(from, to), arrives);
        deliverAt(arrives, from, to, message);
    }

    public long messagesSent() {
        return sent;
    }

    public long bytesSent() {
        return sentBytes;
    }

    public long messagesLost() {
        return lost;
    }

    private void deliverAt(long nanos, A from, A to, M message) {
        simulation.at(nanos, () -> {
            BiConsumer<A, M> handler = nodes.get(to);
            if (handler != null && island.contains(from) == island.contains(to)) {
                handler.accept(from, message);
            }
        });
    }

    private long delayNanos() {
        Faults faults = simulation.faults();
        return random.nextLong(faults.minDelayNanos(), faults.maxDelayNanos() + 1);
    }

    /** When the message's last byte has left the sender's line. */
    private long leaveNanos(A from, long sizeBytes) {
        long rate = uploadRates.getOrDefault(from, simulation.faults().uploadBytesPerSecond());
        long begins = Math.max(simulation.nowNanos(), lineFreeNanos.getOrDefault(from, 0L));
        if (rate == 0) {
            return begins;
        }
        long ends = begins + (long) (sizeBytes * 1e9 / rate);
        lineFreeNanos.put(from, ends);
        return ends;
    }
}
