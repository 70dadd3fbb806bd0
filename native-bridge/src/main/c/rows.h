/* Few tokens: one row after another, 16 blocks of 32 at a time, so that the 16 blocks' sums are the 16 lanes of the order of sums. */
#include "activations.h"
#include "blocks.h"

/* Rows that are read at once, each from a part of the matrix of its own, and how far ahead: measured, see docs/adr/0014. */
#define STREAMS 4
#define AHEAD 512

/* Sums of products of 16 blocks, apart for the first and the second half of each block. */
struct products {
    i16s half[2];
};

#ifdef __AVX512F__

/*
 * 16 blocks' levels, eight registers of two blocks each. In order: register i has block 2 i below and 2 i + 1 above. In quads:
 * registers 2 i and 2 i + 1 have the first and the second halves of a quad of blocks (activations.h); their products can be added
 * before anything crosses lanes.
 */
struct levels {
    __m512i v[8];
};

/* Whether a type's levels come in quads. */
INLINE int in_quads(int type) { return type == Q4_0 || type == IQ4_NL || type == Q4_K || type == Q5_K; }

INLINE __m512i load64(const uint8_t *p) { return _mm512_loadu_si512(p); }

/* 16 bytes from byte `first` (even) on of each of four blocks of 18 bytes that lie 36 apart, from the 128 bytes of a and b. */
INLINE __m512i words_of_four(__m512i a, __m512i b, int first) {
    static const int16_t PLACES[32] __attribute__((aligned(64))) = {0, 1, 2, 3, 4, 5, 6, 7, 18, 19, 20, 21, 22, 23, 24, 25, 36, 37, 38, 39,
        40, 41, 42, 43, 54, 55, 56, 57, 58, 59, 60, 61};
    __m512i places = _mm512_add_epi16(_mm512_load_si512(PLACES), _mm512_set1_epi16((short)(first / 2)));
    return _mm512_permutex2var_epi16(a, places, b);
}

/* (a & mask) | (b & ~mask) */
INLINE __m512i bits_from(__m512i mask, __m512i a, __m512i b) { return _mm512_ternarylogic_epi32(mask, a, b, 0xca); }

