/*
 * Quantised activations, as two layouts.
 *
 * Few tokens (below PANEL_TOKENS) are multiplied row by row. Per token: levels, one byte a column; the same in another order; then
 * arrays with an entry per block of 32: scale, sum of the levels, of those of the first half, of those of the second half. Columns
 * are padded with zeros to GROUP_COLUMNS. The other order: per 16 blocks four quads, 0 2 4 6, 1 3 5 7, 8 10 12 14, 9 11 13 15; of each its blocks' first
 * halves, then their second halves.
 *
 * Many tokens are multiplied with panels of rows. They lie in tiles of at most TILE tokens (tile_at): per tile, blocks in the order of
 * walk_starts; per block and token one struct cell.
 */
#ifndef ACTIVATIONS_H
#define ACTIVATIONS_H

#include <stddef.h>
#include <stdint.h>

#define BLOCK 32
#define LANES 16
#define GROUP_COLUMNS (BLOCK * LANES)
#define PANEL_TOKENS 5

/* One token's block: its levels, and what the kernels need of them. 64 bytes. */
struct cell {
    int8_t levels[BLOCK];
    float scale;
    int32_t start;      /* -128 * sum of the levels: what a sum of products with (level + 128) starts from */
    int32_t starts[2];  /* the same for the halves */
    float sum;          /* of the levels, times the scale */
    float sums[2];      /* of the halves' levels */
    float unused;
};

static inline int padded(int columns) { return (columns + GROUP_COLUMNS - 1) / GROUP_COLUMNS * GROUP_COLUMNS; }

/* Bytes of a token in the layout for few tokens: two bytes a column, and 4 numbers per 32. */
static inline size_t token_bytes(int columns) { return 2 * (size_t)padded(columns) + 4 * sizeof(float) * (padded(columns) / BLOCK); }

/* Where the first half of block b of 16 lies in the other order; the second one lies 64 bytes after it. Quads: 0 2 4 6, 1 3 5 7, ... */
static inline int quad_place(int b) { return (b / 8 * 2 + b % 2) * 128 + b % 8 / 2 * 16; }

/* The lanes in the order in which their blocks are walked: finished lanes can then be added as a stack, in the order of the tree. */
static const uint8_t LANE_ORDER[LANES] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};

/* Where each lane's blocks start in that walk; lane l has the blocks l, l + 16, ... */
static inline void walk_starts(int blocks, int starts[LANES]) {
    int next = 0;
    for (int i = 0; i < LANES; i++) {
        int lane = LANE_ORDER[i];
        starts[lane] = next;
        next += (blocks - lane + LANES - 1) / LANES;
    }
}

/* Tokens that pass a panel together; the last one of all may be missing. */
struct tile {
    int first, size;
};

static inline int tile_count(int tokens, int most) { return (tokens + most - 1) / most; }

/* Tile i of as few as can be, all of even sizes, and these as equal as can be: 6 to 14 if most is 14. */
static inline struct tile tile_at(int tokens, int most, int i) {
    int tiles = tile_count(tokens, most), pairs = (tokens + 1) / 2, least = pairs / tiles, longer = pairs % tiles;
    return (struct tile){2 * (i * least + (i < longer ? i : longer)), 2 * (least + (i < longer))};
}

#endif
