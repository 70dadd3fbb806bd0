package shoal.bridge.kernel.device;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;

/**
 * A program on a device. A run copies the batch's description and its input there, asks for all operations in one go, and waits once,
 * for the output. Weights, vectors, keys and values stay on the device from compiling to closing.
 */
final class DeviceStage implements CompiledStage {
    /** As portable.h has them. */
    private static final int LANES = 16;

    private static final int ROWS = 8;
    private static final int TILE = 8;
    private static final int WIDE_LANES = 64;
    private static final int MAX_HEAD = 512;
    private static final int MAX_EXPERTS = 1_024;
    private static final int PART = 32;

    /** Work-items of a group of an operation that takes value by value. */
    private static final int PLAIN_ITEMS = 128;

    private static final KernelUnit LAYERS = new KernelUnit.Layers();

    private final StageProgram program;
    private final Device device;
    private final PagePool pool;
    private final DeviceSlot[] slots;

    /** Matrices by where their bytes lie, so that one that is named twice is uploaded once. */
    private final Map<Place, DeviceBuffer> matrices = new HashMap<>();

    private final Map<float[], DeviceBuffer> vectors = new IdentityHashMap<>();
    private final Map<RopeTable, AngleTable> angles = new IdentityHashMap<>();
    private final Map<Op.Experts, ExpertSlots> expertSlots = new IdentityHashMap<>();
    private final List<DeviceResource> owned = new ArrayList<>();

    /** What kernels read where there is nothing to read. */
    private final DeviceBuffer nothing;

    /** One integer, 0 unless a router's output was no number. */
    private final DeviceBuffer trouble;

    private final GrowingBuffer description;

    /** Of the batch that runs now: how many tokens, and where in its description ids and wanted rows lie. */
    private int batchTokens;

    private int idsAt;
    private int rowsAt;
    private boolean closed;

    private record Place(@Nullable Object heap, long address, long bytes) {}

    DeviceStage(StageProgram program, Device device) {
        this.program = program;
        this.device = device;
        checkBounds();
        planMemory();
        pool = owned(new PagePool(device, program.cache()));
        slots = program.slots().stream()
                .map(slot -> owned(new DeviceSlot(device, slot.width())))
                .toArray(DeviceSlot[]::new);
        description = owned(new GrowingBuffer(device));
        try {
            nothing = owned(device.allocate(Float.BYTES));
            trouble = owned(device.allocate(Integer.BYTES));
            device.write(trouble, 0, MemorySegment.ofArray(new int[1]));
            upload();
            device.finish();
        } catch (RuntimeException failure) {
            close();
            throw failure;
        }
    }

    private <T extends DeviceResource> T owned(T resource) {
        owned.add(resource);
        return resource;
    }

    // ---------------------------------------------------------------------------------------------------- compiling

    private void checkBounds() {
        allOperations().forEach(op -> {
            if (op instanceof Op.Attention attention && attention.out().width() / attention.heads() > MAX_HEAD) {
                throw new IllegalArgumentException(
                        "heads have " + attention.out().width() / attention.heads()
                                + " values, device kernels take at most " + MAX_HEAD + "; use --device cpu");
            }
            if (op instanceof Op.Experts experts && experts.experts() > MAX_EXPERTS) {
                throw new IllegalArgumentException("a layer has " + experts.experts()
                        + " experts, device kernels take at most " + MAX_EXPERTS + "; use --device cpu");
            }
        });
    }

    private List<Op> allOperations() {
        List<Op> all = new ArrayList<>(program.body());
        all.addAll(program.head());
        return all;
    }

    /** Compares what the program's weights take with what the device has, before anything is uploaded. */
    private void planMemory() {
        long freeBytes = device.freeBytes();
        long needed = program.cache().pageBytes() + program.valuesPerToken() * Float.BYTES;
        Map<Place, Boolean> seen = new HashMap<>();
        int layersBegun = 0;
        int layersThatFit = 0;
        for (Op op : allOperations()) {
            if (op instanceof Op.Store) {
                layersThatFit = needed <= freeBytes ? layersBegun : layersThatFit;
                layersBegun++;
            }
            for (DeviceWeights matrix : matricesOf(op)) {
                long bytes = matrix.bytes().byteSize();
                if (bytes > device.info().largestBufferBytes()) {
                    throw new IllegalArgumentException("a matrix of " + mib(bytes) + " is more than "
                            + device.info().id() + " (" + device.info().name() + ") takes in one piece, "
                            + mib(device.info().largestBufferBytes()) + "; use --device cpu");
                }
                if (seen.put(place(matrix), true) == null) {
                    needed += bytes;
                }
            }
        }
        if (needed > freeBytes) {
            throw new IllegalArgumentException("this stage takes " + mib(needed) + " of device memory, "
                    + device.info().id() + " (" + device.info().name() + ") has " + mib(freeBytes) + " free of "
                    + mib(device.info().memoryBytes()) + ": the first " + layersThatFit + " of its " + layersBegun
                    + " layers would fit; give this node fewer layers, or use --device cpu");
        }
    }

