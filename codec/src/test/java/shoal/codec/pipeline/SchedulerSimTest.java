package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.IntSummaryStatistics;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.codec.sim.SeedSource;
import shoal.codec.sim.Simulation;

/** Many generations over stages that die and links that lose, delay, double and reorder: each says what it would have said alone. */
class SchedulerSimTest {
    @ParameterizedTest
    @SeedSource(2000)
    void everyAnswerIsWhatItWouldHaveBeen(long seed) {
        var dice = Simulation.of(seed).random("shape", 0);
        int stages = 1 + dice.nextInt(4);
        boolean keeps = dice.nextBoolean();
        var world = new ServingWorld(seed, stages, ServingWorld.settings(1 + dice.nextInt(12), keeps ? 8 : 0));
        world.loss = dice.nextInt(3) == 0 ? 0.003 : 0;
        world.doubled = dice.nextInt(3) == 0 ? 0.05 : 0;
        world.reordered = dice.nextInt(3) == 0 ? 0.05 : 0;
        world.hopMicros = 1 + dice.nextInt(5000);
        world.logBytes = dice.nextInt(3) == 0 ? 600 : 1 << 20;
        world.copies = dice.nextBoolean() ? dice.nextDouble() : 0;
        world.tried = dice.nextBoolean();
        world.copiesLost = dice.nextInt(3) == 0 ? 0.3 : 0;
        world.pages = dice.nextBoolean() ? 12 + dice.nextInt(12) : 1000;
        world.start();
        int requests = 1 + dice.nextInt(10);
        List<Integer> common = world.randomPrompt(40);
        for (int i = 1; i <= requests; i++) {
            int session = i;
            var prompt = new ArrayList<Integer>();
            if (dice.nextBoolean()) {
                prompt.addAll(common.subList(0, dice.nextInt(40)));
            }
            prompt.addAll(world.randomPrompt(1 + dice.nextInt(dice.nextInt(5) == 0 ? 90 : 10)));
            int maxTokens = 1 + dice.nextInt(30);
            boolean looksBack = dice.nextInt(3) == 0;
            String user = "user " + dice.nextInt(3);
            world.simulation.after(
                    Duration.ofMillis(dice.nextInt(200)),
                    () -> world.submit(session, prompt, maxTokens, looksBack, user));
            if (dice.nextInt(6) == 0) {
                boolean gone = dice.nextBoolean();
                world.simulation.after(Duration.ofMillis(210 + dice.nextInt(200)), () -> {
                    if (gone) {
                        world.cancel(session);
                    } else {
                        world.enough(session);
                    }
                });
            }
        }
        int kills = dice.nextInt(4);
        for (int i = 0; i < kills; i++) {
            var victims = new TreeSet<Integer>();
            victims.add(dice.nextInt(stages));
            if (dice.nextBoolean()) {
                victims.add(dice.nextInt(stages));
            }
            world.simulation.after(Duration.ofMillis(dice.nextInt(800)), () -> world.kill(victims));
        }
        world.runUntil(() -> world.answers.size() == requests && world.allOver());
        if (world.loss == 0) {
            world.check("seed " + seed);
        }
        for (ServingWorld.Answer answer : world.answers.values()) {
            List<Integer> expected = StageModel.undisturbed(answer.request, stages);
            assertTrue(answer.end.matches("LENGTH|EOS|STOP|CANCELLED.*"), () -> "seed " + seed + ": " + answer.end);
            assertEquals(expected.subList(0, answer.tokens.size()), answer.tokens, "seed " + seed);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void aStageKilledAtEveryStep(int stages) {
        for (int millis = 0; millis < 150; millis += 3) {
            for (int victim = 0; victim < stages; victim++) {
                var world = new ServingWorld(millis, stages, ServingWorld.settings(8, 0));
                world.start();
                for (int i = 1; i <= 3; i++) {
                    world.submit(i, world.randomPrompt(20 * i), 12, i == 2, "user");
                }
                int slot = victim;
                world.simulation.after(Duration.ofMillis(millis), () -> world.kill(Set.of(slot)));
                world.runUntil(world::allOver);
                world.check("killed stage " + victim + " of " + stages + " after " + millis + " ms");
            }
        }
    }

    /** Only the stage that took over computes anew what was there before. */
    @Test
    void theStageBeforeSendsItsLogAgain() {
        var world = new ServingWorld(1, 3, ServingWorld.settings(8, 0));
        world.start();
        for (int i = 1; i <= 4; i++) {
            world.submit(i, world.randomPrompt(200), 40, false, "user");
        }
        world.runUntil(() -> world.answers.values().stream().allMatch(answer -> answer.tokens.size() >= 10));
        long sentBefore = world.prefillTokens;
        world.kill(Set.of(1));
        world.runUntil(world::allOver);
        world.check("log");
        assertEquals(1, world.recoveries);
        assertTrue(
                world.prefillTokens - sentBefore < 4 * 40,
                "the coordinator sent " + (world.prefillTokens - sentBefore) + " tokens more");
    }

    /** What a stand-in was sent before is not sent again: the last page alone is, and nothing at all is computed from token ids. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void copiesAreTakenUpInsteadOfReplayed(int victim) {
        long[] replayed = new long[2];
        for (int copies = 0; copies < 2; copies++) {
            var world = new ServingWorld(1, 3, ServingWorld.settings(8, 0));
            world.endTokens = Set.of();
            world.copies = copies;
            world.start();
            for (int i = 1; i <= 4; i++) {
                world.submit(i, world.randomPrompt(200), 60, false, "user");
            }
            world.runUntil(() -> world.answers.values().stream().allMatch(answer -> answer.tokens.size() >= 10));
            world.kill(Set.of(victim));
            world.runUntil(world::allOver);
            world.check("copies " + copies);
            replayed[copies] = world.scheduler.replayedPositions();
            assertEquals(copies == 1, world.scheduler.takenUpPositions() >= 4 * 192, "taken up");
        }
        assertTrue(replayed[1] <= 4 * (2 * StageModel.PAGE), "with copies were replayed " + replayed[1]);
        assertTrue(replayed[0] >= 4 * 200, "without were replayed " + replayed[0]);
    }

    /** Where all stages die at once, their copies still save the prompt. */
    @Test
    void copiesOutliveAllStages() {
        var world = new ServingWorld(1, 2, ServingWorld.settings(8, 0));
        world.endTokens = Set.of();
        world.copies = 1;
        world.start();
        world.submit(1, world.randomPrompt(200), 60, true, "user");
        world.runUntil(() -> world.answers.get(1L).tokens.size() >= 10);
        long sent = world.prefillTokens;
        world.kill(Set.of(0, 1));
        world.runUntil(world::allOver);
        world.check("all at once");
        assertTrue(world.prefillTokens - sent < 100, "tokens sent again: " + (world.prefillTokens - sent));
    }

    /** The cheaper of the two is taken, as both were measured. */
    @Test
    void copiesThatTakeLongerThanComputingAreLeft() {
        var world = new ServingWorld(1, 2, ServingWorld.settings(8, 0));
        world.copies = 1;
        world.copyNanos = 1_000_000_000;
        world.start();
        world.submit(1, world.randomPrompt(200), 60, false, "user");
        world.runUntil(() -> world.answers.get(1L).tokens.size() >= 20);
        world.kill(Set.of(1));
        world.runUntil(world::allOver);
        world.check("slow copies");
        assertEquals(0, world.scheduler.takenUpPositions());
        assertTrue(world.scheduler.replayedPositions() >= 200);
    }

    @Test
    void aThousandWaitAndNobodyStarves() {
        var world = new ServingWorld(2, 2, ServingWorld.settings(16, 0));
        world.pages = 200;
        world.start();
        for (int i = 1; i <= 999; i++) {
            world.submit(i, world.randomPrompt(8), 6, false, "many");
        }
        world.runUntil(() -> world.answers.values().stream()
                        .filter(ServingWorld.Answer::isOver)
                        .count()
                > 20);
        ServingWorld.Answer one = world.submit(1000, world.randomPrompt(8), 6, false, "one");
        long before = over(world);
        world.runUntil(one::isOver);
        assertTrue(over(world) - before <= 33, "others came first: " + (over(world) - before));
        world.runUntil(world::allOver);
        world.check("a thousand");
        world.submit(1001, world.randomPrompt(8), 6, false, "one");
        for (int i = 0; i < 1100; i++) {
            world.submit(2000 + i, world.randomPrompt(8), 6, false, "many");
        }
        assertTrue(
                world.answers.values().stream().anyMatch(answer -> answer.end.startsWith("BUSY: the queue is full")),
                "the queue has a bound");
        world.runUntil(world::allOver);
    }

    private static long over(ServingWorld world) {
        return world.answers.values().stream()
                .filter(ServingWorld.Answer::isOver)
                .count();
    }

    @Test
    void aLongPromptHoldsNobodyUpForMoreThanOnePart() {
        var world = new ServingWorld(3, 2, ServingWorld.settings(16, 0));
        world.endTokens = Set.of();
        world.start();
        for (int i = 1; i <= 6; i++) {
            world.submit(i, world.randomPrompt(10), 300, false, "user " + i);
        }
        world.runUntil(() -> world.answers.values().stream().allMatch(answer -> answer.tokens.size() > 60));
        long usual = longestGap(world, 40);
        world.submit(9, world.randomPrompt(3000), 1, false, "long");
        world.runUntil(() -> world.answers.get(9L).isOver());
        long gap = longestGap(world, 60);
        long part = 1000L * (world.fixedMicros + world.tokenMicros * Batching.MOST_CHUNK);
        assertTrue(gap <= usual + 2 * part, "a gap of " + gap + " ns, usual are " + usual);
        assertTrue(gap <= 4 * usual, "a gap of " + gap + " ns, usual are " + usual);
    }

    private static long longestGap(ServingWorld world, int from) {
        long longest = 0;
        for (ServingWorld.Answer answer : world.answers.values()) {
            for (int i = from; i < answer.times.size(); i++) {
                longest = Math.max(longest, answer.times.get(i) - answer.times.get(i - 1));
            }
        }
        return longest;
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4})
    void stagesAreBusyWithEightSequences(int stages) {
        var world = new ServingWorld(4, stages, ServingWorld.settings(16, 0));
        world.endTokens = Set.of();
        world.fixedMicros = 5000;
        world.start();
        for (int i = 1; i <= 8; i++) {
            world.submit(i, world.randomPrompt(4), 200, false, "user");
        }
        world.runUntil(() -> world.answers.values().stream().allMatch(answer -> answer.tokens.size() > 20));
        long from = world.simulation.nowNanos();
        long busy = world.busyNanos(0);
        world.simulation.runFor(Duration.ofSeconds(1));
        double share = (double) (world.busyNanos(0) - busy) / (world.simulation.nowNanos() - from);
        assertTrue(share > 0.85, "the first stage was busy for " + share);
        assertTrue(world.mostUnderWay <= stages + 1, "under way: " + world.mostUnderWay);
    }

    /** C parts over 2 stages take (C + 1) times one part at best. */
    @Test
    void aLonePromptKeepsBothStagesBusy() {
        var world = new ServingWorld(5, 2, ServingWorld.settings(4, 0));
        world.fixedMicros = 200;
        world.start();
        world.submit(1, world.randomPrompt(500), 1, false, "user"); // so that times are known
        world.runUntil(world::allOver);
        long from = world.simulation.nowNanos();
        int before = world.batchSizes.size();
        world.submit(2, world.randomPrompt(2000), 1, false, "user");
        world.runUntil(world::allOver);
        int parts = world.batchSizes.size() - before;
        double took = world.simulation.nowNanos() - from;
        double perfect = 1000.0 * world.tokenMicros * 2000; // one stage's work; two share the whole
        assertTrue(parts >= 8, "parts: " + parts);
        IntSummaryStatistics sizes = world.batchSizes.subList(before, world.batchSizes.size()).stream()
                .mapToInt(Integer::intValue)
                .summaryStatistics();
        assertTrue(sizes.getMin() >= sizes.getMax() - 2 * PagePool.PAGE_POSITIONS, "parts are alike: " + sizes);
        double reached = perfect / took;
        double wanted = 0.9 * parts / (parts + 1);
        assertTrue(reached >= wanted, "reached " + reached + " of perfect, wanted " + wanted + ", parts " + parts);
    }

    @Test
    void aSharedBeginningIsComputedOnce() {
        var world = new ServingWorld(6, 2, ServingWorld.settings(4, 8));
        world.start();
        List<Integer> system = world.randomPrompt(160);
        for (int i = 1; i <= 5; i++) {
            var prompt = new ArrayList<>(system);
            prompt.addAll(world.randomPrompt(7));
            world.submit(i, prompt, 5, i % 2 == 0, "user");
            world.runUntil(world::allOver);
        }
        world.check("shared");
        assertEquals(4 * 160, world.scheduler.reusedPositions());
        int pages = PagePool.pagesOf(160);
        assertTrue(world.scheduler.pagesUsed() <= pages + 5, "pages used: " + world.scheduler.pagesUsed());
        world.cancel(99);
        world.kill(Set.of(0));
        world.simulation.runFor(Duration.ofSeconds(2));
        assertEquals(0, world.scheduler.pagesUsed(), "nothing is kept when stages change");
    }

    /** With 20 ms from stage to stage, right guesses save ways. */
    @Test
    void aSlowWayCarriesSeveralTokens() {
        double[] seconds = new double[2];
        for (int right = 0; right < 2; right++) {
            var world = new ServingWorld(9, 2, ServingWorld.settings(4, 0));
            world.endTokens = Set.of();
            world.hopMicros = 20_000;
            world.rightGuesses = right * 0.9;
            world.start();
            world.submit(1, world.randomPrompt(20), 200, true, "user");
            world.runUntil(world::allOver);
            seconds[right] = world.answers.get(1L).endNanos / 1e9;
            world.check("slow, right guesses " + right);
        }
        assertTrue(seconds[1] < seconds[0] / 3, seconds[1] + " s with right guesses, " + seconds[0] + " s without");
    }

    @Test
    void whatNeverFitsIsRefusedAndTheRestGoesOn() {
        var world = new ServingWorld(7, 2, ServingWorld.settings(4, 0));
        world.pages = 4;
        world.start();
        world.submit(1, world.randomPrompt(60), 5, false, "user");
        world.submit(2, world.randomPrompt(30), 5, false, "user");
        world.submit(3, world.randomPrompt(20), 40, false, "user");
        world.submit(4, world.randomPrompt(20), 40, false, "user");
        world.runUntil(world::allOver);
        assertTrue(
                world.answers
                        .get(1L)
                        .end
                        .startsWith("CONTEXT: the request may take 65 positions, the stages have" + " room for 64."),
                world.answers.get(1L).end);
        world.answers.remove(1L);
        world.check("small");
    }

    @Test
    void aCancelledGenerationIsDroppedWithinOneStep() {
        var world = new ServingWorld(8, 2, ServingWorld.settings(4, 4));
        world.endTokens = Set.of();
        world.start();
        world.submit(1, world.randomPrompt(400), 100, false, "user");
        world.submit(2, world.randomPrompt(10), 10_000, false, "user");
        world.runUntil(() -> world.answers.get(2L).tokens.size() > 30);
        int sent = world.batchSizes.size();
        world.cancel(2);
        world.cancel(1);
        world.runUntil(() -> world.scheduler.pagesUsed() == 0);
        assertEquals(sent, world.batchSizes.size(), "work after the cancel");
        world.check("cancelled");
    }
}
