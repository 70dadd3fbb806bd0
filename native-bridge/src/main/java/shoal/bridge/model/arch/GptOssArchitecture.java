package shoal.bridge.model.arch;

import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.MetadataKeys;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;

/** gpt-oss: experts with biases and a clamped gate, attention sinks, a window on even layers. */
final class GptOssArchitecture implements Architecture {
    @Override
    public String name() {
        return "gpt-oss";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.HALVES);
        int window =
                MetadataKeys.of(weights.header()).bounded("attention.sliding_window", null, 1, ModelConfig.MAX_CONTEXT);
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.RMS);
        stage.embed();
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.project();
            layer.rope(rope);
            layer.attend(new Op.Scores(
                    StageBlocks.usualScale(config), layer.index() % 2 == 0 ? window : 0, 0, layer.sinks()));
            layer.addDelta();
            layer.norm("post_attention_norm");
            layer.experts(Op.Gating.CLAMPED_SILU, true); // a softmax over the chosen alone is the same
            layer.addDelta();
        }
        stage.head();
        return stage.build();
    }
}
