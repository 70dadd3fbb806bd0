/*
 * Keys and values: how they are kept, attention over them, and copies of their pages. Compiled behind layers.cl.
 */

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
 * One head of one token over the positions that it sees, in partitions of PARTITION positions that begin at its multiples: scores never
 * go to memory. What a partition gives is made by itself, and added to what those before it gave with a running maximum (Milakov and
 * Gimelshein 2018; Dao et al. 2022, algorithm 1). So the result is the same to the last bit whether one group makes all partitions of a
 * head, or each has a group and a second kernel adds them up (Dao et al. 2023, flash-decoding).
 */
#define PARTITION (TEAMS * WIDE_LANES)

#define SEEN_PARAMETERS                                                                                                             \
    GLOBAL const float *queries, GLOBAL const uchar *cache, GLOBAL const int *batch, int tokens, int heads, int kv_heads,           \
            int head_size, float scale, int window, float soft_cap

#define RESULT_PARAMETERS                                                                                                           \
    GLOBAL const float *sinks, GLOBAL float *out, GLOBAL int *levels, GLOBAL float *scales, GLOBAL int *level_sums, int has_sinks,  \
            int rounds

/* Of what was added so far, or of one partition: the greatest score, the weights' sum, and columns ITEM(0) + k * PARTITION. */
typedef struct {
    float greatest, total;
    float sums[MAX_HEAD / PARTITION];
} Share;

FUNCTION int first_seen(int position, int window) {
    return window > 0 && position - window + 1 > 0 ? position - window + 1 : 0;
}

