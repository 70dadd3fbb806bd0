/*
 * ARM: the operations of 128 and 256 bits that the level of AVX2 is made of, each in one or two instructions of NEON, under the names
 * that x86 has for them. So one source holds for both. A register of 256 bits is a pair; what x86 does within its halves is done here
 * to each half. Only what is used is here, and only as it is used: constants that choose are the ones that occur.
 */
#ifndef NEON_H
#define NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define NEON_INLINE static inline __attribute__((always_inline))

typedef uint8x16_t __m128i;
typedef float32x4_t __m128;
typedef struct { uint8x16_t a, b; } __m256i;
typedef struct { float32x4_t a, b; } __m256;

#define BYTES_OF(x) vreinterpretq_u8_s32(x)
#define INTS(x) vreinterpretq_s32_u8(x)
#define WORDS(x) vreinterpretq_u32_u8(x)
#define SHORTS(x) vreinterpretq_u16_u8(x)
#define LONGS(x) vreinterpretq_u64_u8(x)
#define FLOAT_BITS(x) vreinterpretq_u8_f32(x)

/* One operation on both halves. */
#define PAIR2(NAME, OP) \
    NEON_INLINE __m256i NAME(__m256i x, __m256i y) { return (__m256i){OP(x.a, y.a), OP(x.b, y.b)}; }
#define PAIR2_FLOAT(NAME, OP) \
    NEON_INLINE __m256 NAME(__m256 x, __m256 y) { return (__m256){OP(x.a, y.a), OP(x.b, y.b)}; }

/* Memory, constants. */
enum { _MM_HINT_T0 = 3, _MM_HINT_T1 = 2 };
#define _mm_prefetch(address, hint) __builtin_prefetch(address, 0, hint)
NEON_INLINE __m128i _mm_loadu_si128(const __m128i *p) { return vld1q_u8((const uint8_t *)p); }
NEON_INLINE void _mm_storeu_si128(__m128i *p, __m128i x) { vst1q_u8((uint8_t *)p, x); }
NEON_INLINE __m256i _mm256_loadu_si256(const __m256i *p) { return (__m256i){vld1q_u8((const uint8_t *)p), vld1q_u8((const uint8_t *)p + 16)}; }
NEON_INLINE void _mm256_storeu_si256(__m256i *p, __m256i x) {
    vst1q_u8((uint8_t *)p, x.a);
    vst1q_u8((uint8_t *)p + 16, x.b);
}
NEON_INLINE __m256 _mm256_loadu_ps(const float *p) { return (__m256){vld1q_f32(p), vld1q_f32(p + 4)}; }
NEON_INLINE void _mm256_storeu_ps(float *p, __m256 x) {
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
}
NEON_INLINE void _mm256_maskstore_ps(float *p, __m256i mask, __m256 x) {
    float values[8];
    int32_t wanted[8];
    _mm256_storeu_ps(values, x);
    memcpy(wanted, &mask, sizeof wanted);
    for (int i = 0; i < 8; i++) {
        if (wanted[i] < 0) {
            p[i] = values[i];
        }
    }
}
NEON_INLINE __m128i _mm_setzero_si128(void) { return vdupq_n_u8(0); }
NEON_INLINE __m128i _mm_set1_epi8(char x) { return vdupq_n_u8((uint8_t)x); }
NEON_INLINE __m128i _mm_set_epi64x(long long high, long long low) {
    return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64((uint64_t)low), vcreate_u64((uint64_t)high)));
}
NEON_INLINE __m128i _mm_cvtsi64_si128(long long low) { return _mm_set_epi64x(0, low); }
#define _mm_setr_epi8(...) vreinterpretq_u8_s8((int8x16_t){__VA_ARGS__})
NEON_INLINE __m256i _mm256_set_m128i(__m128i high, __m128i low) { return (__m256i){low, high}; }
NEON_INLINE __m256i _mm256_broadcastsi128_si256(__m128i x) { return (__m256i){x, x}; }
NEON_INLINE __m256i _mm256_setzero_si256(void) { return _mm256_broadcastsi128_si256(vdupq_n_u8(0)); }
NEON_INLINE __m256i _mm256_set1_epi8(char x) { return _mm256_broadcastsi128_si256(vdupq_n_u8((uint8_t)x)); }
NEON_INLINE __m256i _mm256_set1_epi32(int x) { return _mm256_broadcastsi128_si256(BYTES_OF(vdupq_n_s32(x))); }
NEON_INLINE __m256i _mm256_set1_epi64x(long long x) { return _mm256_broadcastsi128_si256(_mm_set_epi64x(x, x)); }
NEON_INLINE __m256i _mm256_setr_epi64x(long long a, long long b, long long c, long long d) {
    return (__m256i){_mm_set_epi64x(b, a), _mm_set_epi64x(d, c)};
}
NEON_INLINE __m256i _mm256_setr_epi32(int a, int b, int c, int d, int e, int f, int g, int h) {
    return (__m256i){BYTES_OF(((int32x4_t){a, b, c, d})), BYTES_OF(((int32x4_t){e, f, g, h}))};
}
NEON_INLINE __m256i _mm256_setr_epi16(short a, short b, short c, short d, short e, short f, short g, short h, short i, short j, short k,
                                      short l, short m, short n, short o, short p) {
    return (__m256i){vreinterpretq_u8_s16((int16x8_t){a, b, c, d, e, f, g, h}), vreinterpretq_u8_s16((int16x8_t){i, j, k, l, m, n, o, p})};
}
NEON_INLINE __m256 _mm256_set1_ps(float x) { return (__m256){vdupq_n_f32(x), vdupq_n_f32(x)}; }
NEON_INLINE __m256 _mm256_setzero_ps(void) { return _mm256_set1_ps(0); }
NEON_INLINE __m256 _mm256_setr_ps(float a, float b, float c, float d, float e, float f, float g, float h) {
    return (__m256){(float32x4_t){a, b, c, d}, (float32x4_t){e, f, g, h}};
}

