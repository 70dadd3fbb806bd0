/*
 * The operations that do not look at weights' bytes. Rows are F32, row after row. Where a kernel says "one group per row", a group
 * has WIDE_LANES work-items, "one group of TEAMS" has TEAMS * WIDE_LANES; where it says "one work-item per value", the last group may reach beyond count.
 *
 * batch describes the tokens that are computed: their positions; then as many places in batch where the page numbers of their
 * sequences begin; then what some operations want to know, at places that they are told.
 */

/* Of PART values that share a scale; all levels are 0 where it is. */
FUNCTION float greatest_of(GLOBAL const float *values) {
    float greatest = 0.0f;
    for (int i = 0; i < PART; i++) {
        greatest = fmax(greatest, fabs(values[i]));
    }
    return greatest < 1e-30f ? 0.0f : greatest;
}

FUNCTION int level_of(float value, float greatest) {
    return greatest == 0.0f ? 0 : (int)((value * (127.0f / greatest) + 12582912.0f) - 12582912.0f);
}

/* Rounds PART values to 8 bits: scale = max / 127, all 0 if max is below 1e-30; sums: those of each half's levels. */
FUNCTION void quantise_part(GLOBAL const float *values, GLOBAL int *levels, GLOBAL float *scales, GLOBAL int *sums, int part) {
    float greatest;
    values += (wide)part * PART;
    levels += (wide)part * (PART / 4);
    greatest = greatest_of(values);
    scales[part] = greatest / 127.0f;
    for (int side = 0; side < 2; side++) {
        int sum = 0;
        for (int k = 4 * side; k < 4 * side + 4; k++) {
            uint word = 0;
            for (int i = 0; i < 4; i++) {
                int level = level_of(values[4 * k + i], greatest);
                sum += level;
                word |= ((uint)level & 255u) << (8 * i);
            }
            levels[k] = (int)word;
        }
        sums[2 * part + side] = sum;
    }
}

FUNCTION void normalise(
        GLOBAL const float *in, GLOBAL const float *weight, GLOBAL float *out, int width, float epsilon, LOCAL float *scratch) {
    wide base = (wide)GROUP(0) * width;
    float squares = 0.0f;
    float scale;
    for (int c = ITEM(0); c < width; c += TEAMS * WIDE_LANES) {
        squares = fma(in[base + c], in[base + c], squares);
    }
    scale = 1.0f / SQRT(all_sum(squares, scratch) / (float)width + epsilon);
    for (int c = ITEM(0); c < width; c += TEAMS * WIDE_LANES) {
        out[base + c] = in[base + c] * scale * weight[c];
    }
}

/* out[row,c] = in[row,c] / sqrt(mean of squares + epsilon) * weight[c]. One group of TEAMS per row; in and out may be the same. */
KERNEL void rms_norm(GLOBAL const float *in, GLOBAL const float *weight, GLOBAL float *out, int width, float epsilon) {
    SHARED float scratch[TEAMS * WIDE_LANES];
    normalise(in, weight, out, width, epsilon, scratch);
}

/* As rms_norm, then quantise of what came out. width: a multiple of PART. */
KERNEL void rms_norm_rounded(
        GLOBAL const float *in,
        GLOBAL const float *weight,
        GLOBAL float *out,
        GLOBAL int *levels,
        GLOBAL float *scales,
        GLOBAL int *sums,
        int width,
        float epsilon) {
    SHARED float scratch[TEAMS * WIDE_LANES];
    int parts = width / PART;
    normalise(in, weight, out, width, epsilon, scratch);
    GLOBAL_BARRIER;
    for (int part = ITEM(0); part < parts; part += TEAMS * WIDE_LANES) {
        quantise_part(out, levels, scales, sums, GROUP(0) * parts + part);
    }
}

/* d = in less its mean; out = d / sqrt(mean of d^2 + epsilon) * weight, plus bias if has_bias. One group of TEAMS per row. */
KERNEL void layer_norm(
        GLOBAL const float *in,
        GLOBAL const float *weight,
        GLOBAL const float *bias,
        GLOBAL float *out,
        int width,
        float epsilon,
        int has_bias) {
    SHARED float scratch[TEAMS * WIDE_LANES];
    wide base = (wide)GROUP(0) * width;
    float sum = 0.0f;
    float squares = 0.0f;
    float mean, scale;
    for (int c = ITEM(0); c < width; c += TEAMS * WIDE_LANES) {
        sum += in[base + c];
    }
    mean = all_sum(sum, scratch) / (float)width;
    for (int c = ITEM(0); c < width; c += TEAMS * WIDE_LANES) {
        float d = in[base + c] - mean;
        squares = fma(d, d, squares);
    }
    scale = 1.0f / SQRT(all_sum(squares, scratch) / (float)width + epsilon);
    for (int c = ITEM(0); c < width; c += TEAMS * WIDE_LANES) {
        float value = (in[base + c] - mean) * scale * weight[c];
        out[base + c] = has_bias ? value + bias[c] : value;
    }
}

