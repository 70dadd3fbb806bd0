package shoal.codec.pipeline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import java.util.random.RandomGenerator;
import shoal.codec.base.Epoch;
import shoal.codec.sim.SimMachine;
import shoal.codec.sim.Simulation;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.ErrorCode;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.Slice;

/** A coordinator, the machines of its stages, and what lies between them, in virtual time. */
final class ServingWorld {
    final Simulation simulation;
    final RandomGenerator random;
    final Scheduler scheduler;
    final Map<Long, Answer> answers = new HashMap<>();
    final List<Integer> batchSizes = new ArrayList<>();
    int pages = 1 << 20;
    int fixedMicros = 1000;
    int tokenMicros = 100;
    int hopMicros = 100;
    double loss;
    double rightGuesses = 0.7;
    double doubled;
    double reordered;
    long logBytes = 1 << 20;

    /** Share of the pages of a machine that dies of which its successor has copies. */
    double copies;

    /** How often a copy is gone when it is wanted. */
    double copiesLost;

    long copyNanos = 1000;

    /** Whether stages are said to have been tried already. */
    boolean tried;

    Set<Integer> endTokens = Set.of(StageModel.END);
    int recoveries;
    int mostUnderWay;
    long prefillTokens;

    private final int stages;
    private final SimMachine<Scheduler.Input, Scheduler.Effect> driver;
    private final StageModel[] machines;
    private final long[] busyUntil;
    private final Map<String, Long> lastArrival = new HashMap<>();
    private final Set<Integer> underWay = new HashSet<>();
    private Epoch epoch = Epoch.FIRST;
    private final Map<Long, List<Integer>> expected = new HashMap<>();
    private boolean recovering;
    private boolean proven;

    /** What came of a request. */
    static final class Answer {
        final Scheduler.Request request;
        final List<Integer> tokens = new ArrayList<>();
        final List<Long> times = new ArrayList<>();
        String end = "";
        long endNanos;

        Answer(Scheduler.Request request) {
            this.request = request;
        }

        boolean isOver() {
            return !end.isEmpty();
        }
    }

    ServingWorld(long seed, int stages, Scheduler.Settings settings) {
        this.stages = stages;
        simulation = Simulation.of(seed);
        random = simulation.random("world", 0);
        scheduler = new Scheduler(7, settings, this::guess);
        driver = simulation.drive(scheduler, new Scheduler.Input.Tick(), this::carryOut);
        machines = new StageModel[stages];
        busyUntil = new long[stages];
    }

    static Scheduler.Settings settings(int maxActive, int maxKept) {
        return new Scheduler.Settings(1, maxActive, 1000, maxKept, Duration.ofSeconds(60));
    }

    /** What the model will say, but for some tokens. */
    private int[] guess(int[] tokens, int most) {
        for (Answer answer : answers.values()) {
            List<Integer> prompt = answer.request.tokens();
            boolean isIts = tokens.length >= prompt.size();
            for (int i = 0; isIts && i < prompt.size(); i++) {
                isIts = prompt.get(i) == tokens[i];
            }
            if (isIts) {
                List<Integer> said = expected.computeIfAbsent(
                        answer.request.session(), _ -> StageModel.undisturbed(answer.request, stages));
                int from = Math.min(said.size(), tokens.length - prompt.size());
                return said.subList(from, Math.min(said.size(), from + most)).stream()
                        .mapToInt(token -> random.nextDouble() < rightGuesses ? token : 1)
                        .toArray();
            }
        }
        return new int[0];
    }

    /** All stages come up. */
    void start() {
        for (int slot = 0; slot < stages; slot++) {
            machines[slot] = new StageModel(slot, stages, logBytes);
        }
        join(all(), Map.of());
    }

    Set<Integer> all() {
        var slots = new TreeSet<Integer>();
        for (int slot = 0; slot < stages; slot++) {
            slots.add(slot);
        }
        return slots;
    }

    Answer submit(long session, List<Integer> prompt, int maxTokens, boolean looksBack, String user) {
        Sampling sampling =
                looksBack ? Sampling.GREEDY.withPenalties(new Sampling.Penalties(64, 1.5f, 0, 0)) : Sampling.GREEDY;
        var request = new Scheduler.Request(
                session, prompt, prompt.size(), SamplingState.START, maxTokens, endTokens, sampling, 1000, user);
        var answer = new Answer(request);
        answers.put(session, answer);
        driver.feed(new Scheduler.Input.Submit(request));
        return answer;
    }

