/* One level's functions: at most TILE tokens (even) at a time, or ROW_TOKENS to a row, and the level's name in LEVEL. Included once by each level's file. */
#include "attend.h"
#include "elements.h"
#include "floats.h"
#include "pack.h"
#include "panels.h"
#include "rows.h"
#include "shoal.h"

static void pack(const float *x, int width, int tokens, int from, int to, void *packed) {
    if (tokens < PANEL_TOKENS) {
        pack_rows(x, width, from, to, packed);
    } else {
        pack_tiles(x, width, tokens, from, to, TILE, packed);
    }
}

/* Small functions, one per type, so that the compiler sees the type as a constant and none of them grows too large. */
#define ROWS_OF(T, N)                                                                                                              \
    static __attribute__((noinline)) void rows_##T##_##N(const uint8_t *w, int rows, int columns, const uint8_t *x, float *out, int stride) { \
        multiply_rows(T, N, w, rows, columns, x, out, stride);                                                                     \
    }
#define WHILE_ROWS_OF(T, N)                                                                                                        \
    for (; tokens >= N; tokens -= N, of_token += N * token_bytes(columns), out += N * (size_t)stride) {                            \
        rows_##T##_##N(w, rows, columns, of_token, out, stride);                                                                   \
    }
#if ROW_TOKENS == 4
#define ROWS_OF_FOUR(T) ROWS_OF(T, 4)
#define WHILE_ROWS_OF_FOUR(T) WHILE_ROWS_OF(T, 4)
#else
#define ROWS_OF_FOUR(T)
#define WHILE_ROWS_OF_FOUR(T)
#endif
#define OF_TYPE(T)                                                                                                                 \
    ROWS_OF_FOUR(T)                                                                                                                \
    ROWS_OF(T, 2)                                                                                                                  \
    ROWS_OF(T, 1)                                                                                                                  \
    static __attribute__((noinline)) void panels_##T(const uint8_t *w, int rows, int columns, const void *x, int tokens, float *out, \
                                                     int stride, uint8_t *scratch, size_t scratch_bytes) {                         \
        multiply_panels(T, TILE, w, rows, columns, x, tokens, out, stride, scratch, scratch_bytes);                                \
    }                                                                                                                              \
    static void multiply_##T(const uint8_t *w, int rows, int columns, const void *x, int tokens, float *out, int stride,           \
                             uint8_t *scratch, size_t scratch_bytes) {                                                             \
        if (tokens >= PANEL_TOKENS) {                                                                                              \
            panels_##T(w, rows, columns, x, tokens, out, stride, scratch, scratch_bytes);                                          \
            return;                                                                                                                \
        }                                                                                                                          \
        const uint8_t *of_token = x;                                                                                               \
        WHILE_ROWS_OF_FOUR(T)                                                                                                      \
        WHILE_ROWS_OF(T, 2)                                                                                                        \
        WHILE_ROWS_OF(T, 1)                                                                                                        \
    }

#define ALL_TYPES(DO) DO(Q4_0) DO(Q4_1) DO(Q5_0) DO(Q5_1) DO(Q8_0) DO(Q2_K) DO(Q3_K) DO(Q4_K) DO(Q5_K) DO(Q6_K) DO(IQ4_NL) DO(IQ4_XS) DO(MXFP4)

ALL_TYPES(OF_TYPE)

static int multiply(int type, const uint8_t *w, int rows, int columns, const void *x, int tokens, float *out, int out_stride,
                    uint8_t *scratch, size_t scratch_bytes) {
    switch (type) {
        case F32: multiply_floats(F32, w, rows, columns, x, tokens, out, out_stride); return 0;
        case F16: multiply_floats(F16, w, rows, columns, x, tokens, out, out_stride); return 0;
        case BF16: multiply_floats(BF16, w, rows, columns, x, tokens, out, out_stride); return 0;
#define CASE(T)                                                                                 \
    case T: multiply_##T(w, rows, columns, x, tokens, out, out_stride, scratch, scratch_bytes); \
        return 0;
        ALL_TYPES(CASE)
        default: return 1;
    }
}

#define JOIN(a, b) a##b
#define LEVEL_STRUCT(level) JOIN(level_, level)
const struct level LEVEL_STRUCT(LEVEL) = {pack, multiply, attend, gate, sum_of_squares};
