package shoal.bench.gpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.KeyValuePages;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.TopLogits;
import shoal.bridge.kernel.device.DeviceKernels;
import shoal.bridge.make.FileType;
import shoal.bridge.make.RandomSource;
import shoal.bridge.make.Recipe;
import shoal.bridge.model.Batch;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.LayerRange;

/** What serving asks of a device, to the last bit: long contexts however they are cut, picked logits, and copied keys and values. */
final class GpuServingCheck implements AutoCloseable {
    private static final long SEED = 20_263;

    /** More than two partitions of attention. */
    private static final int POSITIONS = 600;

    private static final int PICKS = 40;

    private final RandomSource source = new RandomSource(Recipe.of("llama-tiny"), FileType.Q8_0, SEED);
    private final Stage stage;
    private final int[] ids;
    private final BiConsumer<String, Boolean> same;

    /** @param same told what was compared, and whether it was the same */
    GpuServingCheck(DeviceKernels device, BiConsumer<String, Boolean> same) {
        this.same = same;
        int layers = Architectures.config(source.header()).layers();
        stage = Architectures.open(
                source, new LayerRange(0, layers - 1), new StageSettings(device, 2 * POSITIONS, CacheType.F16));
        ids = new Random(SEED).ints(POSITIONS, 0, stage.config().vocabulary()).toArray();
    }

    void run() {
        float[] whole;
        try (SequenceMemory sequence = stage.openSequence()) {
            whole = logits(sequence, POSITIONS);
            pick(whole);
        }
        for (int chunk : new int[] {3, 250}) {
            try (SequenceMemory sequence = stage.openSequence()) {
                float[] cut = logits(sequence, chunk);
                same.accept(POSITIONS + " positions in chunks of " + chunk, Arrays.equals(whole, cut));
            }
        }
        try (Arena arena = Arena.ofShared();
                SequenceMemory sequence = stage.openSequence();
                SequenceMemory other = stage.openSequence()) {
            logits(sequence, POSITIONS);
            var pages = KeyValuePages.allocate(sequence.shape(), POSITIONS - 1, arena);
            sequence.copyTo(pages);
            other.copyFrom(KeyValuePages.read(pages.sealed(), other.shape(), other.capacity()));
            same.accept("keys and values copied there and back", Arrays.equals(whole, logits(other, 1)));
        }
    }

    /** The logits behind the last token; what the sequence holds already is not computed. */
    private float[] logits(SequenceMemory sequence, int chunk) {
        float[] logits = new float[stage.outputWidth()];
        while (sequence.length() < POSITIONS) {
            int at = sequence.length();
            int[] part = Arrays.copyOfRange(ids, at, Math.min(POSITIONS, at + chunk));
            stage.run(Batch.ofTokens(sequence, at, part, Batch.Wanted.LAST), MemorySegment.ofArray(logits));
        }
        return logits;
    }

    private void pick(float[] whole) {
        try (SequenceMemory sequence = stage.openSequence()) {
            var slice = new Batch.Slice(sequence, 0, POSITIONS, Batch.Wanted.LAST, PICKS);
            var batch = new Batch(List.of(slice), new Batch.Input.Tokens(ids));
            var output = MemorySegment.ofArray(new float[(int) (stage.outputBytes(batch) / Float.BYTES)]);
            stage.run(batch, output);
            int[] sorted = IntStream.range(0, whole.length)
                    .boxed()
                    .sorted(Comparator.comparingDouble((Integer id) -> -whole[id])
                            .thenComparingInt(id -> id))
                    .limit(PICKS)
                    .mapToInt(Integer::intValue)
                    .toArray();
            same.accept(
                    "the " + PICKS + " highest logits",
                    Arrays.equals(sorted, TopLogits.read(output, 0, PICKS).ids()));
        }
    }

    @Override
    public void close() {
        stage.close();
        source.close();
    }
}