    void cancel(long session) {
        driver.feed(new Scheduler.Input.Cancel(session));
    }

    void enough(long session) {
        driver.feed(new Scheduler.Input.Enough(session));
    }

    boolean allOver() {
        return answers.values().stream().allMatch(Answer::isOver);
    }

    List<Integer> randomPrompt(int size) {
        var prompt = new ArrayList<Integer>();
        for (int i = 0; i < size; i++) {
            prompt.add(1 + random.nextInt(StageModel.VOCABULARY - 1));
        }
        return prompt;
    }

    /** Machines die; that is noticed after a while, and others take over. */
    void kill(Set<Integer> slots) {
        for (int slot : slots) {
            machines[slot].alive = false;
        }
        simulation.after(Duration.ofMillis(5 + random.nextInt(50)), () -> recover("a machine is gone"));
    }

    private void recover(String message) {
        if (recovering) {
            return;
        }
        recovering = true;
        proven = false;
        recoveries++;
        driver.feed(new Scheduler.Input.Lost(message));
        simulation.after(Duration.ofMillis(1 + random.nextInt(300)), () -> {
            var fresh = new TreeSet<Integer>();
            var held = new HashMap<Integer, CopiedPages>();
            for (int slot = 0; slot < stages; slot++) {
                if (!machines[slot].alive) {
                    var successor = new StageModel(slot, stages, logBytes);
                    held.put(slot, copies(machines[slot], successor));
                    machines[slot] = successor;
                    fresh.add(slot);
                }
            }
            recovering = false;
            join(fresh, held);
        });
    }

    /** What the successor was sent in time, page by page and in order; it tells of some that it does not have any more. */
    private CopiedPages copies(StageModel dead, StageModel successor) {
        var held = new HashMap<Long, List<Long>>();
        var told = new HashMap<Long, Integer>();
        dead.copy().forEach((session, inputs) -> {
            int pages = 0;
            while (pages < inputs.size() / StageModel.PAGE && random.nextDouble() < copies) {
                pages++;
            }
            if (pages > 0) {
                told.put(session, pages * StageModel.PAGE);
                if (random.nextDouble() >= copiesLost) {
                    held.put(session, inputs.subList(0, pages * StageModel.PAGE));
                }
            }
        });
        successor.shelf = held;
        return new CopiedPages(told, copyNanos);
    }

    private void join(Set<Integer> fresh, Map<Integer, CopiedPages> held) {
        epoch = epoch.next();
        underWay.clear();
        for (StageModel machine : machines) {
            machine.join(epoch);
        }
        driver.feed(new Scheduler.Input.Ready(epoch, stages, pages, fresh, held, tried));
    }

    private void carryOut(Scheduler.Effect effect) {
        switch (effect) {
            case Scheduler.Effect.Send(Frame frame) -> {
                if (frame instanceof Frame.TokenBatch(BatchHead head, List<Integer> tokens)) {
                    sent(head, tokens.size());
                }
                toStage(-1, 0, frame);
            }
            case Scheduler.Effect.SendAgain(Frame.Replay replay) -> {
                sent(replay.head(), 0);
                toStage(-1, replay.head().stage(), replay);
            }
            case Scheduler.Effect.Release(Frame.Release release) -> {
                for (int slot = 0; slot < stages; slot++) {
                    toStage(-1, slot, release);
                }
            }
            case Scheduler.Effect.Emit(long session, int token, float _, List<?> _, SamplingState _) -> {
                Answer answer = answers.get(session);
                assertEquals("", answer.end, "a token after the end of " + session);
                answer.tokens.add(token);
                answer.times.add(simulation.nowNanos());
            }
            case Scheduler.Effect.Finish(long session, Frame.StopReason reason) -> end(session, reason.name());
            case Scheduler.Effect.Fail(long session, ErrorCode code, String message) ->
                end(session, code + ": " + message);
            case Scheduler.Effect.Proven(Epoch of) -> {
                assertEquals(epoch, of);
                proven = true;
            }
            case Scheduler.Effect.Trouble(Epoch of, String message) -> {
                if (of.equals(epoch)) {
                    recover(message);
                }
            }
        }
    }

