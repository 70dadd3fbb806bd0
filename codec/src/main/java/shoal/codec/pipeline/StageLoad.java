package shoal.codec.pipeline;

import java.util.List;
import java.util.Set;

/** What each stage of a pipeline was measured to take, by its own word. */
public final class StageLoad {
    private double[] meanMicros = new double[0];
    private long[] busyMicros = new long[0];
    private long[] tokens = new long[0];
    private long[] batches = new long[0];

    /** @param fresh stages of which nothing is known */
    void reset(int stages, Set<Integer> fresh) {
        if (stages != busyMicros.length) {
            meanMicros = new double[stages];
            busyMicros = new long[stages];
            tokens = new long[stages];
            batches = new long[stages];
            return;
        }
        for (int stage : fresh) {
            meanMicros[stage] = 0;
            busyMicros[stage] = 0;
            tokens[stage] = 0;
            batches[stage] = 0;
        }
    }

    void add(int batchTokens, List<Integer> micros) {
        for (int stage = 0; stage < busyMicros.length; stage++) {
            double each = (double) micros.get(stage) / batchTokens;
            meanMicros[stage] = tokens[stage] == 0 ? each : meanMicros[stage] * 0.95 + each * 0.05;
            busyMicros[stage] += micros.get(stage);
            tokens[stage] += batchTokens;
            batches[stage]++;
        }
    }

    public int stages() {
        return busyMicros.length;
    }

    /** Microseconds that the stage has computed in all. */
    public long busyMicros(int stage) {
        return busyMicros[stage];
    }

    /** Tokens that the stage has computed. */
    public long tokens(int stage) {
        return tokens[stage];
    }

    /** Micro-batches that they came in. */
    public long batches(int stage) {
        return batches[stage];
    }

    /** Microseconds a token, of late. 0 before the first. */
    public double microsPerToken(int stage) {
        return meanMicros[stage];
    }
}