    private static String mib(long bytes) {
        return String.format(Locale.ROOT, "%,.1f MiB", bytes / (double) (1 << 20));
    }

    private static List<DeviceWeights> matricesOf(Op op) {
        return switch (op) {
            case Op.Embed embed -> List.of((DeviceWeights) embed.table());
            case Op.MatMul product -> List.of((DeviceWeights) product.weights());
            case Op.Experts experts ->
                List.of(
                        (DeviceWeights) experts.router().weights(),
                        (DeviceWeights) experts.gate().weights(),
                        (DeviceWeights) experts.up().weights(),
                        (DeviceWeights) experts.down().weights());
            case Op.RmsNorm _,
                    Op.RmsNormRuns _,
                    Op.LayerNorm _,
                    Op.Rope _,
                    Op.Store _,
                    Op.Attention _,
                    Op.Gate _,
                    Op.Gelu _,
                    Op.Scale _,
                    Op.SoftCap _,
                    Op.Add _,
                    Op.AddGated _,
                    Op.SelectRows _ -> List.of();
        };
    }

    private static Place place(DeviceWeights matrix) {
        MemorySegment bytes = matrix.bytes();
        return new Place(bytes.heapBase().orElse(null), bytes.address(), bytes.byteSize());
    }

    private void upload() {
        for (Op op : allOperations()) {
            for (DeviceWeights matrix : matricesOf(op)) {
                Place place = place(matrix);
                if (!matrices.containsKey(place)) {
                    DeviceBuffer buffer = owned(device.allocate(matrix.bytes().byteSize()));
                    matrices.put(place, buffer);
                    device.write(buffer, 0, matrix.bytes());
                }
            }
            switch (op) {
                case Op.RmsNorm norm -> uploadVector(norm.weight());
                case Op.RmsNormRuns norm -> uploadVector(norm.weight());
                case Op.LayerNorm norm -> {
                    uploadVector(norm.weight());
                    uploadVector(norm.bias());
                }
                case Op.MatMul product -> uploadVector(product.bias());
                case Op.Attention attention -> uploadVector(attention.scores().sinks());
                case Op.Rope rope ->
                    angles.computeIfAbsent(rope.table(), table -> owned(new AngleTable(device, table)));
                case Op.Experts experts -> {
                    uploadVector(experts.router().bias());
                    uploadVector(experts.gate().bias());
                    uploadVector(experts.up().bias());
                    uploadVector(experts.down().bias());
                    ExpertSlots room = new ExpertSlots(device, experts);
                    expertSlots.put(experts, room);
                    owned.addAll(room.all());
                }
                case Op.Embed _,
                        Op.Store _,
                        Op.Gate _,
                        Op.Gelu _,
                        Op.Scale _,
                        Op.SoftCap _,
                        Op.Add _,
                        Op.AddGated _,
                        Op.SelectRows _ -> {}
            }
        }
    }

    private void uploadVector(float @Nullable [] values) {
        if (values != null && !vectors.containsKey(values)) {
            DeviceBuffer buffer = owned(device.allocate((long) values.length * Float.BYTES));
            vectors.put(values, buffer);
            device.write(buffer, 0, MemorySegment.ofArray(values));
        }
    }

    // ------------------------------------------------------------------------------------------------------ running

    @Override
    public SequenceMemory openSequence(int capacity) {
        return new DeviceSequence(pool, capacity);
    }

    @Override
    public int pagesInUse() {
        synchronized (device) {
            return pool.used();
        }
    }

    @Override
    public void run(StageBatch batch) {
        synchronized (device) {
            if (closed) {
                throw new IllegalStateException("the stage is closed");
            }
            runAlone(batch);
        }
    }

