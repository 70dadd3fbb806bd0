package shoal.bridge.kernel.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageProgram;
import shoal.codec.gguf.GgmlType;

/** Which operations are done at once, and which must not be. */
class StageStepTest {
    private final StageProgram.Builder builder = new StageProgram.Builder();
    private final Slot x = builder.slot("x", 32);
    private final Slot n = builder.slot("n", 32);
    private final Slot a = builder.slot("a", 32);
    private final Slot b = builder.slot("b", 32);

    private static DeviceWeights weights(GgmlType type) {
        return new DeviceWeights(type, 32, 32, Arena.ofAuto().allocate(type.sizeBytes(32 * 32)));
    }

    private static Op.MatMul product(GgmlType type, Slot in, Slot out) {
        return new Op.MatMul(weights(type), null, in, out);
    }

    private List<String> steps(Slot output) {
        return StageStep.body(builder.build(x, output, new CacheShape(0, 1, 1))).stream()
                .map(step -> step.getClass().getSimpleName())
                .toList();
    }

    @Test
    void aTermThatNobodyReadsAgainIsAdded() {
        builder.add(product(GgmlType.F32, n, a)).add(new Op.Add(a, x)).add(product(GgmlType.F32, x, a));
        assertEquals(List.of("MultiplyAndAdd", "Single"), steps(x));
    }

    @Test
    void aTermThatIsReadAgainIsKept() {
        builder.add(product(GgmlType.F32, n, a)).add(new Op.Add(a, x)).add(new Op.Gate(a, x, Op.Gating.SILU));
        assertEquals(List.of("Single", "Single", "Single"), steps(x));
    }

    @Test
    void aTermThatIsTheOutputIsKept() {
        builder.add(product(GgmlType.F32, n, a)).add(new Op.Add(a, x));
        assertEquals(List.of("Single", "Single"), steps(a));
    }

    @Test
    void aProductOfTheSumItselfIsNotAddedToIt() {
        builder.add(product(GgmlType.F32, x, a)).add(new Op.Add(a, x));
        assertEquals(List.of("Single", "Single"), steps(x));
    }

    @Test
    void productsOfOneInputAndTypeGoTogether() {
        builder.add(product(GgmlType.F32, x, n))
                .add(product(GgmlType.F32, x, a))
                .add(product(GgmlType.F16, x, b));
        assertEquals(List.of("Together", "Single"), steps(b));
    }

    @Test
    void productsThatReadOneAnotherDoNot() {
        builder.add(product(GgmlType.F32, x, n))
                .add(product(GgmlType.F32, n, a))
                .add(product(GgmlType.F32, x, a));
        assertEquals(List.of("Single", "Single", "Single"), steps(a));
    }

    @Test
    void whatAProductInBlocksReadsIsRoundedAtOnce() {
        builder.add(new Op.RmsNorm(x, new float[32], 1e-6f, n))
                .add(new Op.RmsNorm(x, new float[32], 1e-6f, a))
                .add(product(GgmlType.Q8_0, n, b))
                .add(product(GgmlType.F32, a, x))
                .add(new Op.Gate(b, x, Op.Gating.GELU))
                .add(product(GgmlType.Q8_0, b, n))
                .add(new Op.Scale(n, 2));
        assertEquals(
                List.of("NormAndRound", "Single", "Single", "Single", "GateAndRound", "Single", "Single"), steps(n));
    }

    @Test
    void whatIsChangedBeforeIsNot() {
        builder.add(new Op.RmsNorm(x, new float[32], 1e-6f, n))
                .add(new Op.Scale(n, 2))
                .add(product(GgmlType.Q8_0, n, b));
        assertEquals(List.of("Single", "Single", "Single"), steps(b));
    }

    @Test
    void aLlamaLayerIsTenLaunches() {
        Slot q = builder.slot("q", 64);
        Slot k = builder.slot("k", 32);
        Slot v = builder.slot("v", 32);
        Slot attended = builder.slot("attended", 64);
        var table = new RopeTable(new double[] {1, 0.1}, 1, RopeTable.Pairing.HALVES);
        for (int layer = 0; layer < 2; layer++) {
            builder.add(new Op.RmsNorm(x, new float[32], 1e-6f, n));
            for (Slot out : List.of(q, k, v)) {
                builder.add(product(GgmlType.Q8_0, n, out));
            }
            builder.add(new Op.Rope(q, 2, 32, table))
                    .add(new Op.Rope(k, 1, 32, table))
                    .add(new Op.Store(layer, k, v))
                    .add(new Op.Attention(layer, q, 2, Op.Scores.scaled(1), attended))
                    .add(product(GgmlType.Q8_0, attended, n))
                    .add(new Op.Add(n, x))
                    .add(new Op.RmsNorm(x, new float[32], 1e-6f, n))
                    .add(product(GgmlType.Q8_0, n, a))
                    .add(product(GgmlType.Q8_0, n, b))
                    .add(new Op.Gate(a, b, Op.Gating.SILU))
                    .add(product(GgmlType.Q8_0, a, n))
                    .add(new Op.Add(n, x));
        }
        List<String> layer = List.of(
                "NormAndRound",
                "Together",
                "RopeBoth",
                "Single",
                "AttendAndRound",
                "MultiplyAndAdd",
                "NormAndRound",
                "Together",
                "GateAndRound",
                "MultiplyAndAdd");
        assertEquals(Stream.of(layer, layer).flatMap(List::stream).toList(), steps(x));
    }
}
