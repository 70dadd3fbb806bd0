package shoal.bench.serving;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import shoal.bench.race.ShoalSide;
import shoal.bench.report.Report;

/** Two stages beside one process: one answer, a long prompt, and many answers at once. Who is not measured waits and takes no core. */
final class Throughput {
    private static final int STAGES = 2;
    private static final int USERS = 8;

    /** A vocabulary without these words cuts them. */
    private static final int MOST_TOKENS_A_WORD = 4;

    /** Tokens that a swarm generates before any counts: the JVMs' compilers must have seen the way of a token. */
    private static final int WARM_UP_TOKENS = 1024;

    /** With a large model the way weighs little; but fetched weights are to settle, and compilers to come to an end. */
    private static final long WARM_UP_NANOS = 20_000_000_000L;

    private static final long SETTLING_MILLIS = 8_000;

    private static final double DECODE_AIM = 0.95;
    private static final double PREFILL_AIM = 0.9;
    private static final double USERS_AIM = 1.9;
    private static final double BUSY_AIM = 0.85;

    private final ServingCommand.Settings settings;
    private final Report report;
    private final Consumer<String> progress;
    private int asked;

    Throughput(ServingCommand.Settings settings, Report report, Consumer<String> progress) {
        this.settings = settings;
        this.report = report;
        this.progress = progress;
    }

    void measure(Set<String> parts) throws IOException, InterruptedException {
        progress.accept("starting one process, and a swarm of two nodes …");
        try (var alone = ShoalSide.start(
                        settings.model(),
                        settings.kernels(),
                        settings.threads(),
                        Math.max(MOST_TOKENS_A_WORD * settings.prompt(), settings.tokens()) + 64);
                var swarm = new Swarm(settings, Swarm.Shape.of(STAGES));
                var client = new Client(swarm.api())) {
            report.setting("kernels", alone.kernels());
            warmUp(alone, client);
            if (parts.contains("decode")) {
                decode(alone, client);
            }
            if (parts.contains("prefill")) {
                prefill(alone, client);
            }
            if (parts.contains("users")) {
                users(swarm, client);
            }
        }
    }

    private void warmUp(ShoalSide alone, Client client) throws IOException, InterruptedException {
        progress.accept("warming up …");
        alone.ask("prefill " + settings.prompt());
        alone.ask("decode " + settings.tokens());
        long until = System.nanoTime() + WARM_UP_NANOS;
        client.ask(prompt(settings.prompt()), settings.tokens());
        for (int tokens = settings.tokens();
                tokens < WARM_UP_TOKENS && System.nanoTime() - until < 0;
                tokens += settings.tokens()) {
            client.ask(prompt(8), settings.tokens());
        }
        Thread.sleep(SETTLING_MILLIS);
    }

    /** A text of about so many tokens that no stage has seen before. */
    private String prompt(int tokens) {
        var text = new StringBuilder("Number ").append(++asked).append(':');
        for (int i = 0; i < tokens; i++) {
            text.append(i % 4 == 0 ? " once" : i % 4 == 1 ? " upon" : i % 4 == 2 ? " a" : " time");
        }
        return text.toString();
    }

    private void decode(ShoalSide alone, Client client) throws IOException, InterruptedException {
        var ours = new ArrayList<Double>();
        var theirs = new ArrayList<Double>();
        var ratios = new ArrayList<Double>();
        for (int round = 0; round < settings.rounds(); round++) {
            progress.accept("decode: round " + (round + 1) + " of " + settings.rounds() + " …");
            double one = alone.ask("decode " + settings.tokens());
            Client.Answer two = checked(client.ask(prompt(8), settings.tokens()));
            ours.add(two.rate());
            theirs.add(one);
            ratios.add(two.rate() / one);
        }
        report.row("what", "decode, one process", "tokens/s", median(theirs));
        report.row("what", "decode, two stages", "tokens/s", median(ours));
        report.ratio("decode: two stages over one process", median(ratios), DECODE_AIM);
        progress.accept("decode: " + median(ratios) + " of one process");
    }

    private Client.Answer checked(Client.Answer answer) {
        if (!answer.error().isEmpty()) {
            report.fail("an answer broke: " + answer.error());
        }
        return answer;
    }

