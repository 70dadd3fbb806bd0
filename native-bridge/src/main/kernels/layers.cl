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

/*
 * Keys and values lie in pages of PAGE positions: per page (key or value, KV head), each a stretch of PAGE * head_bytes bytes. Keys are
 * kept column by column, (column, position), so that work-items with a position each read side by side; values are kept position by
 * position. As 8 bits, 32 columns share F16 scales: keys (32 columns: scales by position, then levels (column, position)), values
 * (position: (scale, 32 levels) per 32 columns).
 */
#define CACHE_F32 0
#define CACHE_F16 1
#define CACHE_Q8_0 2
#define KEY_BLOCK (PAGE * (2 + PART))
#define VALUE_BLOCK (2 + PART)

FUNCTION wide head_bytes(int head_size, const int type) {
    return type == CACHE_F32 ? 4 * head_size : type == CACHE_F16 ? 2 * head_size : head_size / PART * VALUE_BLOCK;
}

/* Byte of the cache at which a position's page has the keys of a head; its values have the heads after all keys. table: page numbers. */
FUNCTION wide head_at(GLOBAL const int *table, int position, int kv_heads, int head, int head_size, const int type) {
    wide page = (wide)table[position / PAGE];
    return (page * 2 * kv_heads + head) * PAGE * head_bytes(head_size, type);
}

FUNCTION float key_of(GLOBAL const uchar *keys, int slot, int c, const int type) {
    GLOBAL const uchar *block;
    if (type == CACHE_F32) {
        return ((GLOBAL const float *)keys)[c * PAGE + slot];
    }
    if (type == CACHE_F16) {
        return HALF_AT(keys + 2 * (c * PAGE + slot));
    }
    block = keys + c / PART * KEY_BLOCK;
    return HALF_AT(block + 2 * slot) * (float)(signed char)block[2 * PAGE + c % PART * PAGE + slot];
}

FUNCTION float value_of(GLOBAL const uchar *values, int slot, int c, int head_size, const int type) {
    GLOBAL const uchar *start = values + slot * head_bytes(head_size, type);
    if (type == CACHE_F32) {
        return ((GLOBAL const float *)start)[c];
    }
    if (type == CACHE_F16) {
        return HALF_AT(start + 2 * c);
    }
    start += c / PART * VALUE_BLOCK;
    return HALF_AT(start) * (float)(signed char)start[2 + c % PART];
}

#define STORE_PARAMETERS                                                                                                            \
    GLOBAL const float *keys, GLOBAL const float *values, GLOBAL uchar *cache, GLOBAL const int *batch, int tokens, int kv_heads,   \
            int head_size, int count

/* Keeps keys and values of tokens in their pages. One work-item per value: count = tokens * kv_heads * head_size. */
FUNCTION void store(STORE_PARAMETERS, const int type) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    int token, head, c, slot;
    GLOBAL uchar *key;
    GLOBAL uchar *value;
    if (i >= count) {
        return;
    }
    c = i % head_size;
    head = i / head_size % kv_heads;
    token = i / head_size / kv_heads;
    slot = batch[token] % PAGE;
    key = cache + head_at(batch + batch[tokens + token], batch[token], kv_heads, head, head_size, type);
    value = cache + head_at(batch + batch[tokens + token], batch[token], kv_heads, kv_heads + head, head_size, type)
            + slot * head_bytes(head_size, type);
    if (type == CACHE_F32) {
        ((GLOBAL float *)key)[c * PAGE + slot] = keys[i];
        ((GLOBAL float *)value)[c] = values[i];
    } else {
        HALF_TO(keys[i], key + 2 * (c * PAGE + slot));
        HALF_TO(values[i], value + 2 * c);
    }
}

KERNEL void store_f32(STORE_PARAMETERS) {
    store(keys, values, cache, batch, tokens, kv_heads, head_size, count, CACHE_F32);
}

