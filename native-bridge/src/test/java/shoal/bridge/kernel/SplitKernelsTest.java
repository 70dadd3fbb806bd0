package shoal.bridge.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import shoal.bridge.SharedData;
import shoal.bridge.generate.LocalGenerator;
import shoal.bridge.kernel.SplitKernels.Share;
import shoal.bridge.kernel.host.HostKernels;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.bridge.model.Batch;
import shoal.bridge.model.ModelFile;
import shoal.bridge.model.StageSettings;
import shoal.bridge.model.arch.Architectures;
import shoal.codec.base.LayerRange;
import shoal.codec.gguf.GgmlType;

/** Wherever a stage is cut, it computes the same to the last bit. */
class SplitKernelsTest {
    private static final int[] TOKENS = {1, 5, 9, 200, 31, 7, 77, 12, 3, 3, 4};

    private static Kernels plain() {
        return new HostKernels("scalar", new ScalarOperations(), 1);
    }

    /** One share for each number of layers, and one for what is left. */
    private static Kernels split(int... layers) {
        var shares = new ArrayList<Share>();
        for (int count : layers) {
            shares.add(new Share(plain(), count));
        }
        shares.add(new Share(plain(), SplitKernels.AS_MANY_AS_FIT));
        return new SplitKernels(shares);
    }

    private record Result(float[] logits, String placement) {}

    private static Result run(ModelFile model, Kernels opened, int stages) {
        try (Kernels kernels = opened;
                LocalGenerator generator = LocalGenerator.open(model, StageSettings.of(kernels), stages, 4)) {
            return new Result(generator.logits(TOKENS), generator.placement());
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "gemma2",
                "gemma3",
                "gpt-oss",
                "granite",
                "llama31",
                "mixtral",
                "olmoe",
                "phi3",
                "qwen2",
                "qwen2moe",
                "qwen3",
                "qwen3moe",
                "smollm3",
                "stablelm",
                "starcoder2"
            })
    void everyCutOfEveryArchitectureGivesTheSame(String architecture) throws Exception {
        try (ModelFile model = ModelFile.open(SharedData.file("testdata/arch/" + architecture + ".gguf"))) {
            int layers = Architectures.config(model.header()).layers();
            float[] whole = run(model, plain(), 1).logits();
            for (int first = 0; first <= layers + 1; first++) {
                Result cut = run(model, split(first), 1);
                assertArrayEquals(whole, cut.logits(), architecture + " behind layer " + first);
                assertEquals(first > 0 && first < layers, !cut.placement().isEmpty(), cut.placement());
            }
            Result many = run(model, split(1, 1), 1);
            assertArrayEquals(whole, many.logits());
            assertArrayEquals(whole, run(model, split(1), 2).logits(), "two stages, both cut");
        }
    }

    @Test
    void saysWhichLayersRunWhere() throws Exception {
        try (ModelFile model = ModelFile.open(SharedData.file("testdata/arch/llama31.gguf"))) {
            int last = Architectures.config(model.header()).layers() - 1;
            assertEquals(
                    "layers 0-0 on scalar, layers 1-" + last + " on scalar",
                    run(model, split(1), 1).placement());
        }
    }

    @Test
    void asManyAsFitIsAskedOfTheKernels() throws Exception {
        var roomForOne = new HostKernels("scalar", new ScalarOperations(), 1);
        Kernels bounded = new Kernels() {
            @Override
            public String name() {
                return "bounded";
            }

            @Override
            public Set<GgmlType> supportedTypes() {
                return roomForOne.supportedTypes();
            }

            @Override
            public boolean keepsSumOrder() {
                return true;
            }

            @Override
            public PreparedWeights prepare(GgmlType type, int rows, int columns, MemorySegment mapped) {
                return roomForOne.prepare(type, rows, columns, mapped);
            }

            @Override
            public CompiledStage compile(StageProgram program) {
                assertEquals(1, program.cache().layers());
                return roomForOne.compile(program);
            }

            @Override
            public int layersThatFit(StageProgram program) {
                return 1;
            }

            @Override
            public void close() {
                roomForOne.close();
            }
        };
        try (ModelFile model = ModelFile.open(SharedData.file("testdata/arch/qwen3.gguf"))) {
            var shares = List.of(
                    new Share(bounded, SplitKernels.AS_MANY_AS_FIT), new Share(plain(), SplitKernels.AS_MANY_AS_FIT));
            Result cut = run(model, new SplitKernels(shares), 1);
            assertArrayEquals(run(model, plain(), 1).logits(), cut.logits());
            assertTrue(cut.placement().startsWith("layers 0-0 on bounded, "), cut.placement());
        }
    }

    @Test
    void refusesSequencesOfOthers() throws Exception {
        try (ModelFile model = ModelFile.open(SharedData.file("testdata/arch/qwen3.gguf"));
                Kernels kernels = split(1);
                Kernels other = plain()) {
            var range = new LayerRange(0, Architectures.config(model.header()).layers() - 1);
            try (var stage = Architectures.open(model, range, StageSettings.of(kernels));
                    var foreign = Architectures.open(model, range, StageSettings.of(other));
                    SequenceMemory sequence = foreign.openSequence()) {
                var batch = Batch.ofTokens(sequence, 0, new int[] {1}, Batch.Wanted.NONE);
                var out = MemorySegment.ofArray(new float[0]);
                String message = assertThrows(IllegalArgumentException.class, () -> stage.run(batch, out))
                        .getMessage();
                assertTrue(message.contains("another stage"), message);
            }
        }
    }
}
