/* SHA-256 and BLAKE3 of many messages at once, for shoal.bridge.hash. The caller asks shoal_hash_variants which instruction
 * sets this processor and system offer, and names one of them in every other call. Nothing here keeps other state or allocates. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shoal.h"

enum { AVX512 = 1, AVX2 = 2, SHA_NI = 4 };

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>
#include <immintrin.h>

/* FIPS 180-4, section 4.2.2 */
static const uint32_t SHA256_K[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* FIPS 180-4, section 5.3.3; BLAKE3 begins with the same words */
static const uint32_t SHA256_START[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static inline void put_big(uint8_t *out, uint32_t word) {
    word = __builtin_bswap32(word);
    memcpy(out, &word, 4);
}

/* What is left of a message behind its whole blocks, padded: 64 or 128 bytes. Returns the number of blocks. */
static size_t sha256_tail(const uint8_t *message, size_t length, uint8_t *tail) {
    size_t rest = length % 64, blocks = rest < 56 ? 1 : 2;
    memset(tail, 0, 128);
    memcpy(tail, message + length - rest, rest);
    tail[rest] = 0x80;
    put_big(tail + 64 * blocks - 8, (uint32_t)((uint64_t)length >> 29));
    put_big(tail + 64 * blocks - 4, (uint32_t)(length << 3));
    return blocks;
}

/* ---------------------------------------------------------------------------------------------------- AVX-512 */

#define SIXTEEN __attribute__((target("avx512f,avx512bw")))

SIXTEEN static inline __attribute__((always_inline)) void transpose16(__m512i *r) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) { /* r[i + k]: word 4 j + k of messages i..i+3, in 128-bit lane j */
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int k = 0; k < 4; k++) {
        __m512i a = _mm512_shuffle_i32x4(r[k], r[k + 4], 0x88);
        __m512i b = _mm512_shuffle_i32x4(r[k], r[k + 4], 0xdd);
        __m512i c = _mm512_shuffle_i32x4(r[k + 8], r[k + 12], 0x88);
        __m512i d = _mm512_shuffle_i32x4(r[k + 8], r[k + 12], 0xdd);
        t[k] = _mm512_shuffle_i32x4(a, c, 0x88);
        t[k + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
        t[k + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
        t[k + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
    for (int i = 0; i < 16; i++) r[i] = t[i];
}

SIXTEEN static inline __attribute__((always_inline)) void transpose_words16(const uint8_t **messages, __m512i *w) {
    for (int i = 0; i < 16; i++) w[i] = _mm512_loadu_si512(messages[i]);
    transpose16(w);
}

SIXTEEN static inline __attribute__((always_inline)) void transpose_bytes16(const uint8_t **messages, __m512i *w) {
    const __m512i turned = _mm512_broadcast_i32x4(
            _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    for (int i = 0; i < 16; i++) w[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(messages[i]), turned);
    transpose16(w);
}

#define LANES 16
#define V __m512i
#define TARGET SIXTEEN
#define NAME(x) x##16
#define ADD _mm512_add_epi32
#define XOR _mm512_xor_si512
#define XOR3(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define CHOOSE(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xca)
#define MAJORITY(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xe8)
#define ROTATE _mm512_ror_epi32
#define SHIFT _mm512_srli_epi32
#define SPLAT(word) _mm512_set1_epi32((int)(word))
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, v) _mm512_storeu_si512(p, v)
#include "hash_lanes.h"

/* ------------------------------------------------------------------------------------------------------- AVX2 */

#define EIGHT_WIDE __attribute__((target("avx2")))

/* Half of 64 bytes of each of 8 messages. */
EIGHT_WIDE static inline __attribute__((always_inline)) void transpose8(__m256i *r) {
    __m256i t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int k = 0; k < 4; k++) {
        t[k] = _mm256_permute2x128_si256(r[k], r[k + 4], 0x20);
        t[k + 4] = _mm256_permute2x128_si256(r[k], r[k + 4], 0x31);
    }
    for (int i = 0; i < 8; i++) r[i] = t[i];
}

EIGHT_WIDE static inline __attribute__((always_inline)) void transpose_words8(const uint8_t **messages, __m256i *w) {
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 8; i++)
            w[8 * half + i] = _mm256_loadu_si256((const __m256i *)(messages[i] + 32 * half));
        transpose8(w + 8 * half);
    }
}

EIGHT_WIDE static inline __attribute__((always_inline)) void transpose_bytes8(const uint8_t **messages, __m256i *w) {
    const __m256i turned = _mm256_broadcastsi128_si256(
            _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    transpose_words8(messages, w);
    for (int i = 0; i < 16; i++) w[i] = _mm256_shuffle_epi8(w[i], turned);
}

#define LANES 8
#define V __m256i
#define TARGET EIGHT_WIDE
#define NAME(x) x##8
#define ADD _mm256_add_epi32
#define XOR _mm256_xor_si256
#define XOR3(a, b, c) XOR(XOR(a, b), c)
#define CHOOSE(a, b, c) XOR(_mm256_and_si256(a, b), _mm256_andnot_si256(a, c))
#define MAJORITY(a, b, c) _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)))
#define ROTATE(x, n) _mm256_or_si256(_mm256_srli_epi32(x, n), _mm256_slli_epi32(x, 32 - (n)))
#define SHIFT _mm256_srli_epi32
#define SPLAT(word) _mm256_set1_epi32((int)(word))
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#include "hash_lanes.h"

/* ----------------------------------------------------------------------------------------------------- SHA-NI */

#define NEW_INSTRUCTIONS __attribute__((target("sha,sse4.1,ssse3")))

/* Streams are independent, so one's instruction runs while the other's result is not there yet. */
#define FOUR_ROUNDS(i)                                                                       \
    for (int s = 0; s < streams; s++) {                                                      \
        __m128i k = _mm_add_epi32(m[s][(i)&3], _mm_loadu_si128((const __m128i *)(SHA256_K + 4 * (i)))); \
        cdgh[s] = _mm_sha256rnds2_epu32(cdgh[s], abef[s], k);                                \
        abef[s] = _mm_sha256rnds2_epu32(abef[s], cdgh[s], _mm_shuffle_epi32(k, 0x0e));       \
    }

#define FOUR_WORDS(i) /* m[i & 3] becomes words 4 i + 16 to 4 i + 19 */                      \
    for (int s = 0; s < streams; s++) {                                                      \
        __m128i w = _mm_sha256msg1_epu32(m[s][(i)&3], m[s][((i) + 1) & 3]);                  \
        w = _mm_add_epi32(w, _mm_alignr_epi8(m[s][((i) + 3) & 3], m[s][((i) + 2) & 3], 4));  \
        m[s][(i)&3] = _mm_sha256msg2_epu32(w, m[s][((i) + 3) & 3]);                          \
    }

NEW_INSTRUCTIONS static inline __attribute__((always_inline)) void sha256_compress_ni(
        uint32_t state[][8], const uint8_t **messages, size_t blocks, const int streams) {
    const __m128i turned = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i abef[2], cdgh[2], m[2][4];
    for (int s = 0; s < streams; s++) {
        __m128i dcba = _mm_loadu_si128((const __m128i *)state[s]);
        __m128i hgfe = _mm_loadu_si128((const __m128i *)(state[s] + 4));
        __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
        abef[s] = _mm_alignr_epi8(cdab, efgh, 8);
        cdgh[s] = _mm_blend_epi16(efgh, cdab, 0xf0);
    }
    for (size_t block = 0; block < blocks; block++) {
        __m128i abef0[2], cdgh0[2];
        for (int s = 0; s < streams; s++) {
            abef0[s] = abef[s];
            cdgh0[s] = cdgh[s];
            for (int i = 0; i < 4; i++)
                m[s][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(messages[s] + 16 * i)), turned);
            messages[s] += 64;
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            FOUR_ROUNDS(i)
            if (i < 12) {
                FOUR_WORDS(i)
            }
        }
        for (int s = 0; s < streams; s++) {
            abef[s] = _mm_add_epi32(abef[s], abef0[s]);
            cdgh[s] = _mm_add_epi32(cdgh[s], cdgh0[s]);
        }
    }
    for (int s = 0; s < streams; s++) {
        __m128i feba = _mm_shuffle_epi32(abef[s], 0x1b), dchg = _mm_shuffle_epi32(cdgh[s], 0xb1);
        _mm_storeu_si128((__m128i *)state[s], _mm_blend_epi16(feba, dchg, 0xf0));
        _mm_storeu_si128((__m128i *)(state[s] + 4), _mm_alignr_epi8(dchg, feba, 8));
    }
}

NEW_INSTRUCTIONS static inline __attribute__((always_inline)) void sha256_ni(
        const uint8_t *const *messages, size_t length, uint8_t *out, const int streams) {
    uint32_t state[2][8];
    uint8_t tails[2][128];
    const uint8_t *at[2];
    size_t blocks = 0;
    for (int s = 0; s < streams; s++) {
        memcpy(state[s], SHA256_START, 32);
        at[s] = messages[s];
        blocks = sha256_tail(messages[s], length, tails[s]);
    }
    sha256_compress_ni(state, at, length / 64, streams);
    for (int s = 0; s < streams; s++) at[s] = tails[s];
    sha256_compress_ni(state, at, blocks, streams);
    for (int s = 0; s < streams; s++)
        for (int i = 0; i < 8; i++) put_big(out + 32 * s + 4 * i, state[s][i]);
}

NEW_INSTRUCTIONS static void sha256_pair(const uint8_t *const *messages, size_t length, uint8_t *out) {
    sha256_ni(messages, length, out, 2);
}

NEW_INSTRUCTIONS static void sha256_one(const uint8_t *const *messages, size_t length, uint8_t *out) {
    sha256_ni(messages, length, out, 1);
}

/* ---------------------------------------------------------------------------------------------------- choosing */

static uint64_t xgetbv(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int32_t find_variants(void) {
    unsigned a, b, c, d, ecx1;
    int found = 0;
    if (!__get_cpuid(1, &a, &b, &ecx1, &d) || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if ((b & 1u << 29) && (ecx1 & 1u << 19) && (ecx1 & 1u << 9)) found |= SHA_NI;
    if (!(ecx1 & 1u << 27)) return found; /* the system does not save wide registers */
    uint64_t saved = xgetbv();
    if ((saved & 6) == 6 && (b & 1u << 5)) found |= AVX2;
    if ((saved & 0xe6) == 0xe6 && (b & 1u << 16) && (b & 1u << 30)) found |= AVX512;
    return found;
}

/* Which of AVX512, AVX2 and SHA_NI processor and operating system offer. Asked once: in a virtual machine cpuid takes microseconds. */
int32_t shoal_hash_variants(void) {
    static int32_t found = -1;
    int32_t known = __atomic_load_n(&found, __ATOMIC_RELAXED);
    if (known < 0) {
        known = find_variants();
        __atomic_store_n(&found, known, __ATOMIC_RELAXED);
    }
    return known;
}

/* SHA-256 of count messages of the same length: 32 bytes each to out. With wide lanes, the last ones may idle; with SHA_NI added
 * to variant, its pairs take what would leave more than a few idle. Returns 0, or -1 if the variant is not one of those above. */
int32_t shoal_sha256(int32_t variant, const uint8_t *const *messages, size_t count, size_t length, uint8_t *out) {
    if (variant == 0 || (variant & ~shoal_hash_variants())) return -1;
    size_t done = 0;
    const size_t lanes = variant & AVX512 ? 16 : variant & AVX2 ? 8 : 0;
    /* a wide pass costs about what 2/3 of its lanes cost in pairs */
    const size_t enough = variant & SHA_NI ? lanes * 3 / 4 : 1;
    while (lanes && count - done >= enough && done < count) {
        const uint8_t *some[16];
        uint8_t hashes[16 * 32];
        const size_t taken = count - done < lanes ? count - done : lanes;
        for (size_t i = 0; i < lanes; i++) some[i] = messages[done + (i < taken ? i : 0)];
        if (lanes == 16) sha25616(some, length, hashes);
        else sha2568(some, length, hashes);
        memcpy(out + 32 * done, hashes, 32 * taken);
        done += taken;
    }
    for (; count - done >= 2; done += 2) sha256_pair(messages + done, length, out + 32 * done);
    if (done < count) sha256_one(messages + done, length, out + 32 * done);
    return 0;
}

/* BLAKE3 chaining values, 32 bytes each to out, of count inputs of blocks * 64 bytes that lie one behind the other: chunks (16
 * blocks), numbered from counter, or parents (1 block), for which counter is 0. Returns as above. */
int32_t shoal_blake3(int32_t variant, const uint8_t *input, size_t count, size_t blocks, uint64_t counter, uint8_t *out) {
    if (!(variant & (AVX512 | AVX2)) || (variant & ~shoal_hash_variants())) return -1;
    const size_t size = 64 * blocks;
    const int parents = blocks == 1;
    const uint32_t flags = parents ? 4 : 0, first = parents ? 0 : 1, last = parents ? 0 : 2, step = parents ? 0 : 1;
    for (size_t done = 0; done < count;) {
        const uint8_t *some[16];
        uint8_t values[16 * 32];
        const size_t lanes = variant & AVX512 && (count - done > 8 || !(variant & AVX2)) ? 16 : 8;
        const size_t taken = count - done < lanes ? count - done : lanes;
        for (size_t i = 0; i < lanes; i++) some[i] = input + (done + (i < taken ? i : 0)) * size;
        if (lanes == 16) blake316(some, blocks, counter + done * step, step, flags, first, last, values);
        else blake38(some, blocks, counter + done * step, step, flags, first, last, values);
        memcpy(out + 32 * done, values, 32 * taken);
        done += taken;
    }
    return 0;
}

#else /* another machine: the JDK's own hashes use its instructions */

int32_t shoal_hash_variants(void) { return 0; }

int32_t shoal_sha256(int32_t variant, const uint8_t *const *messages, size_t count, size_t length, uint8_t *out) {
    (void)variant, (void)messages, (void)count, (void)length, (void)out;
    return -1;
}

int32_t shoal_blake3(int32_t variant, const uint8_t *input, size_t count, size_t blocks, uint64_t counter, uint8_t *out) {
    (void)variant, (void)input, (void)count, (void)blocks, (void)counter, (void)out;
    return -1;
}
#endif
