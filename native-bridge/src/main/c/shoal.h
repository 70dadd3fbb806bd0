/* What the library exports; each symbol is bound in one Java class. Sizes and pointers are the caller's to get right. */
#ifndef SHOAL_H
#define SHOAL_H

#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

/* Counts up when the meaning of an exported symbol changes; a library of another version is not used. */
#define SHOAL_VERSION 1

EXPORT int32_t shoal_version(void);

#endif
