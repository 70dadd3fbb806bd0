/* Few tokens: one row after another, 16 blocks of 32 at a time, so that the 16 blocks' sums are the 16 lanes of the order of sums. */
#include "activations.h"
#include "blocks.h"

/* A row is read this far ahead: measured, see docs/adr/0007. */
#ifndef AHEAD
#define AHEAD 1024
#endif

/* Sums of products of 16 blocks, apart for the first and the second half of each block. */
struct products {
    i16s half[2];
};

#ifdef __AVX512F__

/* 16 blocks' levels: register i has block 2 i below and 2 i + 1 above. */
struct levels {
    __m512i v[8];
};

INLINE struct levels levels_of(int type, const uint8_t *p) {
    struct levels q;
    __m512i shifts = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
    __m512i in_pairs = _mm512_setr_epi64(0, 0, 0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004, 0x0004000400040004);
    __m512i fifteen = _mm512_set1_epi8(15);
    int bytes = type_bytes(type), parts = type_parts(type);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        if (type == Q4_K) {
            __m512i both = _mm512_broadcast_i64x4(load32(p + i / 4 * bytes + 16 + 32 * (i % 4)));
            q.v[i] = _mm512_and_si512(_mm512_srlv_epi16(both, shifts), fifteen);
        } else if (type == Q4_0) {
            __m512i pairs = _mm512_broadcast_i32x4(load16(p + 2 * i * bytes + 2));
            pairs = _mm512_mask_broadcast_i32x4(pairs, 0xff00, load16(p + (2 * i + 1) * bytes + 2));
            q.v[i] = _mm512_and_si512(_mm512_srlv_epi16(pairs, in_pairs), fifteen);
        } else {
            int a = 2 * i, b = 2 * i + 1;
            q.v[i] = _mm512_inserti64x4(_mm512_castsi256_si512(levels_at(type, p + a / parts * bytes, a % parts)),
                levels_at(type, p + b / parts * bytes, b % parts), 1);
        }
        if (is_signed(type)) {
            q.v[i] = _mm512_xor_si512(q.v[i], _mm512_set1_epi8((char)128));
        }
    }
    return q;
}

