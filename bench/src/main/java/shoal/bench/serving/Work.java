package shoal.bench.serving;

import java.util.ArrayList;
import java.util.List;

/**
 * What {@code /metrics} says of stages and hops.
 *
 * @param hops tokens that were looked at so far
 * @param busySeconds of each stage so far
 * @param tokens of each stage so far
 * @param batches micro-batches of each stage so far
 * @param replayed positions that were sent once more to stages that took over
 * @param copied positions of which these had copies
 */
record Work(
        double hops,
        double hopMedianSeconds,
        double hopSlowSeconds,
        List<Double> busySeconds,
        List<Double> tokens,
        List<Double> batches,
        double replayed,
        double copied) {
    /** Reads Prometheus' text format; what is missing is NaN or empty. */
    static Work parse(String text) {
        double hops = 0;
        double median = Double.NaN;
        double slow = Double.NaN;
        double replayed = 0;
        double copied = 0;
        var busy = new ArrayList<Double>();
        var tokens = new ArrayList<Double>();
        var batches = new ArrayList<Double>();
        for (String line : text.lines().toList()) {
            if (line.startsWith("shoal_hop_seconds{") && line.contains("quantile=\"0.5\"")) {
                median = value(line);
            } else if (line.startsWith("shoal_hop_seconds{") && line.contains("quantile=\"0.99\"")) {
                slow = value(line);
            } else if (line.startsWith("shoal_hop_seconds_count{")) {
                hops = value(line);
            } else if (line.startsWith("shoal_stage_busy_seconds_total{")) {
                busy.add(value(line));
            } else if (line.startsWith("shoal_stage_tokens_total{")) {
                tokens.add(value(line));
            } else if (line.startsWith("shoal_stage_batches_total{")) {
                batches.add(value(line));
            } else if (line.startsWith("shoal_replayed_positions_total{")) {
                replayed = value(line);
            } else if (line.startsWith("shoal_copied_positions_total{")) {
                copied = value(line);
            }
        }
        return new Work(hops, median, slow, busy, tokens, batches, replayed, copied);
    }

    private static double value(String line) {
        return Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1));
    }

    /** Micro-batches that have passed the first stage since then; NaN if nothing is said of them. */
    double batchesSince(Work before) {
        return batches.isEmpty() || before.batches.isEmpty()
                ? Double.NaN
                : batches.getFirst() - before.batches.getFirst();
    }

    /** Seconds that all stages together computed on each token since then. */
    double secondsOfTokenSince(Work before) {
        double sum = 0;
        for (int stage = 0; stage < Math.min(busySeconds.size(), before.busySeconds.size()); stage++) {
            sum += (busySeconds.get(stage) - before.busySeconds.get(stage))
                    / (tokens.get(stage) - before.tokens.get(stage));
        }
        return sum;
    }
}