INLINE struct levels levels_of(int type, const uint8_t *p) {
    struct levels q;
    __m512i fifteen = _mm512_set1_epi8(15);
    int bytes = type_bytes(type), parts = type_parts(type);
    if (type == Q4_0 || type == IQ4_NL) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++, p += 8 * bytes) {
            __m512i even = words_of_four(load64(p), load64(p + 64), 2);
            __m512i odd = words_of_four(load64(p + 16), load64(p + 80), 4);
            q.v[4 * i] = _mm512_and_si512(even, fifteen);
            q.v[4 * i + 1] = _mm512_and_si512(_mm512_srli_epi16(even, 4), fifteen);
            q.v[4 * i + 2] = _mm512_and_si512(odd, fifteen);
            q.v[4 * i + 3] = _mm512_and_si512(_mm512_srli_epi16(odd, 4), fifteen);
        }
        if (type == IQ4_NL) { /* the table's entries + 128 */
            __m512i table = _mm512_broadcast_i32x4(_mm_xor_si128(_mm_set1_epi8((char)128), table_of(IQ4_NL)));
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                q.v[i] = _mm512_shuffle_epi8(table, q.v[i]);
            }
        }
        return q;
    }
    if (type == Q4_K || type == Q5_K) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++, p += bytes) {
            const uint8_t *nibbles = p + (type == Q4_K ? 16 : 48);
            __m512i a = load64(nibbles), b = load64(nibbles + 64);
            __m512i first = _mm512_shuffle_i64x2(a, b, 0x88), second = _mm512_shuffle_i64x2(a, b, 0xdd);
            q.v[4 * i] = _mm512_and_si512(first, fifteen);
            q.v[4 * i + 1] = _mm512_and_si512(second, fifteen);
            q.v[4 * i + 2] = _mm512_and_si512(_mm512_srli_epi16(first, 4), fifteen);
            q.v[4 * i + 3] = _mm512_and_si512(_mm512_srli_epi16(second, 4), fifteen);
            if (type == Q5_K) { /* bit b of a byte is block b's; turned to bit 4 */
                __m512i sixteen = _mm512_set1_epi8(16);
                __m512i even = _mm512_setr_epi32(4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0, -2, -2, -2, -2);
                __m512i odd = _mm512_sub_epi32(even, _mm512_set1_epi32(1));
                __m512i tops[2] = {_mm512_broadcast_i32x4(load16(p + 16)), _mm512_broadcast_i32x4(load16(p + 32))};
#pragma GCC unroll 2
                for (int half = 0; half < 2; half++) {
                    q.v[4 * i + half] = bits_from(sixteen, _mm512_rolv_epi32(tops[half], even), q.v[4 * i + half]);
                    q.v[4 * i + 2 + half] = bits_from(sixteen, _mm512_rolv_epi32(tops[half], odd), q.v[4 * i + 2 + half]);
                }
            }
        }
        return q;
    }
    if (type == Q6_K) {
        __m512i low = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
        __m512i high = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1), most = _mm512_set1_epi8(63);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const uint8_t *block = p + i / 2 * bytes;
            __m512i nibbles = load64(block + 64 * (i % 2));
            __m512i tops = _mm512_broadcast_i64x4(load32(block + 128 + 32 * (i % 2)));
            q.v[2 * i] = _mm512_and_si512(bits_from(fifteen, nibbles, _mm512_sllv_epi16(tops, low)), most);
            q.v[2 * i + 1] =
                _mm512_and_si512(bits_from(fifteen, _mm512_srli_epi16(nibbles, 4), _mm512_srlv_epi16(tops, high)), most);
        }
        return q;
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        int a = 2 * i, b = 2 * i + 1;
        q.v[i] = _mm512_inserti64x4(_mm512_castsi256_si512(levels_at(type, p + a / parts * bytes, a % parts)),
            levels_at(type, p + b / parts * bytes, b % parts), 1);
        if (is_signed(type)) {
            q.v[i] = _mm512_xor_si512(q.v[i], _mm512_set1_epi8((char)128));
        }
    }
    return q;
}

/* From four registers with sums a, b, c, d each, to one: per 128 bits the four sums of what they have there. */
INLINE __m512i fold(__m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* levels: of 16 blocks in order; quads: the same in quads. */
INLINE struct products products_of(int type, const struct levels *q, const int8_t *levels, const int8_t *quads) {
    const int8_t *x = in_quads(type) ? quads : levels;
    struct products p;
    __m512i d[8];
    if (in_quads(type)) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            d[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q->v[2 * i], _mm512_loadu_si512(x + 128 * i));
            d[i] = _mm512_dpbusd_epi32(d[i], q->v[2 * i + 1], _mm512_loadu_si512(x + 128 * i + 64));
        }
        /* blocks 0 1 8 9, 2 3 10 11, 4 5 12 13, 6 7 14 15 to their places */
        __m512i places = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
        p.half[0].v = _mm512_permutexvar_epi32(places, fold(d[0], d[1], d[2], d[3]));
        return p;
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        d[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q->v[i], _mm512_loadu_si512(x + 64 * i));
    }
    __m512i low = fold(d[0], d[1], d[2], d[3]), high = fold(d[4], d[5], d[6], d[7]);
    __m512i first = _mm512_shuffle_i32x4(low, high, 0x88), second = _mm512_shuffle_i32x4(low, high, 0xdd);
    /* blocks 0 2 4 6, 1 3 5 7, 8 10 12 14, 9 11 13 15 to their places */
    __m512i places = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
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