KERNEL void store_f16(STORE_PARAMETERS) {
    store(keys, values, cache, batch, tokens, kv_heads, head_size, count, CACHE_F16);
}

/* As store. One work-item per PART values: count = tokens * kv_heads * head_size / PART. */
KERNEL void store_q8_0(STORE_PARAMETERS) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    int block, head, token, slot;
    float greatest;
    GLOBAL uchar *key;
    GLOBAL uchar *value;
    if (i >= count) {
        return;
    }
    block = i % (head_size / PART);
    head = i / (head_size / PART) % kv_heads;
    token = i / (head_size / PART) / kv_heads;
    slot = batch[token] % PAGE;
    keys += (wide)i * PART;
    values += (wide)i * PART;
    key = cache + head_at(batch + batch[tokens + token], batch[token], kv_heads, head, head_size, CACHE_Q8_0)
            + block * KEY_BLOCK;
    value = cache + head_at(batch + batch[tokens + token], batch[token], kv_heads, kv_heads + head, head_size, CACHE_Q8_0)
            + slot * head_bytes(head_size, CACHE_Q8_0) + block * VALUE_BLOCK;
    greatest = greatest_of(keys);
    HALF_TO(greatest / 127.0f, key + 2 * slot);
    for (int k = 0; k < PART; k++) {
        key[2 * PAGE + k * PAGE + slot] = (uchar)(level_of(keys[k], greatest) & 255);
    }
    greatest = greatest_of(values);
    HALF_TO(greatest / 127.0f, value);
    for (int k = 0; k < PART; k++) {
        value[2 + k] = (uchar)(level_of(values[k], greatest) & 255);
    }
}

/*
 * One head of one token over the positions that it sees, in tiles of WIDE_LANES positions with a running maximum (Milakov and
 * Gimelshein 2018; Dao et al. 2022, algorithm 1): scores never go to memory. The tiles go round TEAMS teams, whose results are put
 * together at the end. If rounds, what came out is rounded as by quantise; heads are of whole parts then. One group of TEAMS per head
 * (dimension 0) and token (1).
 */
#define ATTENTION_PARAMETERS                                                                                                        \
    GLOBAL const float *queries, GLOBAL const uchar *cache, GLOBAL const int *batch, GLOBAL const float *sinks, GLOBAL float *out, \
            GLOBAL int *levels, GLOBAL float *scales, GLOBAL int *level_sums, int tokens, int heads, int kv_heads, int head_size, \
            float scale, int window, float soft_cap, int has_sinks, int rounds