    private void runAlone(StageBatch batch) {
        int tokens = batch.tokenCount();
        check(batch, tokens);
        if (tokens == 0) {
            return;
        }
        describe(batch, tokens);
        if (!program.readsTokens()) {
            DeviceSlot input = slot(program.input());
            input.overwrite(tokens);
            device.write(
                    input.values(),
                    0,
                    present(batch.input())
                            .asSlice(0, (long) tokens * program.input().width() * Float.BYTES));
        }
        for (Op op : program.body()) {
            execute(op, tokens);
        }
        int rows = tokens;
        if (program.givesLogits()) {
            rows = batch.logitRows().length;
            for (Op op : program.head()) {
                if (rows > 0) {
                    execute(op, rows);
                }
            }
        }
        if (rows == 0) {
            device.finish();
        } else {
            Slot output = program.output();
            device.read(
                    slot(output).values(), 0, batch.output().asSlice(0, (long) rows * output.width() * Float.BYTES));
        }
        if (!expertSlots.isEmpty()) {
            checkTrouble();
        }
    }

    private void checkTrouble() {
        int[] found = new int[1];
        device.read(trouble, 0, MemorySegment.ofArray(found));
        if (found[0] != 0) {
            device.write(trouble, 0, MemorySegment.ofArray(new int[1]));
            throw new IllegalStateException("the router's output is not a number; the model's weights are damaged");
        }
    }

    private void check(StageBatch batch, int tokens) {
        for (int i = 0; i < batch.slices().size(); i++) {
            StageBatch.Slice slice = batch.slices().get(i);
            if (!(slice.sequence() instanceof DeviceSequence sequence)
                    || sequence.pool() != pool
                    || sequence.isClosed()) {
                throw new IllegalArgumentException(
                        "slice " + i + " has a sequence that another stage opened, or that is closed");
            }
            if (slice.tokenCount() < 1 || slice.firstPosition() < 0 || slice.firstPosition() > sequence.length()) {
                throw new IllegalArgumentException(
                        "slice " + i + " has " + slice.tokenCount() + " tokens from position " + slice.firstPosition()
                                + " on, its sequence holds " + sequence.length());
            }
            if ((long) slice.firstPosition() + slice.tokenCount() > sequence.capacity()) {
                throw new IllegalArgumentException("slice " + i + " ends at position "
                        + ((long) slice.firstPosition() + slice.tokenCount()) + ", its sequence has room for "
                        + sequence.capacity());
            }
            for (int j = 0; j < i; j++) {
                if (batch.slices().get(j).sequence() == sequence) {
                    throw new IllegalArgumentException("slices " + j + " and " + i + " are of one sequence");
                }
            }
        }
        if (program.readsTokens()) {
            int[] ids = batch.tokenIds();
            if (ids == null || ids.length != tokens) {
                throw new IllegalArgumentException("this stage takes " + tokens + " token ids");
            }
            Op.Embed embed = (Op.Embed) program.body().getFirst();
            for (int id : ids) {
                if (id < 0 || id >= embed.table().rows()) {
                    throw new IllegalArgumentException("token id " + id + " is not in the vocabulary of "
                            + embed.table().rows());
                }
            }
        } else {
            checkSize("input", batch.input(), tokens, program.input().width());
        }
        int rows = tokens;
        if (program.givesLogits()) {
            rows = batch.logitRows().length;
            for (int row : batch.logitRows()) {
                if (row < 0 || row >= tokens) {
                    throw new IllegalArgumentException("logits of token " + row + " of " + tokens + " are wanted");
                }
            }
        }
        checkSize("output", batch.output(), rows, program.output().width());
        for (Slot slot : program.slots()) {
            if ((long) tokens * slot.width() > Integer.MAX_VALUE) {
                throw new IllegalArgumentException(
                        tokens + " rows of " + slot.width() + " values in one batch are too many");
            }
        }
    }

    private static void checkSize(String name, @Nullable MemorySegment segment, int rows, int width) {
        long expected = (long) rows * width * Float.BYTES;
        if (segment == null || segment.byteSize() < expected) {
            throw new IllegalArgumentException(name + " has " + (segment == null ? 0 : segment.byteSize()) + " bytes, "
                    + rows + " rows of " + width + " values take " + expected);
        }
    }