/* Halves, and other views of the same bits. */
NEON_INLINE __m128i _mm256_castsi256_si128(__m256i x) { return x.a; }
NEON_INLINE __m128i _mm256_extracti128_si256(__m256i x, int half) { return half ? x.b : x.a; }
NEON_INLINE __m128 _mm256_castps256_ps128(__m256 x) { return x.a; }
NEON_INLINE __m128 _mm256_extractf128_ps(__m256 x, int half) { return half ? x.b : x.a; }
NEON_INLINE __m256 _mm256_castsi256_ps(__m256i x) { return (__m256){vreinterpretq_f32_u8(x.a), vreinterpretq_f32_u8(x.b)}; }
NEON_INLINE __m256i _mm256_castps_si256(__m256 x) { return (__m256i){FLOAT_BITS(x.a), FLOAT_BITS(x.b)}; }
NEON_INLINE int _mm_cvtsi128_si32(__m128i x) { return vgetq_lane_s32(INTS(x), 0); }
#define _mm_extract_epi16(x, i) ((int)vgetq_lane_u16(SHORTS(x), i))
NEON_INLINE float _mm_cvtss_f32(__m128 x) { return vgetq_lane_f32(x, 0); }
NEON_INLINE float _mm256_cvtss_f32(__m256 x) { return vgetq_lane_f32(x.a, 0); }

/* Bits. */
PAIR2(_mm256_and_si256, vandq_u8)
PAIR2(_mm256_or_si256, vorrq_u8)
PAIR2(_mm256_xor_si256, veorq_u8)
PAIR2(_mm256_cmpeq_epi8, vceqq_u8)
PAIR2(_mm256_add_epi8, vaddq_u8)
NEON_INLINE __m128i _mm_xor_si128(__m128i x, __m128i y) { return veorq_u8(x, y); }
NEON_INLINE __m128i shorts_shifted(__m128i x, int left) { return vreinterpretq_u8_u16(vshlq_u16(SHORTS(x), vdupq_n_s16((short)left))); }
NEON_INLINE __m128i _mm_srli_epi16(__m128i x, int by) { return shorts_shifted(x, -by); }
NEON_INLINE __m256i _mm256_srli_epi16(__m256i x, int by) { return (__m256i){shorts_shifted(x.a, -by), shorts_shifted(x.b, -by)}; }
NEON_INLINE __m256i _mm256_slli_epi16(__m256i x, int by) { return (__m256i){shorts_shifted(x.a, by), shorts_shifted(x.b, by)}; }
NEON_INLINE __m128i ints_shifted(__m128i x, int left) { return BYTES_OF(vshlq_s32(INTS(x), vdupq_n_s32(left))); }
NEON_INLINE __m256i _mm256_slli_epi32(__m256i x, int by) { return (__m256i){ints_shifted(x.a, by), ints_shifted(x.b, by)}; }
NEON_INLINE __m256i _mm256_srai_epi32(__m256i x, int by) { return (__m256i){ints_shifted(x.a, -by), ints_shifted(x.b, -by)}; }
NEON_INLINE __m128i _mm_srli_si128(__m128i x, int bytes) { return bytes == 8 ? vextq_u8(x, vdupq_n_u8(0), 8) : x; }

