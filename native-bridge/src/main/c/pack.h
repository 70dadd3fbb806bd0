/* Activations to 8 bits. Included by each level. */
#include <string.h>

#include "activations.h"
#include "simd.h"

/* Numbers below this in all of a block make it all zeros; as in HostBuffer.java. */
#define TINY 1e-30f

/* 32 levels and their scale. What is not a number becomes 0 with a scale that is none. */
INLINE float quantise_block(const float *x, int8_t *levels) {
    f16s a = f_load(x), b = f_load(x + BLOCK / 2);
    /* the greatest magnitude, as bits: they are ordered as the numbers are, and NaN is above all */
    int32_t top = i_highest(i_max(i_of_bits(f_magnitude(a)), i_of_bits(f_magnitude(b))));
    float max;
    memcpy(&max, &top, sizeof max);
    if (max < TINY) {
        memset(levels, 0, BLOCK);
        return 0;
    }
    f16s inverse = f_all(127.0f / max);
    _mm_storeu_si128((__m128i *)levels, bytes_of(i_nearest(f_mul(a, inverse))));
    _mm_storeu_si128((__m128i *)(levels + BLOCK / 2), bytes_of(i_nearest(f_mul(b, inverse))));
    return max / 127.0f;
}

INLINE int sum_of_half(const int8_t *levels) {
    __m128i sums = _mm_sad_epu8(_mm_xor_si128(_mm_loadu_si128((const __m128i *)levels), _mm_set1_epi8((char)128)), _mm_setzero_si128());
    return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 128 * (BLOCK / 2);
}

static void pack_rows(const float *x, int width, int from, int to, uint8_t *packed) {
    int blocks = width / BLOCK, all = padded(width) / BLOCK;
    for (int t = from; t < to; t++) {
        int8_t *levels = (int8_t *)(packed + t * token_bytes(width)), *quads = levels + padded(width);
        float *scales = (float *)(quads + padded(width));
        int32_t *sums = (int32_t *)(scales + all), *first = sums + all, *second = first + all;
        for (int b = 0; b < all; b++) {
            int8_t *here = levels + b * BLOCK, *quad = quads + b / LANES * GROUP_COLUMNS + quad_place(b % LANES);
            if (b < blocks) {
                scales[b] = quantise_block(x + (size_t)t * width + b * BLOCK, here);
            } else {
                memset(here, 0, BLOCK);
                scales[b] = 0;
            }
            memcpy(quad, here, BLOCK / 2);
            memcpy(quad + 64, here + BLOCK / 2, BLOCK / 2);
            first[b] = sum_of_half(here);
            second[b] = sum_of_half(here + BLOCK / 2);
            sums[b] = first[b] + second[b];
        }
    }
}

INLINE void pack_cell(const float *x, struct cell *cell) {
    cell->scale = quantise_block(x, cell->levels);
    int first = sum_of_half(cell->levels), second = sum_of_half(cell->levels + BLOCK / 2);
    cell->start = -128 * (first + second);
    cell->starts[0] = -128 * first;
    cell->starts[1] = -128 * second;
    cell->sum = (float)(first + second) * cell->scale;
    cell->sums[0] = (float)first;
    cell->sums[1] = (float)second;
    cell->unused = 0;
}

static void pack_tiles(const float *x, int width, int tokens, int from, int to, int most, struct cell *cells) {
    int blocks = width / BLOCK, starts[LANES];
    walk_starts(blocks, starts);
    for (int i = 0; i < tile_count(tokens, most); i++) {
        struct tile tile = tile_at(tokens, most, i);
        int end = tile.first + tile.size;
        for (int t = tile.first > from ? tile.first : from; t < end && t < (to == tokens ? end : to); t++) {
            struct cell *of_token = cells + (size_t)tile.first * blocks + (t - tile.first);
            for (int b = 0; b < blocks; b++) {
                struct cell *cell = of_token + (size_t)(starts[b % LANES] + b / LANES) * tile.size;
                if (t < tokens) {
                    pack_cell(x + (size_t)t * width + b * BLOCK, cell);
                } else {
                    memset(cell, 0, sizeof *cell);
                }
            }
        }
    }
}
