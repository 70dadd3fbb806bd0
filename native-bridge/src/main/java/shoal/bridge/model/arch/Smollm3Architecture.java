package shoal.bridge.model.arch;

import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;

/** SmolLM3: every fourth layer does not turn its queries and keys. */
final class Smollm3Architecture implements Architecture {
    private static final int LAYERS_PER_PLAIN_ONE = 4;

    @Override
    public String name() {
        return "smollm3";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.NEIGHBOURS);
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.RMS);
        stage.embed();
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.project();
            if ((layer.index() + 1) % LAYERS_PER_PLAIN_ONE != 0) {
                layer.rope(rope);
            }
            layer.attend(Op.Scores.scaled(StageBlocks.usualScale(config)));
            layer.addDelta();
            layer.norm("ffn_norm");
            layer.gated(Op.Gating.SILU);
            layer.addDelta();
        }
        stage.head();
        return stage.build();
    }
}
