package shoal.codec.base;

/** Counts the set-ups of one session's pipeline. Frames of an older epoch are dropped. */
public record Epoch(int number) implements Comparable<Epoch> {
    public static final Epoch FIRST = new Epoch(0);

    public Epoch {
        Bounds.requireRange("epoch", number, 0, Integer.MAX_VALUE);
    }

    public Epoch next() {
        return new Epoch(Math.incrementExact(number));
    }

    @Override
    public int compareTo(Epoch other) {
        return Integer.compare(number, other.number);
    }
}
