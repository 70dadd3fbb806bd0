/* What each quantised type's bytes mean: 32 values at a time, as ggml-common.h lays them out; kernel/scalar says the same in Java. */
#ifndef BLOCKS_H
#define BLOCKS_H

#include <string.h>

#include "simd.h"

/* As GGUF numbers them. */
enum {
    F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13, Q6_K = 14,
    IQ4_NL = 20, IQ4_XS = 23, BF16 = 30, MXFP4 = 39
};

/* Everything here is called with a constant type, and comes down to that type's few instructions. */

INLINE int type_bytes(int type) {
    switch (type) {
        case Q4_0: return 18;
        case Q4_1: return 20;
        case Q5_0: return 22;
        case Q5_1: return 24;
        case Q8_0: return 34;
        case Q2_K: return 84;
        case Q3_K: return 110;
        case Q4_K: return 144;
        case Q5_K: return 176;
        case Q6_K: return 210;
        case IQ4_NL: return 18;
        case IQ4_XS: return 136;
        default: return 17; /* MXFP4 */
    }
}

/* Blocks of 32 in a block of the type. */
INLINE int type_parts(int type) {
    return type == Q2_K || type == Q3_K || type == Q4_K || type == Q5_K || type == Q6_K || type == IQ4_XS ? 8 : 1;
}

/* Whether levels are read as signed bytes; else they are 0..63 and zero_level is taken away. */
INLINE int is_signed(int type) { return type == Q8_0 || type == IQ4_NL || type == IQ4_XS || type == MXFP4; }

INLINE int zero_level(int type) {
    return type == Q4_0 ? 8 : type == Q5_0 ? 16 : type == Q6_K ? 32 : type == Q3_K ? 4 : 0;
}

/* Whether the halves of a block each have an integer scale. */
INLINE int has_halves(int type) { return type == Q2_K || type == Q3_K || type == Q6_K; }

/* Whether a constant is added. Q2_K's has an integer factor per half. */
INLINE int has_constant(int type) {
    return type == Q4_1 || type == Q5_1 || type == Q4_K || type == Q5_K || type == Q2_K;
}

INLINE float half_at(const uint8_t *p) {
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return _cvtsh_ss(bits);
}

INLINE uint32_t word_at(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

INLINE __m256i load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE __m128i load16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }

/* Bits by..by+7 of each byte below mask. */
INLINE __m256i bits_of(__m256i bytes, int by, int mask) {
    return _mm256_and_si256(_mm256_srli_epi16(bytes, by), _mm256_set1_epi8((char)mask));
}

/* Lower halves of 16 bytes, then upper halves. */
INLINE __m256i nibbles(const uint8_t *p) {
    __m128i pairs = load16(p);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(pairs, 4), pairs), _mm256_set1_epi8(15));
}

/* 16 in byte j where bit j is set. */
INLINE __m256i sixteens(uint32_t bits) {
#ifdef __AVX512BW__
    return _mm256_maskz_set1_epi8(bits, 16);
#else
    __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits),
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit), _mm256_set1_epi8(16));
#endif
}

INLINE __m128i table_of(int type) {
    return type == MXFP4 ? _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
                         : _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
}

INLINE __m256i looked_up(__m256i indices, int type) {
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table_of(type)), indices);
}

/* The 32 levels of part i of the block at p, signed, or with zero_level not yet taken away. */
INLINE __m256i levels_at(int type, const uint8_t *p, int i) {
    switch (type) {
        case Q8_0: return load32(p + 2);
        case Q4_0: return nibbles(p + 2);
        case Q4_1: return nibbles(p + 4);
        case Q5_0: return _mm256_or_si256(nibbles(p + 6), sixteens(word_at(p + 2)));
        case Q5_1: return _mm256_or_si256(nibbles(p + 8), sixteens(word_at(p + 4)));
        case IQ4_NL: return looked_up(nibbles(p + 2), IQ4_NL);
        case IQ4_XS: return looked_up(nibbles(p + 8 + 16 * i), IQ4_XS);
        case MXFP4: return looked_up(nibbles(p + 1), MXFP4);
        case Q4_K: return bits_of(load32(p + 16 + 32 * (i / 2)), 4 * (i % 2), 15);
        case Q5_K: {
            __m256i top = _mm256_slli_epi16(bits_of(load32(p + 16), i, 1), 4);
            return _mm256_or_si256(bits_of(load32(p + 48 + 32 * (i / 2)), 4 * (i % 2), 15), top);
        }
        case Q6_K: {
            __m256i low = bits_of(load32(p + 64 * (i / 4) + 32 * (i % 2)), i % 4 < 2 ? 0 : 4, 15);
            __m256i high = bits_of(load32(p + 128 + 32 * (i / 4)), 2 * (i % 4), 3);
            return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
        }
        case Q3_K: {
            __m256i low = bits_of(load32(p + 32 + 32 * (i / 4)), 2 * (i % 4), 3);
            return _mm256_or_si256(low, _mm256_slli_epi16(bits_of(load32(p), i, 1), 2));
        }
        default: /* Q2_K */
            return bits_of(load32(p + 16 + 32 * (i / 4)), 2 * (i % 4), 3);
    }
}

