/*
 * Many tokens: rows in lanes. Sixteen rows are packed to a panel once (panel_pack.h); then each tile of tokens goes over it, and each
 * token's levels are broadcast four at a time. Lane l of the order of sums has the blocks l, l + 16, ...; blocks are walked lane by
 * lane so that finished lanes are added as the tree adds them, with a stack of at most five partial sums.
 */
#include "panel_pack.h"

/* More rows at once than this pay no more: the panels then leave the second cache. */
#define MOST_PANELS 8

/* sum + four products, of 16 rows' four columns and one token's. */
INLINE i16s panel_dot(i16s sum, i16s weights, const int8_t *x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
#ifdef __AVX512F__
    return (i16s){_mm512_dpbusd_epi32(sum.v, weights.v, _mm512_set1_epi32(four))};
#else
    __m256i all = _mm256_set1_epi32(four);
    return (i16s){dot4(sum.a, weights.a, all), dot4(sum.b, weights.b, all)};
#endif
}

INLINE i16s start_of(int32_t start) { return i_all(UNSIGNED_WEIGHTS ? start : 0); }

/* The sums of products of registers from..from+steps-1 of a panel's block with count tokens' levels there. */
INLINE void panel_sums(int count, int from, int steps, const uint8_t *panel, const struct cell *x, i16s sums[]) {
#pragma GCC unroll 8
    for (int j = 0; j < steps; j++) {
        i16s weights = i_load(panel + 64 * (from + j));
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            sums[t] = panel_dot(sums[t], weights, x[t].levels + 4 * (from + j));
        }
    }
}

/* One block of a panel times one block of count tokens, added to their lanes. */
INLINE void panel_block(int type, int count, const uint8_t *panel, const struct cell *x, f16s lanes[]) {
    f16s product[16];
    i16s sums[16];
    if (has_halves(type)) { /* sums of halves times their scales are exact: integers below 2^24 */
        f16s first = f_load(panel + halves_at(type)), second = f_load(panel + halves_at(type) + 64);
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            sums[t] = start_of(x[t].starts[0]);
        }
        panel_sums(count, 0, 4, panel, x, sums);
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            product[t] = f_mul(first, f_of(sums[t]));
            sums[t] = start_of(x[t].starts[1]);
        }
        panel_sums(count, 4, 4, panel, x, sums);
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            product[t] = f_fma(second, f_of(sums[t]), product[t]);
        }
    } else {
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            sums[t] = start_of(x[t].start);
        }
        panel_sums(count, 0, 8, panel, x, sums);
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            product[t] = f_of(sums[t]);
        }
    }
    f16s scale = f_load(panel + SCALES_AT);
    if (!has_constant(type)) {
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            lanes[t] = f_fma(product[t], f_mul(scale, f_all(x[t].scale)), lanes[t]);
        }
        return;
    }
    f16s constant = f_load(panel + CONSTANTS_AT);
#pragma GCC unroll 16
    for (int t = 0; t < count; t++) {
        lanes[t] = f_fma(product[t], f_mul(scale, f_all(x[t].scale)), lanes[t]);
        f16s sum = f_all(x[t].sum);
        if (type == Q2_K) { /* of each half, times its factor: exact */
            f16s first = f_mul(f_load(panel + factors_at(type)), f_all(x[t].sums[0]));
            sum = f_mul(f_fma(f_load(panel + factors_at(type) + 64), f_all(x[t].sums[1]), first), f_all(x[t].scale));
        }
        lanes[t] = f_fma(sum, constant, lanes[t]);
    }
}

/* Bytes that will be packed next: some are asked for with each block, so that memory works while products are added. */
struct ahead {
    const char *at;
    int lines; /* of 64 bytes, per block */
};

INLINE void ask_ahead(struct ahead *ahead) {
    for (int i = 0; i < ahead->lines; i++, ahead->at += 64) {
        _mm_prefetch(ahead->at, _MM_HINT_T1);
    }
}

