package shoal.bridge.model.arch;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;

/**
 * The blocks that families are made of; a family's file calls them in its order. They pass three buffers to and fro: x, the
 * residual stream; normed, what a norm makes of it; delta, what attention or feed-forward give back.
 */
final class StageBlocks {
    /** Which norm a family has; the weights are {@code <name>.weight}, and {@code <name>.bias} if the file has it. */
    enum Norm {
        RMS,
        LAYER
    }

    private final ModelConfig config;
    private final LayerRange range;
    private final Weights weights;
    private final Norm norm;
    private final StageProgram.Builder program = new StageProgram.Builder();
    private final Map<String, Slot> slots = new HashMap<>();
    private final Slot x;
    private final Slot normed;
    private final Slot delta;
    private Slot output;

    StageBlocks(ModelConfig config, LayerRange range, Weights weights, Norm norm) {
        this.config = config;
        this.range = range;
        this.weights = weights;
        this.norm = norm;
        x = slot("x", config.hidden());
        normed = slot("normed", config.hidden());
        delta = slot("delta", config.hidden());
        output = x;
    }

    /** 1 / sqrt(head size), as most families scale their scores. */
    static float usualScale(ModelConfig config) {
        return (float) (1 / Math.sqrt(config.headSize()));
    }

    /** The embedding, if the range begins with it. */
    void embed() {
        embed(1f);
    }

    /** As above, times a factor. */
    void embed(float factor) {
        if (range.first() == 0) {
            program.add(new Op.Embed(weights.matrix("token_embd.weight", config.vocabulary(), config.hidden()), x));
            if (factor != 1f) {
                program.add(new Op.Scale(x, factor));
            }
        }
    }

    /** The range's layers, in order. */
    List<Layer> layers() {
        List<Layer> layers = new ArrayList<>();
        for (int layer = range.first(); layer <= range.last(); layer++) {
            layers.add(new Layer(layer));
        }
        return layers;
    }

    /** Output norm and matrix, if the range ends with them; the embedding again where a file has no output matrix. */
    void head() {
        if (isLast()) {
            Slot picked = slot("picked", config.hidden());
            Slot pickedNormed = slot("picked normed", config.hidden());
            output = slot("logits", config.vocabulary());
            String matrix = weights.has("output.weight") ? "output.weight" : "token_embd.weight";
            program.addHead(new Op.SelectRows(x, picked))
                    .addHead(norm("output_norm", picked, pickedNormed))
                    .addHead(new Op.MatMul(
                            weights.matrix(matrix, config.vocabulary(), config.hidden()),
                            weights.optionalVector("output.bias", config.vocabulary()),
                            pickedNormed,
                            output));
        }
    }

    void scaleLogits(float factor) {
        if (isLast()) {
            program.addHead(new Op.Scale(output, factor));
        }
    }

    /** 0 for none. */
    void capLogits(float cap) {
        if (isLast() && cap != 0) {
            program.addHead(new Op.SoftCap(output, cap));
        }
    }

    StageProgram build() {
        return program.build(x, output, new CacheShape(range.count(), config.kvHeads(), config.headSize()));
    }

    private boolean isLast() {
        return range.last() == config.layers() - 1;
    }

    private Slot slot(String name, int width) {
        return slots.computeIfAbsent(name, key -> program.slot(key, width));
    }

    private Op norm(String name, Slot in, Slot out) {
        float[] weight = weights.vector(name + ".weight", in.width());
        return switch (norm) {
            case RMS -> new Op.RmsNorm(in, weight, config.normEpsilon(), out);
            case LAYER ->
                new Op.LayerNorm(
                        in, weight, weights.optionalVector(name + ".bias", in.width()), config.normEpsilon(), out);
        };
    }

    /** The blocks of one layer. Tensor names are without {@code blk.<layer>.} and {@code .weight}. */
    final class Layer {
        private final int index;
        private final Slot queries = slot("queries", config.heads() * config.headSize());
        private final Slot keys = slot("keys", config.kvHeads() * config.headSize());
        private final Slot values = slot("values", config.kvHeads() * config.headSize());
        private final Slot attended = slot("attended", config.heads() * config.headSize());

        private Layer(int index) {
            this.index = index;
        }

        /** Counts from 0 over the whole model. */
        int index() {
            return index;
        }

        /** normed = norm(x). */
        void norm(String name) {
            program.add(StageBlocks.this.norm(block(name), x, normed));
        }

        /** delta = norm(delta), RMS. */
        void normDelta(String name) {
            program.add(runs(delta, name, config.hidden()));
        }

        /** From normed, three matrices, each with its bias where the file has one. */
        void project() {
            linear("attn_q", normed, queries);
            linear("attn_k", normed, keys);
            linear("attn_v", normed, values);
        }

        /** From normed, one matrix whose rows are those of queries, keys, values. */
        void projectFused() {
            int all = queries.width() + keys.width() + values.width();
            rows("attn_qkv", all, 0, normed, queries);
            rows("attn_qkv", all, queries.width(), normed, keys);
            rows("attn_qkv", all, queries.width() + keys.width(), normed, values);
        }