    private void sent(BatchHead head, int tokens) {
        underWay.add(head.number());
        mostUnderWay = Math.max(mostUnderWay, underWay.size());
        Set<Long> named = new HashSet<>();
        for (Slice slice : head.slices()) {
            assertTrue(named.add(slice.session()), "a sequence is twice in a micro-batch");
            Answer answer = answers.get(slice.session());
            assertTrue(answer == null || !answer.isOver(), "work for a generation that is over");
        }
        if (tokens > 0 && proven) {
            batchSizes.add(tokens);
            prefillTokens += tokens;
        }
    }

    private void end(long session, String how) {
        Answer answer = answers.get(session);
        assertEquals("", answer.end, "a second end of " + session);
        answer.end = how;
        answer.endNanos = simulation.nowNanos();
    }

    private void toStage(int from, int slot, Frame frame) {
        StageModel machine = machines[slot];
        Epoch now = epoch;
        send(
                from,
                slot,
                () -> {
                    if (!machine.alive) {
                        return;
                    }
                    if (!(frame instanceof Frame.TokenBatch || frame instanceof Frame.Activation)) {
                        machine.take(frame, 0, next -> toStage(slot, slot + 1, next), this::toCoordinator);
                        return;
                    }
                    int tokens = frame instanceof Frame.TokenBatch batch
                            ? batch.head().tokenCount()
                            : ((Frame.Activation) frame).head().tokenCount();
                    int micros = fixedMicros + tokenMicros * tokens;
                    busyUntil[slot] = Math.max(busyUntil[slot], simulation.nowNanos()) + 1000L * micros;
                    simulation.at(busyUntil[slot], () -> {
                        if (machine.alive) {
                            machine.take(frame, micros, next -> toStage(slot, slot + 1, next), this::toCoordinator);
                        }
                    });
                },
                now);
    }

    private void toCoordinator(Frame frame) {
        send(
                stages,
                -1,
                () -> {
                    switch (frame) {
                        case Frame.TokensSampled result -> {
                            underWay.remove(result.microBatch());
                            driver.feed(new Scheduler.Input.Done(result));
                        }
                        case Frame.StageFailed failure -> {
                            underWay.remove(failure.microBatch());
                            driver.feed(new Scheduler.Input.Failed(failure));
                        }
                        default -> throw new AssertionError("the coordinator got " + frame);
                    }
                },
                epoch);
    }

    private void send(int from, int to, Runnable arrive, Epoch sentIn) {
        int copies = random.nextDouble() < loss ? 0 : random.nextDouble() < doubled ? 2 : 1;
        for (int copy = 0; copy < copies; copy++) {
            long at = simulation.nowNanos() + 1000L * (hopMicros + random.nextInt(hopMicros));
            if (random.nextDouble() < reordered) {
                at += 1_000_000L * random.nextInt(30);
            } else {
                String way = from + ">" + to;
                at = Math.max(at, lastArrival.getOrDefault(way, 0L));
                lastArrival.put(way, at);
            }
            simulation.at(at, arrive);
        }
    }

    long busyNanos(int slot) {
        return 1000 * scheduler.load().busyMicros(slot);
    }

    /** Every answer is what it would have been without any trouble, and nothing is left behind. */
    void check(String about) {
        simulation.runFor(Duration.ofSeconds(5)); // what is under way arrives
        for (Answer answer : answers.values()) {
            List<Integer> expected = StageModel.undisturbed(answer.request, stages);
            boolean wasWhole = answer.end.equals("LENGTH") || answer.end.equals("EOS");
            assertEquals(
                    wasWhole ? expected : expected.subList(0, Math.min(expected.size(), answer.tokens.size())),
                    answer.tokens,
                    about + ", session " + answer.request.session() + " ended " + answer.end);
        }
        assertEquals(0, scheduler.size(), about);
        int kept = scheduler.kept();
        assertTrue(kept > 0 || scheduler.pagesUsed() == 0, about + ": pages are left");
        for (StageModel machine : machines) {
            assertTrue(
                    machine.sessions().size() <= kept,
                    about + ": stage " + machine.slot + " holds " + machine.sessions() + ", kept are " + kept);
        }
    }

    void runUntil(BooleanSupplier condition) {
        simulation.runUntil(condition, Duration.ofMinutes(30));
    }
}
