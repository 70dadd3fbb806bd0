package shoal.bench.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class WorkTest {
    private static String metrics(int tokens, double firstBusy, double secondBusy) {
        return """
                # HELP shoal_requests_total
                shoal_requests_total{status="200"} 7.0
                # TYPE shoal_hop_seconds summary
                shoal_hop_seconds{model="m",quantile="0.5"} 2.5E-4
                shoal_hop_seconds{model="m",quantile="0.99"} 0.002
                shoal_hop_seconds_count{model="m"} %d
                shoal_stage_busy_seconds_total{model="m",stage="0",node="aa",layers="0-3"} %s
                shoal_stage_busy_seconds_total{model="m",stage="1",node="bb",layers="4-7"} %s
                shoal_stage_tokens_total{model="m",stage="0",node="aa",layers="0-3"} %d
                shoal_stage_tokens_total{model="m",stage="1",node="bb",layers="4-7"} %d
                shoal_stage_batches_total{model="m",stage="0",node="aa",layers="0-3"} %d
                """.formatted(tokens, firstBusy, secondBusy, tokens, tokens, tokens / 10);
    }

    @Test
    void readsHopsAndStages() {
        Work before = Work.parse(metrics(100, 1, 2));
        assertEquals(100, before.hops());
        assertEquals(2.5e-4, before.hopMedianSeconds());
        assertEquals(0.002, before.hopSlowSeconds());
        assertEquals(List.of(1.0, 2.0), before.busySeconds());
        assertEquals(5, Work.parse(metrics(150, 1, 2)).batchesSince(before));
        assertEquals(0.5 / 50 + 0.25 / 50, Work.parse(metrics(150, 1.5, 2.25)).secondsOfTokenSince(before), 1e-12);
    }

    @Test
    void whatIsMissingIsNoFigure() {
        Work nothing = Work.parse("shoal_requests_total 1\n");
        assertTrue(Double.isNaN(nothing.hopMedianSeconds()));
        assertTrue(Double.isNaN(nothing.batchesSince(nothing)));
        assertEquals(0, nothing.hops());
    }
}
