/*
 * Attention over pages of 16 positions: AttentionBlock.java says what a block is, HostSequence.java how keys and values lie in pages,
 * SumOrder.java in which order is added. Positions lie in lanes for scores, a head's values for the sums over positions.
 */
#include "blocks.h"
#include "exponential.h"
#include "shoal.h"

#define PAGE 16

/* Queries that pass a page of keys together, and pages that they pass at once; queries and vectors of 16 values. */
#ifdef __AVX512F__
enum { SCORE_QUERIES = 8, SCORE_PAGES = 2, VALUE_QUERIES = 4, VALUE_VECTORS = 4 };
#else
enum { SCORE_QUERIES = 4, SCORE_PAGES = 1, VALUE_QUERIES = 4, VALUE_VECTORS = 1 };
#endif

/* As CacheType.java numbers them. */
enum { CACHE_F32, CACHE_F16, CACHE_Q8_0 };

INLINE int min_of(int a, int b) { return a < b ? a : b; }
INLINE int max_of(int a, int b) { return a > b ? a : b; }

INLINE int first_seen(const struct attention *a, int query) {
    int position = a->first_position + query / a->heads;
    return a->window == 0 ? 0 : max_of(0, position - a->window + 1);
}

INLINE int end_seen(const struct attention *a, int query) { return a->first_position + query / a->heads + 1; }

INLINE size_t query_offset(const struct attention *a, int query) {
    return (size_t)(query / a->heads) * a->stride + (size_t)(query % a->heads) * a->size;
}

INLINE const uint8_t *page_at(const struct attention *a, int page) { return (const uint8_t *)(uintptr_t)a->pages[page]; }

/* Products of count queries with the keys of some pages: sums in rising order of columns. q: (size, count). */
INLINE void score_pages(int type, int count, int pages, const uint8_t *const k[], int size, const float *q, float *scores, int span) {
    f16s sums[SCORE_PAGES][SCORE_QUERIES];
#pragma GCC unroll 2
    for (int p = 0; p < pages; p++) {
#pragma GCC unroll 8
        for (int t = 0; t < count; t++) {
            sums[p][t] = f_zero();
        }
    }
    int step = type == CACHE_Q8_0 ? 32 : size;
    for (int block = 0; block < size; block += step) {
        f16s scales[SCORE_PAGES];
#pragma GCC unroll 2
        for (int p = 0; p < pages; p++) {
            scales[p] = type == CACHE_Q8_0 ? f_of_halves16(load32(k[p] + block * (34 / 2))) : f_zero();
        }
        for (int c = block; c < block + step; c++) {
            f16s keys[SCORE_PAGES];
#pragma GCC unroll 2
            for (int p = 0; p < pages; p++) {
                keys[p] = type == CACHE_F32   ? f_load(k[p] + 64 * (size_t)c)
                          : type == CACHE_F16 ? f_of_halves16(load32(k[p] + 32 * (size_t)c))
                                              : f_mul(scales[p], f_of_signed(load16(k[p] + block * 17 + 32 + 16 * (c - block))));
            }
#pragma GCC unroll 8
            for (int t = 0; t < count; t++) {
                f16s value = f_all(q[c * count + t]);
#pragma GCC unroll 2
                for (int p = 0; p < pages; p++) {
                    sums[p][t] = f_fma(keys[p], value, sums[p][t]);
                }
            }
        }
    }
#pragma GCC unroll 2
    for (int p = 0; p < pages; p++) {
#pragma GCC unroll 8
        for (int t = 0; t < count; t++) {
            f_store(scores + (size_t)t * span + PAGE * p, sums[p][t]);
        }
    }
}

