package shoal.bench.serving;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import shoal.bench.report.Report;
import tools.jackson.databind.JsonNode;

/** Kills stages in the middle of answers: how long nothing comes, and whether the answer is the one that it would have been. */
final class Kills {
    private static final int STAGES = 2;
    private static final double SPARE_AIM_SECONDS = 1;
    private static final double PEERS_AIM_SECONDS = 5;
    private static final long REPAIR_SECONDS = 120;
    private static final long POLL_MILLIS = 50;

    private final ServingCommand.Settings settings;
    private final Report report;
    private final Consumer<String> progress;
    private int lost;
    private int doubled;
    private int different;

    Kills(ServingCommand.Settings settings, Report report, Consumer<String> progress) {
        this.settings = settings;
        this.report = report;
        this.progress = progress;
    }

    /**
     * One swarm, and one kill after another; whenever a stage has nobody left to take over, new nodes are started.
     *
     * @param ready whether those who take over hold the layers already; else they must fetch them first
     */
    void measure(boolean ready) throws IOException, InterruptedException {
        String kind = ready ? "a spare takes over" : "weights come from peers";
        var shape = new Swarm.Shape(STAGES, 1 + settings.spares(), ready);
        progress.accept("killing: starting " + shape.count() + " nodes; " + kind + " …");
        var random = new Random(settings.seed());
        var gaps = new ArrayList<Double>();
        try (var swarm = new Swarm(settings, shape);
                var client = new Client(swarm.api())) {
            List<String> prompts = IntStream.range(0, settings.streams())
                    .mapToObj(i -> "Story number " + i + ". Once upon a time")
                    .toList();
            awaitNodes(client, shape.count(), ready);
            var undisturbed = new ArrayList<Client.Answer>();
            for (String prompt : prompts) {
                undisturbed.add(client.ask(prompt, settings.tokens()));
            }
            int[] left = new int[STAGES];
            Arrays.fill(left, settings.spares());
            while (gaps.size() < settings.kills()) {
                int stage = random.nextInt(STAGES);
                gaps.add(kill(swarm, client, stage, prompts, undisturbed, random));
                progress.accept(String.format(
                        Locale.ROOT,
                        "kill %d of %d: stage %d, %.0f ms; lost %d, doubled %d, different %d",
                        gaps.size(),
                        settings.kills(),
                        stage,
                        gaps.getLast() * 1000,
                        lost,
                        doubled,
                        different));
                left[stage]--;
                if (left[stage] == 0 && gaps.size() < settings.kills()) {
                    swarm.addNodes(missing(left));
                    Arrays.fill(left, settings.spares());
                    awaitNodes(client, shape.count(), ready);
                }
            }
            Work work = client.work();
            report.setting(
                    "positions computed anew, and taken from copies (" + kind + ")",
                    String.format(Locale.ROOT, "%.0f, %.0f", work.replayed(), work.copied()));
        }
        tell(kind, ready ? SPARE_AIM_SECONDS : PEERS_AIM_SECONDS, gaps);
    }

    private List<Integer> missing(int[] left) {
        return IntStream.range(0, STAGES)
                .flatMap(stage -> IntStream.generate(() -> stage).limit(settings.spares() - left[stage]))
                .boxed()
                .toList();
    }

    private void tell(String kind, double aimSeconds, List<Double> gaps) {
        gaps.sort(null);
        double slowestInHundred = gaps.get((int) Math.ceil(0.99 * gaps.size()) - 1);
        report.row(
                "what",
                "kill -9 to the next token, " + kind,
                "ms",
                Throughput.median(gaps) * 1000,
                "slowest in a hundred, ms",
                slowestInHundred * 1000,
                "slowest, ms",
                gaps.getLast() * 1000,
                "kills",
                gaps.size());
        report.ratio(
                aimSeconds + " s over kill -9 to the next token, slowest in a hundred, " + kind,
                aimSeconds / slowestInHundred,
                1);
        report.setting("tokens lost, doubled, different (" + kind + ")", lost + ", " + doubled + ", " + different);
        if (lost + doubled + different > 0) {
            report.fail("answers changed when stages were killed");
        }
    }

    /** Kills one stage when a third of the tokens is there; returns the longest time until each answer goes on. */
    private double kill(
            Swarm swarm, Client client, int stage, List<String> prompts, List<Client.Answer> undisturbed, Random random)
            throws IOException, InterruptedException {
        String victim = client.ask("a", 1).nodes().get(stage);
        long third = (long) settings.tokens() * prompts.size() / 3 + random.nextInt(settings.tokens() / 4);
        var heard = new AtomicLong();
        var killedAt = new AtomicLong();
        List<Client.Answer> answers = client.askAll(prompts, settings.tokens(), _ -> {
            if (heard.incrementAndGet() == third) {
                try {
                    killedAt.set(System.nanoTime());
                    swarm.kill(victim);
                } catch (IOException unknown) {
                    throw new IllegalStateException(unknown.getMessage(), unknown);
                }
            }
        });
        long longest = 0;
        for (int i = 0; i < answers.size(); i++) {
            compare(undisturbed.get(i), answers.get(i));
            for (long token : answers.get(i).tokenNanos()) {
                if (token > killedAt.get()) {
                    longest = Math.max(longest, gapAt(answers.get(i), killedAt.get()));
                    break;
                }
            }
        }
        return longest / 1e9;
    }

    /** From the kill to the token behind the longest gap that began near it: tokens under way may still come at once. */
    private static long gapAt(Client.Answer answer, long killedAt) {
        long[] times = answer.tokenNanos();
        long end = killedAt;
        long widest = 0;
        for (int i = 1; i < times.length; i++) {
            if (times[i] > killedAt && times[i] - times[i - 1] > widest) {
                widest = times[i] - times[i - 1];
                end = times[i];
            }
        }
        return end - killedAt;
    }

    private void compare(Client.Answer expected, Client.Answer got) {
        if (!got.error().isEmpty()) {
            report.fail("an answer broke: " + got.error());
        }
        lost += Math.max(0, expected.tokens() - got.tokens());
        doubled += Math.max(0, got.tokens() - expected.tokens());
        if (!expected.text().equals(got.text())) {
            different++;
        }
    }

    /** Until so many nodes are there, and have layers ready if they should. */
    private static void awaitNodes(Client client, int count, boolean loaded) throws IOException, InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(REPAIR_SECONDS);
        while (true) {
            int here = 0;
            JsonNode machines = client.machines();
            for (JsonNode node : machines.path("nodes")) {
                boolean counts = !loaded || !node.path("layers").isEmpty();
                here += node.path("role").asString().equals("node") && counts ? 1 : 0;
            }
            if (here >= count && machines.path("ready").asBoolean()) {
                return;
            }
            if (System.nanoTime() > until) {
                throw new IOException("only " + here + " of " + count + " nodes are there after " + REPAIR_SECONDS
                        + " s: " + machines);
            }
            TimeUnit.MILLISECONDS.sleep(POLL_MILLIS);
        }
    }
}
