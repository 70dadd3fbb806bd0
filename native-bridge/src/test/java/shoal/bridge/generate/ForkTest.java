package shoal.bridge.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import shoal.bridge.SharedData;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.Kernels;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.device.Devices;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.LayerRange;

/** Sequences that begin with the same pages give what sequences of their own give, whoever writes where; pages are counted. */
class ForkTest {
    private static final int LAYERS = 8;
    private static final int STEPS = 60;

    @ParameterizedTest
    @EnumSource(CacheType.class)
    void forksAreAsIfAlone(CacheType type) throws IOException {
        KernelSettings settings = new KernelSettings(null, 2);
        try (Kernels kernels = KernelChoice.of(settings).provider().open(settings)) {
            checkForks(new StageSettings(kernels, 4096, type), STEPS);
        }
    }

    @Test
    void onADeviceToo() throws IOException {
        try (Kernels kernels = Devices.open()) {
            checkForks(StageSettings.of(kernels), STEPS / 6);
        }
    }

    /** A sequence and the tokens that it must hold. */
    private record Live(SequenceMemory memory, List<Integer> tokens) {}

    private static void checkForks(StageSettings settings, int steps) throws IOException {
        long seed = 20_260_101;
        Random random = new Random(seed);
        try (ModelFile model = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                Stage stage = Architectures.open(model, new LayerRange(0, LAYERS - 1), settings)) {
            List<Live> live = new ArrayList<>();
            live.add(new Live(stage.openSequence(), new ArrayList<>()));
            extend(stage, live.getFirst(), 0, 37, random);
            for (int step = 0; step < steps; step++) {
                Live one = live.get(random.nextInt(live.size()));
                switch (random.nextInt(4)) {
                    case 0 -> {
                        int positions = random.nextInt(one.tokens.size() + 1);
                        live.add(new Live(
                                one.memory.fork(positions), new ArrayList<>(one.tokens.subList(0, positions))));
                    }
                    case 1 -> {
                        if (live.size() > 5) {
                            one.memory.close();
                            one.memory.close();
                            live.remove(one);
                        }
                    }
                    default -> {
                        int from = Math.max(0, Math.min(one.tokens.size(), 100) - random.nextInt(30));
                        float[] logits = extend(stage, one, from, 1 + random.nextInt(24), random);
                        assertArrayEquals(
                                alone(stage, one.tokens), logits, "seed " + seed + " step " + step + " from " + from);
                    }
                }
                int held = live.stream()
                        .mapToInt(each -> Math.ceilDiv(each.tokens.size(), CacheShape.PAGE_POSITIONS))
                        .sum();
                assertTrue(stage.pagesInUse() <= held, "seed " + seed + ": pages are not given back");
            }
            Live last = live.getLast();
            assertThrows(IllegalArgumentException.class, () -> last.memory.fork(last.tokens.size() + 1));
            live.forEach(each -> each.memory.close());
            assertEquals(0, stage.pagesInUse());
        }
    }

    @Test
    void wholePagesAreSharedAndLeftoversAreNotRead() throws IOException {
        KernelSettings settings = new KernelSettings(null, 1);
        try (Kernels kernels = KernelChoice.of(settings).provider().open(settings);
                ModelFile model = ModelFile.open(SharedData.file("models/stories-q8_0.gguf"));
                Stage stage = Architectures.open(model, new LayerRange(0, LAYERS - 1), StageSettings.of(kernels))) {
            Random random = new Random(1);
            Live first = new Live(stage.openSequence(), new ArrayList<>());
            extend(stage, first, 0, 40, random);
            assertEquals(3, stage.pagesInUse());
            SequenceMemory fork = first.memory.fork(40);
            assertEquals(4, stage.pagesInUse(), "two whole pages are shared, the third is copied");
            fork.close();
            first.memory.close();
            assertEquals(0, stage.pagesInUse());
            Live second = new Live(stage.openSequence(), new ArrayList<>());
            float[] logits = extend(stage, second, 0, 5, random);
            assertArrayEquals(alone(stage, second.tokens), logits);
            second.memory.close();
        }
    }

    /** Writes random tokens from a position on; gives the logits behind the last. */
    private static float[] extend(Stage stage, Live live, int from, int count, Random random) {
        int[] ids = random.ints(count, 3, 500).toArray();
        live.tokens.subList(from, live.tokens.size()).clear();
        Arrays.stream(ids).forEach(live.tokens::add);
        float[] logits = new float[stage.outputWidth()];
        stage.run(Batch.ofTokens(live.memory, from, ids, Batch.Wanted.LAST), MemorySegment.ofArray(logits));
        return logits;
    }

    private static float[] alone(Stage stage, List<Integer> tokens) {
        try (SequenceMemory fresh = stage.openSequence()) {
            float[] logits = new float[stage.outputWidth()];
            int[] ids = tokens.stream().mapToInt(Integer::intValue).toArray();
            stage.run(Batch.ofTokens(fresh, 0, ids, Batch.Wanted.LAST), MemorySegment.ofArray(logits));
            return logits;
        }
    }
}
