/* Sixteen 32-bit numbers in as many registers as the level needs, and products of bytes. On ARM neon.h stands in for AVX2. */
#ifndef SIMD_H
#define SIMD_H

#include <stdint.h>

#ifdef __aarch64__
#include "neon.h"
#else
#include <immintrin.h>
#endif

/* From numbers that were just computed: in registers, since a load right after narrower stores would wait for them. */
#define EIGHT(a, i) a[i], a[i + 1], a[i + 2], a[i + 3], a[i + 4], a[i + 5], a[i + 6], a[i + 7]

#define INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__

typedef struct { __m512 v; } f16s;  /* sixteen floats */
typedef struct { __m512i v; } i16s; /* sixteen ints, or 16 x 4 bytes */

INLINE f16s f_zero(void) { return (f16s){_mm512_setzero_ps()}; }
INLINE f16s f_load(const void *p) { return (f16s){_mm512_loadu_ps(p)}; }
INLINE void f_store(float *p, f16s a) { _mm512_storeu_ps(p, a.v); }
INLINE void f_store_some(float *p, f16s a, int count) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), a.v); }
INLINE f16s f_all(float a) { return (f16s){_mm512_set1_ps(a)}; }
INLINE f16s f_halves(float low, float high) {
    return (f16s){_mm512_insertf32x8(_mm512_set1_ps(low), _mm256_set1_ps(high), 1)};
}
INLINE f16s f_add(f16s a, f16s b) { return (f16s){_mm512_add_ps(a.v, b.v)}; }
INLINE f16s f_mul(f16s a, f16s b) { return (f16s){_mm512_mul_ps(a.v, b.v)}; }
INLINE f16s f_fma(f16s a, f16s b, f16s c) { return (f16s){_mm512_fmadd_ps(a.v, b.v, c.v)}; }
/* a * b + c in the first count lanes, c in the others. */
INLINE f16s f_fma_some(f16s a, f16s b, f16s c, int count) {
    return (f16s){_mm512_mask3_fmadd_ps(a.v, b.v, c.v, (__mmask16)((1u << count) - 1))};
}
INLINE f16s f_sub(f16s a, f16s b) { return (f16s){_mm512_sub_ps(a.v, b.v)}; }
INLINE f16s f_div(f16s a, f16s b) { return (f16s){_mm512_div_ps(a.v, b.v)}; }
INLINE f16s f_max(f16s a, f16s b) { return (f16s){_mm512_max_ps(a.v, b.v)}; }
INLINE f16s f_magnitude(f16s a) { return (f16s){_mm512_abs_ps(a.v)}; }
/* The magnitude of a with the sign of b. */
INLINE f16s f_with_sign(f16s a, f16s b) { return (f16s){_mm512_or_ps(_mm512_abs_ps(a.v), _mm512_and_ps(b.v, _mm512_set1_ps(-0.0f)))}; }
/* Where a < b then, elsewhere otherwise; what is no number is not less. */
INLINE f16s f_where_less(f16s a, f16s b, f16s then, f16s otherwise) {
    return (f16s){_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), otherwise.v, then.v)};
}
INLINE float f_highest(f16s a) { return _mm512_reduce_max_ps(a.v); }
INLINE float f_first(f16s a) { return _mm512_cvtss_f32(a.v); }
INLINE f16s f_of_bits(i16s a) { return (f16s){_mm512_castsi512_ps(a.v)}; }
INLINE i16s i_of_bits(f16s a) { return (i16s){_mm512_castps_si512(a.v)}; }
INLINE f16s f_of_signed(__m128i a) { return (f16s){_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(a))}; }
INLINE f16s f_of(i16s a) { return (f16s){_mm512_cvtepi32_ps(a.v)}; }
INLINE f16s f_of_halves16(__m256i a) { return (f16s){_mm512_cvtph_ps(a)}; }
INLINE f16s f_of_upper16(__m256i a) {
    return (f16s){_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(a), 16))};
}
INLINE f16s f_of_bytes(__m128i a) { return (f16s){_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(a))}; }
INLINE i16s i_load(const void *p) { return (i16s){_mm512_loadu_si512(p)}; }
INLINE i16s i_all(int a) { return (i16s){_mm512_set1_epi32(a)}; }
INLINE i16s i_add(i16s a, i16s b) { return (i16s){_mm512_add_epi32(a.v, b.v)}; }
INLINE i16s i_sub(i16s a, i16s b) { return (i16s){_mm512_sub_epi32(a.v, b.v)}; }
INLINE i16s i_mul(i16s a, i16s b) { return (i16s){_mm512_mullo_epi32(a.v, b.v)}; }
INLINE i16s i_shift_left(i16s a, int by) { return (i16s){_mm512_slli_epi32(a.v, by)}; }
INLINE i16s i_shift_right(i16s a, int by) { return (i16s){_mm512_srai_epi32(a.v, by)}; }
INLINE i16s i_max(i16s a, i16s b) { return (i16s){_mm512_max_epi32(a.v, b.v)}; }
INLINE int i_highest(i16s a) { return _mm512_reduce_max_epi32(a.v); }
/* The nearest integer, ties to even; 0 for what is no number. */
INLINE i16s i_nearest(f16s a) { return (i16s){_mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(a.v, a.v, _CMP_ORD_Q), a.v)}; }
/* Numbers that fit in bytes, as bytes. */
INLINE __m128i bytes_of(i16s a) { return _mm512_cvtepi32_epi8(a.v); }
INLINE f16s f_of_array(const float a[16]) {
    return (f16s){_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_setr_ps(EIGHT(a, 0))), _mm256_setr_ps(EIGHT(a, 8)), 1)};
}
INLINE i16s i_of_array(const int a[16]) {
    return (i16s){_mm512_inserti64x4(_mm512_castsi256_si512(_mm256_setr_epi32(EIGHT(a, 0))), _mm256_setr_epi32(EIGHT(a, 8)), 1)};
}
INLINE void i_store(void *p, i16s a) { _mm512_storeu_si512(p, a.v); }
INLINE i16s i_and(i16s a, i16s b) { return (i16s){_mm512_and_si512(a.v, b.v)}; }
INLINE i16s i_or(i16s a, i16s b) { return (i16s){_mm512_or_si512(a.v, b.v)}; }
INLINE i16s i_xor(i16s a, i16s b) { return (i16s){_mm512_xor_si512(a.v, b.v)}; }
INLINE i16s i_add_bytes(i16s a, i16s b) { return (i16s){_mm512_add_epi8(a.v, b.v)}; }
/* Each byte's entry in a table; bytes are below 16. */
INLINE i16s i_look_up(__m128i table, i16s indices) { return (i16s){_mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), indices.v)}; }
/* The lower 16 bits of each, as half-precision numbers. */
INLINE f16s f_of_lower16(i16s a) { return f_of_halves16(_mm512_cvtepi32_epi16(a.v)); }
/* 16 bytes of each of 16 rows, 4 columns of all rows in a register. */
INLINE void columns_of_rows(const uint8_t *const rows[16], size_t at, i16s out[4]) {
    __m512i four[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512i x = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(rows[i] + at)));
        x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(rows[i + 4] + at)), 1);
        x = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(rows[i + 8] + at)), 2);
        four[i] = _mm512_inserti32x4(x, _mm_loadu_si128((const __m128i *)(rows[i + 12] + at)), 3);
    }
    __m512i a = _mm512_unpacklo_epi32(four[0], four[1]), A = _mm512_unpackhi_epi32(four[0], four[1]);
    __m512i b = _mm512_unpacklo_epi32(four[2], four[3]), B = _mm512_unpackhi_epi32(four[2], four[3]);
    out[0].v = _mm512_unpacklo_epi64(a, b);
    out[1].v = _mm512_unpackhi_epi64(a, b);
    out[2].v = _mm512_unpacklo_epi64(A, B);
    out[3].v = _mm512_unpackhi_epi64(A, B);
}

