package shoal.bridge.model;

import java.lang.foreign.MemorySegment;
import shoal.bridge.kernel.scalar.Dequantizer;
import shoal.bridge.kernel.scalar.ScalarOperations;
import shoal.codec.base.LayerRange;
import shoal.codec.gguf.TensorInfo;

/** Looks for weights that are no numbers. Slow: asked only once results are no numbers either. */
final class WeightCheck {
    private static final int PART = 1 << 16;

    private WeightCheck() {}

    /** One line that says which tensor of a range's is damaged and where, or that none is. */
    static String explain(TensorSource source, ModelConfig config, LayerRange range) {
        for (TensorInfo tensor : source.header().tensors()) {
            if (StageMemory.isNeeded(tensor.name(), source.header(), config, range)) {
                String found = firstBad(tensor, source.tensor(tensor));
                if (found != null) {
                    return found;
                }
            }
        }
        return "the results of layers " + range + " are no finite numbers, though all weights are:"
                + " they grow beyond what fits in 32 bits";
    }

    private static @org.jspecify.annotations.Nullable String firstBad(TensorInfo tensor, MemorySegment bytes) {
        Dequantizer dequantizer = ScalarOperations.dequantizer(tensor.type());
        long count = tensor.elementCount();
        float[] values = new float[(int) Math.min(PART, count)];
        for (long from = 0; from < count; from += PART) {
            int size = (int) Math.min(PART, count - from);
            dequantizer.dequantise(bytes, tensor.type().sizeBytes(from), size, values, 0);
            for (int i = 0; i < size; i++) {
                if (!Float.isFinite(values[i])) {
                    return "tensor " + tensor.name() + " has the value " + values[i] + " at " + (from + i)
                            + "; the file is damaged, get it again";
                }
            }
        }
        return null;
    }
}
