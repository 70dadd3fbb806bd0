package shoal.bridge.kernel.host;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import shoal.bridge.kernel.CompiledStage;
import shoal.bridge.kernel.Exponential;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.SequenceMemory;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageBatch;
import shoal.bridge.kernel.StageProgram;

/** Interprets a program, one operation after another. Large operations are split over the pool by output, never within a sum. */
final class HostStage implements CompiledStage {
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Multiplications below which waking another thread costs more than it saves. */
    private static final long WORTH_A_THREAD = 400_000;

    private static final int PIECES_PER_THREAD = 4;

    /** Queries that share a page of keys and values once it is in the cache, at most (but for one token's heads). */
    private static final int QUERIES_TOGETHER = 32;

    private final StageProgram program;
    private final HostOperations operations;
    private final ComputePool pool;
    private final HostPages pages;
    private final HostBuffer[] buffers;
    private final Map<RopeTable, float[]> angles = new IdentityHashMap<>();
    private final Map<Op.Experts, ExpertBuffers> expertBuffers = new IdentityHashMap<>();

    // Of the batch that runs now: per token its position and its slice's sequence.
    private int[] positions = new int[0];
    private HostSequence[] sequences = new HostSequence[0];

    HostStage(StageProgram program, HostOperations operations, ComputePool pool) {
        this.program = program;
        this.operations = operations;
        this.pool = pool;
        pages = new HostPages(program.cache());
        buffers = program.slots().stream()
                .map(slot -> new HostBuffer(slot.width()))
                .toArray(HostBuffer[]::new);
    }

    @Override
    public SequenceMemory openSequence(int capacity) {
        return new HostSequence(program.cache(), capacity, pages);
    }

    @Override
    public int pagesInUse() {
        return pages.used();
    }

    @Override
    public void close() {
        pages.close();
    }

    @Override
    public synchronized void run(StageBatch batch) {
        int tokens = batch.tokenCount();
        batch.check(
                program,
                mostPicks(),
                sequence ->
                        sequence instanceof HostSequence host && host.shape().equals(program.cache()));
        if (tokens == 0) {
            return;
        }
        placeTokens(batch, tokens);
        angles.clear();
        if (!program.readsTokens()) {
            MemorySegment input = present(batch.input());
            float[] values = buffer(program.input()).overwrite(tokens);
            MemorySegment.copy(
                    input, FLOAT, 0, values, 0, tokens * program.input().width());
        }
        for (Op op : program.body()) {
            execute(op, tokens, batch);
        }
        int rows = tokens;
        if (program.givesLogits()) {
            rows = batch.logitRows().length;
            if (rows == 0) {
                return;
            }
            for (Op op : program.head()) {
                execute(op, rows, batch);
            }
        }
        Slot output = program.output();
        MemorySegment.copy(buffer(output).values(), 0, batch.output(), FLOAT, 0, rows * output.width());
    }

    private void placeTokens(StageBatch batch, int tokens) {
        if (positions.length < tokens) {
            positions = new int[tokens];
            sequences = new HostSequence[tokens];
        }
        int token = 0;
        for (StageBatch.Slice slice : batch.slices()) {
            HostSequence sequence = (HostSequence) slice.sequence();
            sequence.write(slice.firstPosition(), slice.firstPosition() + slice.tokenCount());
            for (int i = 0; i < slice.tokenCount(); i++) {
                positions[token] = slice.firstPosition() + i;
                sequences[token++] = sequence;
            }
        }
    }

    private void execute(Op op, int rows, StageBatch batch) {
        switch (op) {
            case Op.Embed(PreparedWeights table, Slot out) ->
                embed((HostWeights) table, present(batch.tokenIds()), out, rows);
            case Op.RmsNorm(Slot in, float[] weight, float epsilon, Slot out) ->
                rmsNorm(buffer(in).values(), rows, weight, epsilon, buffer(out).overwrite(rows));
            case Op.RmsNormRuns(Slot values, float[] weight, float epsilon) -> {
                float[] changed = buffer(values).change();
                rmsNorm(changed, rows * (values.width() / weight.length), weight, epsilon, changed);
            }
            case Op.LayerNorm norm -> layerNorm(norm, rows);
            case Op.MatMul(PreparedWeights weights, float @Nullable [] bias, Slot in, Slot out) ->
                multiplyRows(new Op.Linear(weights, bias), 0, buffer(in), buffer(out), rows);
            case Op.Rope rope -> rope(rope, rows);
            case Op.Store(int layer, Slot keys, Slot values) -> store(layer, keys, values, rows);
            case Op.Attention attention -> attention(attention, rows);
            case Op.Gate(Slot gate, Slot up, Op.Gating gating) -> gate(buffer(gate), buffer(up), gating, rows);
            case Op.Gelu(Slot values) -> gelu(buffer(values).change(), rows * values.width());
            case Op.Scale(Slot values, float factor) -> scale(buffer(values).change(), rows * values.width(), factor);
            case Op.SoftCap(Slot values, float cap) -> softCap(buffer(values).change(), rows * values.width(), cap);
            case Op.Add(Slot term, Slot sum) ->
                add(buffer(term).values(), buffer(sum).change(), rows * sum.width());
            case Op.AddGated(Slot term, Slot gate, Slot sum) ->
                addGated(
                        buffer(term).values(),
                        buffer(gate).values(),
                        buffer(sum).change(),
                        rows,
                        sum.width());
            case Op.SelectRows(Slot in, Slot out) -> select(buffer(in), buffer(out), batch.logitRows());
            case Op.Experts experts -> experts(experts, rows);
        }
    }

