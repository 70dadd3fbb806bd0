package shoal.bridge.kernel.device;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;

/**
 * Turns operations into launches. What is launched depends on the counts of a {@link BatchDescription}, and on where buffers lie; all
 * else is in the description's words, which lie on the device.
 */
final class StageLaunches implements DeviceResource {
    private static final int WIDE_LANES = 64;
    private static final int TEAMS = 4;
    private static final int PART = 32;

    /** Work-items of a group of an operation that takes value by value. */
    private static final int PLAIN_ITEMS = 128;

    private static final KernelUnit LAYERS = new KernelUnit.Layers();

    private final StageProgram program;
    private final Device device;
    private final StageResources room;
    private final ProductChoice products;
    private final List<StageStep> body;
    private final List<StageStep> head;

    private final AttentionLaunches attention;
    private final PickLaunches picks;

    /** Runs now. */
    private BatchDescription batch = new BatchDescription(0, 0, 0, 0, 1, 0);

    StageLaunches(StageProgram program, Device device, StageResources room, ProductChoice products) {
        this.program = program;
        this.device = device;
        this.room = room;
        this.products = products;
        body = StageStep.body(program);
        head = StageStep.head(program);
        attention = new AttentionLaunches(program, device, room);
        picks = new PickLaunches(device);
    }

    /** Launches the program for a batch that was described. */
    void run(BatchDescription described) {
        batch = described;
        for (StageStep step : body) {
            execute(step, batch.tokens());
        }
        if (batch.rows() > 0) {
            for (StageStep step : head) {
                execute(step, batch.rows());
            }
            if (batch.picks() > 0) {
                picks.launch(room.slot(program.output()), batch.rows(), batch.picks());
            }
        }
    }

    /** Fills the output of a batch that was run, some of whose logits were picked. */
    void readPicks(StageBatch of, int count) {
        picks.read(of, room.slot(program.output()), count);
    }

    private void execute(StageStep step, int rows) {
        switch (step) {
            case StageStep.Single(Op op) -> execute(op, rows);
            case StageStep.MultiplyAndAdd(Op.MatMul product, Slot sum) ->
                multiply(linear(product), room.slot(product.in()), room.slot(sum), rows, true);
            case StageStep.Together(List<Op.MatMul> products) -> {
                if (rows == 1) {
                    multiplyThree(products);
                } else {
                    products.forEach(product -> execute(product, rows));
                }
            }
            case StageStep.AttendAndRound(Op.Attention op) -> attention.launch(op, batch, true);
            case StageStep.RopeBoth(Op.Rope first, Op.Rope second) -> rope(first, second, rows);
            case StageStep.NormAndRound(Op.RmsNorm norm) -> {
                DeviceSlot out = room.slot(norm.out());
                DeviceBuffer to = out.overwriteRounded(rows);
                teams(
                        "rms_norm_rounded",
                        rows,
                        memory(room.slot(norm.in()).values()),
                        vector(norm.weight()),
                        memory(to),
                        memory(out.levels()),
                        memory(out.scales()),
                        memory(out.sums()),
                        whole(norm.weight().length),
                        real(norm.epsilon()));
            }
            case StageStep.GateAndRound(Op.Gate(Slot gate, Slot up, Op.Gating gating)) -> {
                DeviceSlot gates = room.slot(gate);
                DeviceBuffer to = gates.changeRounded(rows);
                each(
                        "gate_rounded",
                        rows * (gate.width() / PART),
                        memory(to),
                        memory(room.slot(up).values()),
                        memory(gates.levels()),
                        memory(gates.scales()),
                        memory(gates.sums()),
                        whole(number(gating)));
            }
        }
    }

    private static Op.Linear linear(Op.MatMul product) {
        return new Op.Linear(product.weights(), product.bias());
    }

    private static int number(Op.Gating gating) {
        return switch (gating) {
            case SILU -> 0;
            case GELU -> 1;
            case CLAMPED_SILU -> 2;
        };
    }

