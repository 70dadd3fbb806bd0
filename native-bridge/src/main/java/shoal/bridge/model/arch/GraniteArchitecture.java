package shoal.bridge.model.arch;

import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.RopeTable;
import shoal.bridge.kernel.StageProgram;
import shoal.bridge.model.Architecture;
import shoal.bridge.model.MetadataKeys;
import shoal.bridge.model.ModelConfig;
import shoal.bridge.model.Weights;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;

/** Granite 3: embedding, residual branches, scores and logits have factors of their own. */
final class GraniteArchitecture implements Architecture {
    @Override
    public String name() {
        return "granite";
    }

    @Override
    public StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength) {
        RopeTable rope = Ropes.scaled(config, weights, contextLength, RopeTable.Pairing.NEIGHBOURS);
        MetadataKeys keys = MetadataKeys.of(weights.header());
        if (!weights.header().booleanValue(keys.name("rope.scaling.finetuned"), true)) {
            throw new MalformedException(keys.name("rope.scaling.finetuned")
                    + " is false: Granite models that do not turn positions are not supported");
        }
        float residual = keys.positive("residual_scale", 1f);
        Op.Scores scores = Op.Scores.scaled(keys.positive("attention.scale", StageBlocks.usualScale(config)));
        var stage = new StageBlocks(config, range, weights, StageBlocks.Norm.RMS);
        stage.embed(keys.positive("embedding_scale", 1f));
        for (StageBlocks.Layer layer : stage.layers()) {
            layer.norm("attn_norm");
            layer.project();
            layer.rope(rope);
            layer.attend(scores);
            layer.scaleDelta(residual);
            layer.addDelta();
            layer.norm("ffn_norm");
            layer.gated(Op.Gating.SILU);
            layer.scaleDelta(residual);
            layer.addDelta();
        }
        stage.head();
        stage.scaleLogits(1f / keys.positive("logit_scale", 1f));
        return stage.build();
    }
}
