package shoal.bridge.kernel.scalar;

import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import shoal.bridge.kernel.Exponential;
import shoal.bridge.kernel.Op;
import shoal.bridge.kernel.SumOrder;
import shoal.bridge.kernel.host.AttentionBlock;
import shoal.bridge.kernel.host.HostBuffer;
import shoal.bridge.kernel.host.HostOperations;
import shoal.bridge.kernel.host.HostSequence;
import shoal.bridge.kernel.host.HostWeights;
import shoal.codec.gguf.GgmlType;

/** Every operation as its formula says; other CPU kernels fall back on it for what they have no faster loop for. */
public final class ScalarOperations implements HostOperations {
    private static final Map<GgmlType, Dequantizer> TYPES = new EnumMap<>(GgmlType.class);

    static {
        for (Dequantizer dequantizer : List.of(
                new PlainTypes.F32(),
                new PlainTypes.F16(),
                new PlainTypes.BF16(),
                new Q8_0(),
                new Q4_0(),
                new Q4_1(),
                new Q5_0(),
                new Q5_1(),
                new Q2_K(),
                new Q3_K(),
                new Q4_K(),
                new Q5_K(),
                new Q6_K(),
                new IQ4_NL(),
                new IQ4_XS(),
                new MXFP4())) {
            TYPES.put(dequantizer.type(), dequantizer);
        }
    }

    @Override
    public Set<GgmlType> types() {
        return Collections.unmodifiableSet(TYPES.keySet());
    }

    /** @throws IllegalArgumentException if the type is not among {@link #types} */
    public static Dequantizer dequantizer(GgmlType type) {
        Dequantizer dequantizer = TYPES.get(type);
        if (dequantizer == null) {
            throw new IllegalArgumentException(
                    "tensor type " + type + " is not supported; supported are " + TYPES.keySet());
        }
        return dequantizer;
    }

    @Override
    public void multiply(
            HostWeights w,
            int firstRow,
            int rowCount,
            HostBuffer x,
            int tokens,
            float[] out,
            int outStride,
            int outColumn) {
        Dequantizer dequantizer = dequantizer(w.type());
        float[] lanes = new float[SumOrder.LANES];
        for (int t = 0; t < tokens; t++) {
            for (int r = 0; r < rowCount; r++) {
                out[t * outStride + outColumn + r] =
                        dequantizer.dot(w.bytes(), (firstRow + r) * w.rowBytes(), w.columns(), x, t, lanes);
            }
        }
    }

    @Override
    public void dequantiseRow(HostWeights w, int row, float[] out, int outOffset) {
        dequantizer(w.type()).dequantise(w.bytes(), row * w.rowBytes(), w.columns(), out, outOffset);
    }

    @Override
    public float sum(float[] values, int offset, int size) {
        float[] lanes = new float[SumOrder.LANES];
        for (int c = 0; c < size; c++) {
            lanes[c % SumOrder.LANES] += values[offset + c];
        }
        return SumOrder.tree(lanes, 0);
    }

    @Override
    public float sumOfSquares(float[] values, int offset, int size) {
        float[] lanes = new float[SumOrder.LANES];
        for (int c = 0; c < size; c++) {
            float value = values[offset + c];
            lanes[c % SumOrder.LANES] = Math.fma(value, value, lanes[c % SumOrder.LANES]);
        }
        return SumOrder.tree(lanes, 0);
    }

    @Override
    public void attend(AttentionBlock block) {
        HostSequence sequence = block.sequence();
        int size = sequence.shape().headSize();
        float[] lanes = new float[SumOrder.LANES];
        float[] scores = new float[block.end(block.count() - 1)];
        for (int i = 0; i < block.count(); i++) {
            int offset = block.offset(i);
            for (int p = block.first(i); p < block.end(i); p++) {
                float product = 0;
                for (int c = 0; c < size; c++) {
                    product = Math.fma(
                            sequence.key(block.layer(), block.kvHead(), p, c), block.queries()[offset + c], product);
                }
                scores[p] = score(product, block.rule());
            }
            float total = softmax(scores, block.first(i), block.end(i), block.rule(), block.head(i), lanes);
            float inverse = 1f / total;
            for (int c = 0; c < size; c++) {
                float sum = 0;
                for (int p = block.first(i); p < block.end(i); p++) {
                    sum = Math.fma(scores[p], sequence.value(block.layer(), block.kvHead(), p, c), sum);
                }
                block.out()[offset + c] = sum * inverse;
            }
        }
    }

    @Override
    public void gate(float[] gate, float[] up, Op.Gating gating, int from, int to) {
        switch (gating) {
            case SILU -> {
                for (int i = from; i < to; i++) {
                    gate[i] = Exponential.silu(gate[i]) * up[i];
                }
            }
            case GELU -> {
                for (int i = from; i < to; i++) {
                    gate[i] = Exponential.gelu(gate[i]) * up[i];
                }
            }
            case CLAMPED_SILU -> {
                for (int i = from; i < to; i++) {
                    gate[i] = clampedSilu(gate[i], up[i]);
                }
            }
        }
    }

    private static float clampedSilu(float gate, float up) {
        float g = Math.min(gate, 7f);
        float u = Math.clamp(up, -7f, 7f);
        return g / (1f + Exponential.exp(-1.702f * g)) * (u + 1f);
    }

    /** What a query's product with a key becomes. */
    public static float score(float product, Op.Scores rule) {
        float score = product * rule.scale();
        return rule.softCap() == 0 ? score : rule.softCap() * Exponential.tanh(score / rule.softCap());
    }

    /** scores[p] = exp(scores[p] - max) from first on; returns their sum, the head's sink included. lanes: room for 16. */
    public static float softmax(float[] scores, int first, int positions, Op.Scores rule, int head, float[] lanes) {
        float[] sinks = rule.sinks();
        float max = sinks == null ? Float.NEGATIVE_INFINITY : sinks[head];
        for (int p = first; p < positions; p++) {
            max = Math.max(max, scores[p]);
        }
        java.util.Arrays.fill(lanes, 0f);
        for (int p = first; p < positions; p++) {
            scores[p] = Exponential.exp(scores[p] - max);
            lanes[p % SumOrder.LANES] += scores[p];
        }
        float sum = SumOrder.tree(lanes, 0);
        return sinks == null ? sum : sum + Exponential.exp(sinks[head] - max);
    }
}