        /** RMS norm over each head of queries and of keys. */
        void normHeads() {
            program.add(runs(queries, "attn_q_norm", config.headSize()));
            program.add(runs(keys, "attn_k_norm", config.headSize()));
        }

        /** RMS norm over all queries, and over all keys, of a token. */
        void normProjections() {
            program.add(runs(queries, "attn_q_norm", queries.width()));
            program.add(runs(keys, "attn_k_norm", keys.width()));
        }

        void rope(RopeTable table) {
            program.add(new Op.Rope(queries, config.heads(), config.headSize(), table));
            program.add(new Op.Rope(keys, config.kvHeads(), config.headSize(), table));
        }

        /** delta = output matrix times attention. */
        void attend(Op.Scores scores) {
            int cacheLayer = index - range.first();
            program.add(new Op.Store(cacheLayer, keys, values));
            program.add(new Op.Attention(cacheLayer, queries, config.heads(), scores, attended));
            linear("attn_output", attended, delta);
        }

        /** One number per query head, for {@link Op.Scores}. */
        float[] sinks() {
            return weights.vector(block("attn_sinks.weight"), config.heads());
        }

        void scaleDelta(float factor) {
            program.add(new Op.Scale(delta, factor));
        }

        /** x += delta. */
        void addDelta() {
            program.add(new Op.Add(delta, x));
        }

        /** delta = down(gating(gate(normed), up(normed))). */
        void gated(Op.Gating gating) {
            Slot gate = slot("gate", config.feedForward());
            Slot up = slot("up", config.feedForward());
            linear("ffn_gate", normed, gate);
            linear("ffn_up", normed, up);
            program.add(new Op.Gate(gate, up, gating));
            linear("ffn_down", gate, delta);
        }

        /** As above, gate and up being the first and second half of one matrix's rows, ffn_up. */
        void gatedFused(Op.Gating gating) {
            Slot gate = slot("gate", config.feedForward());
            Slot up = slot("up", config.feedForward());
            rows("ffn_up", 2 * config.feedForward(), 0, normed, gate);
            rows("ffn_up", 2 * config.feedForward(), config.feedForward(), normed, up);
            program.add(new Op.Gate(gate, up, gating));
            linear("ffn_down", gate, delta);
        }

        /** delta = down(gelu(up(normed))). */
        void gelu() {
            Slot up = slot("up", config.feedForward());
            linear("ffn_up", normed, up);
            program.add(new Op.Gelu(up));
            linear("ffn_down", up, delta);
        }

        /** delta = the chosen experts' outputs; biases where the file has them. */
        void experts(Op.Gating gating, boolean normalise) {
            int experts = config.experts();
            if (experts == 0) {
                throw new shoal.codec.base.MalformedException(
                        config.architecture() + ".expert_count is 0, allowed 1.." + ModelConfig.MAX_EXPERTS);
            }
            program.add(new Op.Experts(
                    normed,
                    new Op.Linear(
                            weights.matrix(block("ffn_gate_inp.weight"), experts, config.hidden()),
                            weights.optionalVector(block("ffn_gate_inp.bias"), experts)),
                    stacked("ffn_gate_exps", config.feedForward(), config.hidden()),
                    stacked("ffn_up_exps", config.feedForward(), config.hidden()),
                    stacked("ffn_down_exps", config.hidden(), config.feedForward()),
                    gating,
                    experts,
                    config.expertsUsed(),
                    normalise,
                    delta));
        }

        /** delta += sigmoid(one row times normed) * a gated layer that every token goes through. */
        void addSharedExpert(Op.Gating gating, int width) {
            Slot gate = slot("shared gate", width);
            Slot up = slot("shared up", width);
            Slot share = slot("shared share", 1);
            Slot out = slot("shared out", config.hidden());
            linear("ffn_gate_shexp", normed, gate);
            linear("ffn_up_shexp", normed, up);
            program.add(new Op.Gate(gate, up, gating));
            linear("ffn_down_shexp", gate, out);
            linear("ffn_gate_inp_shexp", normed, share);
            program.add(new Op.AddGated(out, share, delta));
        }

        private void linear(String name, Slot in, Slot out) {
            program.add(new Op.MatMul(
                    weights.matrix(block(name + ".weight"), out.width(), in.width()),
                    weights.optionalVector(block(name + ".bias"), out.width()),
                    in,
                    out));
        }

        private void rows(String name, int allRows, int firstRow, Slot in, Slot out) {
            program.add(new Op.MatMul(
                    weights.matrixRows(block(name + ".weight"), allRows, in.width(), firstRow, out.width()),
                    null,
                    in,
                    out));
        }

        private Op.Linear stacked(String name, int rows, int columns) {
            return new Op.Linear(
                    weights.stackedMatrix(block(name + ".weight"), config.experts(), rows, columns),
                    weights.optionalStackedVector(block(name + ".bias"), config.experts(), rows));
        }

        private Op runs(Slot slot, String name, int width) {
            return new Op.RmsNormRuns(slot, weights.vector(block(name + ".weight"), width), config.normEpsilon());
        }

        private String block(String name) {
            return "blk." + index + "." + name;
        }
    }
}
