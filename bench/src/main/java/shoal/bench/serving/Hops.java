package shoal.bench.serving;

import java.io.IOException;
import java.util.ArrayList;
import java.util.function.Consumer;
import shoal.bench.report.Report;

/** What each way from machine to machine adds to a token, as the coordinator of a swarm of two stages measures it. */
final class Hops {
    private static final int STAGES = 2;
    private static final double AIM_MILLIS = 0.3;

    /** As many as the coordinator looks back at. */
    private static final int TOKENS = 512;

    /** The JVMs' compilers must have seen the way of a token before it counts. */
    private static final int WARM_UP_TOKENS = 10_000;

    private static final long WARM_UP_NANOS = 25_000_000_000L;

    private final ServingCommand.Settings settings;
    private final Report report;
    private final Consumer<String> progress;
    private int asked;

    Hops(ServingCommand.Settings settings, Report report, Consumer<String> progress) {
        this.settings = settings;
        this.report = report;
        this.progress = progress;
    }

    void measure() throws IOException, InterruptedException {
        progress.accept("hop: starting two nodes …");
        try (var swarm = new Swarm(settings, Swarm.Shape.of(STAGES));
                var client = new Client(swarm.api())) {
            progress.accept("hop: warming up …");
            long until = System.nanoTime() + WARM_UP_NANOS;
            while (client.work().hops() < WARM_UP_TOKENS && System.nanoTime() - until < 0) {
                client.ask(prompt(asked++), settings.tokens());
            }
            var medians = new ArrayList<Double>();
            var slow = new ArrayList<Double>();
            var computing = new ArrayList<Double>();
            var gaps = new ArrayList<Double>();
            for (int round = 0; round < settings.rounds(); round++) {
                Work before = client.work();
                Work after = before;
                for (int i = 0; i < TOKENS && after.hops() - before.hops() < TOKENS; i++) {
                    Client.Answer answer = client.ask(prompt(asked++), settings.tokens());
                    if (!answer.error().isEmpty()) {
                        report.fail("an answer broke: " + answer.error());
                        return;
                    }
                    gaps.add(answer.medianGapMillis());
                    after = client.work();
                }
                medians.add(after.hopMedianSeconds() * 1000);
                slow.add(after.hopSlowSeconds() * 1000);
                computing.add(after.secondsOfTokenSince(before) * 1000);
            }
            double median = Throughput.median(medians);
            report.row("what", "a token on both stages, computing", "ms", Throughput.median(computing));
            report.row("what", "median gap between tokens at the client", "ms", Throughput.median(gaps));
            report.row("what", "one hop, median of the latest tokens", "ms", median);
            report.row("what", "one hop, slowest in a hundred", "ms", Throughput.median(slow));
            report.ratio("hop: " + AIM_MILLIS + " ms over the median hop", AIM_MILLIS / Math.max(1e-3, median), 1);
        }
    }

    private static String prompt(int number) {
        return "Number " + number + ". Once upon a time";
    }
}
