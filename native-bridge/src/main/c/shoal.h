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

#endif