/* What a block's integers are multiplied by. */
struct scale {
    float scale, constant;
    int halves[2], factors[2];
};

/* The eight scales (low) and the eight factors of the constant (high) of Q4_K and Q5_K, 6 bits each in 12 bytes, as bytes. */
INLINE void scales_of_k(const uint8_t *p, uint64_t *scales, uint64_t *factors) {
    uint32_t a = word_at(p), b = word_at(p + 4), c = word_at(p + 8);
    uint32_t upper_scales = (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030);
    uint32_t upper_factors = (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030);
    *scales = (uint64_t)upper_scales << 32 | (a & 0x3f3f3f3f);
    *factors = (uint64_t)upper_factors << 32 | (b & 0x3f3f3f3f);
}

INLINE struct scale scale_at(int type, const uint8_t *p, int i) {
    struct scale s = {0, 0, {0, 0}, {0, 0}};
    switch (type) {
        case Q4_1: case Q5_1:
            s.constant = half_at(p + 2);
            s.scale = half_at(p);
            break;
        case Q4_K: case Q5_K: {
            uint64_t scales, factors;
            scales_of_k(p + 4, &scales, &factors);
            s.scale = half_at(p) * (float)(int)(scales >> 8 * i & 63);
            s.constant = -half_at(p + 2) * (float)(int)(factors >> 8 * i & 63);
            break;
        }
        case Q6_K:
            s.scale = half_at(p + 208);
            s.halves[0] = (int8_t)p[192 + 2 * i];
            s.halves[1] = (int8_t)p[193 + 2 * i];
            break;
        case Q3_K:
            s.scale = half_at(p + 108);
            for (int half = 0; half < 2; half++) {
                int at = 2 * i + half;
                s.halves[half] = ((p[96 + at % 8] >> (at < 8 ? 0 : 4) & 15) | (p[104 + at % 4] >> 2 * (at / 4) & 3) << 4) - 32;
            }
            break;
        case Q2_K:
            s.scale = half_at(p + 80);
            s.constant = -half_at(p + 82);
            for (int half = 0; half < 2; half++) {
                s.halves[half] = p[2 * i + half] & 15;
                s.factors[half] = p[2 * i + half] >> 4;
            }
            break;
        case IQ4_XS: {
            int high = p[2 + i / 4] >> 2 * (i % 4) & 3;
            s.scale = half_at(p) * (float)(((p[4 + i / 2] >> 4 * (i % 2) & 15) | high << 4) - 32);
            break;
        }
        case MXFP4: { /* 2^(e - 128); no NaN for 255, as in ggml */
            uint32_t bits = p[0] < 2 ? 0x00200000u << p[0] : (uint32_t)(p[0] - 1) << 23;
            memcpy(&s.scale, &bits, sizeof bits);
            break;
        }
        default: s.scale = half_at(p); /* Q8_0, Q4_0, Q5_0, IQ4_NL */
    }
    return s;
}

/* The scales of 16 blocks of 32, in lanes. */
struct scales {
    f16s scale, constant;
    i16s halves[2], factors[2];
};

/* Sixteen halves, bytes apart. */
INLINE f16s halves_apart(const uint8_t *p, int bytes) {
#define H(b) (short)(p[(b) * bytes] | p[(b) * bytes + 1] << 8)
    return f_of_halves16(
        _mm256_setr_epi16(H(0), H(1), H(2), H(3), H(4), H(5), H(6), H(7), H(8), H(9), H(10), H(11), H(12), H(13), H(14), H(15)));
#undef H
}

#ifdef __AVX512F__

/* The scales of eight blocks of 18 bytes. */
INLINE __m128i halves_of_eight(const uint8_t *p) {
    __m512i places = _mm512_castsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 36, 45, 54, 63));
    return _mm512_castsi512_si128(_mm512_permutex2var_epi16(_mm512_loadu_si512(p), places, _mm512_loadu_si512(p + 64)));
}

