package shoal.bridge.kernel;

import org.jspecify.annotations.Nullable;

/**
 * One operation of a {@link StageProgram}. Shapes: T rows (the batch's tokens), F32 row-major. Where in and out are distinct
 * parameters they are distinct slots.
 */
public sealed interface Op {
    /** out[t] = row tokenIds[t] of table. table: (vocabulary, hidden); out: (T, hidden). First operation of a first stage. */
    record Embed(PreparedWeights table, Slot out) implements Op {}

    /** out[t,c] = in[t,c] / sqrt(mean over c of in[t,c]^2 + epsilon) * weight[c]. */
    record RmsNorm(Slot in, float[] weight, float epsilon, Slot out) implements Op {}

    /** out[t,o] = sum over c of in[t,c] * weights[o,c], plus bias[o] if there is one. */
    record MatMul(PreparedWeights weights, float @Nullable [] bias, Slot in, Slot out) implements Op {}

    /** Turns pairs of each head of values, in place, by the angle of the token's position. values: (T, heads * headSize). */
    record Rope(Slot values, int heads, int headSize, RopeTable table) implements Op {}

    /** Keeps the keys and values of the batch's tokens in their sequences. layer counts from 0 within the stage. */
    record Store(int layer, Slot keys, Slot values) implements Op {}

    /**
     * Causal attention over all positions stored so far, the token's own included. Query head h reads KV head
     * h / (heads / kvHeads); scores are multiplied by scale before the softmax. queries, out: (T, heads * headSize).
     */
    record Attention(int layer, Slot queries, int heads, float scale, Slot out) implements Op {}

    /** gate[t,c] = silu(gate[t,c]) * up[t,c], silu(x) = x / (1 + exp(-x)). */
    record SwiGlu(Slot gate, Slot up) implements Op {}

    /** sum[t,c] += term[t,c]. */
    record Add(Slot term, Slot sum) implements Op {}

    /** out[i] = in[rows[i]], rows being those whose logits were asked for. First operation of a head. */
    record SelectRows(Slot in, Slot out) implements Op {}

    /**
     * A feed-forward layer of experts, of which each token is sent to a few. p = softmax(router · in[t]) over all experts;
     * the used highest (lower index first among equals) run SwiGLU each; out[t] = sum, highest p first, of their outputs
     * times p, divided by the sum of the chosen p if normalise.
     *
     * @param router (experts, hidden)
     * @param gate (experts * width, hidden), expert after expert
     * @param up as gate
     * @param down (experts * hidden, width)
     */
    record Experts(
            Slot in,
            PreparedWeights router,
            PreparedWeights gate,
            PreparedWeights up,
            PreparedWeights down,
            int experts,
            int used,
            boolean normalise,
            Slot out)
            implements Op {}
}