/*
 * Turns pairs of each head of two rows of values for each token, such as queries and keys; others may have 0 heads. angles: (position,
 * pair, cosine and sine). One work-item per pair: count = tokens * (heads + other_heads) * pairs.
 */
KERNEL void rope(
        GLOBAL float *values,
        GLOBAL float *others,
        GLOBAL const int *batch,
        GLOBAL const float *angles,
        int width,
        int other_width,
        int heads,
        int other_heads,
        int head_size,
        int pairs,
        int neighbours,
        int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    int pair, head, token, first, second;
    wide at;
    float a, b, c, s;
    GLOBAL float *row;
    if (i >= count) {
        return;
    }
    pair = i % pairs;
    head = i / pairs % (heads + other_heads);
    token = i / pairs / (heads + other_heads);
    row = head < heads ? values + (wide)token * width + head * head_size
                       : others + (wide)token * other_width + (head - heads) * head_size;
    first = neighbours ? 2 * pair : pair;
    second = neighbours ? first + 1 : pair + pairs;
    at = 2 * ((wide)batch[token] * pairs + pair);
    c = angles[at];
    s = angles[at + 1];
    a = row[first];
    b = row[second];
    row[first] = a * c - b * s;
    row[second] = a * s + b * c;
}

/* gating: 0 SILU, 1 GELU, 2 clamped SILU. */
FUNCTION float gated(float g, float u, int gating) {
    if (gating == 0) {
        return g / (1.0f + exponential(-g)) * u;
    }
    if (gating == 1) {
        return gelu_of(g) * u;
    }
    g = fmin(g, 7.0f);
    u = fmax(fmin(u, 7.0f), -7.0f);
    return g / (1.0f + exponential(-1.702f * g)) * (u + 1.0f);
}

/* gates[i] = gated of gates[i] and up[i]. One work-item per value. */
KERNEL void gate(GLOBAL float *gates, GLOBAL const float *up, int gating, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    if (i < count) {
        gates[i] = gated(gates[i], up[i], gating);
    }
}

/* As gate, then quantise of what came out. One work-item per part. */
KERNEL void gate_rounded(
        GLOBAL float *gates,
        GLOBAL const float *up,
        GLOBAL int *levels,
        GLOBAL float *scales,
        GLOBAL int *sums,
        int gating,
        int parts) {
    int part = GROUP(0) * ITEMS(0) + ITEM(0);
    if (part < parts) {
        for (int k = 0; k < PART; k++) {
            wide i = (wide)part * PART + k;
            gates[i] = gated(gates[i], up[i], gating);
        }
        quantise_part(gates, levels, scales, sums, part);
    }
}

/* One work-item per value. */
KERNEL void gelu(GLOBAL float *values, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    if (i < count) {
        values[i] = gelu_of(values[i]);
    }
}

/* One work-item per value. */
KERNEL void scale(GLOBAL float *values, float factor, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    if (i < count) {
        values[i] *= factor;
    }
}

/* One work-item per value. */
KERNEL void soft_cap(GLOBAL float *values, float cap, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    if (i < count) {
        values[i] = cap * hyperbolic_tangent(values[i] / cap);
    }
}

/* One work-item per value. */
KERNEL void add(GLOBAL const float *term, GLOBAL float *sum, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    if (i < count) {
        sum[i] += term[i];
    }
}

/* sum[t,c] += term[t,c] / (1 + exp(-gate[t])). One work-item per value. */
KERNEL void add_gated(GLOBAL const float *term, GLOBAL const float *gates, GLOBAL float *sum, int width, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    if (i < count) {
        sum[i] = fma(1.0f / (1.0f + exponential(-gates[i / width])), term[i], sum[i]);
    }
}

/* out[r] = in[batch[rows_at + r]]. One work-item per value. */
KERNEL void select_rows(
        GLOBAL const float *in, GLOBAL const int *batch, GLOBAL float *out, int rows_at, int width, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    if (i < count) {
        out[i] = in[(wide)batch[rows_at + i / width] * width + i % width];
    }
}

/* Rounds PART values at a time, as quantise_part. One work-item per part. */
KERNEL void quantise(
        GLOBAL const float *values, GLOBAL int *levels, GLOBAL float *scales, GLOBAL int *sums, int parts) {
    int part = GROUP(0) * ITEMS(0) + ITEM(0);
    if (part < parts) {
        quantise_part(values, levels, scales, sums, part);
    }
}

/*
 * One token's experts: softmax of its logits, then the used highest (lower index first) and their shares. Logits are spent.
 * trouble[0] becomes 1 if they are no numbers. One group of WIDE_LANES per token.
 */
