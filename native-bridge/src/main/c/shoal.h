/* What the library exports; each symbol is bound in one Java class. Sizes and pointers are the caller's to get right. */
#ifndef SHOAL_H
#define SHOAL_H

#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

/* Counts up when the meaning of an exported symbol changes; a library of another version is not used. */
#define SHOAL_VERSION 1

EXPORT int32_t shoal_version(void);

/* hash.c: bits of the instruction sets that are here (1 AVX-512, 2 AVX2, 4 SHA-NI); SHA-256 of count messages of one length;
 * chaining values of BLAKE3 of count inputs of blocks * 64 bytes. They return -1 for a variant that is not here. */
EXPORT int32_t shoal_hash_variants(void);
EXPORT int32_t shoal_sha256(
        int32_t variant, const uint8_t *const *messages, size_t count, size_t length, uint8_t *out);
EXPORT int32_t shoal_blake3(
        int32_t variant, const uint8_t *input, size_t count, size_t blocks, uint64_t counter, uint8_t *out);

/* Instruction sets that kernels were compiled for, slowest first. */
enum { LEVEL_AVX2, LEVEL_AVXVNNI, LEVEL_AVX512VNNI, LEVEL_NEON, LEVELS };

/* Bit l: level l was compiled and runs on this CPU and this system. */
EXPORT uint32_t shoal_levels(void);

/* Bytes that tokens rows of width activations take once packed. */
EXPORT int64_t shoal_packed_bytes(int32_t width, int32_t tokens);

/*
 * Quantises rows from..to-1 of tokens rows of width F32 activations (a multiple of 32) to 8 bits and lays them out for shoal_multiply
 * of the same level and the same number of tokens. packed: that of all rows, aligned to 64 bytes.
 */
EXPORT void shoal_pack(int32_t level, const float *x, int32_t width, int32_t tokens, int32_t from, int32_t to, void *packed);

/* Bytes of scratch that shoal_multiply needs at least for rows of that many columns; more of it keeps more rows at once. */
EXPORT int64_t shoal_scratch_bytes(int32_t columns);

/*
 * out[t * out_stride + r] = row r of w times row t of x, for r below rows and t below tokens, in the order of SumOrder.java.
 * type: as GGUF numbers it. x: what shoal_pack made; for F32, F16, BF16 the F32 rows themselves. scratch: aligned to 64 bytes.
 * Returns 0, or 1 if that level has no kernel for the type.
 */
EXPORT int32_t shoal_multiply(int32_t level, int32_t type, const void *w, int32_t rows, int32_t columns, const void *x, int32_t tokens,
                              float *out, int32_t out_stride, void *scratch, int64_t scratch_bytes);

/* Bytes of scratch that shoal_attend needs for so many queries over so many positions. */
EXPORT int64_t shoal_attend_bytes(int32_t size, int32_t queries, int32_t positions);

/*
 * What AttentionBlock.java says, in the order of SumOrder.java. cache: 0 F32, 1 F16, 2 Q8_0. pages: addresses of those from the first
 * position on that is seen; keys, values: where the head's lie in each. queries, out: where the first query's begin. size: a multiple
 * of 16. sinks: of the first head, or null. scratch: aligned to 64 bytes. Returns 0, or 1 if there is no such cache.
 */
EXPORT int32_t shoal_attend(int32_t level, int32_t cache, const int64_t *pages, int64_t keys, int64_t values, int32_t size,
                            int32_t first_position, int32_t rows, int32_t heads, const float *queries, float *out, int32_t stride,
                            float scale, int32_t window, float cap, const float *sinks, void *scratch);

/* gates[i] = silu(gates[i]) * up[i], or gelu's, for i below count, to the bits of Exponential.java. */
EXPORT void shoal_gate(int32_t level, int32_t gelu, float *gates, const float *up, int32_t count);

/* In the order of SumOrder.java. */
EXPORT float shoal_sum_of_squares(int32_t level, const float *values, int32_t count);

/* shoal_attend's arguments. */
struct attention {
    const int64_t *pages;
    int64_t keys, values;
    int size, first_position, rows, heads, stride, window;
    const float *queries;
    float *out;
    float scale, cap;
    const float *sinks;
};

/* One level's functions. */
struct level {
    void (*pack)(const float *x, int width, int tokens, int from, int to, void *packed);
    int (*multiply)(int type, const uint8_t *w, int rows, int columns, const void *x, int tokens, float *out, int out_stride,
                    uint8_t *scratch, size_t scratch_bytes);
    int (*attend)(int cache, const struct attention *block, float *scratch);
    void (*gate)(int gelu, float *gates, const float *up, int count);
    float (*sum_of_squares)(const float *values, int count);
};

#endif
