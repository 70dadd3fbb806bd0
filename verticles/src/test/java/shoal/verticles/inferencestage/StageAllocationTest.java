package shoal.verticles.inferencestage;

import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.KernelChoice;
import shoal.bridge.kernel.KernelSettings;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.Stage;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.bridge.model.text.Tokenizers;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.wire.ActivationType;
import shoal.codec.wire.BatchHead;
import shoal.codec.wire.Frame;
import shoal.codec.wire.Sampling;
import shoal.codec.wire.SamplingState;
import shoal.codec.wire.Slice;

/**
 * What the computing thread leaves to the collector with each token, over a thousand of them, beside what the kernels leave (views of
 * memory, some for each layer): words about a token, never its values.
 */
class StageAllocationTest {
    private static final Path MODEL = Path.of(System.getProperty("shoal.repository"))
            .resolve("verticles/src/main/resources/models/stories-q8_0.gguf");
    private static final int LAYERS = 8;
    private static final int CONTEXT = 512;
    private static final int TOKENS = 1000;
    private static final long SESSION = 5;

    /** From a frame to a frame. An activation of this model has 512 bytes on the wire and 1,024 in F32, its logits have 8,192. */
    private static final long MOST_BYTES = 2560;

    /** The kernels, for a layer. */
    private static final long MOST_BYTES_A_LAYER = 6144;

    private final Command.ExecuteTask[] tasks = new Command.ExecuteTask[2];

    @Test
    void aTokenLeavesLittleBehind() throws Exception {
        var settings = new KernelSettings(null, 1);
        try (var kernels = KernelChoice.of(settings).provider().open(settings);
                var file = ModelFile.open(MODEL);
                Stage front = open(file, kernels, 0);
                Stage back = open(file, kernels, 1);
                var first = new PipelineStage(
                        front, () -> Tokenizers.of(file.header()), 1 << 20, new CopyShelf(0), _ -> {});
                var last = new PipelineStage(
                        back, () -> Tokenizers.of(file.header()), 1 << 20, new CopyShelf(0), _ -> {})) {
            tasks[0] = task(0, front);
            tasks[1] = task(1, back);
            first.join(Epoch.FIRST);
            last.join(Epoch.FIRST);
            last.open(new Frame.OpenSequence(7, Epoch.FIRST, 1, SESSION, 1, SamplingState.START, Sampling.GREEDY));
            var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            generate(first, last, 0, threads);
            compute(front, threads);
            compute(back, threads);
            long[] bytes = generate(first, last, TOKENS, threads);
            check("first", bytes[0], compute(front, threads));
            check("last", bytes[1], compute(back, threads));
        }
    }

    private static void check(String stage, long bytes, long ofKernels) {
        String found =
                stage + " stage: " + bytes / TOKENS + " bytes a token, of them " + ofKernels / TOKENS + " of kernels";
        assertTrue(ofKernels / TOKENS < MOST_BYTES_A_LAYER * LAYERS / 2, found);
        assertTrue((bytes - ofKernels) / TOKENS < MOST_BYTES, found);
    }

    /** The same tokens by the layers alone. @return bytes */
    private static long compute(Stage stage, ThreadMXBean threads) {
        MemorySegment input = MemorySegment.ofArray(new float[stage.config().hidden()]);
        MemorySegment output = MemorySegment.ofArray(new float[stage.outputWidth()]);
        try (SequenceMemory sequence = stage.openSequence()) {
            long before = threads.getCurrentThreadAllocatedBytes();
            for (int i = 0; i < TOKENS; i++) {
                int position = i % (CONTEXT - 1);
                stage.run(
                        stage.isFirst()
                                ? Batch.ofTokens(sequence, position, new int[] {i % 200}, Batch.Wanted.LAST)
                                : Batch.ofActivations(sequence, position, 1, input, Batch.Wanted.LAST),
                        output);
            }
            return threads.getCurrentThreadAllocatedBytes() - before;
        }
    }

    private static Stage open(ModelFile file, shoal.bridge.kernel.Kernels kernels, int half) {
        var layers = new LayerRange(half * LAYERS / 2, (half + 1) * LAYERS / 2 - 1);
        return Architectures.open(file, layers, new StageSettings(kernels, CONTEXT, CacheType.F16));
    }

    private static Command.ExecuteTask task(int number, Stage stage) {
        var contact = new Contact(new NodeId(Hash256.ZERO), List.of(new Endpoint("127.0.0.1", 9)));
        return new Command.ExecuteTask(
                7,
                Epoch.FIRST,
                number,
                number,
                stage.range(),
                Hash256.ZERO,
                number == 0 ? contact : null,
                contact,
                ActivationType.F16,
                CONTEXT,
                false,
                new Command.Term(Hash256.ZERO, 1));
    }

    /** A thousand tokens of one sequence, over again when its context is full. @return bytes of each stage */
    private long[] generate(PipelineStage first, PipelineStage last, int begin, ThreadMXBean threads) {
        long[] bytes = new long[2];
        for (int i = 0; i < TOKENS; i++) {
            var slices = List.of(new Slice(SESSION, i % (CONTEXT - 1), 1, true));
            var head = new BatchHead(7, Epoch.FIRST, begin + i, 0, 1, slices);
            var batch = new Frame.TokenBatch(head, List.of(i % 200));
            long before = threads.getCurrentThreadAllocatedBytes();
            @Nullable Frame between = first.run(tasks[0], batch);
            long middle = threads.getCurrentThreadAllocatedBytes();
            var activation = assertInstanceOf(Frame.Activation.class, between);
            long again = threads.getCurrentThreadAllocatedBytes();
            assertInstanceOf(Frame.TokensSampled.class, last.run(tasks[1], activation));
            bytes[0] += middle - before;
            bytes[1] += threads.getCurrentThreadAllocatedBytes() - again;
            first.rows().giveBack(activation.values());
        }
        return bytes;
    }
}