    private void execute(Op op, int rows) {
        switch (op) {
            case Op.Embed(PreparedWeights table, Slot out) -> embed((DeviceWeights) table, room.slot(out), rows);
            case Op.RmsNorm(Slot in, float[] weight, float epsilon, Slot out) -> {
                DeviceBuffer to = room.slot(out).overwrite(rows);
                rmsNorm(room.slot(in).values(), rows, weight, epsilon, to);
            }
            case Op.RmsNormRuns(Slot values, float[] weight, float epsilon) -> {
                DeviceBuffer changed = room.slot(values).change();
                rmsNorm(changed, rows * (values.width() / weight.length), weight, epsilon, changed);
            }
            case Op.LayerNorm norm ->
                teams(
                        "layer_norm",
                        rows,
                        memory(room.slot(norm.in()).values()),
                        vector(norm.weight()),
                        vector(norm.bias()),
                        memory(room.slot(norm.out()).overwrite(rows)),
                        whole(norm.in().width()),
                        real(norm.epsilon()),
                        whole(norm.bias() == null ? 0 : 1));
            case Op.MatMul(PreparedWeights weights, float @Nullable [] bias, Slot in, Slot out) ->
                multiply(new Op.Linear(weights, bias), room.slot(in), room.slot(out), rows, false);
            case Op.Rope rope -> rope(rope, null, rows);
            case Op.Store(int layer, Slot keys, Slot values) ->
                each(
                        "store_" + cacheType(),
                        rows * keys.width() / (program.cache().type() == CacheType.Q8_0 ? PART : 1),
                        memory(room.slot(keys).values()),
                        memory(room.slot(values).values()),
                        memory(room.pool().layer(layer)),
                        memory(room.description().buffer()),
                        whole(batch.tokens()),
                        whole(program.cache().kvHeads()),
                        whole(program.cache().headSize()));
            case Op.Attention seen -> attention.launch(seen, batch, false);
            case Op.Gate(Slot gate, Slot up, Op.Gating gating) ->
                gate(room.slot(gate), room.slot(up), gating, rows * gate.width());
            case Op.Gelu(Slot values) ->
                each("gelu", rows * values.width(), memory(room.slot(values).change()));
            case Op.Scale(Slot values, float factor) ->
                each("scale", rows * values.width(), memory(room.slot(values).change()), real(factor));
            case Op.SoftCap(Slot values, float cap) ->
                each("soft_cap", rows * values.width(), memory(room.slot(values).change()), real(cap));
            case Op.Add(Slot term, Slot sum) ->
                each(
                        "add",
                        rows * sum.width(),
                        memory(room.slot(term).values()),
                        memory(room.slot(sum).change()));
            case Op.AddGated(Slot term, Slot gate, Slot sum) ->
                each(
                        "add_gated",
                        rows * sum.width(),
                        memory(room.slot(term).values()),
                        memory(room.slot(gate).values()),
                        memory(room.slot(sum).change()),
                        whole(sum.width()));
            case Op.SelectRows(Slot in, Slot out) ->
                each(
                        "select_rows",
                        rows * out.width(),
                        memory(room.slot(in).values()),
                        memory(room.description().buffer()),
                        memory(room.slot(out).overwrite(rows)),
                        whole(batch.rowsAt()),
                        whole(out.width()));
            case Op.Experts experts -> experts(experts, rows);
        }
    }

    private void embed(DeviceWeights table, DeviceSlot out, int rows) {
        device.launch(
                device.function(new KernelUnit.Products(table.type()), "embed"),
                rows,
                1,
                WIDE_LANES,
                1,
                memory(room.matrix(table)),
                memory(room.description().buffer()),
                memory(out.overwrite(rows)),
                whole(batch.idsAt()),
                whole(table.columns()));
    }

    private void rmsNorm(DeviceBuffer in, int rows, float[] weight, float epsilon, DeviceBuffer out) {
        teams("rms_norm", rows, memory(in), vector(weight), memory(out), whole(weight.length), real(epsilon));
    }