    /**
     * Uploads what kernels want to know of the batch, as layers.cl says: positions, where each token's page numbers begin, ids,
     * wanted rows, page numbers.
     */
    private void describe(StageBatch batch, int tokens) {
        int missing = 0;
        int pages = 0;
        int last = 0;
        for (StageBatch.Slice slice : batch.slices()) {
            DeviceSequence sequence = (DeviceSequence) slice.sequence();
            int end = slice.firstPosition() + slice.tokenCount();
            missing += sequence.pagesMissing(slice.firstPosition(), end);
            pages += DeviceSequence.pagesFor(end);
            last = Math.max(last, end);
        }
        pool.reserve(missing);
        for (AngleTable table : angles.values()) {
            table.reserve(last);
        }
        int[] ids = program.readsTokens() ? present(batch.tokenIds()) : new int[0];
        int[] rows = batch.logitRows();
        batchTokens = tokens;
        idsAt = 2 * tokens;
        rowsAt = idsAt + ids.length;
        int tablesAt = rowsAt + rows.length;
        int[] words = new int[tablesAt + pages];
        System.arraycopy(ids, 0, words, idsAt, ids.length);
        System.arraycopy(rows, 0, words, rowsAt, rows.length);
        int token = 0;
        for (StageBatch.Slice slice : batch.slices()) {
            DeviceSequence sequence = (DeviceSequence) slice.sequence();
            int end = slice.firstPosition() + slice.tokenCount();
            sequence.write(slice.firstPosition(), end);
            for (int i = 0; i < slice.tokenCount(); i++) {
                words[token] = slice.firstPosition() + i;
                words[tokens + token++] = tablesAt;
            }
            for (int page = 0; page < DeviceSequence.pagesFor(end); page++) {
                words[tablesAt++] = sequence.page(page);
            }
        }
        device.write(description.reserve((long) words.length * Integer.BYTES), 0, MemorySegment.ofArray(words));
    }

