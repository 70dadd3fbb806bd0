package shoal.codec.sim;

/** Time that stands still until {@link Simulation} jumps to the next event. Nanoseconds since the simulation's start. */
public final class VirtualClock {
    private long nowNanos;

    VirtualClock() {}

    public long nowNanos() {
        return nowNanos;
    }

    void advanceTo(long nanos) {
        if (nanos < nowNanos) {
            throw new IllegalStateException("virtual time would go back from " + nowNanos + " to " + nanos);
        }
        nowNanos = nanos;
    }
}
