package shoal.codec.base;

/** Consecutive transformer blocks first..last, both included, numbered from 0 as in the whole model. */
public record LayerRange(int first, int last) implements Comparable<LayerRange> {
    /** More layers than any model has; a bound for what a stranger sends. */
    public static final int MAX_LAYERS = 65_536;

    public LayerRange {
        Bounds.requireRange("first layer", first, 0, MAX_LAYERS - 1);
        Bounds.requireRange("last layer", last, first, MAX_LAYERS - 1);
    }

    /** Reads {@code 8-15}, or {@code 8} for one layer. @throws MalformedException otherwise */
    public static LayerRange parse(String text) {
        int dash = text.indexOf('-');
        try {
            int first = Integer.parseInt(dash < 0 ? text : text.substring(0, dash));
            int last = dash < 0 ? first : Integer.parseInt(text.substring(dash + 1));
            return new LayerRange(first, last);
        } catch (IllegalArgumentException refused) {
            throw new MalformedException("'" + text + "' is no layer range; write first-last, as in 8-15", refused);
        }
    }

    public int count() {
        return last - first + 1;
    }

    public boolean contains(int layer) {
        return layer >= first && layer <= last;
    }

    public boolean contains(LayerRange other) {
        return other.first >= first && other.last <= last;
    }

    /** Whether other begins right behind this one. */
    public boolean isFollowedBy(LayerRange other) {
        return other.first == last + 1;
    }

    @Override
    public int compareTo(LayerRange other) {
        return first != other.first ? Integer.compare(first, other.first) : Integer.compare(last, other.last);
    }

    @Override
    public String toString() {
        return first + "-" + last;
    }
}
