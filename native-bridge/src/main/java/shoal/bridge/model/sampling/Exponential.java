package shoal.bridge.model.sampling;

/**
 * e^x for x ≤ 0 in plain double arithmetic: the same bits on every machine, and several times as fast as StrictMath, which counts over
 * a whole vocabulary. x is split into k·ln 2 + r with |r| ≤ ln 2 / 2, e^r is its Taylor polynomial of degree 12, whose rest is below
 * 2^-53; the result is within a few units in the last place.
 */
final class Exponential {
    private static final double LOG2_E = 1.4426950408889634;
    private static final double LN2_HIGH = 6.93147180369123816490e-01; // its low 32 bits are 0: k times it is exact
    private static final double LN2_LOW = 1.90821492927058770002e-10;
    private static final double SMALLEST = -708; // below it 0, which no sum of ours can tell from the truth

    private Exponential() {}

    static double of(double x) {
        if (x < SMALLEST) {
            return 0;
        }
        long k = (long) (x * LOG2_E - 0.5);
        double r = x - k * LN2_HIGH - k * LN2_LOW;
        double p = 1.0 / 479001600;
        p = p * r + 1.0 / 39916800;
        p = p * r + 1.0 / 3628800;
        p = p * r + 1.0 / 362880;
        p = p * r + 1.0 / 40320;
        p = p * r + 1.0 / 5040;
        p = p * r + 1.0 / 720;
        p = p * r + 1.0 / 120;
        p = p * r + 1.0 / 24;
        p = p * r + 1.0 / 6;
        p = p * r + 0.5;
        p = p * r + 1;
        p = p * r + 1;
        return p * Double.longBitsToDouble((k + 1023) << 52);
    }
}