/* As scales_of_k, of two blocks at once: bytes of 16 scales below, 16 factors above. p: 16 bytes of each block. */
INLINE __m256i scales_of_two_k(__m256i p) {
    __m256i low = _mm256_shuffle_epi32(p, 0x99), both = _mm256_shuffle_epi32(p, 0xff);
    both = _mm256_srlv_epi32(both, _mm256_setr_epi32(0, 0, 0, 4, 0, 0, 0, 4));
    __m256i upper = _mm256_or_si256(_mm256_and_si256(both, _mm256_set1_epi8(15)),
        _mm256_and_si256(_mm256_srli_epi32(low, 2), _mm256_set1_epi8(0x30)));
    __m256i all = _mm256_blend_epi32(_mm256_and_si256(low, _mm256_set1_epi8(63)), upper, 0xcc);
    return _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
}

#endif

INLINE struct scales scales_at(int type, const uint8_t *p) {
    struct scales s;
    switch (type) {
#ifdef __AVX512F__
        case Q4_0: case IQ4_NL:
            s.scale = f_of_halves16(_mm256_set_m128i(halves_of_eight(p + 8 * type_bytes(type)), halves_of_eight(p)));
            return s;
        case Q4_K: case Q5_K: {
            __m128i a = load16(p), b = load16(p + type_bytes(type));
            __m256i bytes = scales_of_two_k(_mm256_set_m128i(b, a));
            /* both blocks' scale, and their constant's turned */
            __m128 pair = _mm_xor_ps(_mm_cvtph_ps(_mm_unpacklo_epi32(a, b)), _mm_setr_ps(0.0f, -0.0f, 0.0f, -0.0f));
            __m512 four = _mm512_castps128_ps512(pair);
            __m512i scales = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(2), 1);
            s.scale = f_mul((f16s){_mm512_permutexvar_ps(scales, four)}, f_of_bytes(_mm256_castsi256_si128(bytes)));
            s.constant = f_mul((f16s){_mm512_permutexvar_ps(_mm512_add_epi32(scales, _mm512_set1_epi32(1)), four)},
                f_of_bytes(_mm256_extracti128_si256(bytes, 1)));
            return s;
        }
        case Q8_0: case Q5_0:
#else
        case Q8_0: case Q4_0: case Q5_0: case IQ4_NL:
#endif
            s.scale = halves_apart(p, type_bytes(type));
            return s;
        case Q4_1: case Q5_1:
            s.scale = halves_apart(p, type_bytes(type));
            s.constant = halves_apart(p + 2, type_bytes(type));
            return s;
#ifndef __AVX512F__
        case Q4_K: case Q5_K: {
            const uint8_t *q = p + type_bytes(type);
            uint64_t scales[2], factors[2];
            scales_of_k(p + 4, &scales[0], &factors[0]);
            scales_of_k(q + 4, &scales[1], &factors[1]);
            s.scale = f_mul(f_halves(half_at(p), half_at(q)), f_of_bytes(_mm_set_epi64x((long long)scales[1], (long long)scales[0])));
            s.constant = f_mul(f_halves(-half_at(p + 2), -half_at(q + 2)),
                f_of_bytes(_mm_set_epi64x((long long)factors[1], (long long)factors[0])));
            return s;
        }
#endif
        case Q6_K: {
            s.scale = f_halves(half_at(p + 208), half_at(p + 418));
            __m256i a = _mm256_cvtepi8_epi16(load16(p + 192)), b = _mm256_cvtepi8_epi16(load16(p + 402));
#ifdef __AVX512F__
            __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
            s.halves[0] = (i16s){_mm512_srai_epi32(_mm512_slli_epi32(both, 16), 16)};
            s.halves[1] = (i16s){_mm512_srai_epi32(both, 16)};
#else
            s.halves[0] = (i16s){_mm256_srai_epi32(_mm256_slli_epi32(a, 16), 16), _mm256_srai_epi32(_mm256_slli_epi32(b, 16), 16)};
            s.halves[1] = (i16s){_mm256_srai_epi32(a, 16), _mm256_srai_epi32(b, 16)};
#endif
            return s;
        }
        default: {
            float scale[16], constant[16];
            int halves[2][16], factors[2][16];
#pragma GCC unroll 16
            for (int b = 0; b < 16; b++) {
                struct scale one = scale_at(type, p + b / type_parts(type) * type_bytes(type), b % type_parts(type));
                scale[b] = one.scale;
                constant[b] = one.constant;
                for (int half = 0; half < 2; half++) {
                    halves[half][b] = one.halves[half];
                    factors[half][b] = one.factors[half];
                }
            }
            s.scale = f_of_array(scale);
            if (has_constant(type)) {
                s.constant = f_of_array(constant);
            }
            for (int half = 0; half < 2; half++) {
                if (has_halves(type)) {
                    s.halves[half] = i_of_array(halves[half]);
                }
                if (type == Q2_K) {
                    s.factors[half] = i_of_array(factors[half]);
                }
            }
            return s;
        }
    }
}

#endif