/* count queries from query on, over all pages. */
INLINE void score_tile(int type, int count, const struct attention *a, int query, float *q, float *scores, int span) {
    for (int t = 0; t < count; t++) {
        const float *from = a->queries + query_offset(a, query + t);
        for (int c = 0; c < a->size; c++) {
            q[c * count + t] = from[c];
        }
    }
    int page = 0;
    for (; page + SCORE_PAGES <= span / PAGE; page += SCORE_PAGES) {
        const uint8_t *keys[SCORE_PAGES];
        for (int p = 0; p < SCORE_PAGES; p++) {
            keys[p] = page_at(a, page + p) + a->keys;
        }
        score_pages(type, count, SCORE_PAGES, keys, a->size, q, scores + PAGE * page, span);
    }
    for (; page < span / PAGE; page++) {
        const uint8_t *keys = page_at(a, page) + a->keys;
        score_pages(type, count, 1, &keys, a->size, q, scores + PAGE * page, span);
    }
}

/* Turns a query's products into their exponentials, 0 where it sees nothing. Returns one over their sum. */
INLINE float soften(const struct attention *a, int query, float *scores, int from, int to, int span) {
    f16s scale = f_all(a->scale), cap = f_all(a->cap);
    for (int i = 0; i < span; i += PAGE) {
        f16s score = f_mul(f_load(scores + i), scale);
        f_store(scores + i, a->cap == 0 ? score : f_mul(cap, f_tanh(f_div(score, cap))));
    }
    for (int i = 0; i < from; i++) {
        scores[i] = -__builtin_inff();
    }
    for (int i = to; i < span; i++) {
        scores[i] = -__builtin_inff();
    }
    f16s highest = f_all(-__builtin_inff());
    for (int i = 0; i < span; i += PAGE) {
        highest = f_max(highest, f_load(scores + i));
    }
    float max = f_highest(highest), sink = a->sinks == NULL ? 0 : a->sinks[query % a->heads];
    if (a->sinks != NULL && sink > max) {
        max = sink;
    }
    f16s lanes = f_zero();
    for (int i = 0; i < span; i += PAGE) {
        f16s share = f_exp(f_sub(f_load(scores + i), f_all(max)));
        f_store(scores + i, share);
        lanes = f_add(lanes, share);
    }
    float sum = f_tree(lanes);
    return 1.0f / (a->sinks == NULL ? sum : sum + f_first(f_exp(f_all(sink - max))));
}

/* 16 of a position's values, from column c on. */
INLINE f16s values_at(int type, const uint8_t *v, int slot, int size, int c) {
    if (type == CACHE_Q8_0) {
        const uint8_t *block = v + (size_t)(slot * (size / 32) + c / 32) * 34;
        return f_mul(f_all(half_at(block)), f_of_signed(load16(block + 2 + c % 32)));
    }
    size_t at = (size_t)slot * size + c;
    return type == CACHE_F32 ? f_load(v + 4 * at) : f_of_halves16(load32(v + 2 * at));
}

/* One position's values, times each query's share of it, added to the queries that see it (all of them if first is NULL). */
INLINE void add_position(int type, int count, int vectors, const uint8_t *v, int position, int size, int c, const float *share, int span,
                         const int *first, const int *end, f16s sums[][VALUE_VECTORS]) {
    f16s values[VALUE_VECTORS];
#pragma GCC unroll 4
    for (int i = 0; i < vectors; i++) {
        values[i] = values_at(type, v, position % PAGE, size, c + 16 * i);
    }
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) {
        if (first == NULL || (first[t] <= position && position < end[t])) {
            f16s factor = f_all(share[(size_t)t * span]);
#pragma GCC unroll 4
            for (int i = 0; i < vectors; i++) {
                sums[t][i] = f_fma(factor, values[i], sums[t][i]);
            }
        }
    }
}

