package shoal.bridge.kernel;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What an operation does with slots.
 *
 * @param reads those whose values it needs, the ones that it changes in place included
 * @param overwritten the one whose values are lost, if there is one
 */
public record OpUse(List<Slot> reads, @Nullable Slot overwritten) {
    public OpUse {
        reads = List.copyOf(reads);
    }

    public static OpUse of(Op op) {
        return switch (op) {
            case Op.Embed(PreparedWeights _, Slot out) -> new OpUse(List.of(), out);
            case Op.RmsNorm norm -> new OpUse(List.of(norm.in()), norm.out());
            case Op.LayerNorm norm -> new OpUse(List.of(norm.in()), norm.out());
            case Op.MatMul product -> new OpUse(List.of(product.in()), product.out());
            case Op.Attention attention -> new OpUse(List.of(attention.queries()), attention.out());
            case Op.SelectRows(Slot in, Slot out) -> new OpUse(List.of(in), out);
            case Op.Experts experts -> new OpUse(List.of(experts.in()), experts.out());
            case Op.RmsNormRuns norm -> new OpUse(List.of(norm.values()), null);
            case Op.Rope rope -> new OpUse(List.of(rope.values()), null);
            case Op.Gelu(Slot values) -> new OpUse(List.of(values), null);
            case Op.Scale(Slot values, float _) -> new OpUse(List.of(values), null);
            case Op.SoftCap(Slot values, float _) -> new OpUse(List.of(values), null);
            case Op.Store(int _, Slot keys, Slot values) -> new OpUse(List.of(keys, values), null);
            case Op.Gate(Slot gate, Slot up, Op.Gating _) -> new OpUse(List.of(gate, up), null);
            case Op.Add(Slot term, Slot sum) -> new OpUse(List.of(term, sum), null);
            case Op.AddGated(Slot term, Slot gate, Slot sum) -> new OpUse(List.of(term, gate, sum), null);
        };
    }
}
