/* F32, F16 and BF16 weights: column c goes to lane c mod 16, so vectors go along the columns; several rows and tokens share loads. */
#include "blocks.h"

INLINE f16s floats_at(int type, const uint8_t *p) {
    return type == F32 ? f_load(p) : type == F16 ? f_of_halves16(load32(p)) : f_of_upper16(load32(p));
}

INLINE void multiply_floats_tile(int type, int rows, int count, const uint8_t *w, size_t row_bytes, int columns, const float *x,
                                 float *out, int out_stride) {
    int size = type == F32 ? 4 : 2, whole = columns / 16 * 16, rest = columns % 16;
    f16s lanes[4][8];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int t = 0; t < count; t++) {
            lanes[r][t] = f_zero();
        }
    }
    for (int c = 0; c < whole; c += 16) {
        f16s weights[4];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            weights[r] = floats_at(type, w + r * row_bytes + (size_t)c * size);
            _mm_prefetch((const char *)w + r * row_bytes + (size_t)c * size + 1024, _MM_HINT_T0);
        }
#pragma GCC unroll 8
        for (int t = 0; t < count; t++) {
            f16s values = f_load(x + (size_t)t * columns + c);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) {
                lanes[r][t] = f_fma(weights[r], values, lanes[r][t]);
            }
        }
    }
    if (rest > 0) {
        for (int r = 0; r < rows; r++) {
            uint8_t bytes[64] = {0};
            memcpy(bytes, w + r * row_bytes + (size_t)whole * size, (size_t)rest * size);
            f16s weights = floats_at(type, bytes);
            for (int t = 0; t < count; t++) {
                float values[16] = {0};
                memcpy(values, x + (size_t)t * columns + whole, (size_t)rest * sizeof(float));
                lanes[r][t] = f_fma_some(weights, f_load(values), lanes[r][t], rest);
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int t = 0; t < count; t++) {
            out[(size_t)t * out_stride + r] = f_tree(lanes[r][t]);
        }
    }
}

INLINE void multiply_floats(int type, const uint8_t *w, int rows, int columns, const float *x, int tokens, float *out, int out_stride) {
    size_t row_bytes = (size_t)columns * (type == F32 ? 4 : 2);
#ifdef __AVX512F__
    enum { ROWS = 4, COUNT = 6 };
#else
    enum { ROWS = 2, COUNT = 2 };
#endif
    int r = 0;
    for (; r + ROWS <= rows; r += ROWS) {
        int t = 0;
        for (; t + COUNT <= tokens; t += COUNT) {
            multiply_floats_tile(type, ROWS, COUNT, w + r * row_bytes, row_bytes, columns, x + (size_t)t * columns,
                out + (size_t)t * out_stride + r, out_stride);
        }
        for (; t < tokens; t++) {
            multiply_floats_tile(type, ROWS, 1, w + r * row_bytes, row_bytes, columns, x + (size_t)t * columns,
                out + (size_t)t * out_stride + r, out_stride);
        }
    }
    for (; r < rows; r++) {
        for (int t = 0; t < tokens; t++) {
            multiply_floats_tile(type, 1, 1, w + r * row_bytes, row_bytes, columns, x + (size_t)t * columns,
                out + (size_t)t * out_stride + r, out_stride);
        }
    }
}
