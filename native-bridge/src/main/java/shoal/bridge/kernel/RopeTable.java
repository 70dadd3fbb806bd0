package shoal.bridge.kernel;

/**
 * The angles of rotary position embedding (RoFormer, section 3.2.2): at position p, pair i of each head is turned by
 * {@code p * frequencies[i]} radians, and both values are multiplied by magnitude (1 but for YaRN).
 *
 * @param frequencies one per pair, after scaling and factors; the first 2 * length values of a head are turned
 */
public record RopeTable(double[] frequencies, float magnitude, Pairing pairing) {
    /** Which two values make a pair. */
    public enum Pairing {
        /** Values 2i and 2i + 1. */
        NEIGHBOURS,
        /** Values i and i + length. */
        HALVES
    }

    public int pairs() {
        return frequencies.length;
    }
}
