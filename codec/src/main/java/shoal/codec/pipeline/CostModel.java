package shoal.codec.pipeline;

/**
 * What micro-batches cost, learnt from those that came back: micros = fixed + perToken × tokens for the slowest stage, by least squares in
 * which older ones count less and less; and the least time that was spent between the stages.
 */
final class CostModel {
    private static final double FORGET = 0.98;
    private static final int ENOUGH = 8;
    private static final int WINDOW = 64;

    private int seen;
    private double weight;
    private double sumTokens;
    private double sumMicros;
    private double sumTokensSquared;
    private double sumTokensMicros;
    private double leastBetween = Double.MAX_VALUE;
    private double leastBetweenBefore = Double.MAX_VALUE;

    /**
     * One micro-batch is back.
     *
     * @param slowestMicros of the stage that took longest
     * @param betweenMicros between dispatch and return, without the time that stages computed on it
     */
    void learn(int tokens, long slowestMicros, long betweenMicros) {
        weight = weight * FORGET + 1;
        sumTokens = sumTokens * FORGET + tokens;
        sumMicros = sumMicros * FORGET + slowestMicros;
        sumTokensSquared = sumTokensSquared * FORGET + (double) tokens * tokens;
        sumTokensMicros = sumTokensMicros * FORGET + (double) tokens * slowestMicros;
        leastBetween = Math.min(leastBetween, Math.max(0, betweenMicros));
        if (++seen % WINDOW == 0) {
            leastBetweenBefore = leastBetween;
            leastBetween = Double.MAX_VALUE;
        }
    }

    /** Whether it has seen enough to be asked. */
    boolean isKnown() {
        return seen >= ENOUGH;
    }

    /** Micros of one more token. With batches of one size alone nothing tells it apart: a quarter of the mean then. */
    double perTokenMicros() {
        double variance = sumTokensSquared / weight - square(sumTokens / weight);
        double mean = sumMicros / sumTokens;
        if (variance < 0.25) {
            return mean / 4;
        }
        double covariance = sumTokensMicros / weight - sumTokens / weight * (sumMicros / weight);
        return Math.clamp(covariance / variance, mean / 64, mean);
    }

    /** Micros of a micro-batch without its tokens. */
    double fixedMicros() {
        return Math.max(0, sumMicros / weight - perTokenMicros() * sumTokens / weight);
    }

    double micros(int tokens) {
        return fixedMicros() + perTokenMicros() * tokens;
    }

    /** Micros that a micro-batch spends between coordinator and stages at least. */
    double betweenMicros() {
        return Math.min(leastBetween, leastBetweenBefore);
    }

    private static double square(double value) {
        return value * value;
    }
}