/* query: the head's; weights and scratch: room for PARTITION; parts: for TEAMS * MAX_HEAD. */
FUNCTION void attend_partition(
        SEEN_PARAMETERS,
        int partition,
        int head,
        int token,
        const int type,
        LOCAL const float *query,
        LOCAL float *weights,
        LOCAL float *scratch,
        LOCAL float *parts,
        Share *share) {
    int lane = ITEM(0) % WIDE_LANES;
    int team = ITEM(0) / WIDE_LANES;
    int kv_head = head / (heads / kv_heads);
    int position = batch[token];
    int first = first_seen(position, window);
    int base = partition * PARTITION + team * WIDE_LANES;
    int p = base + lane;
    int from = first > base ? first - base : 0; /* of the team's positions from..to-1 are seen */
    int to = position + 1 - base < WIDE_LANES ? position + 1 - base : WIDE_LANES;
    GLOBAL const int *table = batch + batch[tokens + token];
    float score = -INFINITY;
    if (lane >= from && lane < to) {
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
    share->greatest = all_max(score, scratch);
    score = lane >= from && lane < to ? exponential(score - share->greatest) : 0.0f;
    weights[ITEM(0)] = score;
    share->total = all_sum(score, scratch);
    for (int c = lane; c < head_size; c += WIDE_LANES) {
        float sum = 0.0f;
        for (int i = from; i < to; i++) {
            GLOBAL const uchar *values = cache + head_at(table, base + i, kv_heads, kv_heads + kv_head, head_size, type);
            sum = fma(weights[team * WIDE_LANES + i], value_of(values, (base + i) % PAGE, c, head_size, type), sum);
        }
        parts[team * MAX_HEAD + c] = sum;
    }
    BARRIER;
    for (int k = 0; k < MAX_HEAD / PARTITION; k++) {
        int c = ITEM(0) + k * PARTITION;
        float sum = 0.0f;
        for (int i = 0; i < TEAMS && c < head_size; i++) {
            sum += parts[i * MAX_HEAD + c];
        }
        share->sums[k] = sum;
    }
    BARRIER;
}

/* Before any partition. */
FUNCTION void begin_share(GLOBAL const float *sinks, int has_sinks, int head, Share *share) {
    share->greatest = has_sinks ? sinks[head] : -INFINITY;
    share->total = has_sinks ? 1.0f : 0.0f;
    for (int k = 0; k < MAX_HEAD / PARTITION; k++) {
        share->sums[k] = 0.0f;
    }
}

/* Writes what all partitions gave; if rounds, it is rounded as by quantise besides: heads are of whole parts then. */
FUNCTION void end_share(RESULT_PARAMETERS, int heads, int head_size, int head, int token, const Share *share) {
    wide row = ((wide)token * heads + head) * head_size;
    for (int k = 0; k < MAX_HEAD / PARTITION; k++) {
        int c = ITEM(0) + k * PARTITION;
        if (c < head_size) {
            out[row + c] = share->sums[k] / share->total;
        }
    }
    if (rounds) {
        GLOBAL_BARRIER;
        for (int part = ITEM(0); part < head_size / PART; part += PARTITION) {
            quantise_part(out, levels, scales, level_sums, (int)(row / PART) + part);
        }
    }
}

/* One group of TEAMS per head (dimension 0) and token (1). */
FUNCTION void attend(
        SEEN_PARAMETERS,
        RESULT_PARAMETERS,
        const int type,
        LOCAL float *query,
        LOCAL float *weights,
        LOCAL float *scratch,
        LOCAL float *parts) {
    int head = GROUP(0);
    int token = GROUP(1);
    int last = batch[token] / PARTITION;
    Share all, one;
    begin_share(sinks, has_sinks, head, &all);
    for (int c = ITEM(0); c < head_size; c += PARTITION) {
        query[c] = queries[((wide)token * heads + head) * head_size + c];
    }
    BARRIER;
    for (int partition = first_seen(batch[token], window) / PARTITION; partition <= last; partition++) {
        float before = all.greatest;
        float kept, added;
        attend_partition(
                queries, cache, batch, tokens, heads, kv_heads, head_size, scale, window, soft_cap, partition, head, token,
                type, query, weights, scratch, parts, &one);
        all.greatest = fmax(before, one.greatest);
        kept = exponential(before - all.greatest);
        added = exponential(one.greatest - all.greatest);
        all.total = fma(all.total, kept, one.total * added);
        for (int k = 0; k < MAX_HEAD / PARTITION; k++) {
            all.sums[k] = fma(all.sums[k], kept, one.sums[k] * added);
        }
    }
    end_share(sinks, out, levels, scales, level_sums, has_sinks, rounds, heads, head_size, head, token, &all);
}

/*
 * One partition: shares[((token * heads + head) * partitions + n) * (head_size + 2)] = greatest score, sum of weights, columns of the
 * token's partition number n from the first that it sees on. One group of TEAMS per head (dimension 0) and token * partitions + n (1).
 */
FUNCTION void attend_part(
        SEEN_PARAMETERS,
        GLOBAL float *shares,
        int partitions,
        const int type,
        LOCAL float *query,
        LOCAL float *weights,
        LOCAL float *scratch,
        LOCAL float *parts) {
    int head = GROUP(0);
    int token = GROUP(1) / partitions;
    int n = GROUP(1) % partitions;
    int partition = first_seen(batch[token], window) / PARTITION + n;
    Share one;
    if (partition > batch[token] / PARTITION) {
        return;
    }
    for (int c = ITEM(0); c < head_size; c += PARTITION) {
        query[c] = queries[((wide)token * heads + head) * head_size + c];
    }
    BARRIER;
    attend_partition(
            queries, cache, batch, tokens, heads, kv_heads, head_size, scale, window, soft_cap, partition, head, token, type,
            query, weights, scratch, parts, &one);
    shares += (((wide)token * heads + head) * partitions + n) * (head_size + 2);
    if (ITEM(0) == 0) {
        shares[0] = one.greatest;
        shares[1] = one.total;
    }
    for (int k = 0; k < MAX_HEAD / PARTITION; k++) {
        int c = ITEM(0) + k * PARTITION;
        if (c < head_size) {
            shares[2 + c] = one.sums[k];
        }
    }
}

/* One kernel for each type of the cache. */
#define ATTENTION(NAME, CACHE_TYPE)                                                                                     \
    KERNEL void NAME(SEEN_PARAMETERS, RESULT_PARAMETERS) {                                                              \
        SHARED float query[MAX_HEAD];                                                                                   \
        SHARED float weights[PARTITION];                                                                                \
        SHARED float scratch[PARTITION];                                                                                \
        SHARED float parts[TEAMS * MAX_HEAD];                                                                           \
        attend(queries, cache, batch, tokens, heads, kv_heads, head_size, scale, window, soft_cap, sinks, out, levels,  \
                scales, level_sums, has_sinks, rounds, CACHE_TYPE, query, weights, scratch, parts);                     \
    }                                                                                                                   \
    KERNEL void NAME##_part(SEEN_PARAMETERS, GLOBAL float *shares, int partitions) {                                    \
        SHARED float query[MAX_HEAD];                                                                                   \
        SHARED float weights[PARTITION];                                                                                \
        SHARED float scratch[PARTITION];                                                                                \
        SHARED float parts[TEAMS * MAX_HEAD];                                                                           \
        attend_part(queries, cache, batch, tokens, heads, kv_heads, head_size, scale, window, soft_cap, shares,         \
                partitions, CACHE_TYPE, query, weights, scratch, parts);                                                \
    }