/* Lane i += i + 8, then + 4, + 2, + 1. */
INLINE float f_tree(f16s a) {
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

#else

typedef struct { __m256 a, b; } f16s;
typedef struct { __m256i a, b; } i16s;

INLINE f16s f_zero(void) { return (f16s){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
INLINE f16s f_load(const void *p) { return (f16s){_mm256_loadu_ps(p), _mm256_loadu_ps((const float *)p + 8)}; }
INLINE void f_store(float *p, f16s a) {
    _mm256_storeu_ps(p, a.a);
    _mm256_storeu_ps(p + 8, a.b);
}
INLINE __m256i first_lanes(int count, int from) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count - from), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE void f_store_some(float *p, f16s a, int count) {
    _mm256_maskstore_ps(p, first_lanes(count, 0), a.a);
    _mm256_maskstore_ps(p + 8, first_lanes(count, 8), a.b);
}
INLINE f16s f_all(float a) { return (f16s){_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
INLINE f16s f_halves(float low, float high) { return (f16s){_mm256_set1_ps(low), _mm256_set1_ps(high)}; }
INLINE f16s f_add(f16s a, f16s b) { return (f16s){_mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b)}; }
INLINE f16s f_mul(f16s a, f16s b) { return (f16s){_mm256_mul_ps(a.a, b.a), _mm256_mul_ps(a.b, b.b)}; }
INLINE f16s f_fma(f16s a, f16s b, f16s c) { return (f16s){_mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b)}; }
/* a * b + c in the first count lanes, c in the others. */
INLINE f16s f_fma_some(f16s a, f16s b, f16s c, int count) {
    f16s all = f_fma(a, b, c);
    return (f16s){_mm256_blendv_ps(c.a, all.a, _mm256_castsi256_ps(first_lanes(count, 0))),
                  _mm256_blendv_ps(c.b, all.b, _mm256_castsi256_ps(first_lanes(count, 8)))};
}
INLINE f16s f_sub(f16s a, f16s b) { return (f16s){_mm256_sub_ps(a.a, b.a), _mm256_sub_ps(a.b, b.b)}; }
INLINE f16s f_div(f16s a, f16s b) { return (f16s){_mm256_div_ps(a.a, b.a), _mm256_div_ps(a.b, b.b)}; }
INLINE f16s f_max(f16s a, f16s b) { return (f16s){_mm256_max_ps(a.a, b.a), _mm256_max_ps(a.b, b.b)}; }
INLINE f16s f_magnitude(f16s a) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (f16s){_mm256_andnot_ps(sign, a.a), _mm256_andnot_ps(sign, a.b)};
}
/* The magnitude of a with the sign of b. */
INLINE f16s f_with_sign(f16s a, f16s b) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    f16s size = f_magnitude(a);
    return (f16s){_mm256_or_ps(size.a, _mm256_and_ps(b.a, sign)), _mm256_or_ps(size.b, _mm256_and_ps(b.b, sign))};
}
/* Where a < b then, elsewhere otherwise; what is no number is not less. */
INLINE f16s f_where_less(f16s a, f16s b, f16s then, f16s otherwise) {
    return (f16s){_mm256_blendv_ps(otherwise.a, then.a, _mm256_cmp_ps(a.a, b.a, _CMP_LT_OQ)),
                  _mm256_blendv_ps(otherwise.b, then.b, _mm256_cmp_ps(a.b, b.b, _CMP_LT_OQ))};
}
INLINE float f_highest(f16s a) {
    __m256 b = _mm256_max_ps(a.a, a.b);
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
INLINE float f_first(f16s a) { return _mm256_cvtss_f32(a.a); }
INLINE f16s f_of_bits(i16s a) { return (f16s){_mm256_castsi256_ps(a.a), _mm256_castsi256_ps(a.b)}; }
INLINE i16s i_of_bits(f16s a) { return (i16s){_mm256_castps_si256(a.a), _mm256_castps_si256(a.b)}; }
INLINE f16s f_of_signed(__m128i a) {
    return (f16s){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(a)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(a, 8)))};
}
INLINE f16s f_of(i16s a) { return (f16s){_mm256_cvtepi32_ps(a.a), _mm256_cvtepi32_ps(a.b)}; }
INLINE f16s f_of_halves16(__m256i a) {
    return (f16s){_mm256_cvtph_ps(_mm256_castsi256_si128(a)), _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))};
}
INLINE f16s f_of_upper16(__m256i a) {
    return (f16s){_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(a)), 16)),
                  _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1)), 16))};
}
INLINE f16s f_of_bytes(__m128i a) {
    return (f16s){_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(a)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(a, 8)))};
}
INLINE i16s i_load(const void *p) {
    return (i16s){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)((const char *)p + 32))};
}
INLINE i16s i_all(int a) { return (i16s){_mm256_set1_epi32(a), _mm256_set1_epi32(a)}; }
INLINE i16s i_add(i16s a, i16s b) { return (i16s){_mm256_add_epi32(a.a, b.a), _mm256_add_epi32(a.b, b.b)}; }
INLINE i16s i_sub(i16s a, i16s b) { return (i16s){_mm256_sub_epi32(a.a, b.a), _mm256_sub_epi32(a.b, b.b)}; }
INLINE i16s i_mul(i16s a, i16s b) { return (i16s){_mm256_mullo_epi32(a.a, b.a), _mm256_mullo_epi32(a.b, b.b)}; }
INLINE i16s i_shift_left(i16s a, int by) { return (i16s){_mm256_slli_epi32(a.a, by), _mm256_slli_epi32(a.b, by)}; }
INLINE i16s i_shift_right(i16s a, int by) { return (i16s){_mm256_srai_epi32(a.a, by), _mm256_srai_epi32(a.b, by)}; }
INLINE i16s i_max(i16s a, i16s b) { return (i16s){_mm256_max_epi32(a.a, b.a), _mm256_max_epi32(a.b, b.b)}; }
INLINE int i_highest(i16s a) {
    __m256i b = _mm256_max_epi32(a.a, a.b);
    __m128i c = _mm_max_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
    c = _mm_max_epi32(c, _mm_shuffle_epi32(c, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(c, _mm_shuffle_epi32(c, 0xb1)));
}
INLINE __m256i nearest8(__m256 a) {
    return _mm256_and_si256(_mm256_cvtps_epi32(a), _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_ORD_Q)));
}
/* The nearest integer, ties to even; 0 for what is no number. */
INLINE i16s i_nearest(f16s a) { return (i16s){nearest8(a.a), nearest8(a.b)}; }
/* Numbers that fit in bytes, as bytes. */
INLINE __m128i bytes_of(i16s a) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.a, a.b), 0xd8);
    return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}
