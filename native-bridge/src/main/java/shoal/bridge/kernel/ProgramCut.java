package shoal.bridge.kernel;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.function.UnaryOperator;

/** Cuts a program between two of its layers, where a single slot carries everything on. */
final class ProgramCut {
    private final StageProgram program;

    /** Entry i: slots that operation i of the body, or one behind it, reads before they are overwritten. */
    private final List<BitSet> liveBefore = new ArrayList<>();

    ProgramCut(StageProgram program) {
        this.program = program;
        BitSet live = new BitSet();
        live.set(program.output().index());
        program.head().reversed().forEach(op -> passBack(op, live));
        for (Op op : program.body().reversed()) {
            passBack(op, live);
            liveBefore.addFirst((BitSet) live.clone());
        }
    }

    /** The two halves of a cut program; the second takes what the first gives. */
    record Halves(StageProgram first, StageProgram second) {}

    /** @param layers of the first half, 1 up to one less than the program has */
    Halves behind(int layers) {
        int at = place(layers);
        Slot carried = program.slots().get(liveBefore.get(at).nextSetBit(0));
        CacheShape cache = program.cache();
        List<Op> rest = program.body().subList(at, program.body().size()).stream()
                .map(op -> changed(op, layers, UnaryOperator.identity()))
                .toList();
        return new Halves(
                new StageProgram(
                        program.slots(),
                        program.input(),
                        carried,
                        program.body().subList(0, at),
                        List.of(),
                        new CacheShape(layers, cache.kvHeads(), cache.headSize(), cache.type())),
                new StageProgram(
                        program.slots(),
                        carried,
                        program.output(),
                        rest,
                        program.head(),
                        new CacheShape(cache.layers() - layers, cache.kvHeads(), cache.headSize(), cache.type())));
    }

    /** The last place before a layer keeps its keys at which one slot is live. */
    private int place(int layer) {
        int at = 0;
        while (!(program.body().get(at) instanceof Op.Store store && store.layer() == layer)) {
            at++;
        }
        while (at > 0 && liveBefore.get(at).cardinality() != 1) {
            at--;
        }
        boolean behindLayerBefore = program.body().subList(0, at).stream()
                .anyMatch(op -> op instanceof Op.Store before && before.layer() == layer - 1);
        if (!behindLayerBefore) {
            throw new IllegalArgumentException(
                    "layers " + (layer - 1) + " and " + layer + " hand on more than one slot; they can't be parted");
        }
        return at;
    }

    private static void passBack(Op op, BitSet live) {
        OpUse use = OpUse.of(op);
        Slot lost = use.overwritten();
        if (lost != null) {
            live.clear(lost.index());
        }
        use.reads().forEach(slot -> live.set(slot.index()));
    }

    /** The same program with other weights. */
    static StageProgram withWeights(StageProgram program, UnaryOperator<PreparedWeights> weights) {
        return new StageProgram(
                program.slots(),
                program.input(),
                program.output(),
                program.body().stream().map(op -> changed(op, 0, weights)).toList(),
                program.head().stream().map(op -> changed(op, 0, weights)).toList(),
                program.cache());
    }

    /** @param layers by which the operation's layer moves to the front */
    private static Op changed(Op op, int layers, UnaryOperator<PreparedWeights> weights) {
        return switch (op) {
            case Op.Embed(PreparedWeights table, Slot out) -> new Op.Embed(weights.apply(table), out);
            case Op.MatMul product ->
                new Op.MatMul(weights.apply(product.weights()), product.bias(), product.in(), product.out());
            case Op.Store(int layer, Slot keys, Slot values) -> new Op.Store(layer - layers, keys, values);
            case Op.Attention(int layer, Slot queries, int heads, Op.Scores scores, Slot out) ->
                new Op.Attention(layer - layers, queries, heads, scores, out);
            case Op.Experts experts ->
                new Op.Experts(
                        experts.in(),
                        changed(experts.router(), weights),
                        changed(experts.gate(), weights),
                        changed(experts.up(), weights),
                        changed(experts.down(), weights),
                        experts.gating(),
                        experts.experts(),
                        experts.used(),
                        experts.normalise(),
                        experts.out());
            case Op.RmsNorm _,
                    Op.RmsNormRuns _,
                    Op.LayerNorm _,
                    Op.Rope _,
                    Op.Gate _,
                    Op.Gelu _,
                    Op.Scale _,
                    Op.SoftCap _,
                    Op.Add _,
                    Op.AddGated _,
                    Op.SelectRows _ -> op;
        };
    }

    private static Op.Linear changed(Op.Linear linear, UnaryOperator<PreparedWeights> weights) {
        return new Op.Linear(weights.apply(linear.weights()), linear.bias());
    }
}
