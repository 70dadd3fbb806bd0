package shoal.verticles.inferencestage;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import shoal.bridge.generate.GenerationRequest;
import shoal.bridge.generate.LocalGenerator;
import shoal.bridge.generate.PromptLookup;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.sampling.TokenHistory;
import shoal.bridge.model.text.Tokenizer;
import shoal.bridge.model.text.Tokenizers;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.command.Result;
import shoal.codec.pipeline.CopiedPages;
import shoal.codec.pipeline.Scheduler;
import shoal.codec.pipeline.Scheduler.Effect;
import shoal.codec.pipeline.Scheduler.Input;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.Frame;
import shoal.codec.wire.FrameDecoder;
import shoal.codec.wire.FrameEncoder;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.StreamKind;

/** The scheduler over real layers in one thread: each of many generations says what it says alone, whoever takes over meanwhile. */
class PipelineStageTest {
    private static final Path MODEL = Path.of(System.getProperty("shoal.repository"))
            .resolve("verticles/src/main/resources/models/stories-q8_0.gguf");
    private static final int LAYERS = 8;
    private static final int STAGES = 2;
    private static final int TOKENS = 30;

    /** That a stage takes for a micro-batch. */
    private static final int BUSY_MICROS = 500;

    /** Of copies that all sequences have room in; and with which some lose their place. */
    private static final long ALL = 1 << 26;

    private static final long SOME = 300_000;

    private static Kernels kernels;
    private static ModelFile file;
    private static Tokenizer tokenizer;
    private static final List<Stage> OPEN = new ArrayList<>();

    @BeforeAll
    static void open() throws Exception {
        var settings = new KernelSettings(null, 2);
        kernels = KernelChoice.of(settings).provider().open(settings);
        file = ModelFile.open(MODEL);
        tokenizer = Tokenizers.of(file.header());
        for (int stage = 0; stage < STAGES; stage++) {
            var layers = new LayerRange(stage * LAYERS / STAGES, (stage + 1) * LAYERS / STAGES - 1);
            OPEN.add(Architectures.open(file, layers, new StageSettings(kernels, 512, CacheType.F16)));
        }
    }

    @AfterAll
    static void close() {
        OPEN.forEach(Stage::close);
        file.close();
        kernels.close();
    }

    private static final String SHARED =
            "Once upon a time, there was a little girl named Lily. She loved to play outside in"
                    + " the sunshine with her big red ball. One day, ";

    private static final List<String> PROMPTS = List.of(
            "Once upon a time",
            SHARED + "she saw a cat.",
            SHARED + "her ball was gone.",
            "The dog",
            SHARED + "she saw a cat. The cat saw her.",
            "Tom said");

    private static Sampling sampling(int number) {
        Sampling drawn = new Sampling(0.9f, 40, 0.95f, 0, number);
        return switch (number) {
            case 1 -> drawn;
            case 2 -> drawn.withPenalties(new Sampling.Penalties(-1, 1.3f, 0.2f, 0));
            case 3 -> Sampling.GREEDY.withGrammar("root ::= [a-z ,.]+");
            case 4 -> Sampling.GREEDY.withLogprobs(3);
            case 5 -> drawn.withMirostat(new Sampling.Mirostat(5, 0.1f));
            default -> Sampling.GREEDY;
        };
    }

    private static List<Integer> tokens(String prompt) {
        return Arrays.stream(tokenizer.encode(prompt, true, true)).boxed().toList();
    }

    /** Coordinator and stages, with a clock that goes on by a step a frame. */
    private static final class Loop implements AutoCloseable {
        private final ActivationType type;
        private final long stepNanos;
        private final long copyBytes;
        private final Scheduler scheduler;
        private final PipelineStage[] stages = new PipelineStage[STAGES];

        /** Of the nodes that stand by, one for each stage. */
        private final CopyShelf[] shelves = new CopyShelf[STAGES];

        private final ArrayDeque<Input> inputs = new ArrayDeque<>();
        private final Map<Long, List<Integer>> said = new HashMap<>();
        private final Map<Long, String> ended = new HashMap<>();
        private Epoch epoch = Epoch.FIRST;
        private long now;
        private int sliced;
        private int drafted;
        private int replayed;

        Loop(ActivationType type, long stepNanos, long copyBytes) {
            this.copyBytes = copyBytes;
            this.type = type;
            this.stepNanos = stepNanos;
            scheduler = new Scheduler(
                    7,
                    new Scheduler.Settings(1, 16, 16, 4, Duration.ofSeconds(60)),
                    (tokens, most) -> new PromptLookup().draft(new TokenHistory(tokens), most));
            for (int stage = 0; stage < STAGES; stage++) {
                shelves[stage] = new CopyShelf(copyBytes);
                stages[stage] = fresh(stage);
            }
            join(Set.of(0, 1), Map.of());
        }

