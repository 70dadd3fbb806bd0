package shoal.bridge.model;

import shoal.bridge.kernel.StageProgram;
import shoal.codec.base.LayerRange;
import shoal.codec.gguf.Gguf;

/** One family of models: how its metadata is read, and what its layers compute. */
public interface Architecture {
    /** As {@code general.architecture} has it. */
    String name();

    /** Reads and bounds the measures, as most families name them. @throws shoal.codec.base.MalformedException naming the key */
    default ModelConfig config(Gguf header) {
        return ModelConfig.read(header);
    }

    /**
     * What the layers of a range compute; with the embedding before layer 0 and the head behind the last one.
     *
     * @param contextLength most positions that a sequence may have; some models turn positions by it
     * @throws shoal.codec.base.MalformedException naming a tensor that is missing or has another shape or type
     */
    StageProgram program(ModelConfig config, LayerRange range, Weights weights, int contextLength);
}
