/* Which levels run here, and the way to their functions. */
#include "shoal.h"

#ifdef HAVE_avx2
extern const struct level level_avx2;
#endif
#ifdef HAVE_avxvnni
extern const struct level level_avxvnni;
#endif
#ifdef HAVE_avx512vnni
extern const struct level level_avx512vnni;
#endif
#ifdef HAVE_neon
extern const struct level level_neon;
#endif

static const struct level *const TABLE[LEVELS + 1] = {
#ifdef HAVE_avx2
    [LEVEL_AVX2] = &level_avx2,
#endif
#ifdef HAVE_avxvnni
    [LEVEL_AVXVNNI] = &level_avxvnni,
#endif
#ifdef HAVE_avx512vnni
    [LEVEL_AVX512VNNI] = &level_avx512vnni,
#endif
#ifdef HAVE_neon
    [LEVEL_NEON] = &level_neon,
#endif
    [LEVELS] = NULL, /* so that the table is never empty */
};

int32_t shoal_version(void) { return SHOAL_VERSION; }

#if defined(__x86_64__)
#include <cpuid.h>

/* Whether the system keeps the registers of that state (XCR0) over a task switch. */
static int system_keeps(uint32_t state) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) {
        return 0;
    }
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & state) == state;
}

static uint32_t runnable(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return 0;
    }
    uint32_t first = bit_FMA | bit_F16C | bit_AVX;
    uint32_t b7 = 0, c7 = 0, a71 = 0;
    if ((c & first) != first || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d) || !(b7 & (1u << 5)) || !system_keeps(0x6)) {
        return 0;
    }
    uint32_t levels = 1u << LEVEL_AVX2;
    if (a >= 1 && __get_cpuid_count(7, 1, &a71, &b, &c, &d) && (a71 & (1u << 4))) {
        levels |= 1u << LEVEL_AVXVNNI;
    }
    uint32_t f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if ((b7 & f_dq_bw_vl) == f_dq_bw_vl && (c7 & (1u << 11)) && system_keeps(0xe6)) {
        levels |= 1u << LEVEL_AVX512VNNI;
    }
    return levels;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

static uint32_t runnable(void) {
    unsigned long dot_product = 1ul << 20; /* HWCAP_ASIMDDP */
    return getauxval(AT_HWCAP) & dot_product ? 1u << LEVEL_NEON : 0;
}
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>

static uint32_t runnable(void) {
    int32_t here = 0;
    size_t size = sizeof here;
    return sysctlbyname("hw.optional.arm.FEAT_DotProd", &here, &size, NULL, 0) == 0 && here ? 1u << LEVEL_NEON : 0;
}
#else
static uint32_t runnable(void) { return 0; }
#endif

uint32_t shoal_levels(void) {
    uint32_t compiled = 0;
    for (int level = 0; level < LEVELS; level++) {
        compiled |= (TABLE[level] != NULL ? 1u : 0u) << level;
    }
    return compiled & runnable();
}

void shoal_pack(int32_t level, const float *x, int32_t width, int32_t tokens, int32_t from, int32_t to, void *packed) {
    TABLE[level]->pack(x, width, tokens, from, to, packed);
}

int32_t shoal_multiply(int32_t level, int32_t type, const void *w, int32_t rows, int32_t columns, const void *x, int32_t tokens,
                       float *out, int32_t out_stride, void *scratch, int64_t scratch_bytes) {
    return TABLE[level]->multiply(type, w, rows, columns, x, tokens, out, out_stride, scratch, (size_t)scratch_bytes);
}

int32_t shoal_attend(int32_t level, int32_t cache, const int64_t *pages, int64_t keys, int64_t values, int32_t size,
                     int32_t first_position, int32_t rows, int32_t heads, const float *queries, float *out, int32_t stride, float scale,
                     int32_t window, float cap, const float *sinks, void *scratch) {
    struct attention block = {
        .pages = pages, .keys = keys, .values = values, .size = size, .first_position = first_position, .rows = rows, .heads = heads,
        .stride = stride, .window = window, .queries = queries, .out = out, .scale = scale, .cap = cap, .sinks = sinks,
    };
    return TABLE[level]->attend(cache, &block, scratch);
}

void shoal_gate(int32_t level, int32_t gelu, float *gates, const float *up, int32_t count) { TABLE[level]->gate(gelu, gates, up, count); }

float shoal_sum_of_squares(int32_t level, const float *values, int32_t count) { return TABLE[level]->sum_of_squares(values, count); }