INLINE f16s f_of_array(const float a[16]) { return (f16s){_mm256_setr_ps(EIGHT(a, 0)), _mm256_setr_ps(EIGHT(a, 8))}; }
INLINE i16s i_of_array(const int a[16]) { return (i16s){_mm256_setr_epi32(EIGHT(a, 0)), _mm256_setr_epi32(EIGHT(a, 8))}; }
INLINE void i_store(void *p, i16s a) {
    _mm256_storeu_si256(p, a.a);
    _mm256_storeu_si256((__m256i *)((char *)p + 32), a.b);
}
INLINE i16s i_and(i16s a, i16s b) { return (i16s){_mm256_and_si256(a.a, b.a), _mm256_and_si256(a.b, b.b)}; }
INLINE i16s i_or(i16s a, i16s b) { return (i16s){_mm256_or_si256(a.a, b.a), _mm256_or_si256(a.b, b.b)}; }
INLINE i16s i_xor(i16s a, i16s b) { return (i16s){_mm256_xor_si256(a.a, b.a), _mm256_xor_si256(a.b, b.b)}; }
INLINE i16s i_add_bytes(i16s a, i16s b) { return (i16s){_mm256_add_epi8(a.a, b.a), _mm256_add_epi8(a.b, b.b)}; }
/* Each byte's entry in a table; bytes are below 16. */
INLINE i16s i_look_up(__m128i table, i16s indices) {
    __m256i both = _mm256_broadcastsi128_si256(table);
    return (i16s){_mm256_shuffle_epi8(both, indices.a), _mm256_shuffle_epi8(both, indices.b)};
}
/* The lower 16 bits of each, as half-precision numbers. */
INLINE f16s f_of_lower16(i16s a) {
    i16s extended = i_shift_right(i_shift_left(a, 16), 16);
    return f_of_halves16(_mm256_permute4x64_epi64(_mm256_packs_epi32(extended.a, extended.b), 0xd8));
}
/* 16 bytes of each of 16 rows, 4 columns of all rows in a register. */
INLINE void columns_of_rows(const uint8_t *const rows[16], size_t at, i16s out[4]) {
    __m256i of_half[2][4];
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        __m256i four[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            four[i] = _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(rows[8 * half + i + 4] + at)),
                _mm_loadu_si128((const __m128i *)(rows[8 * half + i] + at)));
        }
        __m256i a = _mm256_unpacklo_epi32(four[0], four[1]), A = _mm256_unpackhi_epi32(four[0], four[1]);
        __m256i b = _mm256_unpacklo_epi32(four[2], four[3]), B = _mm256_unpackhi_epi32(four[2], four[3]);
        of_half[half][0] = _mm256_unpacklo_epi64(a, b);
        of_half[half][1] = _mm256_unpackhi_epi64(a, b);
        of_half[half][2] = _mm256_unpacklo_epi64(A, B);
        of_half[half][3] = _mm256_unpackhi_epi64(A, B);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        out[j] = (i16s){of_half[0][j], of_half[1][j]};
    }
}