    private void embed(HostWeights table, int[] ids, Slot out, int rows) {
        float[] values = buffer(out).overwrite(rows);
        for (int t = 0; t < rows; t++) {
            operations.dequantiseRow(table, ids[t], values, t * out.width());
        }
    }

    private void rmsNorm(float[] in, int rows, float[] weight, float epsilon, float[] out) {
        int width = weight.length;
        pool.ranges(rows, pieces((long) rows * width), (from, to) -> {
            for (int t = from; t < to; t++) {
                int base = t * width;
                float mean = operations.sumOfSquares(in, base, width) / width;
                float scale = 1f / (float) Math.sqrt(mean + epsilon);
                for (int c = 0; c < width; c++) {
                    out[base + c] = in[base + c] * scale * weight[c];
                }
            }
        });
    }

    private void layerNorm(Op.LayerNorm norm, int rows) {
        int width = norm.in().width();
        float[] in = buffer(norm.in()).values();
        float[] out = buffer(norm.out()).overwrite(rows);
        float[] weight = norm.weight();
        float[] bias = norm.bias();
        pool.ranges(rows, pieces((long) rows * width), (from, to) -> {
            for (int t = from; t < to; t++) {
                int base = t * width;
                float mean = operations.sum(in, base, width) / width;
                for (int c = 0; c < width; c++) {
                    out[base + c] = in[base + c] - mean;
                }
                float variance = operations.sumOfSquares(out, base, width) / width;
                float scale = 1f / (float) Math.sqrt(variance + norm.epsilon());
                for (int c = 0; c < width; c++) {
                    float value = out[base + c] * scale * weight[c];
                    out[base + c] = bias == null ? value : value + bias[c];
                }
            }
        });
    }

    /** As many of a matrix's rows as out is wide, from firstRow on. */
    private void multiplyRows(Op.Linear linear, int firstRow, HostBuffer in, HostBuffer out, int tokens) {
        float[] values = out.overwrite(tokens);
        int width = out.width();
        multiplyRows((HostWeights) linear.weights(), firstRow, width, in, tokens, values, width);
        float[] bias = linear.bias();
        if (bias != null) {
            for (int t = 0; t < tokens; t++) {
                for (int c = 0; c < width; c++) {
                    values[t * width + c] += bias[firstRow + c];
                }
            }
        }
    }

    private void multiplyRows(
            HostWeights weights, int firstRow, int rowCount, HostBuffer in, int tokens, float[] out, int outStride) {
        operations.prepare(weights, in, tokens, pool, pieces(4L * tokens * weights.columns()));
        pool.ranges(
                rowCount,
                pieces((long) rowCount * weights.columns() * tokens),
                (from, to) ->
                        operations.multiply(weights, firstRow + from, to - from, in, tokens, out, outStride, from));
    }

    private void rope(Op.Rope rope, int rows) {
        RopeTable table = rope.table();
        float[] turns = angles.computeIfAbsent(table, key -> turns(key, rows));
        float[] values = buffer(rope.values()).change();
        int pairs = table.pairs();
        boolean neighbours = switch (table.pairing()) {
            case NEIGHBOURS -> true;
            case HALVES -> false;
        };
        int step = neighbours ? 2 : 1;
        int distance = neighbours ? 1 : pairs;
        pool.ranges(rows, pieces(4L * rows * rope.heads() * pairs), (from, to) -> {
            for (int t = from; t < to; t++) {
                for (int head = 0; head < rope.heads(); head++) {
                    int base = t * rope.values().width() + head * rope.headSize();
                    for (int i = 0; i < pairs; i++) {
                        float cos = turns[2 * (t * pairs + i)];
                        float sin = turns[2 * (t * pairs + i) + 1];
                        int first = base + i * step;
                        float a = values[first];
                        float b = values[first + distance];
                        values[first] = a * cos - b * sin;
                        values[first + distance] = a * sin + b * cos;
                    }
                }
            }
        });
    }