/* query: room for MAX_HEAD; scratch: for TEAMS * WIDE_LANES; parts: for TEAMS * MAX_HEAD, which begins with the weights. */
FUNCTION void attend(ATTENTION_PARAMETERS, const int type, LOCAL float *query, LOCAL float *scratch, LOCAL float *parts) {
    int lane = ITEM(0) % WIDE_LANES;
    int team = ITEM(0) / WIDE_LANES;
    int head = GROUP(0);
    int token = GROUP(1);
    int kv_head = head / (heads / kv_heads);
    int position = batch[token];
    int first = window > 0 && position - window + 1 > 0 ? position - window + 1 : 0;
    wide row = ((wide)token * heads + head) * head_size;
    GLOBAL const int *table = batch + batch[tokens + token];
    LOCAL float *weights = parts + team * WIDE_LANES;
    float greatest = has_sinks && team == 0 ? sinks[head] : -INFINITY;
    float total = has_sinks && team == 0 ? 1.0f : 0.0f;
    float sums[MAX_HEAD / WIDE_LANES];
    float all_greatest, all_total, factors[TEAMS];
    for (int k = 0; k < MAX_HEAD / WIDE_LANES; k++) {
        sums[k] = 0.0f;
    }
    for (int c = ITEM(0); c < head_size; c += TEAMS * WIDE_LANES) {
        query[c] = queries[row + c];
    }
    BARRIER;
    for (int round = first; round <= position; round += TEAMS * WIDE_LANES) {
        int base = round + team * WIDE_LANES;
        int p = base + lane;
        int count = position + 1 - base < WIDE_LANES ? position + 1 - base : WIDE_LANES; /* below 1: no tile for this team */
        float score = -INFINITY;
        float tile_greatest, tile_total;
        float shrink = 1.0f;
        if (p <= position) {
            GLOBAL const uchar *keys = cache + head_at(table, p, kv_heads, kv_head, head_size, type);
            float product = 0.0f;
            for (int c = 0; c < head_size; c++) {
                product = fma(key_of(keys, p % PAGE, c, type), query[c], product);
            }
            score = product * scale;
            if (soft_cap > 0.0f) {
                score = soft_cap * hyperbolic_tangent(score / soft_cap);
            }
        }
        tile_greatest = group_max(score, scratch);
        if (count > 0) {
            float before = greatest;
            greatest = fmax(greatest, tile_greatest);
            shrink = exponential(before - greatest);
        }
        score = p <= position ? exponential(score - greatest) : 0.0f;
        weights[lane] = score;
        tile_total = group_sum(score, scratch);
        total = fma(total, shrink, tile_total);
        for (int k = 0; k < MAX_HEAD / WIDE_LANES; k++) {
            int c = lane + k * WIDE_LANES;
            if (c < head_size) {
                float sum = sums[k] * shrink;
                for (int i = 0; i < count; i++) {
                    GLOBAL const uchar *values =
                            cache + head_at(table, base + i, kv_heads, kv_heads + kv_head, head_size, type);
                    sum = fma(weights[i], value_of(values, (base + i) % PAGE, c, head_size, type), sum);
                }
                sums[k] = sum;
            }
        }
        BARRIER;
    }
    scratch[2 * team] = greatest;
    scratch[2 * team + 1] = total;
    for (int k = 0; k < MAX_HEAD / WIDE_LANES; k++) {
        int c = lane + k * WIDE_LANES;
        if (c < head_size) {
            parts[team * MAX_HEAD + c] = sums[k];
        }
    }
    BARRIER;
    all_greatest = scratch[0];
    for (int i = 1; i < TEAMS; i++) {
        all_greatest = fmax(all_greatest, scratch[2 * i]);
    }
    all_total = 0.0f;
    for (int i = 0; i < TEAMS; i++) {
        factors[i] = exponential(scratch[2 * i] - all_greatest); /* 0 for a team that had no tile */
        all_total = fma(scratch[2 * i + 1], factors[i], all_total);
    }
    for (int c = ITEM(0); c < head_size; c += TEAMS * WIDE_LANES) {
        float sum = 0.0f;
        for (int i = 0; i < TEAMS; i++) {
            sum = fma(parts[i * MAX_HEAD + c], factors[i], sum);
        }
        out[row + c] = sum / all_total;
    }
    if (rounds) {
        GLOBAL_BARRIER;
        for (int part = ITEM(0); part < head_size / PART; part += TEAMS * WIDE_LANES) {
            quantise_part(out, levels, scales, level_sums, (int)(row / PART) + part);
        }
    }
}

/* One kernel for each type of the cache. */
#define ATTENTION(NAME, CACHE_TYPE)                                                                                     \
    KERNEL void NAME(ATTENTION_PARAMETERS) {                                                                            \
        SHARED float query[MAX_HEAD];                                                                                   \
        SHARED float scratch[TEAMS * WIDE_LANES];                                                                       \
        SHARED float parts[TEAMS * MAX_HEAD];                                                                           \
        attend(queries, cache, batch, sinks, out, levels, scales, level_sums, tokens, heads, kv_heads, head_size,       \
                scale, window, soft_cap, has_sinks, rounds, CACHE_TYPE, query, scratch, parts);                         \
    }

ATTENTION(attention_f32, CACHE_F32)
ATTENTION(attention_f16, CACHE_F16)
ATTENTION(attention_q8_0, CACHE_Q8_0)

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
