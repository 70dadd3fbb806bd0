package shoal.bridge.kernel.host;

import java.util.Set;
import shoal.codec.gguf.GgmlType;

/** The inner loops that CPU kernels differ in. All add in the order of {@link shoal.bridge.kernel.SumOrder}; all are stateless. */
public interface HostOperations {
    Set<GgmlType> types();

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

    /** The sum of squares of size values from offset on. */
    float sumOfSquares(float[] values, int offset, int size);

    /**
     * One head of one token: out[outOffset..] = sum over positions 0..positions-1 of softmax(query · key * scale) times value.
     *
     * @param scores room for that many positions
     */
    void attend(
            HostSequence sequence,
            int layer,
            int kvHead,
            int positions,
            float[] query,
            int queryOffset,
            float scale,
            float[] scores,
            float[] out,
            int outOffset);
}