KERNEL void route(
        GLOBAL float *logits,
        GLOBAL int *chosen,
        GLOBAL float *shares,
        GLOBAL int *trouble,
        int experts,
        int used,
        int normalise) {
    SHARED float scratch[WIDE_LANES];
    SHARED int winners[WIDE_LANES];
    int lane = ITEM(0);
    int token = GROUP(0);
    float greatest = -INFINITY;
    float sum = 0.0f;
    float chosen_sum = 0.0f;
    logits += (wide)token * experts;
    chosen += token * used;
    shares += token * used;
    for (int e = lane; e < experts; e += WIDE_LANES) {
        greatest = fmax(greatest, logits[e]);
    }
    greatest = group_max(greatest, scratch);
    for (int e = lane; e < experts; e += WIDE_LANES) {
        logits[e] = exponential(logits[e] - greatest);
        sum += logits[e];
    }
    sum = group_sum(sum, scratch);
    for (int rank = 0; rank < used; rank++) {
        int best = -1;
        for (int e = lane; e < experts; e += WIDE_LANES) {
            if (logits[e] >= 0.0f && (best < 0 || logits[e] > logits[best])) {
                best = e;
            }
        }
        winners[lane] = best;
        scratch[lane] = best < 0 ? -1.0f : logits[best];
        BARRIER;
        for (int half_size = WIDE_LANES / 2; half_size > 0; half_size /= 2) {
            if (lane < half_size) {
                float other = scratch[lane + half_size];
                if (other > scratch[lane]
                        || (other == scratch[lane] && other >= 0.0f && winners[lane + half_size] < winners[lane])) {
                    scratch[lane] = other;
                    winners[lane] = winners[lane + half_size];
                }
            }
            BARRIER;
        }
        best = winners[0];
        chosen_sum += scratch[0] / sum;
        if (lane == 0) {
            if (best < 0) {
                trouble[0] = 1;
                best = 0;
                shares[rank] = 0.0f;
            } else {
                shares[rank] = scratch[0] / sum;
                logits[best] = -1.0f;
            }
            chosen[rank] = best;
        }
        BARRIER;
    }
    if (normalise && lane == 0) {
        float divisor = fmax(chosen_sum, 6.103515625e-5f); /* the least normal F16 */
        for (int rank = 0; rank < used; rank++) {
            shares[rank] /= divisor;
        }
    }
}

/*
 * Sorts assignments (token * used + rank) by expert and cuts each expert's into tiles of at most tile: tiles[3 i ..] = expert, first
 * index into order, count; an expert of -1 is beyond the end. One group of WIDE_LANES. tiles: room for max_tiles * 3, which is enough.
 */
KERNEL void group_by_expert(
        GLOBAL const int *chosen, GLOBAL int *order, GLOBAL int *tiles, int assignments, int experts, int tile, int max_tiles) {
    SHARED int firsts[MAX_EXPERTS + 1];
    SHARED int first_tiles[MAX_EXPERTS + 1];
    int lane = ITEM(0);
    for (int e = lane; e < experts; e += WIDE_LANES) {
        int count = 0;
        for (int i = 0; i < assignments; i++) {
            count += chosen[i] == e ? 1 : 0;
        }
        firsts[e + 1] = count;
    }
    BARRIER;
    if (lane == 0) {
        firsts[0] = 0;
        first_tiles[0] = 0;
        for (int e = 0; e < experts; e++) {
            first_tiles[e + 1] = first_tiles[e] + (firsts[e + 1] + tile - 1) / tile;
            firsts[e + 1] += firsts[e];
        }
    }
    BARRIER;
    for (int e = lane; e < experts; e += WIDE_LANES) {
        int place = firsts[e];
        int made = first_tiles[e];
        for (int i = 0; i < assignments; i++) {
            if (chosen[i] == e) {
                order[place++] = i;
            }
        }
        for (int first = firsts[e]; first < place; first += tile) {
            tiles[3 * made] = e;
            tiles[3 * made + 1] = first;
            tiles[3 * made + 2] = place - first < tile ? place - first : tile;
            made++;
        }
    }
    for (int i = first_tiles[experts] + lane; i < max_tiles; i += WIDE_LANES) {
        tiles[3 * i] = -1;
    }
}

/* out[t,c] = sum over ranks of shares[t,rank] * parts[t * used + rank, c]. One work-item per value. */
KERNEL void combine(
        GLOBAL const float *parts, GLOBAL const float *shares, GLOBAL float *out, int width, int used, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    int token, c;
    float sum = 0.0f;
    if (i >= count) {
        return;
    }
    token = i / width;
    c = i % width;
    for (int rank = 0; rank < used; rank++) {
        wide row = (wide)token * used + rank;
        sum = fma(shares[row], parts[row * width + c], sum);
    }
    out[i] = sum;
}
