package shoal.bridge.model;

import shoal.bridge.kernel.CacheType;
import shoal.bridge.kernel.Kernels;
import shoal.codec.base.Bounds;

/**
 * How a stage is to run.
 *
 * @param kernels the caller's; closed by the caller after the stage
 * @param maxContext most positions per sequence; the model's own limit if that is less. All stages of one model need the same:
 *     LongRoPE turns positions by it
 * @param cacheType how keys and values are kept
 */
public record StageSettings(Kernels kernels, int maxContext, CacheType cacheType) {
    public StageSettings {
        Bounds.requireRange("maxContext", maxContext, 1, Integer.MAX_VALUE);
    }

    /** Keys and values in F32. */
    public StageSettings(Kernels kernels, int maxContext) {
        this(kernels, maxContext, CacheType.F32);
    }

    /** As much context as the model has, keys and values in F32. */
    public static StageSettings of(Kernels kernels) {
        return new StageSettings(kernels, ModelConfig.MAX_CONTEXT, CacheType.F32);
    }
}
