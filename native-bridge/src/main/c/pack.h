/* Activations to 8 bits; the loops are plain, each level's compiler makes vectors of them. Included by each level. */
#include <string.h>

#include "activations.h"

/* Numbers below this in all of a block make it all zeros; as in HostBuffer.java. */
#define TINY 1e-30f

/* Adding and taking away 1.5 * 2^23 rounds a small number to the nearest integer, ties to even. */
#define ROUND 12582912.0f

/* 32 levels and their scale. What is not a number becomes 0 with a scale that is none. */
static inline float quantise_block(const float *restrict x, int8_t *restrict levels) {
    int32_t top = 0; /* the greatest magnitude, as bits: they are ordered as the numbers are, and NaN is above all */
    for (int i = 0; i < BLOCK; i++) {
        int32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffff;
        top = bits > top ? bits : top;
    }
    float max;
    memcpy(&max, &top, sizeof max);
    if (max < TINY) {
        memset(levels, 0, BLOCK);
        return 0;
    }
    float inverse = 127.0f / max;
    for (int i = 0; i < BLOCK; i++) {
        float level = (x[i] * inverse + ROUND) - ROUND;
        level = level == level ? level : 0.0f;
        levels[i] = (int8_t)(int32_t)level;
    }
    return max / 127.0f;
}

static inline int sum_of_half(const int8_t *levels) {
    int sum = 0;
    for (int i = 0; i < BLOCK / 2; i++) {
        sum += levels[i];
    }
    return sum;
}

static void pack_rows(const float *x, int width, int from, int to, uint8_t *packed) {
    int blocks = width / BLOCK, all = padded(width) / BLOCK;
    for (int t = from; t < to; t++) {
        int8_t *levels = (int8_t *)(packed + t * token_bytes(width));
        float *scales = (float *)(levels + padded(width));
        int32_t *first = (int32_t *)(scales + all), *second = first + all;
        for (int b = 0; b < blocks; b++) {
            scales[b] = quantise_block(x + (size_t)t * width + b * BLOCK, levels + b * BLOCK);
            first[b] = sum_of_half(levels + b * BLOCK);
            second[b] = sum_of_half(levels + b * BLOCK + BLOCK / 2);
        }
        for (int b = blocks; b < all; b++) {
            memset(levels + b * BLOCK, 0, BLOCK);
            scales[b] = 0;
            first[b] = second[b] = 0;
        }
    }
}

static void pack_tiles(const float *x, int width, int tokens, int from, int to, int tile, struct cell *cells) {
    int blocks = width / BLOCK, starts[LANES];
    walk_starts(blocks, starts);
    for (int t = from; t < to;) {
        int size = tile_size(tokens - t, tile);
        struct cell *of_tile = cells + (size_t)t * blocks;
        for (int i = 0; i < size; i++) {
            for (int b = 0; b < blocks; b++) {
                struct cell *cell = of_tile + (size_t)(starts[b % LANES] + b / LANES) * size + i;
                cell->scale = quantise_block(x + (size_t)(t + i) * width + b * BLOCK, cell->levels);
                int first = sum_of_half(cell->levels), second = sum_of_half(cell->levels + BLOCK / 2);
                cell->start = -128 * (first + second);
                cell->starts[0] = -128 * first;
                cell->starts[1] = -128 * second;
                cell->sum = (float)(first + second);
                cell->sums[0] = (float)first;
                cell->sums[1] = (float)second;
                cell->unused = 0;
            }
        }
        t += size;
    }
}
