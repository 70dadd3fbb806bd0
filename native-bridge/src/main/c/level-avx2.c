/* AVX2, FMA and F16C; with -mavxvnni also products of bytes in one instruction. */
#define TILE 4
#define ROW_TOKENS 2
#include "multiply.h"
