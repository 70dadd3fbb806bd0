package shoal.bridge.kernel.device;

import java.util.ArrayList;
import java.util.List;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.OpUse;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageProgram;

/** What is launched at once: an operation, or several that one kernel does with the same result to the last bit. */
sealed interface StageStep {
    /** Values that are rounded with one scale. */
    int PART = 32;

    record Single(Op op) implements StageStep {}

    /** Products of one input with matrices of one type, for one token; with more, one after another. */
    record Together(List<Op.MatMul> products) implements StageStep {
        static final int MOST = 3;
    }

    /** A product that is added to a slot rather than kept. */
    record MultiplyAndAdd(Op.MatMul product, Slot sum) implements StageStep {}

    /** A norm whose result is rounded to 8 bits besides, for the products that follow. */
    record NormAndRound(Op.RmsNorm norm) implements StageStep {}

    /** As NormAndRound. */
    record GateAndRound(Op.Gate gate) implements StageStep {}

    /** As NormAndRound. */
    record AttendAndRound(Op.Attention attention) implements StageStep {}

    /** Two slots that are turned by the same angles, such as queries and keys. */
    record RopeBoth(Op.Rope first, Op.Rope second) implements StageStep {}

    /** The steps of a program's body. */
    static List<StageStep> body(StageProgram program) {
        return steps(StagePlan.allOperations(program), 0, program.body().size(), program.output());
    }

    /** The steps of its head. */
    static List<StageStep> head(StageProgram program) {
        List<Op> all = StagePlan.allOperations(program);
        return steps(all, program.body().size(), all.size(), program.output());
    }

    private static List<StageStep> steps(List<Op> all, int from, int to, Slot output) {
        List<StageStep> steps = new ArrayList<>();
        for (int i = from; i < to; ) {
            StageStep step = step(all, i, to, output);
            steps.add(step);
            i += switch (step) {
                case Together(List<Op.MatMul> products) -> products.size();
                case MultiplyAndAdd _, RopeBoth _ -> 2;
                case Single _, NormAndRound _, GateAndRound _, AttendAndRound _ -> 1;
            };
        }
        return steps;
    }

    private static StageStep step(List<Op> all, int at, int to, Slot output) {
        return switch (all.get(at)) {
            case Op.RmsNorm norm when roundedNext(all, at + 1, norm.out()) -> new NormAndRound(norm);
            case Op.Gate gate when roundedNext(all, at + 1, gate.gate()) -> new GateAndRound(gate);
            case Op.Attention attention
            when attention.out().width() / attention.heads() % PART == 0 && roundedNext(all, at + 1, attention.out()) ->
                new AttendAndRound(attention);
            case Op.Rope rope
            when at + 1 < to
                    && all.get(at + 1) instanceof Op.Rope next
                    && next.table() == rope.table()
                    && next.headSize() == rope.headSize()
                    && !next.values().equals(rope.values()) -> new RopeBoth(rope, (Op.Rope) all.get(at + 1));
            case Op.MatMul product -> {
                if (at + 1 < to
                        && all.get(at + 1) instanceof Op.Add(Slot term, Slot sum)
                        && term.equals(product.out())
                        && !sum.equals(product.in())
                        && !sum.equals(term)
                        && isSpent(all, at + 2, term, output)) {
                    yield new MultiplyAndAdd(product, sum);
                }
                List<Op.MatMul> products = together(all, at, to, product);
                yield products.size() == 1 ? new Single(product) : new Together(products);
            }
            case Op op -> new Single(op);
        };
    }

    /** Whether the next operation that does something with a slot is a product with weights in blocks. */
    private static boolean roundedNext(List<Op> all, int from, Slot slot) {
        if (slot.width() % PART != 0) {
            return false;
        }
        for (Op op : all.subList(from, all.size())) {
            if (op instanceof Op.MatMul product
                    && product.in().equals(slot)
                    && ((DeviceWeights) product.weights()).quantised()) {
                return true;
            }
            OpUse use = OpUse.of(op);
            if (use.reads().contains(slot) || slot.equals(use.overwritten())) {
                return false;
            }
        }
        return false;
    }

    /** Whether nobody reads a slot before it is overwritten. */
    private static boolean isSpent(List<Op> all, int from, Slot slot, Slot output) {
        for (Op op : all.subList(from, all.size())) {
            OpUse use = OpUse.of(op);
            if (use.reads().contains(slot)) {
                return false;
            }
            if (slot.equals(use.overwritten())) {
                return true;
            }
        }
        return !slot.equals(output);
    }

    private static List<Op.MatMul> together(List<Op> all, int from, int to, Op.MatMul first) {
        List<Op.MatMul> products = new ArrayList<>();
        List<Slot> outs = new ArrayList<>();
        for (int i = from; i < to && products.size() < Together.MOST; i++) {
            if (!(all.get(i) instanceof Op.MatMul next)
                    || !next.in().equals(first.in())
                    || next.weights().type() != first.weights().type()
                    || outs.contains(next.out())) {
                break;
            }
            boolean added =
                    i + 1 < to && all.get(i + 1) instanceof Op.Add(Slot term, Slot _) && term.equals(next.out());
            if (added && i > from) {
                break;
            }
            products.add(next);
            outs.add(next.out());
        }
        return products;
    }
}
