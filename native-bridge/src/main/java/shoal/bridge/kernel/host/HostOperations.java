package shoal.bridge.kernel.host;

import java.util.Set;
import shoal.bridge.kernel.Op;
import shoal.codec.gguf.GgmlType;

/** The inner loops that CPU kernels differ in. All add in the order of {@link shoal.bridge.kernel.SumOrder}; all are stateless. */
public interface HostOperations {
    Set<GgmlType> types();

    /**
     * Makes x ready for {@link #multiply} by w, in up to pieces pieces over the pool, before any thread multiplies. The usual is to
     * quantise it if w is.
     */
    default void prepare(HostWeights w, HostBuffer x, int tokens, ComputePool pool, int pieces) {
        if (w.type().blockValues() > 1) {
            x.quantise(tokens, pool, pieces);
        }
    }

    /**
     * out[t * outStride + outColumn + r] = row firstRow + r of w times row t of x, for r below rowCount and t below tokens. Reads
     * x quantised if w is. Many threads at once, on disjoint rows.
     */
    void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn);

    /** One row of w as F32, exactly as ggml's to_float makes it. */
    void dequantiseRow(HostWeights w, int row, float[] out, int outOffset);

    /** The sum of size values from offset on. */
    float sum(float[] values, int offset, int size);

    /** The sum of squares of size values from offset on. */
    float sumOfSquares(float[] values, int offset, int size);

    /**
     * Per query of the block: out = sum over the positions it sees of the softmax of their scores times value. Many threads at
     * once, on blocks whose results do not overlap.
     */
    void attend(AttentionBlock block);

    /** gate[i] = gating of gate[i] and up[i], for i of from..to-1. */
    void gate(float[] gate, float[] up, Op.Gating gating, int from, int to);
}
