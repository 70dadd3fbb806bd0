package shoal.bridge.model.arch;

import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;

/** StarCoder2: LayerNorm and biases everywhere, a feed-forward layer without gate. */
final class Starcoder2Architecture implements Architecture {
    @Override
    public String name() {
        return "starcoder2";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.HALVES);
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.LAYER);
        stage.embed();
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.project();
            layer.rope(rope);
            layer.attend(Op.Scores.scaled(StageBlocks.usualScale(config)));
            layer.addDelta();
            layer.norm("ffn_norm");
            layer.gelu();
            layer.addDelta();
        }
        stage.head();
        return stage.build();
    }
}