/* The sums over positions of count queries from query on, for some columns. start: the first page's first position. */
INLINE void value_tile(int type, int count, int vectors, const struct attention *a, int query, int c, const float *scores,
                       const float *inverses, int span, int start) {
    f16s sums[VALUE_QUERIES][VALUE_VECTORS];
    int first[VALUE_QUERIES], end[VALUE_QUERIES];
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) {
        first[t] = first_seen(a, query + t);
        end[t] = end_seen(a, query + t);
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            sums[t][i] = f_zero();
        }
    }
    /* Queries lie in the order of their positions: all of them see what the last one and the first one see. */
    int position = first[0], common = first[count - 1], after = max_of(common, end[0]), high = end[count - 1];
    const float *shares = scores + (size_t)query * span - start;
    for (; position < common; position++) {
        add_position(type, count, vectors, page_at(a, (position - start) / PAGE) + a->values, position, a->size, c, shares + position,
            span, first, end, sums);
    }
    while (position < after) {
        const uint8_t *v = page_at(a, (position - start) / PAGE) + a->values;
        for (int until = min_of(after, (position / PAGE + 1) * PAGE); position < until; position++) {
            add_position(type, count, vectors, v, position, a->size, c, shares + position, span, NULL, NULL, sums);
        }
    }
    for (; position < high; position++) {
        add_position(type, count, vectors, page_at(a, (position - start) / PAGE) + a->values, position, a->size, c, shares + position,
            span, first, end, sums);
    }
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) {
        float *out = a->out + query_offset(a, query + t) + c;
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            f_store(out + 16 * i, f_mul(sums[t][i], f_all(inverses[query + t])));
        }
    }
}

/* The scores of all queries, a tile of them after the other. */
INLINE void all_scores(int type, const struct attention *a, int count, float *q, float *scores, int span) {
    for (int i = 0; i < count;) {
        float *of_tile = scores + (size_t)i * span;
        if (SCORE_QUERIES >= 8 && count - i >= 8) {
            score_tile(type, 8, a, i, q, of_tile, span);
            i += 8;
        } else if (count - i >= 4) {
            score_tile(type, 4, a, i, q, of_tile, span);
            i += 4;
        } else {
            score_tile(type, 1, a, i, q, of_tile, span);
            i++;
        }
    }
}

INLINE void all_values(int type, int vectors, const struct attention *a, int count, int c, const float *scores, const float *inverses,
                       int span, int start) {
    int i = 0;
    for (; i + VALUE_QUERIES <= count; i += VALUE_QUERIES) {
        value_tile(type, VALUE_QUERIES, vectors, a, i, c, scores, inverses, span, start);
    }
    for (; i < count; i++) {
        value_tile(type, 1, vectors, a, i, c, scores, inverses, span, start);
    }
}

INLINE void attend_to(int type, const struct attention *a, float *scratch) {
    int count = a->rows * a->heads;
    int start = first_seen(a, 0) / PAGE * PAGE, span = (end_seen(a, count - 1) + PAGE - 1) / PAGE * PAGE - start;
    float *q = scratch, *inverses = q + SCORE_QUERIES * a->size, *scores = inverses + count;
    all_scores(type, a, count, q, scores, span);
    for (int i = 0; i < count; i++) {
        inverses[i] = soften(a, i, scores + (size_t)i * span, first_seen(a, i) - start, end_seen(a, i) - start, span);
    }
    int c = 0;
    for (; VALUE_VECTORS > 1 && c + 16 * VALUE_VECTORS <= a->size; c += 16 * VALUE_VECTORS) {
        all_values(type, VALUE_VECTORS, a, count, c, scores, inverses, span, start);
    }
    for (; c < a->size; c += 16) {
        all_values(type, 1, a, count, c, scores, inverses, span, start);
    }
}

/* One per type, so that the compiler sees it as a constant. */
#define OF_CACHE(T)                                                                                         \
    static __attribute__((noinline)) void attend_##T(const struct attention *a, float *scratch) { attend_to(T, a, scratch); }

OF_CACHE(CACHE_F32)
OF_CACHE(CACHE_F16)
OF_CACHE(CACHE_Q8_0)

static int attend(int type, const struct attention *a, float *scratch) {
    switch (type) {
        case CACHE_F32: attend_CACHE_F32(a, scratch); return 0;
        case CACHE_F16: attend_CACHE_F16(a, scratch); return 0;
        case CACHE_Q8_0: attend_CACHE_Q8_0(a, scratch); return 0;
        default: return 1;
    }
}