    /** Per token and pair cosine and sine. StrictMath, since Math may differ in the last bit from machine to machine. */
    private float[] turns(RopeTable table, int rows) {
        int pairs = table.pairs();
        float[] turns = new float[2 * rows * pairs];
        for (int t = 0; t < rows; t++) {
            for (int i = 0; i < pairs; i++) {
                double angle = positions[t] * table.frequencies()[i];
                turns[2 * (t * pairs + i)] = (float) StrictMath.cos(angle) * table.magnitude();
                turns[2 * (t * pairs + i) + 1] = (float) StrictMath.sin(angle) * table.magnitude();
            }
        }
        return turns;
    }

    private void store(int layer, Slot keys, Slot values, int rows) {
        float[] k = buffer(keys).values();
        float[] v = buffer(values).values();
        pool.ranges(rows, pieces(4L * rows * keys.width()), (from, to) -> {
            for (int t = from; t < to; t++) {
                sequences[t].store(layer, positions[t], k, v, t * keys.width());
            }
        });
    }

    private void attention(Op.Attention attention, int rows) {
        int heads = attention.heads();
        int headSize = program.cache().headSize();
        int group = heads / program.cache().kvHeads();
        float[] queries = buffer(attention.queries()).values();
        float[] out = buffer(attention.out()).overwrite(rows);
        long work = 0;
        for (int t = 0; t < rows; t++) {
            work += positions[t] + 1 - attention.scores().first(positions[t]);
        }
        int kvHeads = program.cache().kvHeads();
        int together = Math.max(1, QUERIES_TOGETHER / group);
        List<AttentionBlock> blocks = new ArrayList<>();
        for (int t = 0; t < rows; ) {
            int count = 1;
            while (count < together && t + count < rows && sequences[t + count] == sequences[t]) {
                count++;
            }
            for (int kvHead = 0; kvHead < kvHeads; kvHead++) {
                int firstHead = kvHead * group;
                blocks.add(new AttentionBlock(
                        sequences[t],
                        attention.layer(),
                        kvHead,
                        positions[t],
                        count,
                        firstHead,
                        group,
                        queries,
                        (t * heads + firstHead) * headSize,
                        heads * headSize,
                        attention.scores(),
                        out));
            }
            t += count;
        }
        long multiplications = 2 * work * heads * headSize;
        if (pieces(multiplications) == 1) {
            blocks.forEach(operations::attend);
        } else {
            // the last tokens see the most, so they go first
            pool.run(blocks.size(), i -> operations.attend(blocks.get(blocks.size() - 1 - i)));
        }
    }

    private void gate(HostBuffer gate, HostBuffer up, Op.Gating gating, int rows) {
        float[] g = gate.change();
        float[] u = up.values();
        int size = rows * gate.width();
        pool.ranges(size, pieces(8L * size), (from, to) -> operations.gate(g, u, gating, from, to));
    }

    private void gelu(float[] values, int size) {
        pool.ranges(size, pieces(8L * size), (from, to) -> {
            for (int i = from; i < to; i++) {
                values[i] = Exponential.gelu(values[i]);
            }
        });
    }

    private static void scale(float[] values, int size, float factor) {
        for (int i = 0; i < size; i++) {
            values[i] *= factor;
        }
    }

    private void softCap(float[] values, int size, float cap) {
        pool.ranges(size, pieces(8L * size), (from, to) -> {
            for (int i = from; i < to; i++) {
                values[i] = cap * Exponential.tanh(values[i] / cap);
            }
        });
    }

    private void add(float[] term, float[] sum, int size) {
        pool.ranges(size, pieces(size), (from, to) -> {
            for (int i = from; i < to; i++) {
                sum[i] += term[i];
            }
        });
    }

    private static void addGated(float[] term, float[] gate, float[] sum, int rows, int width) {
        for (int t = 0; t < rows; t++) {
            float share = 1f / (1f + Exponential.exp(-gate[t]));
            for (int c = 0; c < width; c++) {
                sum[t * width + c] = Math.fma(share, term[t * width + c], sum[t * width + c]);
            }
        }
    }

    private static void select(HostBuffer in, HostBuffer out, int[] rows) {
        float[] values = out.overwrite(rows.length);
        for (int i = 0; i < rows.length; i++) {
            System.arraycopy(in.values(), rows[i] * in.width(), values, i * in.width(), in.width());
        }
    }