INLINE struct products products_of(int type, const struct levels *q, const int8_t *x, const int8_t *quads) {
    (void)quads;
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

/* 16 blocks of one row, from p on, times the same columns, from block b on, of count tokens. */
INLINE void row_group(int type, int count, const uint8_t *p, const uint8_t *x, int b, int columns, f16s lanes[]) {
    struct levels q = levels_of(type, p);
    struct scales s = scales_at(type, p);
    int all = padded(columns) / BLOCK;
    int bias = is_signed(type) ? (UNSIGNED_WEIGHTS ? 7 : -1) : zero_level(type) ? __builtin_ctz(zero_level(type)) : -1;
#pragma GCC unroll 4
    for (int t = 0; t < count; t++) {
        const int8_t *levels = (const int8_t *)x + t * token_bytes(columns);
        const float *scales = (const float *)(levels + 2 * padded(columns)) + b;
        struct products d = products_of(type, &q, levels + b * BLOCK, levels + padded(columns) + b * BLOCK);
        i16s sum;
        if (has_halves(type)) {
            i16s first = d.half[0], second = d.half[1];
            if (bias >= 0) {
                first = i_sub(first, i_shift_left(i_load(scales + 2 * all), bias));
                second = i_sub(second, i_shift_left(i_load(scales + 3 * all), bias));
            }
            sum = i_add(i_mul(s.halves[0], first), i_mul(s.halves[1], second));
        } else {
            sum = bias < 0 ? d.half[0] : i_sub(d.half[0], i_shift_left(i_load(scales + all), bias));
        }
        f16s x_scale = f_load(scales);
        lanes[t] = f_fma(f_of(sum), f_mul(s.scale, x_scale), lanes[t]);
        if (has_constant(type)) {
            i16s factor = type == Q2_K ? i_add(i_mul(s.factors[0], i_load(scales + 2 * all)), i_mul(s.factors[1], i_load(scales + 3 * all)))
                                       : i_load(scales + all);
            lanes[t] = f_fma(f_mul(f_of(factor), x_scale), s.constant, lanes[t]);
        }
    }
}

/* Some rows, apart bytes from one to the next, times count tokens; the results lie apart_out numbers from each other. */
INLINE void row_streams(int type, int count, int streams, const uint8_t *w, size_t apart, int columns, const uint8_t *x, float *out,
                        int apart_out, int out_stride, uint8_t *last) {
    int blocks = columns / BLOCK;
    int group_bytes = LANES / type_parts(type) * type_bytes(type);
    f16s lanes[STREAMS][ROW_TOKENS];
#pragma GCC unroll 4
    for (int s = 0; s < streams; s++) {
        for (int t = 0; t < count; t++) {
            lanes[s][t] = f_zero();
        }
    }
    int b = 0;
    for (; b + LANES <= blocks; b += LANES, w += group_bytes) {
#pragma GCC unroll 4
        for (int s = 0; s < streams; s++) {
            for (int ahead = 0; ahead < group_bytes; ahead += 64) {
                _mm_prefetch((const char *)w + s * apart + AHEAD + ahead, _MM_HINT_T0);
            }
            row_group(type, count, w + s * apart, x, b, columns, lanes[s]);
        }
    }
    if (b < blocks) {
        for (int s = 0; s < streams; s++) {
            memcpy(last, w + s * apart, (size_t)((blocks - b) / type_parts(type)) * type_bytes(type));
            row_group(type, count, last, x, b, columns, lanes[s]);
        }
    }
#pragma GCC unroll 4
    for (int s = 0; s < streams; s++) {
        for (int t = 0; t < count; t++) {
            out[(size_t)t * out_stride + s * apart_out] = f_tree(lanes[s][t]);
        }
    }
}

INLINE void multiply_rows(int type, int count, const uint8_t *w, int rows, int columns, const uint8_t *x, float *out, int out_stride) {
    size_t row_bytes = (size_t)(columns / BLOCK / type_parts(type)) * type_bytes(type);
    uint8_t last[LANES * 34 + 64]; /* a group that is not whole, filled up with zeros */
    memset(last, 0, sizeof last);
    int part = rows / STREAMS, r = 0;
    for (; r < part; r++) {
        row_streams(type, count, STREAMS, w + r * row_bytes, part * row_bytes, columns, x, out + r, part, out_stride, last);
    }
    for (r = part * STREAMS; r < rows; r++) {
        row_streams(type, count, 1, w + r * row_bytes, 0, columns, x, out + r, 0, out_stride, last);
    }
}