/* Lane i += i + 8, then + 4, + 2, + 1. */
INLINE float f_tree(f16s a) {
    __m256 b = _mm256_add_ps(a.a, a.b);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

#endif

INLINE i16s i_all_bytes(int a) { return i_all((int)((a & 255) * 0x01010101u)); }

/*
 * Per 32-bit lane: sum + four products of bytes. With VNNI weights are unsigned (level + 128) and the sum starts from -128 times the
 * sum of the activations; without it weights are signed, and their sign goes over to the activation, so that no sum of two products
 * leaves 16 bits (128 * 127 * 2 is 32,512).
 */
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
#define UNSIGNED_WEIGHTS 1
INLINE __m256i dot4(__m256i sum, __m256i weights, __m256i x) { return _mm256_dpbusd_epi32(sum, weights, x); }
#elif defined(__AVXVNNI__)
#define UNSIGNED_WEIGHTS 1
INLINE __m256i dot4(__m256i sum, __m256i weights, __m256i x) { return _mm256_dpbusd_avx_epi32(sum, weights, x); }
#elif defined(__aarch64__)
#define UNSIGNED_WEIGHTS 0
INLINE __m256i dot4(__m256i sum, __m256i weights, __m256i x) {
    return (__m256i){dot_of_half(sum.a, weights.a, x.a), dot_of_half(sum.b, weights.b, x.b)};
}
#else
#define UNSIGNED_WEIGHTS 0
INLINE __m256i dot4(__m256i sum, __m256i weights, __m256i x) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif

/* The same for weights that are never above 127 and never negative: no sign to look after. */
INLINE __m256i dot4_small(__m256i sum, __m256i weights, __m256i x) {
#if UNSIGNED_WEIGHTS || defined(__aarch64__)
    return dot4(sum, weights, x);
#else
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(weights, x), _mm256_set1_epi16(1)));
#endif
}

#endif