    /** @param adds to what stands in out, whose rows are as many already; else they are overwritten */
    private void multiply(Op.Linear linear, DeviceSlot in, DeviceSlot out, int tokens, boolean adds) {
        DeviceWeights weights = (DeviceWeights) linear.weights();
        DeviceBuffer to = adds ? out.change() : out.overwrite(tokens);
        ProductKernels kernels = products.of(weights.type());
        products.roundFor(kernels, weights, in, tokens);
        products.launch(
                kernels,
                weights,
                weights.rows(),
                room.matrix(weights),
                in,
                room.vector(linear.bias()),
                (linear.bias() == null ? 0 : ProductChoice.HAS_BIAS) | (adds ? ProductChoice.ADDS : 0),
                to,
                tokens,
                room.nothing());
    }

    /** Two or three products of one token. */
    private void multiplyThree(List<Op.MatMul> all) {
        DeviceWeights first = (DeviceWeights) all.getFirst().weights();
        DeviceSlot in = room.slot(all.getFirst().in());
        var weights = new ArrayList<Argument>();
        var biases = new ArrayList<Argument>();
        var outs = new ArrayList<Argument>();
        int[] rows = new int[StageStep.Together.MOST];
        int flags = 0;
        for (int i = 0; i < StageStep.Together.MOST; i++) {
            Op.MatMul product = i < all.size() ? all.get(i) : null;
            weights.add(memory(product == null ? room.nothing() : room.matrix((DeviceWeights) product.weights())));
            biases.add(vector(product == null ? null : product.bias()));
            outs.add(memory(
                    product == null ? room.nothing() : room.slot(product.out()).overwrite(1)));
            rows[i] = product == null ? 0 : product.weights().rows();
            flags |= product == null || product.bias() == null ? 0 : 1 << i;
        }
        products.quantiseFor(first, in, 1);
        var arguments = new ArrayList<Argument>(weights);
        arguments.add(memory(in.values()));
        arguments.add(memory(first.quantised() ? in.levels() : room.nothing()));
        arguments.add(memory(first.quantised() ? in.scales() : room.nothing()));
        arguments.add(memory(first.quantised() ? in.sums() : room.nothing()));
        arguments.addAll(biases);
        arguments.addAll(outs);
        for (int count : rows) {
            arguments.add(whole(count));
        }
        arguments.add(whole(first.columns()));
        arguments.add(whole(flags));
        ProductKernels.Launch launch =
                products.of(first.type()).three(first.type(), first.columns(), rows[0], rows[1], rows[2]);
        device.launch(
                device.function(new KernelUnit.Products(first.type()), launch.kernel()),
                launch.groups0(),
                launch.groups1(),
                launch.items0(),
                launch.items1(),
                arguments.toArray(Argument[]::new));
    }

    /** @param other turned alike, null if there is none */
    private void rope(Op.Rope rope, Op.@Nullable Rope other, int rows) {
        RopeTable table = rope.table();
        int heads = rope.heads() + (other == null ? 0 : other.heads());
        each(
                "rope",
                rows * heads * table.pairs(),
                memory(room.slot(rope.values()).change()),
                memory(
                        other == null
                                ? room.nothing()
                                : room.slot(other.values()).change()),
                memory(room.description().buffer()),
                memory(room.angles(table).buffer()),
                whole(rope.values().width()),
                whole(other == null ? 0 : other.values().width()),
                whole(rope.heads()),
                whole(heads - rope.heads()),
                whole(rope.headSize()),
                whole(table.pairs()),
                whole(
                        switch (table.pairing()) {
                            case NEIGHBOURS -> 1;
                            case HALVES -> 0;
                        }));
    }

    private void gate(DeviceSlot gate, DeviceSlot up, Op.Gating gating, int count) {
        each("gate", count, memory(gate.change()), memory(up.values()), whole(number(gating)));
    }

