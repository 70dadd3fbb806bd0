package shoal.bench.serving;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
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

    /** @param spare whether a third node holds all layers already; else the one that is left must fetch them first */
    void measure(boolean spare) throws IOException, InterruptedException {
        var random = new Random(settings.seed());
        var gaps = new ArrayList<Double>();
        int count = STAGES + (spare ? 1 : 0);
        String kind = spare ? "a spare takes over" : "weights come from peers";
        progress.accept("killing: starting " + count + " nodes; " + kind + " …");
        int done = 0;
        while (done < settings.kills()) {
            try (var swarm = new Swarm(settings.model(), STAGES, count, settings.threads(), settings.kernels());
                    var client = new Client(swarm.api())) {
                List<String> prompts = IntStream.range(0, settings.streams())
                        .mapToObj(i -> "Story number " + i + ". Once upon a time")
                        .toList();
                var undisturbed = new ArrayList<Client.Answer>();
                for (String prompt : prompts) {
                    undisturbed.add(client.ask(prompt, settings.tokens()));
                }
                // With a spare the swarm is repaired after each kill; else what was fetched would stay fetched.
                int here = spare ? settings.kills() - done : 1;
                for (int i = 0; i < here; i++) {
                    awaitNodes(client, count, spare);
                    gaps.add(kill(swarm, client, prompts, undisturbed, random));
                    done++;
                    progress.accept(String.format(
                            java.util.Locale.ROOT,
                            "kill %d of %d: %.0f ms, lost %d, doubled %d, different %d",
                            done,
                            settings.kills(),
                            gaps.getLast() * 1000,
                            lost,
                            doubled,
                            different));
                    if (spare && i + 1 < here) {
                        swarm.addNode();
                    }
                }
            }
        }
        gaps.sort(null);
        double median = Throughput.median(gaps);
        report.row(
                "what",
                "kill -9 to the next token, " + kind,
                "ms",
                median * 1000,
                "slowest ms",
                gaps.getLast() * 1000,
                "kills",
                gaps.size());
        report.ratio(
                (spare ? SPARE_AIM_SECONDS : PEERS_AIM_SECONDS) + " s over kill -9 to the next token, " + kind,
                (spare ? SPARE_AIM_SECONDS : PEERS_AIM_SECONDS) / median,
                1);
        report.setting("tokens lost, doubled, different (" + kind + ")", lost + ", " + doubled + ", " + different);
        if (lost + doubled + different > 0) {
            report.fail("answers changed when stages were killed");
        }
    }

    /** Kills one stage when a third of the tokens is there; returns the longest time until each answer goes on. */
    private double kill(
            Swarm swarm, Client client, List<String> prompts, List<Client.Answer> undisturbed, Random random)
            throws IOException, InterruptedException {
        String victim = stage(client, random.nextInt(STAGES));
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

    private static String stage(Client client, int number) throws IOException, InterruptedException {
        return client.ask("a", 1).nodes().get(number);
    }

    /** Until so many nodes have layers loaded, or are there at all. */
    private static void awaitNodes(Client client, int count, boolean loaded) throws IOException, InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(REPAIR_SECONDS);
        while (true) {
            int ready = 0;
            JsonNode machines = client.machines();
            for (JsonNode node : machines.path("nodes")) {
                boolean has = !node.path("layers").isEmpty() || !loaded;
                ready += node.path("role").asString().equals("node") && has ? 1 : 0;
            }
            if (ready >= count && machines.path("ready").asBoolean()) {
                return;
            }
            if (System.nanoTime() > until) {
                throw new IOException("only " + ready + " of " + count + " nodes are ready after " + REPAIR_SECONDS
                        + " s: " + machines);
            }
            TimeUnit.MILLISECONDS.sleep(POLL_MILLIS);
        }
    }
}
