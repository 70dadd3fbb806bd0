package shoal.bridge.model.arch;

import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;

/** Llama 2 and 3, Mistral, TinyLlama, SmolLM2, and Mixtral's experts (llama.cpp, architecture llama). */
final class LlamaArchitecture implements Architecture {
    @Override
    public String name() {
        return "llama";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.NEIGHBOURS);
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.RMS);
        stage.embed();
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.project();
            layer.rope(rope);
            layer.attend(Op.Scores.scaled(StageBlocks.usualScale(config)));
            layer.addDelta();
            layer.norm("ffn_norm");
            if (config.experts() > 0) {
                layer.experts(Op.Gating.SILU, true);
            } else {
                layer.gated(Op.Gating.SILU);
            }
            layer.addDelta();
        }
        stage.head();
        return stage.build();
    }
}