/* A panel times count tokens of a tile of size tokens, of which the first wanted are stored. */
INLINE void panel_tile(int type, int count, int size, const uint8_t *panel, int blocks, const struct cell *x, float *out,
                       int out_stride, int rows, int wanted, struct ahead *bytes_ahead) {
    f16s stack[5][16];
    int height = 0;
    struct ahead ahead = *bytes_ahead; /* stays in registers */
    for (int walked = 0; walked < LANES; walked++) {
        int lane = LANE_ORDER[walked];
        f16s lanes[16];
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            lanes[t] = f_zero();
        }
        for (int b = lane; b < blocks; b += LANES) {
            ask_ahead(&ahead);
            panel_block(type, count, panel, x, lanes);
            panel += panel_block_bytes(type);
            x += size;
        }
        for (int merged = walked; merged & 1; merged >>= 1) {
            height--;
#pragma GCC unroll 16
            for (int t = 0; t < count; t++) {
                lanes[t] = f_add(stack[height][t], lanes[t]);
            }
        }
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            stack[height][t] = lanes[t];
        }
        height++;
    }
    for (int t = 0; t < wanted; t++) {
        if (rows == PANEL_ROWS) {
            f_store(out + (size_t)t * out_stride, stack[0][t]);
        } else {
            f_store_some(out + (size_t)t * out_stride, stack[0][t], rows);
        }
    }
    *bytes_ahead = ahead;
}

/* Scaled halves need a third register per token: large tiles go in two parts. */
INLINE int in_two_parts(int type, int size) { return has_halves(type) && size >= 8; }

/* The same for each size that a tile can have. */
INLINE void panel_of_tile(int type, int most, int size, const uint8_t *panel, int blocks, const struct cell *x, float *out,
                          int out_stride, int rows, int wanted, struct ahead *ahead) {
    int least = most > 8 ? 6 : 2; /* tile_at's, of PANEL_TOKENS and more */
#define SIZE(S)                                                                                                                    \
    case S:                                                                                                                        \
        if (S > most || S < least) {                                                                                               \
            break;                                                                                                                 \
        } else if (in_two_parts(type, S)) {                                                                                        \
            panel_tile(type, S / 2, S, panel, blocks, x, out, out_stride, rows, S / 2, ahead);                                     \
            panel_tile(type, S / 2, S, panel, blocks, x + S / 2, out + S / 2 * (size_t)out_stride, out_stride, rows, wanted - S / 2, ahead); \
        } else {                                                                                                                   \
            panel_tile(type, S, S, panel, blocks, x, out, out_stride, rows, wanted, ahead);                                        \
        }                                                                                                                          \
        break;
    switch (size) {
        SIZE(2) SIZE(4) SIZE(6) SIZE(8) SIZE(10) SIZE(12) SIZE(14)
        default: break; /* tile_at gives no other */
    }
#undef SIZE
}

/* most: the level's TILE. */
INLINE void multiply_panels(int type, int most, const uint8_t *w, int rows, int columns, const struct cell *x, int tokens, float *out,
                            int out_stride, uint8_t *scratch, size_t scratch_bytes) {
    int blocks = columns / BLOCK, tiles = tile_count(tokens, most);
    size_t row_bytes = (size_t)(blocks / type_parts(type)) * type_bytes(type);
    size_t panel_bytes = (size_t)blocks * panel_block_bytes(type);
    int panels = (int)(scratch_bytes / panel_bytes);
    panels = panels < 1 ? 1 : panels > MOST_PANELS ? MOST_PANELS : panels;
    size_t lines = PANEL_ROWS * row_bytes / 64 + 1;
    size_t passes = (size_t)blocks * tiles * (in_two_parts(type, tile_at(tokens, most, tiles - 1).size) ? 2 : 1);
    for (int from = 0; from < rows; from += panels * PANEL_ROWS) {
        int here = rows - from < panels * PANEL_ROWS ? rows - from : panels * PANEL_ROWS;
        struct ahead ahead = {(const char *)w + (from + here) * row_bytes, (int)((lines + passes - 1) / passes)};
        const char *end = ahead.at + here * row_bytes;
        for (int r = 0; r < here; r += PANEL_ROWS) {
            pack_panel(type, w + (from + r) * row_bytes, here - r < PANEL_ROWS ? here - r : PANEL_ROWS, blocks,
                scratch + r / PANEL_ROWS * panel_bytes);
        }
        for (int i = 0; i < tiles; i++) {
            struct tile tile = tile_at(tokens, most, i);
            int wanted = tokens - tile.first < tile.size ? tokens - tile.first : tile.size;
            for (int r = 0; r < here; r += PANEL_ROWS) {
                if (ahead.at >= end) {
                    ahead.lines = 0;
                }
                panel_of_tile(type, most, tile.size, scratch + r / PANEL_ROWS * panel_bytes, blocks, x + (size_t)tile.first * blocks,
                    out + (size_t)tile.first * out_stride + from + r, out_stride, here - r < PANEL_ROWS ? here - r : PANEL_ROWS, wanted,
                    &ahead);
            }
        }
    }
}
