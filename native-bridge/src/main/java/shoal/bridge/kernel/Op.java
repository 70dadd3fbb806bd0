package shoal.bridge.kernel;

import org.jspecify.annotations.Nullable;
import shoal.codec.base.Bounds;

/**
 * One operation of a {@link StageProgram}. Shapes: T rows (the batch's tokens), F32 row-major. Where in and out are distinct
 * parameters they are distinct slots.
 */
public sealed interface Op {
    /** out[t] = row tokenIds[t] of table. table: (vocabulary, hidden); out: (T, hidden). First operation of a first stage. */
    record Embed(PreparedWeights table, Slot out) implements Op {}

    /** out[t,c] = in[t,c] / sqrt(mean over c of in[t,c]^2 + epsilon) * weight[c]. */
    record RmsNorm(Slot in, float[] weight, float epsilon, Slot out) implements Op {}

    /**
     * Each run of weight.length values by itself, in place: values[c] / sqrt(mean of its run's squares + epsilon) *
     * weight[c mod length]. A run is a head, or a whole row.
     */
    record RmsNormRuns(Slot values, float[] weight, float epsilon) implements Op {}

    /**
     * d = in[t,c] - mean over c; out[t,c] = d / sqrt(mean over c of d^2 + epsilon) * weight[c], plus bias[c] if there is one
     * (Ba et al. 2016, section 3).
     */
    record LayerNorm(Slot in, float[] weight, float @Nullable [] bias, float epsilon, Slot out) implements Op {}

    /** out[t,o] = sum over c of in[t,c] * weights[o,c], plus bias[o] if there is one. */
    record MatMul(PreparedWeights weights, float @Nullable [] bias, Slot in, Slot out) implements Op {}

    /** Turns pairs of each head of values, in place, by the angle of the token's position. values: (T, heads * headSize). */
    record Rope(Slot values, int heads, int headSize, RopeTable table) implements Op {}

    /** Keeps the keys and values of the batch's tokens in their sequences. layer counts from 0 within the stage. */
    record Store(int layer, Slot keys, Slot values) implements Op {}

    /**
     * Causal attention over the positions stored so far that the scores see, the token's own included. Query head h reads KV
     * head h / (heads / kvHeads). queries, out: (T, heads * headSize).
     */
    record Attention(int layer, Slot queries, int heads, Scores scores, Slot out) implements Op {}

    /**
     * How a query's products with keys become weights of values.
     *
     * @param scale by which products are multiplied
     * @param window position p sees p - window + 1 .. p; 0 for all up to p
     * @param softCap a scaled score s becomes softCap * tanh(s / softCap); 0 for none
     * @param sinks per query head a score of its own that takes part in the softmax and has no value; null for none
     */
    record Scores(float scale, int window, float softCap, float @Nullable [] sinks) {
        public Scores {
            Bounds.requireRange("attention window", window, 0, Integer.MAX_VALUE);
            if (!(softCap >= 0)) {
                throw new IllegalArgumentException("the soft cap is " + softCap + ", allowed are 0 and more");
            }
        }

        /** All positions, no cap, no sinks. */
        public static Scores scaled(float scale) {
            return new Scores(scale, 0, 0, null);
        }

        /** The first position that a token sees. */
        public int first(int position) {
            return window == 0 ? 0 : Math.max(0, position - window + 1);
        }
    }

    /** gate[t,c] = gating of gate[t,c] and up[t,c]. */
    record Gate(Slot gate, Slot up, Gating gating) implements Op {}

    /** How a feed-forward layer's two halves meet. */
    enum Gating {
        /** silu(gate) * up, silu(x) = x / (1 + exp(-x)) (SwiGLU). */
        SILU,
        /** gelu(gate) * up, with {@link Exponential#gelu} (GeGLU). */
        GELU,
        /** g = min(gate, 7), u = up within -7..7: g / (1 + exp(-1.702 g)) * (u + 1) (gpt-oss). */
        CLAMPED_SILU
    }

    /** values[t,c] = gelu(values[t,c]), with {@link Exponential#gelu}. */
    record Gelu(Slot values) implements Op {}

    /** values[t,c] *= factor. */
    record Scale(Slot values, float factor) implements Op {}

    /** values[t,c] = cap * tanh(values[t,c] / cap). */
    record SoftCap(Slot values, float cap) implements Op {}

    /** sum[t,c] += term[t,c]. */
    record Add(Slot term, Slot sum) implements Op {}

    /** sum[t,c] += term[t,c] / (1 + exp(-gate[t])). gate: (T, 1). */
    record AddGated(Slot term, Slot gate, Slot sum) implements Op {}

    /** A matrix and, if there is one, its bias: one value per row. */
    record Linear(PreparedWeights weights, float @Nullable [] bias) {}

    /** out[i] = in[rows[i]], rows being those whose logits were asked for. First operation of a head. */
    record SelectRows(Slot in, Slot out) implements Op {}

    /**
     * A feed-forward layer of experts, of which each token is sent to a few. p = softmax(router · in[t]) over all experts;
     * the used highest (lower index first among equals) run a gated layer each; out[t] = sum, highest p first, of their outputs
     * times p, divided by the sum of the chosen p if normalise.
     *
     * @param router (experts, hidden)
     * @param gate (experts * width, hidden), expert after expert
     * @param up as gate
     * @param down (experts * hidden, width)
     */
    record Experts(
            Slot in,
            Linear router,
            Linear gate,
            Linear up,
            Linear down,
            Gating gating,
            int experts,
            int used,
            boolean normalise,
            Slot out)
            implements Op {}
}