    /** Perfect is half the time of one process, and one part of the prompt more for the second stage to begin. */
    private void prefill(ShoalSide alone, Client client) throws IOException, InterruptedException {
        var ratios = new ArrayList<Double>();
        var ours = new ArrayList<Double>();
        var theirs = new ArrayList<Double>();
        var parts = new ArrayList<Double>();
        var shares = new ArrayList<Double>();
        client.ask(prompt(settings.prompt()), 1); // the first one since the times of batches are known
        for (int round = 0; round < settings.rounds(); round++) {
            progress.accept("prefill: round " + (round + 1) + " of " + settings.rounds() + " …");
            Work before = client.work();
            Client.Answer answer = checked(client.ask(prompt(settings.prompt()), 1));
            double chunks = client.work().batchesSince(before);
            int tokens = answer.promptTokens();
            double one = alone.ask("prefill " + tokens);
            double two = tokens / answer.firstTokenSeconds();
            parts.add(chunks);
            shares.add(two / one / STAGES * (chunks + STAGES - 1) / chunks);
            ours.add(two);
            theirs.add(one);
            ratios.add(two / one / STAGES);
        }
        progress.accept("prefill: " + median(ratios) + " of twice one process");
        report.row("what", "prompt, one process", "tokens/s", median(theirs));
        report.row("what", "prompt, two stages, to the first token", "tokens/s", median(ours));
        report.ratio(
                "prompt: two stages over twice one process, of C/(C+1) with C = " + (int) median(parts) + " chunks",
                median(shares),
                PREFILL_AIM);
    }

    private void users(Swarm swarm, Client client) throws IOException, InterruptedException {
        var ratios = new ArrayList<Double>();
        var one = new ArrayList<Double>();
        var many = new ArrayList<Double>();
        var busy = new ArrayList<Double>();
        client.askAll(prompts(), settings.tokens(), _ -> {});
        for (int round = 0; round < settings.rounds(); round++) {
            progress.accept("users: round " + (round + 1) + " of " + settings.rounds() + " …");
            Client.Answer single = checked(client.ask(prompt(8), settings.tokens()));
            double[] before = computed(swarm);
            long began = System.nanoTime();
            List<Client.Answer> all = client.askAll(prompts(), settings.tokens(), _ -> {});
            double seconds = (System.nanoTime() - began) / 1e9;
            double[] after = computed(swarm);
            all.forEach(this::checked);
            long first =
                    all.stream().mapToLong(each -> each.tokenNanos()[0]).min().orElseThrow();
            long last = all.stream()
                    .mapToLong(each -> each.tokenNanos()[each.tokenNanos().length - 1])
                    .max()
                    .orElseThrow();
            long tokens =
                    all.stream().mapToLong(each -> each.tokenNanos().length).sum();
            double rate = (tokens - USERS) * 1e9 / (last - first);
            one.add(single.rate());
            many.add(rate);
            ratios.add(rate / single.rate());
            busy.add(IntStream.range(0, before.length)
                    .mapToDouble(node -> (after[node] - before[node]) / seconds)
                    .min()
                    .orElse(Double.NaN));
        }
        progress.accept("users: " + median(ratios) + " of one answer, busy " + median(busy));
        report.row("what", "one answer on two stages", "tokens/s", median(one));
        report.row("what", USERS + " answers at once on two stages, all together", "tokens/s", median(many));
        report.ratio(USERS + " answers at once over one, on two stages", median(ratios), USERS_AIM);
        if (Double.isNaN(median(busy))) {
            report.note("this system does not tell how much processor time a thread takes");
        } else {
            report.ratio(
                    "processor time of the idler stage's computing thread, of the time of " + USERS + " answers",
                    median(busy),
                    BUSY_AIM);
        }
    }

    private List<String> prompts() {
        return IntStream.range(0, USERS).mapToObj(_ -> prompt(8)).toList();
    }

    private static double[] computed(Swarm swarm) {
        return swarm.nodes().stream()
                .mapToDouble(node -> ComputeTime.seconds(node.pid(), "compute"))
                .toArray();
    }

    /** Of those that are numbers. */
    static double median(List<Double> values) {
        double[] sorted = values.stream()
                .mapToDouble(Double::doubleValue)
                .filter(Double::isFinite)
                .sorted()
                .toArray();
        return sorted.length == 0
                ? Double.NaN
                : Arrays.stream(sorted)
                        .skip((sorted.length - 1) / 2)
                        .findFirst()
                        .orElseThrow();
    }
}