        /** A node that stood by; another one stands by for it. */
        private PipelineStage fresh(int stage) {
            CopyShelf shelf = shelves[stage];
            shelves[stage] = new CopyShelf(copyBytes);
            return new PipelineStage(OPEN.get(stage), () -> tokenizer, 1 << 20, shelf, _ -> {});
        }

        private void join(Set<Integer> fresh, Map<Integer, CopiedPages> copies) {
            epoch = epoch.next();
            for (PipelineStage stage : stages) {
                stage.join(epoch);
            }
            inputs.add(new Input.Ready(epoch, STAGES, 1000, fresh, copies, false));
        }

        void takeOver(int stage) {
            inputs.removeIf(input -> input instanceof Input.Done || input instanceof Input.Failed); // under way
            inputs.add(new Input.Lost("a machine is gone"));
            stages[stage].close();
            Result.HeldCopies held = shelves[stage].held(7, OPEN.get(stage));
            stages[stage] = fresh(stage);
            join(Set.of(stage), Map.of(stage, new CopiedPages(held.positions(), 1)));
        }

        void submit(long session, List<Integer> prompt, Sampling sampling) {
            said.put(session, new ArrayList<>());
            inputs.add(new Input.Submit(new Scheduler.Request(
                    session,
                    prompt,
                    prompt.size(),
                    SamplingState.START,
                    TOKENS,
                    tokenizer.endOfGeneration(),
                    sampling,
                    10,
                    "user")));
        }

        /** @return false when nothing is left to do */
        boolean step() {
            Input input = inputs.poll();
            if (input == null) {
                return false;
            }
            now += stepNanos;
            List.copyOf(scheduler.handle(input, now)).forEach(this::carryOut);
            return true;
        }

        private void carryOut(Effect effect) {
            switch (effect) {
                case Effect.Send(Frame frame) -> take(0, frame);
                case Effect.SendAgain(Frame.Replay replay) -> {
                    replayed++;
                    take(replay.head().stage(), replay);
                }
                case Effect.Release(Frame.Release release) -> {
                    for (PipelineStage stage : stages) {
                        stage.release(release);
                    }
                }
                case Effect.Emit emit -> said.get(emit.session()).add(emit.token());
                case Effect.Finish(long session, Frame.StopReason reason) -> ended.put(session, reason.name());
                case Effect.Fail fail -> throw new AssertionError(fail.toString());
                case Effect.Trouble trouble -> throw new AssertionError(trouble.toString());
                case Effect.Proven _ -> {}
            }
        }

        private void take(int stage, Frame frame) {
            Frame result = switch (frame) {
                case Frame.TokenBatch batch -> {
                    BatchHead head = batch.head();
                    sliced = Math.max(sliced, head.slices().size());
                    drafted += head.slices().stream()
                            .mapToInt(slice -> slice.drafted().size())
                            .sum();
                    yield stages[stage].run(task(stage), batch);
                }
                case Frame.Activation batch -> stages[stage].run(task(stage), batch);
                case Frame.Replay(BatchHead head) -> stages[stage].replay(task(stage), head);
                case Frame.OpenSequence open -> {
                    if (stage + 1 < STAGES) {
                        yield open.next();
                    }
                    stages[stage].open(open);
                    yield null;
                }
                case Frame.SequenceTokens tokens -> {
                    if (stage + 1 < STAGES) {
                        yield tokens.next();
                    }
                    stages[stage].learn(tokens);
                    yield null;
                }
                default -> throw new AssertionError(frame.toString());
            };
            switch (result) {
                case null -> {}
                case Frame.TokensSampled sampled -> inputs.add(new Input.Done(timed(sampled)));
                case Frame.StageFailed failed -> inputs.add(new Input.Failed(failed));
                default -> take(stage + 1, result);
            }
            if (result instanceof Frame.Activation sent) {
                stages[stage].rows().giveBack(sent.values());
            }
            copy(stage);
        }

        /** What is new goes to the node that stands by, as the wire has it. */
        private void copy(int stage) {
            for (Frame.KeyValues pages = stages[stage].nextCopy(task(stage), "order");
                    pages != null;
                    pages = stages[stage].nextCopy(task(stage), "order")) {
                new FrameDecoder(StreamKind.STAGE)
                        .feed(
                                ByteBuffer.wrap(FrameEncoder.toBytes(pages)),
                                frame -> shelves[stage].put(OPEN.get(stage), (Frame.KeyValues) frame));
            }
        }

