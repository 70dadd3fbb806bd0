package shoal.bridge.model.arch;

import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;

/** Qwen 3 with experts, whose shares are made to add up to 1. */
final class Qwen3MoeArchitecture implements Architecture {
    @Override
    public String name() {
        return "qwen3moe";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.HALVES);
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.RMS);
        stage.embed();
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.project();
            layer.normHeads();
            layer.rope(rope);
            layer.attend(Op.Scores.scaled(StageBlocks.usualScale(config)));
            layer.addDelta();
            layer.norm("ffn_norm");
            layer.experts(Op.Gating.SILU, true);
            layer.addDelta();
        }
        stage.head();
        return stage.build();
    }
}
