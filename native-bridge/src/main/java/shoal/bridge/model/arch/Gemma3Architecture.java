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
 * Gemma 3: as Gemma 2 with norms of query and key heads instead of soft caps; five windowed layers, turned by a
 * base of their own, then one that sees all.
 */
final class Gemma3Architecture implements Architecture {
    private static final int LAYERS_PER_WHOLE_ONE = 6;
    private static final float NEAR_ROPE_BASE = 10_000f;

    /** The 27 B model scales scores by hidden / heads instead of the head size, and no key says so. */
    private static final int LAYERS_OF_27B = 62;

    @Override
    public String name() {
        return "gemma3";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.HALVES);
        MetadataKeys keys = MetadataKeys.of(weights.header());
        RopeTable nearRope =
                Ropes.plain(config, keys.positive("rope.freq_base_swa", NEAR_ROPE_BASE), RopeTable.Pairing.HALVES);
        int window = keys.bounded("attention.sliding_window", 0, 0, ModelConfig.MAX_CONTEXT);
        float scale = config.layers() == LAYERS_OF_27B
                ? (float) (1 / Math.sqrt((double) config.hidden() / config.heads()))
                : StageBlocks.usualScale(config);
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.RMS);
        stage.embed((float) Math.sqrt(config.hidden()));
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.project();
            layer.normHeads();
            boolean windowed = window > 0 && (layer.index() + 1) % LAYERS_PER_WHOLE_ONE != 0;
            layer.rope(windowed ? nearRope : rope);
            layer.attend(new Op.Scores(scale, windowed ? window : 0, 0, null));
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
