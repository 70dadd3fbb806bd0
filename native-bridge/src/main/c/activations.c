#include "activations.h"
#include "shoal.h"

/* A panel of the type that needs most: Q2_K's. */
int64_t shoal_scratch_bytes(int32_t columns) { return (int64_t)(columns / BLOCK) * (512 + 64 * 6); }

int64_t shoal_packed_bytes(int32_t width, int32_t tokens) {
    return tokens < PANEL_TOKENS ? (int64_t)token_bytes(width) * tokens
                                 : (int64_t)sizeof(struct cell) * (width / BLOCK) * ((tokens + 1) / 2 * 2);
}

/* A tile of queries, one number for each query, and their scores. */
int64_t shoal_attend_bytes(int32_t size, int32_t queries, int32_t positions) {
    return (int64_t)sizeof(float) * (8LL * size + queries + (int64_t)queries * (positions + 2 * 16));
}