        /** By the loop's clock, not by this machine's: whether drafts are worth while depends on it. */
        private static Frame.TokensSampled timed(Frame.TokensSampled frame) {
            List<Integer> busy = Collections.nCopies(frame.busyMicros().size(), BUSY_MICROS);
            return new Frame.TokensSampled(frame.pipeline(), frame.epoch(), frame.microBatch(), busy, frame.tokens());
        }

        private Command.ExecuteTask task(int stage) {
            var contact = new Contact(new NodeId(Hash256.ZERO), List.of(new Endpoint("127.0.0.1", 9)));
            return new Command.ExecuteTask(
                    7,
                    epoch,
                    stage,
                    stage,
                    OPEN.get(stage).range(),
                    Hash256.ZERO,
                    stage + 1 < STAGES ? contact : null,
                    contact,
                    type,
                    512,
                    false,
                    new Command.Term(Hash256.ZERO, 1));
        }

        @Override
        public void close() {
            for (int stage = 0; stage < STAGES; stage++) {
                stages[stage].close();
                shelves[stage].close();
            }
        }
    }

    private static Map<Long, List<Integer>> run(ActivationType type, long stepNanos, int takeOvers) {
        return run(type, stepNanos, takeOvers, 0);
    }

    private static Map<Long, List<Integer>> run(ActivationType type, long stepNanos, int takeOvers, long copyBytes) {
        try (Loop loop = new Loop(type, stepNanos, copyBytes)) {
            for (int i = 0; i < PROMPTS.size(); i++) {
                loop.submit(i + 1, tokens(PROMPTS.get(i)), sampling(i));
                while (i < 4 && loop.said.get(i + 1L).size() < 3) {
                    assertTrue(loop.step());
                }
            }
            for (int i = 0; i < takeOvers; i++) {
                for (int steps = 0; steps < 7; steps++) {
                    loop.step();
                }
                loop.takeOver((i + 1) % STAGES);
            }
            while (loop.step()) {}
            assertEquals(PROMPTS.size(), loop.ended.size(), loop.ended::toString);
            assertTrue(loop.sliced > 1, "several generations went together");
            assertTrue(takeOvers == 0 || loop.replayed > 0, "the log was used");
            assertEquals(copyBytes > 0, loop.scheduler.takenUpPositions() > 0, "copies were taken up");
            if (copyBytes >= ALL) {
                assertTrue(
                        loop.scheduler.takenUpPositions() > loop.scheduler.replayedPositions(),
                        () -> "replayed " + loop.scheduler.replayedPositions() + ", taken up "
                                + loop.scheduler.takenUpPositions());
            }
            assertTrue(loop.scheduler.reusedPositions() >= 16, "a beginning was shared");
            assertEquals(loop.scheduler.kept(), loop.stages[0].sequences(), "what is over is gone");
            if (stepNanos > 1_000_000) {
                assertTrue(loop.drafted > 0, "tokens were drafted");
            }
            return loop.said;
        }
    }

    /** Exact activations: what one process says. */
    @Test
    void eachSaysWhatItSaysAlone() {
        Map<Long, List<Integer>> alone = new HashMap<>();
        try (var generator = LocalGenerator.open(file, new StageSettings(kernels, 512, CacheType.F16))) {
            for (int i = 0; i < PROMPTS.size(); i++) {
                int[] prompt = tokenizer.encode(PROMPTS.get(i), true, true);
                alone.put(
                        i + 1L,
                        generator
                                .generate(GenerationRequest.of(prompt, TOKENS, sampling(i)), _ -> {})
                                .tokens());
            }
        }
        assertEquals(alone, run(ActivationType.F32, 1000, 0));
        assertEquals(alone, run(ActivationType.F32, 1000, 3), "others took over");
        assertEquals(alone, run(ActivationType.F32, 20_000_000, 2), "over slow ways");
        assertEquals(alone, run(ActivationType.F32, 1000, 3, ALL), "others took over who had copies");
        assertEquals(alone, run(ActivationType.F32, 1000, 3, SOME), "others took over who had some copies");
    }

    @ParameterizedTest
    @EnumSource(
            value = ActivationType.class,
            names = {"F16", "Q8_0"})
    void whoTakesOverSaysTheSameToo(ActivationType type) {
        assertEquals(run(type, 1000, 0), run(type, 1000, 3));
    }
}
