package shoal.bridge.model.arch;

import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;

/**
 * Phi 3 and 4: fused matrices; LongRoPE has long and short factors, taken by the context length. The window keys of
 * these files are not followed, as in llama.cpp.
 */
final class Phi3Architecture implements Architecture {
    @Override
    public String name() {
        return "phi3";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.HALVES);
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.RMS);
        stage.embed();
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.projectFused();
            layer.rope(rope);
            layer.attend(Op.Scores.scaled(StageBlocks.usualScale(config)));
            layer.addDelta();
            layer.norm("ffn_norm");
            layer.gatedFused(Op.Gating.SILU);
            layer.addDelta();
        }
        stage.head();
        return stage.build();
    }
}