/* From four registers, each with 2 x 8 sums, to four times four: the first halves of the even blocks, their second halves, the odd. */
INLINE __m512i fold(__m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

INLINE struct products products_of(int type, const struct levels *q, const int8_t *x) {
    __m512i d[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        d[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q->v[i], _mm512_loadu_si512(x + 64 * i));
    }
    __m512i low = fold(d[0], d[1], d[2], d[3]), high = fold(d[4], d[5], d[6], d[7]);
    __m512i first = _mm512_shuffle_i32x4(low, high, 0x88), second = _mm512_shuffle_i32x4(low, high, 0xdd);
    /* blocks 0 2 4 6, 1 3 5 7, 8 10 12 14, 9 11 13 15 to their places */
    __m512i places = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    struct products p;
    if (has_halves(type)) {
        p.half[0].v = _mm512_permutexvar_epi32(places, first);
        p.half[1].v = _mm512_permutexvar_epi32(places, second);
    } else {
        p.half[0].v = _mm512_permutexvar_epi32(places, _mm512_add_epi32(first, second));
    }
    return p;
}

#else

struct levels {
    __m256i v[16];
};

INLINE struct levels levels_of(int type, const uint8_t *p) {
    struct levels q;
    int bytes = type_bytes(type), parts = type_parts(type);
#pragma GCC unroll 16
    for (int b = 0; b < 16; b++) {
        q.v[b] = levels_at(type, p + b / parts * bytes, b % parts);
        if (is_signed(type) && UNSIGNED_WEIGHTS) {
            q.v[b] = _mm256_xor_si256(q.v[b], _mm256_set1_epi8((char)128));
        }
    }
    return q;
}

/* From four blocks' 8 sums each to the four first halves, then the four second halves. */
INLINE __m256i fold(__m256i a, __m256i b, __m256i c, __m256i d) {
    __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    return _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}

INLINE struct products products_of(int type, const struct levels *q, const int8_t *x) {
    __m256i f[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m256i d[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m256i levels = _mm256_loadu_si256((const __m256i *)(x + 32 * (4 * i + j)));
            d[j] = is_signed(type) ? dot4(_mm256_setzero_si256(), q->v[4 * i + j], levels)
                                   : dot4_small(_mm256_setzero_si256(), q->v[4 * i + j], levels);
        }
        f[i] = fold(d[0], d[1], d[2], d[3]);
    }
    struct products p;
    p.half[0] = (i16s){_mm256_permute2x128_si256(f[0], f[1], 0x20), _mm256_permute2x128_si256(f[2], f[3], 0x20)};
    p.half[1] = (i16s){_mm256_permute2x128_si256(f[0], f[1], 0x31), _mm256_permute2x128_si256(f[2], f[3], 0x31)};
    if (!has_halves(type)) {
        p.half[0] = i_add(p.half[0], p.half[1]);
    }
    return p;
}

#endif

/* 16 blocks of one row, from p on, times the same columns of count tokens. x: the tokens' levels from that column on. */
INLINE void row_group(int type, int count, const uint8_t *p, const int8_t *x, size_t token_stride, size_t scales_ahead, int all,
                      f16s lanes[]) {
    struct levels q = levels_of(type, p);
    struct scales s = scales_at(type, p);
    int bias = is_signed(type) ? (UNSIGNED_WEIGHTS ? 7 : -1) : zero_level(type) ? __builtin_ctz(zero_level(type)) : -1;
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) {
        const int8_t *levels = x + t * token_stride;
        const float *of_token = (const float *)(levels + scales_ahead);
        i16s first = i_load(of_token + all), second = i_load(of_token + 2 * all);
        i16s both = i_add(first, second);
        struct products d = products_of(type, &q, levels);
        i16s sum;
        if (has_halves(type)) {
            i16s a = bias < 0 ? d.half[0] : i_sub(d.half[0], i_shift_left(first, bias));
            i16s b = bias < 0 ? d.half[1] : i_sub(d.half[1], i_shift_left(second, bias));
            sum = i_add(i_mul(s.halves[0], a), i_mul(s.halves[1], b));
        } else {
            sum = bias < 0 ? d.half[0] : i_sub(d.half[0], i_shift_left(both, bias));
        }
        f16s x_scale = f_load(of_token);
        lanes[t] = f_fma(f_of(sum), f_mul(s.scale, x_scale), lanes[t]);
        if (has_constant(type)) {
            i16s factor = type == Q2_K ? i_add(i_mul(s.factors[0], first), i_mul(s.factors[1], second)) : both;
            lanes[t] = f_fma(f_of(factor), f_mul(s.constant, x_scale), lanes[t]);
        }
    }
}

INLINE void multiply_rows(int type, int count, const uint8_t *w, int rows, int columns, const uint8_t *x, float *out, int out_stride) {
    int blocks = columns / BLOCK, all = padded(columns) / BLOCK;
    int group_bytes = LANES / type_parts(type) * type_bytes(type);
    size_t row_bytes = (size_t)(blocks / type_parts(type)) * type_bytes(type);
    size_t stride = token_bytes(columns);
    uint8_t last[LANES * 34 + 64]; /* a group that is not whole, filled up with zeros */
    memset(last, 0, sizeof last);
    for (int r = 0; r < rows; r++) {
        const uint8_t *p = w + r * row_bytes;
        f16s lanes[4];
        for (int t = 0; t < count; t++) {
            lanes[t] = f_zero();
        }
        int b = 0;
        for (; b + LANES <= blocks; b += LANES, p += group_bytes) {
            for (int ahead = 0; ahead < group_bytes; ahead += 64) {
                _mm_prefetch((const char *)p + AHEAD + ahead, _MM_HINT_T0);
            }
            row_group(type, count, p, (const int8_t *)x + b * BLOCK, stride, (size_t)(padded(columns) - b * BLOCK) + 4 * b, all, lanes);
        }
        if (b < blocks) {
            memcpy(last, p, (size_t)((blocks - b) / type_parts(type)) * type_bytes(type));
            row_group(type, count, last, (const int8_t *)x + b * BLOCK, stride, (size_t)(padded(columns) - b * BLOCK) + 4 * b, all, lanes);
        }
        for (int t = 0; t < count; t++) {
            out[(size_t)t * out_stride + r] = f_tree(lanes[t]);
        }
    }
}

