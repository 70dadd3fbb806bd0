/*
 * Many tokens: rows in lanes. Sixteen rows' levels are packed to a panel once, [block][8][16 rows][4 columns], with their scales;
 * then each tile of tokens goes over it, and each token's levels are broadcast four at a time. Lane l of the order of sums has the
 * blocks l, l + 16, ...; blocks are walked lane by lane so that finished lanes are added as the tree adds them, with a stack of at
 * most five partial sums.
 */
#include "activations.h"
#include "blocks.h"

#define PANEL_ROWS 16

/* More rows at once than this pay no more: the panels then leave the second cache. */
#define MOST_PANELS 8

/* 16 rows of one block of 32. */
INLINE int panel_block_bytes(int type) {
    return 512 + 64 * (1 + has_constant(type) + 2 * has_halves(type) + 2 * (type == Q2_K));
}

/* Where in a panel's block the numbers lie that follow the levels and the scales. */
enum { SCALES_AT = 512, CONSTANTS_AT = 576 };
INLINE int halves_at(int type) { return SCALES_AT + 64 * (1 + has_constant(type)); }
INLINE int factors_at(int type) { return halves_at(type) + 128; }

/* Levels of part i as the panel has them: level + 128, or the level itself where weights are signed. */
INLINE __m256i panel_levels(int type, const uint8_t *p, int i) {
    __m256i levels = levels_at(type, p, i);
    if (is_signed(type)) {
        return UNSIGNED_WEIGHTS ? _mm256_xor_si256(levels, _mm256_set1_epi8((char)128)) : levels;
    }
    return _mm256_add_epi8(levels, _mm256_set1_epi8((char)((UNSIGNED_WEIGHTS ? 128 : 0) - zero_level(type))));
}

/* Four rows' 8 x 4 columns, to dwords of one row after another: out + 64 j + 4 row. */
INLINE void transpose_rows(__m256i a, __m256i b, __m256i c, __m256i d, uint8_t *out) {
    __m256i ab = _mm256_unpacklo_epi32(a, b), AB = _mm256_unpackhi_epi32(a, b);
    __m256i cd = _mm256_unpacklo_epi32(c, d), CD = _mm256_unpackhi_epi32(c, d);
    __m256i v[4] = {_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd), _mm256_unpacklo_epi64(AB, CD),
                    _mm256_unpackhi_epi64(AB, CD)};
    for (int j = 0; j < 4; j++) {
        _mm_store_si128((__m128i *)(out + 64 * j), _mm256_castsi256_si128(v[j]));
        _mm_store_si128((__m128i *)(out + 64 * (j + 4)), _mm256_extracti128_si256(v[j], 1));
    }
}

/* The eight scales and constants of a block of Q4_K or Q5_K. */
INLINE void scales_of_block(const uint8_t *p, float scales[8], float constants[8]) {
    uint64_t of_scales, of_constants;
    scales_of_k(p + 4, &of_scales, &of_constants);
    __m256 scale = _mm256_set1_ps(half_at(p)), constant = _mm256_set1_ps(-half_at(p + 2));
    _mm256_storeu_ps(scales, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)of_scales)))));
    _mm256_storeu_ps(constants,
        _mm256_mul_ps(constant, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)of_constants)))));
}