    private void experts(Op.Experts op, int rows) {
        StageResources.ExpertSlots own = room.experts(op);
        DeviceSlot in = room.slot(op.in());
        int assignments = rows * op.used();
        int tile = rows == 1 ? 1 : ProductKernels.TILE;
        int tiles = Math.min(assignments, assignments / tile + op.experts());
        multiply(op.router(), in, own.logits, rows, false);
        groups(
                "route",
                rows,
                memory(own.logits.change()),
                memory(own.chosen.reserve((long) assignments * Integer.BYTES)),
                memory(own.shares.reserve((long) assignments * Float.BYTES)),
                memory(room.trouble()),
                whole(op.experts()),
                whole(op.used()),
                whole(op.normalise() ? 1 : 0));
        groups(
                "group_by_expert",
                1,
                memory(own.chosen.buffer()),
                memory(own.order.reserve((long) assignments * Integer.BYTES)),
                memory(own.tiles.reserve(3L * tiles * Integer.BYTES)),
                whole(assignments),
                whole(op.experts()),
                whole(tile),
                whole(tiles));
        multiplyExperts(op, own, op.gate(), in, op.used(), own.gate, rows, tiles);
        multiplyExperts(op, own, op.up(), in, op.used(), own.up, rows, tiles);
        gate(own.gate, own.up, op.gating(), assignments * own.gate.width());
        multiplyExperts(op, own, op.down(), own.gate, 1, own.parts, rows, tiles);
        each(
                "combine",
                rows * op.out().width(),
                memory(own.parts.values()),
                memory(own.shares.buffer()),
                memory(room.slot(op.out()).overwrite(rows)),
                whole(op.out().width()),
                whole(op.used()));
    }

    /** @param share assignments that read one row of in */
    private void multiplyExperts(
            Op.Experts op,
            StageResources.ExpertSlots own,
            Op.Linear linear,
            DeviceSlot in,
            int share,
            DeviceSlot out,
            int rows,
            int tiles) {
        DeviceWeights weights = (DeviceWeights) linear.weights();
        int assignments = rows * op.used();
        int width = weights.rows() / op.experts();
        DeviceBuffer to = out.overwrite(assignments);
        products.quantiseFor(weights, in, assignments / share);
        ProductKernels.Launch launch =
                products.of(weights.type()).experts(weights.type(), width, weights.columns(), rows == 1, tiles);
        device.launch(
                device.function(new KernelUnit.Products(weights.type()), launch.kernel()),
                launch.groups0(),
                launch.groups1(),
                launch.items0(),
                launch.items1(),
                memory(room.matrix(weights)),
                memory(in.values()),
                memory(weights.quantised() ? in.levels() : room.nothing()),
                memory(weights.quantised() ? in.scales() : room.nothing()),
                memory(weights.quantised() ? in.sums() : room.nothing()),
                vector(linear.bias()),
                memory(to),
                memory(own.order.buffer()),
                memory(own.tiles.buffer()),
                whole(width),
                whole(weights.columns()),
                whole(share),
                whole(linear.bias() == null ? 0 : 1));
    }

    /** One group per row. */
    private void groups(String name, int rows, Argument... arguments) {
        device.launch(device.function(LAYERS, name), rows, 1, WIDE_LANES, 1, arguments);
    }

    /** One group of teams per row. */
    private void teams(String name, int rows, Argument... arguments) {
        device.launch(device.function(LAYERS, name), rows, 1, TEAMS * WIDE_LANES, 1, arguments);
    }

    /** One work-item per value; how many is the kernel's last parameter. */
    private void each(String name, int count, Argument... arguments) {
        Argument[] all = Arrays.copyOf(arguments, arguments.length + 1);
        all[arguments.length] = whole(count);
        device.launch(device.function(LAYERS, name), Math.ceilDiv(count, PLAIN_ITEMS), 1, PLAIN_ITEMS, 1, all);
    }

    /** How kernels that touch keys and values are named. */
    private String cacheType() {
        return program.cache().type().name().toLowerCase(Locale.ROOT);
    }

    private Argument vector(float @Nullable [] values) {
        return memory(room.vector(values));
    }

    private static Argument memory(DeviceBuffer buffer) {
        return new Argument.Memory(buffer);
    }

    private static Argument whole(int value) {
        return new Argument.Whole(value);
    }

    private static Argument real(float value) {
        return new Argument.Real(value);
    }

    @Override
    public void close() {
        attention.close();
        picks.close();
    }
}
