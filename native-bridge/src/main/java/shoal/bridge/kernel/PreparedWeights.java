package shoal.bridge.kernel;

import shoal.codec.gguf.GgmlType;

/**
 * A matrix (rows, columns) that a provider has taken over: still the mapped bytes, packed, or uploaded. Belongs to the
 * {@link Kernels} that prepared it and is understood by them alone.
 */
public interface PreparedWeights {
    GgmlType type();

    /** Outputs; for stacked experts the rows of all of them, one expert after another. */
    int rows();

    /** Inputs. */
    int columns();
}