/* Packs count (up to 16) rows from w on; the rows that are missing repeat the last one. */
INLINE void pack_panel(int type, const uint8_t *w, int count, int blocks, uint8_t *panel) {
    int parts = type_parts(type), bytes = type_bytes(type), starts[LANES];
    size_t row_bytes = (size_t)(blocks / parts) * bytes;
    float scales[PANEL_ROWS][8], constants[PANEL_ROWS][8];
    walk_starts(blocks, starts);
    for (int b = 0; b < blocks; b++) {
        uint8_t *out = panel + (size_t)(starts[b % LANES] + b / LANES) * panel_block_bytes(type);
        const uint8_t *p = w + (size_t)(b / parts) * bytes;
        if ((type == Q4_K || type == Q5_K) && b % parts == 0) {
            for (int r = 0; r < PANEL_ROWS; r++) {
                scales_of_block(p + (size_t)(r < count ? r : count - 1) * row_bytes, scales[r], constants[r]);
            }
        }
        for (int r = 0; r < PANEL_ROWS; r += 4) {
            const uint8_t *rows[4];
            for (int i = 0; i < 4; i++) {
                rows[i] = p + (size_t)(r + i < count ? r + i : count - 1) * row_bytes;
                float *numbers = (float *)(out + SCALES_AT) + r + i;
                if (type == Q4_K || type == Q5_K) {
                    numbers[0] = scales[r + i][b % parts];
                    numbers[16] = constants[r + i][b % parts];
                    continue;
                }
                struct scale s = scale_at(type, rows[i], b % parts);
                numbers[0] = s.scale;
                if (has_constant(type)) {
                    numbers[16] = s.constant;
                }
                if (has_halves(type)) {
                    float *halves = (float *)(out + halves_at(type)) + r + i;
                    halves[0] = (float)s.halves[0];
                    halves[16] = (float)s.halves[1];
                }
                if (type == Q2_K) {
                    float *factors = (float *)(out + factors_at(type)) + r + i;
                    factors[0] = (float)s.factors[0];
                    factors[16] = (float)s.factors[1];
                }
            }
            transpose_rows(panel_levels(type, rows[0], b % parts), panel_levels(type, rows[1], b % parts),
                panel_levels(type, rows[2], b % parts), panel_levels(type, rows[3], b % parts), out + 4 * r);
        }
    }
}

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
        f16s factor = type == Q2_K ? f_fma(f_load(panel + factors_at(type) + 64), f_all(x[t].sums[1]),
                                         f_mul(f_load(panel + factors_at(type)), f_all(x[t].sums[0])))
                                   : f_all(x[t].sum);
        lanes[t] = f_fma(factor, f_mul(constant, f_all(x[t].scale)), lanes[t]);
    }
}

/* A panel times count tokens of a tile of size tokens. */
INLINE void panel_tile(int type, int count, int size, const uint8_t *panel, int blocks, const struct cell *x, float *out,
                       int out_stride, int rows) {
    f16s stack[5][16];
    int height = 0;
    for (int walked = 0; walked < LANES; walked++) {
        int lane = LANE_ORDER[walked];
        f16s lanes[16];
#pragma GCC unroll 16
        for (int t = 0; t < count; t++) {
            lanes[t] = f_zero();
        }
        for (int b = lane; b < blocks; b += LANES) {
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
    for (int t = 0; t < count; t++) {
        if (rows == PANEL_ROWS) {
            f_store(out + (size_t)t * out_stride, stack[0][t]);
        } else {
            f_store_some(out + (size_t)t * out_stride, stack[0][t], rows);
        }
    }
}

/* tile: the level's TILE; below it 4, then 1. */
INLINE void multiply_panels(int type, int tile, const uint8_t *w, int rows, int columns, const struct cell *x, int tokens, float *out,
                            int out_stride, uint8_t *scratch, size_t scratch_bytes) {
    int blocks = columns / BLOCK;
    size_t row_bytes = (size_t)(blocks / type_parts(type)) * type_bytes(type);
    size_t panel_bytes = (size_t)blocks * panel_block_bytes(type);
    int panels = (int)(scratch_bytes / panel_bytes);
    panels = panels < 1 ? 1 : panels > MOST_PANELS ? MOST_PANELS : panels;
    for (int from = 0; from < rows; from += panels * PANEL_ROWS) {
        int here = rows - from < panels * PANEL_ROWS ? rows - from : panels * PANEL_ROWS;
        for (int r = 0; r < here; r += PANEL_ROWS) {
            pack_panel(type, w + (from + r) * row_bytes, here - r < PANEL_ROWS ? here - r : PANEL_ROWS, blocks,
                scratch + r / PANEL_ROWS * panel_bytes);
        }
        for (int t = 0; t < tokens;) {
            int size = tile_size(tokens - t, tile);
            const struct cell *of_tile = x + (size_t)t * blocks;
            for (int r = 0; r < here; r += PANEL_ROWS) {
                const uint8_t *panel = scratch + r / PANEL_ROWS * panel_bytes;
                float *to = out + (size_t)t * out_stride + from + r;
                int wanted = here - r < PANEL_ROWS ? here - r : PANEL_ROWS;
                if (size == tile && has_halves(type)) { /* these need a third register per token */
                    panel_tile(type, tile / 2, size, panel, blocks, of_tile, to, out_stride, wanted);
                    panel_tile(type, tile / 2, size, panel, blocks, of_tile + tile / 2, to + (size_t)(tile / 2) * out_stride, out_stride,
                        wanted);
                } else if (size == tile) {
                    panel_tile(type, tile, size, panel, blocks, of_tile, to, out_stride, wanted);
                } else if (tile > 4 && size == 4) {
                    panel_tile(type, 4, size, panel, blocks, of_tile, to, out_stride, wanted);
                } else {
                    panel_tile(type, 1, size, panel, blocks, of_tile, to, out_stride, wanted);
                }
            }
            t += size;
        }
    }
}