    private void execute(Op op, int rows) {
        switch (op) {
            case Op.Embed(PreparedWeights table, Slot out) -> embed((DeviceWeights) table, slot(out), rows);
            case Op.RmsNorm(Slot in, float[] weight, float epsilon, Slot out) -> {
                DeviceBuffer to = slot(out).overwrite(rows);
                rmsNorm(slot(in).values(), rows, weight, epsilon, to);
            }
            case Op.RmsNormRuns(Slot values, float[] weight, float epsilon) -> {
                DeviceBuffer changed = slot(values).change();
                rmsNorm(changed, rows * (values.width() / weight.length), weight, epsilon, changed);
            }
            case Op.LayerNorm norm ->
                groups(
                        "layer_norm",
                        rows,
                        memory(slot(norm.in()).values()),
                        vector(norm.weight()),
                        vector(norm.bias()),
                        memory(slot(norm.out()).overwrite(rows)),
                        whole(norm.in().width()),
                        real(norm.epsilon()),
                        whole(norm.bias() == null ? 0 : 1));
            case Op.MatMul(PreparedWeights weights, float @Nullable [] bias, Slot in, Slot out) ->
                multiply(new Op.Linear(weights, bias), slot(in), slot(out), rows);
            case Op.Rope rope -> rope(rope, rows);
            case Op.Store(int layer, Slot keys, Slot values) ->
                each(
                        "store_" + cacheType(),
                        rows * keys.width() / (program.cache().type() == CacheType.Q8_0 ? PART : 1),
                        memory(slot(keys).values()),
                        memory(slot(values).values()),
                        memory(pool.layer(layer)),
                        memory(description.buffer()),
                        whole(batchTokens),
                        whole(program.cache().kvHeads()),
                        whole(program.cache().headSize()));
            case Op.Attention attention -> attention(attention, rows);
            case Op.Gate(Slot gate, Slot up, Op.Gating gating) ->
                gate(slot(gate), slot(up), gating, rows * gate.width());
            case Op.Gelu(Slot values) ->
                each("gelu", rows * values.width(), memory(slot(values).change()));
            case Op.Scale(Slot values, float factor) ->
                each("scale", rows * values.width(), memory(slot(values).change()), real(factor));
            case Op.SoftCap(Slot values, float cap) ->
                each("soft_cap", rows * values.width(), memory(slot(values).change()), real(cap));
            case Op.Add(Slot term, Slot sum) ->
                each(
                        "add",
                        rows * sum.width(),
                        memory(slot(term).values()),
                        memory(slot(sum).change()));
            case Op.AddGated(Slot term, Slot gate, Slot sum) ->
                each(
                        "add_gated",
                        rows * sum.width(),
                        memory(slot(term).values()),
                        memory(slot(gate).values()),
                        memory(slot(sum).change()),
                        whole(sum.width()));
            case Op.SelectRows(Slot in, Slot out) ->
                each(
                        "select_rows",
                        rows * out.width(),
                        memory(slot(in).values()),
                        memory(description.buffer()),
                        memory(slot(out).overwrite(rows)),
                        whole(rowsAt),
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
                memory(matrix(table)),
                memory(description.buffer()),
                memory(out.overwrite(rows)),
                whole(idsAt),
                whole(table.columns()));
    }

    private void rmsNorm(DeviceBuffer in, int rows, float[] weight, float epsilon, DeviceBuffer out) {
        groups("rms_norm", rows, memory(in), vector(weight), memory(out), whole(weight.length), real(epsilon));
    }

    private void multiply(Op.Linear linear, DeviceSlot in, DeviceSlot out, int tokens) {
        DeviceWeights weights = (DeviceWeights) linear.weights();
        DeviceBuffer to = out.overwrite(tokens);
        quantiseFor(weights, in, tokens);
        boolean one = tokens == 1;
        device.launch(
                device.function(new KernelUnit.Products(weights.type()), one ? "multiply_one" : "multiply_many"),
                Math.ceilDiv(weights.rows(), ROWS),
                one ? 1 : Math.ceilDiv(tokens, TILE),
                LANES,
                ROWS,
                memory(matrix(weights)),
                memory(in.values()),
                memory(weights.quantised() ? in.levels() : nothing),
                memory(weights.quantised() ? in.scales() : nothing),
                memory(weights.quantised() ? in.sums() : nothing),
                vector(linear.bias()),
                memory(to),
                whole(weights.rows()),
                whole(weights.columns()),
                whole(tokens),
                whole(linear.bias() == null ? 0 : 1));
    }

    /** Rounds activations to 8 bits if the matrix wants that and it was not done yet. */
    private void quantiseFor(DeviceWeights weights, DeviceSlot in, int rows) {
        if (weights.quantised() && in.wantsQuantising(rows)) {
            int parts = rows * (in.width() / PART);
            each("quantise", parts, memory(in.values()), memory(in.levels()), memory(in.scales()), memory(in.sums()));
        }
    }

    private void rope(Op.Rope rope, int rows) {
        RopeTable table = rope.table();
        each(
                "rope",
                rows * rope.heads() * table.pairs(),
                memory(slot(rope.values()).change()),
                memory(description.buffer()),
                memory(present(angles.get(table)).buffer()),
                whole(rope.values().width()),
                whole(rope.heads()),
                whole(rope.headSize()),
                whole(table.pairs()),
                whole(
                        switch (table.pairing()) {
                            case NEIGHBOURS -> 1;
                            case HALVES -> 0;
                        }));
    }

    private void attention(Op.Attention attention, int rows) {
        Op.Scores scores = attention.scores();
        device.launch(
                device.function(LAYERS, "attention_" + cacheType()),
                attention.heads(),
                rows,
                WIDE_LANES,
                1,
                memory(slot(attention.queries()).values()),
                memory(pool.layer(attention.layer())),
                memory(description.buffer()),
                vector(scores.sinks()),
                memory(slot(attention.out()).overwrite(rows)),
                whole(batchTokens),
                whole(attention.heads()),
                whole(program.cache().kvHeads()),
                whole(program.cache().headSize()),
                real(scores.scale()),
                whole(scores.window()),
                real(scores.softCap()),
                whole(scores.sinks() == null ? 0 : 1));
    }

    private void gate(DeviceSlot gate, DeviceSlot up, Op.Gating gating, int count) {
        each(
                "gate",
                count,
                memory(gate.change()),
                memory(up.values()),
                whole(
                        switch (gating) {
                            case SILU -> 0;
                            case GELU -> 1;
                            case CLAMPED_SILU -> 2;
                        }));
    }

    private void experts(Op.Experts op, int rows) {
        ExpertSlots room = present(expertSlots.get(op));
        DeviceSlot in = slot(op.in());
        int assignments = rows * op.used();
        int tile = rows == 1 ? 1 : TILE;
        int tiles = Math.min(assignments, assignments / tile + op.experts());
        multiply(op.router(), in, room.logits, rows);
        groups(
                "route",
                rows,
                memory(room.logits.change()),
                memory(room.chosen.reserve((long) assignments * Integer.BYTES)),
                memory(room.shares.reserve((long) assignments * Float.BYTES)),
                memory(trouble),
                whole(op.experts()),
                whole(op.used()),
                whole(op.normalise() ? 1 : 0));
        groups(
                "group_by_expert",
                1,
                memory(room.chosen.buffer()),
                memory(room.order.reserve((long) assignments * Integer.BYTES)),
                memory(room.tiles.reserve(3L * tiles * Integer.BYTES)),
                whole(assignments),
                whole(op.experts()),
                whole(tile),
                whole(tiles));
        multiplyExperts(op, room, op.gate(), in, op.used(), room.gate, rows, tiles);
        multiplyExperts(op, room, op.up(), in, op.used(), room.up, rows, tiles);
        gate(room.gate, room.up, op.gating(), assignments * room.gate.width());
        multiplyExperts(op, room, op.down(), room.gate, 1, room.parts, rows, tiles);
        each(
                "combine",
                rows * op.out().width(),
                memory(room.parts.values()),
                memory(room.shares.buffer()),
                memory(slot(op.out()).overwrite(rows)),
                whole(op.out().width()),
                whole(op.used()));
    }

    /** @param share assignments that read one row of in */
    private void multiplyExperts(
            Op.Experts op,
            ExpertSlots room,
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
        quantiseFor(weights, in, assignments / share);
        device.launch(
                device.function(
                        new KernelUnit.Products(weights.type()),
                        rows == 1 ? "multiply_experts_one" : "multiply_experts_many"),
                Math.ceilDiv(width, ROWS),
                tiles,
                LANES,
                ROWS,
                memory(matrix(weights)),
                memory(in.values()),
                memory(weights.quantised() ? in.levels() : nothing),
                memory(weights.quantised() ? in.scales() : nothing),
                memory(weights.quantised() ? in.sums() : nothing),
                vector(linear.bias()),
                memory(to),
                memory(room.order.buffer()),
                memory(room.tiles.buffer()),
                whole(width),
                whole(weights.columns()),
                whole(share),
                whole(linear.bias() == null ? 0 : 1));
    }

    /** One group per row. */
    private void groups(String name, int rows, Argument... arguments) {
        device.launch(device.function(LAYERS, name), rows, 1, WIDE_LANES, 1, arguments);
    }

    /** One work-item per value; how many is the kernel's last parameter. */
    private void each(String name, int count, Argument... arguments) {
        Argument[] all = java.util.Arrays.copyOf(arguments, arguments.length + 1);
        all[arguments.length] = whole(count);
        device.launch(device.function(LAYERS, name), Math.ceilDiv(count, PLAIN_ITEMS), 1, PLAIN_ITEMS, 1, all);
    }

    /** How kernels that touch keys and values are named. */
    private String cacheType() {
        return program.cache().type().name().toLowerCase(Locale.ROOT);
    }

    private DeviceSlot slot(Slot slot) {
        return slots[slot.index()];
    }

    private DeviceBuffer matrix(DeviceWeights weights) {
        return present(matrices.get(place(weights)));
    }

    private Argument vector(float @Nullable [] values) {
        return memory(values == null ? nothing : present(vectors.get(values)));
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

    private static <T> T present(@Nullable T value) {
        if (value == null) {
            throw new IllegalStateException("checked before, yet missing");
        }
        return value;
    }

    @Override
    public void close() {
        synchronized (device) {
            closed = true;
            for (DeviceResource resource : owned.reversed()) {
                resource.close();
            }
            owned.clear();
        }
    }

    /** What an experts operation needs beside the program's slots. */
    private static final class ExpertSlots {
        private final DeviceSlot logits;
        private final DeviceSlot gate;
        private final DeviceSlot up;
        private final DeviceSlot parts;
        private final GrowingBuffer chosen;
        private final GrowingBuffer shares;
        private final GrowingBuffer order;
        private final GrowingBuffer tiles;

        ExpertSlots(Device device, Op.Experts op) {
            int width = op.gate().weights().rows() / op.experts();
            logits = new DeviceSlot(device, op.experts());
            gate = new DeviceSlot(device, width);
            up = new DeviceSlot(device, width);
            parts = new DeviceSlot(device, op.out().width());
            chosen = new GrowingBuffer(device);
            shares = new GrowingBuffer(device);
            order = new GrowingBuffer(device);
            tiles = new GrowingBuffer(device);
        }

        List<DeviceResource> all() {
            return List.of(logits, gate, up, parts, chosen, shares, order, tiles);
        }
    }
}
