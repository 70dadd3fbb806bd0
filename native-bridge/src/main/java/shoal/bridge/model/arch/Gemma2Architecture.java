package shoal.bridge.model.arch;

import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.MetadataKeys;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;

/** Gemma 2: norms before and after each branch, a window on even layers, soft caps on scores and logits. */
final class Gemma2Architecture implements Architecture {
    /** The 27 B model scales scores by hidden / heads instead of the head size, and no key says so. */
    private static final int LAYERS_OF_27B = 46;

    @Override
    public String name() {
        return "gemma2";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.HALVES);
        MetadataKeys keys = MetadataKeys.of(weights.header());
        int window = keys.bounded("attention.sliding_window", 4_096, 0, ModelConfig.MAX_CONTEXT);
        float scoreCap = keys.positive("attn_logit_softcapping", 0f);
        float scale = config.layers() == LAYERS_OF_27B
                ? (float) (1 / Math.sqrt((double) config.hidden() / config.heads()))
                : StageBlocks.usualScale(config);
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.RMS);
        stage.embed((float) Math.sqrt(config.hidden()));
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.project();
            layer.rope(rope);
            layer.attend(new Op.Scores(scale, layer.index() % 2 == 0 ? window : 0, scoreCap, null));
            layer.normDelta("post_attention_norm");
            layer.addDelta();
            layer.norm("ffn_norm");
            layer.gated(Op.Gating.GELU);
            layer.normDelta("post_ffw_norm");
            layer.addDelta();
        }
        stage.head();
        stage.capLogits(keys.positive("final_logit_softcapping", 0f));
        return stage.build();
    }
}