/* Places. Indices of a look-up are below 16. */
PAIR2(_mm256_shuffle_epi8, vqtbl1q_u8)
#define ZIP(NAME, ZIPPED, VIEW, BACK) \
    NEON_INLINE __m256i NAME(__m256i x, __m256i y) { return (__m256i){BACK(ZIPPED(VIEW(x.a), VIEW(y.a))), BACK(ZIPPED(VIEW(x.b), VIEW(y.b)))}; }
ZIP(_mm256_unpacklo_epi32, vzip1q_u32, WORDS, vreinterpretq_u8_u32)
ZIP(_mm256_unpackhi_epi32, vzip2q_u32, WORDS, vreinterpretq_u8_u32)
ZIP(_mm256_unpacklo_epi64, vzip1q_u64, LONGS, vreinterpretq_u8_u64)
ZIP(_mm256_unpackhi_epi64, vzip2q_u64, LONGS, vreinterpretq_u8_u64)
NEON_INLINE __m256i _mm256_permute2x128_si256(__m256i x, __m256i y, int which) {
    return which == 0x20 ? (__m256i){x.a, y.a} : (__m256i){x.b, y.b};
}
NEON_INLINE __m128i _mm_shuffle_epi32(__m128i x, int which) {
    return which == 0x4e ? vextq_u8(x, x, 8) : vreinterpretq_u8_u32(vrev64q_u32(WORDS(x)));
}
NEON_INLINE __m128 _mm_movehl_ps(__m128 x, __m128 y) { return vcombine_f32(vget_high_f32(y), vget_high_f32(x)); }
NEON_INLINE __m128 _mm_movehdup_ps(__m128 x) { return vtrn2q_f32(x, x); }

/* Integers. */
#define INTS2(NAME, OP) \
    NEON_INLINE __m256i NAME(__m256i x, __m256i y) { return (__m256i){BYTES_OF(OP(INTS(x.a), INTS(y.a))), BYTES_OF(OP(INTS(x.b), INTS(y.b)))}; }
INTS2(_mm256_add_epi32, vaddq_s32)
INTS2(_mm256_sub_epi32, vsubq_s32)
INTS2(_mm256_mullo_epi32, vmulq_s32)
INTS2(_mm256_max_epi32, vmaxq_s32)
NEON_INLINE __m256i _mm256_cmpgt_epi32(__m256i x, __m256i y) {
    return (__m256i){vreinterpretq_u8_u32(vcgtq_s32(INTS(x.a), INTS(y.a))), vreinterpretq_u8_u32(vcgtq_s32(INTS(x.b), INTS(y.b)))};
}
NEON_INLINE __m128i _mm_max_epi32(__m128i x, __m128i y) { return BYTES_OF(vmaxq_s32(INTS(x), INTS(y))); }
/* The sums of bytes 0..7 and 8..15; y is zero. */
NEON_INLINE __m128i _mm_sad_epu8(__m128i x, __m128i y) {
    (void)y;
    return vreinterpretq_u8_u64(vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(x))));
}
NEON_INLINE __m256i wide_signed(int16x8_t x) {
    return (__m256i){BYTES_OF(vmovl_s16(vget_low_s16(x))), BYTES_OF(vmovl_s16(vget_high_s16(x)))};
}
NEON_INLINE __m256i wide_unsigned(uint16x8_t x) {
    return (__m256i){vreinterpretq_u8_u32(vmovl_u16(vget_low_u16(x))), vreinterpretq_u8_u32(vmovl_u16(vget_high_u16(x)))};
}
NEON_INLINE __m256i _mm256_cvtepi8_epi32(__m128i x) { return wide_signed(vmovl_s8(vget_low_s8(vreinterpretq_s8_u8(x)))); }
NEON_INLINE __m256i _mm256_cvtepu8_epi32(__m128i x) { return wide_unsigned(vmovl_u8(vget_low_u8(x))); }
NEON_INLINE __m256i _mm256_cvtepu16_epi32(__m128i x) { return wide_unsigned(SHORTS(x)); }
NEON_INLINE __m256i _mm256_cvtepi8_epi16(__m128i x) {
    int8x16_t y = vreinterpretq_s8_u8(x);
    return (__m256i){vreinterpretq_u8_s16(vmovl_s8(vget_low_s8(y))), vreinterpretq_u8_s16(vmovl_s8(vget_high_s8(y)))};
}
NEON_INLINE __m128i shorts_of(__m128i x, __m128i y) { return vreinterpretq_u8_s16(vcombine_s16(vqmovn_s32(INTS(x)), vqmovn_s32(INTS(y)))); }
NEON_INLINE __m256i _mm256_packs_epi32(__m256i x, __m256i y) { return (__m256i){shorts_of(x.a, y.a), shorts_of(x.b, y.b)}; }
NEON_INLINE __m128i _mm_packs_epi16(__m128i x, __m128i y) {
    return vreinterpretq_u8_s8(vcombine_s8(vqmovn_s16(vreinterpretq_s16_u8(x)), vqmovn_s16(vreinterpretq_s16_u8(y))));
}
/* Quarters 0 2 1 3 (0xd8). */
NEON_INLINE __m256i _mm256_permute4x64_epi64(__m256i x, int which) {
    (void)which;
    return (__m256i){vreinterpretq_u8_u64(vzip1q_u64(LONGS(x.a), LONGS(x.b))), vreinterpretq_u8_u64(vzip2q_u64(LONGS(x.a), LONGS(x.b)))};
}