    private void experts(Op.Experts op, int rows) {
        ExpertBuffers room = expertBuffers.computeIfAbsent(op, ExpertBuffers::new);
        HostBuffer in = buffer(op.in());
        int hidden = op.in().width();
        int used = op.used();
        multiplyRows(op.router(), 0, in, room.probabilities, rows);
        int[] chosen = new int[rows * used];
        float[] shares = new float[rows * used];
        for (int t = 0; t < rows; t++) {
            route(
                    room.probabilities.change(),
                    t * op.experts(),
                    op.experts(),
                    used,
                    op.normalise(),
                    chosen,
                    shares,
                    t * used);
        }
        float[] parts = room.parts.overwrite(rows * used);
        List<Integer> members = new ArrayList<>();
        for (int expert = 0; expert < op.experts(); expert++) {
            members.clear();
            for (int i = 0; i < chosen.length; i++) {
                if (chosen[i] == expert) {
                    members.add(i);
                }
            }
            if (members.isEmpty()) {
                continue;
            }
            int count = members.size();
            float[] gathered = room.gathered.overwrite(count);
            for (int i = 0; i < count; i++) {
                System.arraycopy(in.values(), members.get(i) / used * hidden, gathered, i * hidden, hidden);
            }
            int width = room.gate.width();
            multiplyRows(op.gate(), expert * width, room.gathered, room.gate, count);
            multiplyRows(op.up(), expert * width, room.gathered, room.up, count);
            gate(room.gate, room.up, op.gating(), count);
            multiplyRows(op.down(), expert * hidden, room.gate, room.down, count);
            float[] down = room.down.values();
            for (int i = 0; i < count; i++) {
                System.arraycopy(down, i * hidden, parts, members.get(i) * hidden, hidden);
            }
        }
        float[] out = buffer(op.out()).overwrite(rows);
        for (int t = 0; t < rows; t++) {
            for (int c = 0; c < hidden; c++) {
                float sum = 0;
                for (int rank = 0; rank < used; rank++) {
                    int i = t * used + rank;
                    sum = Math.fma(shares[i], parts[i * hidden + c], sum);
                }
                out[t * hidden + c] = sum;
            }
        }
    }

    /** Softmax over experts in place, then the used highest and their shares. */
    private static void route(
            float[] logits,
            int offset,
            int experts,
            int used,
            boolean normalise,
            int[] chosen,
            float[] shares,
            int at) {
        float max = Float.NEGATIVE_INFINITY;
        for (int e = 0; e < experts; e++) {
            max = Math.max(max, logits[offset + e]);
        }
        float sum = 0;
        for (int e = 0; e < experts; e++) {
            float p = Exponential.exp(logits[offset + e] - max);
            logits[offset + e] = p;
            sum += p;
        }
        float chosenSum = 0;
        for (int rank = 0; rank < used; rank++) {
            int best = -1;
            for (int e = 0; e < experts; e++) {
                if (logits[offset + e] >= 0 && (best < 0 || logits[offset + e] > logits[offset + best])) {
                    best = e;
                }
            }
            if (best < 0) {
                throw new IllegalStateException("the router's output is not a number; the model's weights are damaged");
            }
            chosen[at + rank] = best;
            shares[at + rank] = logits[offset + best] / sum;
            chosenSum += shares[at + rank];
            logits[offset + best] = -1;
        }
        if (normalise) {
            float divisor = Math.max(chosenSum, 6.103515625e-5f); // the least normal F16, as llama.cpp bounds it
            for (int rank = 0; rank < used; rank++) {
                shares[at + rank] /= divisor;
            }
        }
    }

    private HostBuffer buffer(Slot slot) {
        return buffers[slot.index()];
    }

    private int pieces(long work) {
        return work < WORTH_A_THREAD || pool.threads() == 1 ? 1 : pool.threads() * PIECES_PER_THREAD;
    }

    private static <T> T present(@Nullable T value) {
        if (value == null) {
            throw new IllegalStateException("checked before, yet missing");
        }
        return value;
    }

    /** What an experts operation needs beside the program's slots. */
    private static final class ExpertBuffers {
        private final HostBuffer probabilities;
        private final HostBuffer gathered;
        private final HostBuffer gate;
        private final HostBuffer up;
        private final HostBuffer down;
        private final HostBuffer parts;

        ExpertBuffers(Op.Experts op) {
            int hidden = op.in().width();
            int width = op.gate().weights().rows() / op.experts();
            probabilities = new HostBuffer(op.experts());
            gathered = new HostBuffer(hidden);
            gate = new HostBuffer(width);
            up = new HostBuffer(width);
            down = new HostBuffer(hidden);
            parts = new HostBuffer(hidden);
        }
    }
}
