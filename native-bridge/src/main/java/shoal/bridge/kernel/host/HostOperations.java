package shoal.bridge.kernel.host;

import java.util.Set;
import shoal.bridge.kernel.Op;
import shoal.codec.gguf.GgmlType;

/** The inner loops that CPU kernels differ in. All add in the order of {@link shoal.bridge.kernel.SumOrder}; all are stateless. */
public interface HostOperations {
    Set<GgmlType> types();

    /** Makes x ready for {@link #multiply} by w, by one thread before any multiplies; usual is to quantise it if w is. */
    default void prepare(HostWeights w, HostBuffer x, int tokens) {
        if (w.type().blockValues() > 1) {
            x.quantise(tokens);
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
     * One head of one token: out[outOffset..] = sum over positions first..positions-1 of the softmax of their scores times value.
     *
     * @param rule how a product of query and key becomes a score; its window is not looked at, first says it
     * @param head of the queries, to find its sink
     * @param scores room for positions values
     */
    void attend(
            HostSequence sequence,
            int layer,
            int kvHead,
            int first,
            int positions,
            float[] query,
            int queryOffset,
            Op.Scores rule,
            int head,
            float[] scores,
            float[] out,
            int outOffset);
}
