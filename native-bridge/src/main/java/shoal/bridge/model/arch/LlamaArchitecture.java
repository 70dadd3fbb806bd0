package shoal.bridge.model.arch;

import shoal.bridge.kernel.CacheShape;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.PreparedWeights;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.Slot;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;
import shoal.codec.gguf.Gguf;

/** Llama 2 and 3, Mistral, TinyLlama, SmolLM2, and Mixtral's experts (llama.cpp, architecture llama). */
final class LlamaArchitecture implements Architecture {
    @Override
    public String name() {
        return "llama";
    }

    @Override
    public ModelConfig config(Gguf header) {
        return ModelConfig.read(header);
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights) {
        int hidden = config.hidden();
        int queryWidth = config.heads() * config.headSize();
        int keyWidth = config.kvHeads() * config.headSize();
        RopeTable rope = rope(config, weights);

        var program = new StageProgram.Builder();
        Slot x = program.slot("x", hidden);
        Slot normed = program.slot("normed", hidden);
        Slot queries = program.slot("queries", queryWidth);
        Slot keys = program.slot("keys", keyWidth);
        Slot values = program.slot("values", keyWidth);
        Slot attended = program.slot("attended", queryWidth);
        Slot gate = program.slot("gate", config.feedForward());
        Slot up = program.slot("up", config.feedForward());
        Slot delta = program.slot("delta", hidden);

        if (range.first() == 0) {
            program.add(new Op.Embed(weights.matrix("token_embd.weight", config.vocabulary(), hidden), x));
        }
        for (int layer = range.first(); layer <= range.last(); layer++) {
            String block = "blk." + layer + ".";
            int cacheLayer = layer - range.first();
            program.add(new Op.RmsNorm(
                            x, weights.vector(block + "attn_norm.weight", hidden), config.normEpsilon(), normed))
                    .add(linear(weights, block + "attn_q", normed, queries))
                    .add(linear(weights, block + "attn_k", normed, keys))
                    .add(linear(weights, block + "attn_v", normed, values))
                    .add(new Op.Rope(queries, config.heads(), config.headSize(), rope))
                    .add(new Op.Rope(keys, config.kvHeads(), config.headSize(), rope))
                    .add(new Op.Store(cacheLayer, keys, values))
                    .add(new Op.Attention(
                            cacheLayer, queries, config.heads(), (float) (1 / Math.sqrt(config.headSize())), attended))
                    .add(linear(weights, block + "attn_output", attended, delta))
                    .add(new Op.Add(delta, x))
                    .add(new Op.RmsNorm(
                            x, weights.vector(block + "ffn_norm.weight", hidden), config.normEpsilon(), normed));
            if (config.experts() > 0) {
                program.add(experts(config, weights, block, normed, delta));
            } else {
                program.add(linear(weights, block + "ffn_gate", normed, gate))
                        .add(linear(weights, block + "ffn_up", normed, up))
                        .add(new Op.SwiGlu(gate, up))
                        .add(linear(weights, block + "ffn_down", gate, delta));
            }
            program.add(new Op.Add(delta, x));
        }
        Slot output = x;
        if (range.last() == config.layers() - 1) {
            Slot picked = program.slot("picked", hidden);
            Slot pickedNormed = program.slot("picked normed", hidden);
            output = program.slot("logits", config.vocabulary());
            String head = weights.has("output.weight") ? "output.weight" : "token_embd.weight"; // tied
            program.addHead(new Op.SelectRows(x, picked))
                    .addHead(new Op.RmsNorm(
                            picked, weights.vector("output_norm.weight", hidden), config.normEpsilon(), pickedNormed))
                    .addHead(new Op.MatMul(
                            weights.matrix(head, config.vocabulary(), hidden), null, pickedNormed, output));
        }
        return program.build(x, output, new CacheShape(range.count(), config.kvHeads(), config.headSize()));
    }

    /** A matrix and, where the file has one, its bias. */
    private static Op linear(Weights weights, String name, Slot in, Slot out) {
        return new Op.MatMul(
                weights.matrix(name + ".weight", out.width(), in.width()),
                weights.optionalVector(name + ".bias", out.width()),
                in,
                out);
    }

    private static Op experts(ModelConfig config, Weights weights, String block, Slot in, Slot out) {
        int experts = config.experts();
        int hidden = config.hidden();
        int width = config.feedForward();
        PreparedWeights router = weights.matrix(block + "ffn_gate_inp.weight", experts, hidden);
        PreparedWeights gate = weights.stackedMatrix(block + "ffn_gate_exps.weight", experts, width, hidden);
        PreparedWeights up = weights.stackedMatrix(block + "ffn_up_exps.weight", experts, width, hidden);
        PreparedWeights down = weights.stackedMatrix(block + "ffn_down_exps.weight", experts, hidden, width);
        return new Op.Experts(in, router, gate, up, down, experts, config.expertsUsed(), true, out);
    }

    /** base^(-2i / dimensions), times linear scaling, divided by the factors that Llama 3.1 brings as a tensor. */
    private static RopeTable rope(ModelConfig config, Weights weights) {
        int pairs = config.ropeDimensions() / 2;
        float[] factors = pairs == 0 ? null : weights.optionalVector("rope_freqs.weight", pairs);
        double[] frequencies = new double[pairs];
        for (int i = 0; i < pairs; i++) {
            frequencies[i] = StrictMath.pow(config.ropeBase(), -2.0 * i / config.ropeDimensions()) * config.ropeScale();
            if (factors != null) {
                frequencies[i] /= factors[i];
            }
        }
        return new RopeTable(frequencies, 1f, RopeTable.Pairing.NEIGHBOURS);
    }
}