ATTENTION(attention_f32, CACHE_F32)
ATTENTION(attention_f16, CACHE_F16)
ATTENTION(attention_q8_0, CACHE_Q8_0)

/* Adds up what attend_part made, in the order of attend. One group of TEAMS per head (dimension 0) and token (1). */
KERNEL void attention_join(
        GLOBAL const float *shares, GLOBAL const int *batch, RESULT_PARAMETERS, int heads, int head_size, int window, int partitions) {
    SHARED float greatest[PARTITION];
    SHARED float kept[PARTITION];
    SHARED float added[PARTITION];
    SHARED float totals[PARTITION];
    int item = ITEM(0);
    int head = GROUP(0);
    int token = GROUP(1);
    int count = batch[token] / PARTITION - first_seen(batch[token], window) / PARTITION + 1;
    Share all;
    begin_share(sinks, has_sinks, head, &all);
    shares += ((wide)token * heads + head) * partitions * (head_size + 2);
    for (int begin = 0; begin < count; begin += PARTITION) {
        int here = count - begin < PARTITION ? count - begin : PARTITION;
        GLOBAL const float *mine = shares + (wide)(begin + item) * (head_size + 2);
        float own = item < here ? mine[0] : -INFINITY;
        float before, after;
        greatest[item] = own;
        BARRIER;
        for (int distance = 1; distance < PARTITION; distance *= 2) { /* the greatest of all up to this one */
            float other = item >= distance ? greatest[item - distance] : -INFINITY;
            BARRIER;
            greatest[item] = fmax(greatest[item], other);
            BARRIER;
        }
        before = item == 0 ? all.greatest : fmax(all.greatest, greatest[item - 1]);
        after = fmax(all.greatest, greatest[item]);
        kept[item] = exponential(before - after);
        added[item] = exponential(own - after);
        totals[item] = item < here ? mine[1] : 0.0f;
        BARRIER;
        for (int i = 0; i < here; i++) {
            all.total = fma(all.total, kept[i], totals[i] * added[i]);
        }
        for (int k = 0; k < MAX_HEAD / PARTITION; k++) {
            int c = item + k * PARTITION;
            for (int i = 0; i < here && c < head_size; i++) {
                float value = shares[(wide)(begin + i) * (head_size + 2) + 2 + c];
                all.sums[k] = fma(all.sums[k], kept[i], value * added[i]);
            }
        }
        all.greatest = fmax(all.greatest, greatest[PARTITION - 1]);
        BARRIER;
    }
    end_share(sinks, out, levels, scales, level_sums, has_sinks, rounds, heads, head_size, head, token, &all);
}

/*
 * Copies pages of one layer to a row of them, or from there if inwards: those that table numbers from first on. words: of four bytes, of
 * a page. One work-item per word: count = pages * words.
 */
KERNEL void copy_pages(
        GLOBAL uint *cache, GLOBAL uint *row, GLOBAL const int *table, int first, int words, int inwards, int count) {
    int i = GROUP(0) * ITEMS(0) + ITEM(0);
    if (i < count) {
        wide at = (wide)table[first + i / words] * words + i % words;
        if (inwards) {
            cache[at] = row[i];
        } else {
            row[i] = cache[at];
        }
    }
}
