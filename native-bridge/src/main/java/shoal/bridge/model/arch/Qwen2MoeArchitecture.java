package shoal.bridge.model.arch;

import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.MetadataKeys;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;

/**
 * Qwen 1.5 and 2 with experts: shares as the softmax over all has them, and one more expert that every token goes
 * through.
 */
final class Qwen2MoeArchitecture implements Architecture {
    @Override
    public String name() {
        return "qwen2moe";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.HALVES);
        int sharedWidth = MetadataKeys.of(weights.header())
                .bounded("expert_shared_feed_forward_length", null, 1, ModelConfig.MAX_FEED_FORWARD);
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.RMS);
        stage.embed();
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.project();
            layer.rope(rope);
            layer.attend(Op.Scores.scaled(StageBlocks.usualScale(config)));
            layer.addDelta();
            layer.norm("ffn_norm");
            layer.experts(Op.Gating.SILU, false);
            layer.addSharedExpert(Op.Gating.SILU, sharedWidth);
            layer.addDelta();
        }
        stage.head();
        return stage.build();
    }
}