/* Floats. The greater is the first only where it is greater: what is no number is not. */
PAIR2_FLOAT(_mm256_add_ps, vaddq_f32)
PAIR2_FLOAT(_mm256_sub_ps, vsubq_f32)
PAIR2_FLOAT(_mm256_mul_ps, vmulq_f32)
PAIR2_FLOAT(_mm256_div_ps, vdivq_f32)
NEON_INLINE __m128 _mm_add_ps(__m128 x, __m128 y) { return vaddq_f32(x, y); }
NEON_INLINE __m128 _mm_add_ss(__m128 x, __m128 y) { return vaddq_f32(x, y); }
NEON_INLINE __m128 _mm_max_ps(__m128 x, __m128 y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
NEON_INLINE __m128 _mm_max_ss(__m128 x, __m128 y) { return _mm_max_ps(x, y); }
PAIR2_FLOAT(_mm256_max_ps, _mm_max_ps)
NEON_INLINE __m256 _mm256_fmadd_ps(__m256 x, __m256 y, __m256 z) { return (__m256){vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b)}; }
NEON_INLINE __m256 _mm256_and_ps(__m256 x, __m256 y) { return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(x), _mm256_castps_si256(y))); }
NEON_INLINE __m256 _mm256_or_ps(__m256 x, __m256 y) { return _mm256_castsi256_ps(_mm256_or_si256(_mm256_castps_si256(x), _mm256_castps_si256(y))); }
NEON_INLINE __m128 bits_without(__m128 x, __m128 y) { return vreinterpretq_f32_u8(vbicq_u8(FLOAT_BITS(y), FLOAT_BITS(x))); }
PAIR2_FLOAT(_mm256_andnot_ps, bits_without)
enum { _CMP_LT_OQ = 0x11, _CMP_ORD_Q = 7 };
NEON_INLINE __m128 compared(__m128 x, __m128 y, int how) {
    return vreinterpretq_f32_u32(how == _CMP_LT_OQ ? vcltq_f32(x, y) : vandq_u32(vceqq_f32(x, x), vceqq_f32(y, y)));
}
NEON_INLINE __m256 _mm256_cmp_ps(__m256 x, __m256 y, int how) { return (__m256){compared(x.a, y.a, how), compared(x.b, y.b, how)}; }
NEON_INLINE __m128 chosen(__m128 x, __m128 y, __m128 mask) { return vbslq_f32(vreinterpretq_u32_f32(mask), y, x); }
NEON_INLINE __m256 _mm256_blendv_ps(__m256 x, __m256 y, __m256 mask) { return (__m256){chosen(x.a, y.a, mask.a), chosen(x.b, y.b, mask.b)}; }
NEON_INLINE __m256 _mm256_cvtepi32_ps(__m256i x) { return (__m256){vcvtq_f32_s32(INTS(x.a)), vcvtq_f32_s32(INTS(x.b))}; }
NEON_INLINE __m256i _mm256_cvtps_epi32(__m256 x) { return (__m256i){BYTES_OF(vcvtnq_s32_f32(x.a)), BYTES_OF(vcvtnq_s32_f32(x.b))}; }
NEON_INLINE __m256 _mm256_cvtph_ps(__m128i x) {
    float16x8_t halves = vreinterpretq_f16_u8(x);
    return (__m256){vcvt_f32_f16(vget_low_f16(halves)), vcvt_f32_f16(vget_high_f16(halves))};
}
NEON_INLINE float _cvtsh_ss(uint16_t bits) { return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits))), 0); }

/* Per lane of 32 bits: sum + four products of signed bytes. */
NEON_INLINE __m128i dot_of_half(__m128i sum, __m128i x, __m128i y) {
    return BYTES_OF(vdotq_s32(INTS(sum), vreinterpretq_s8_u8(x), vreinterpretq_s8_u8(y)));
}

#endif
