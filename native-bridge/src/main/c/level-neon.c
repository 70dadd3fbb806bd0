/* NEON with products of bytes (FEAT_DotProd). */
#define TILE 4
#define ROW_TOKENS 2
#include "multiply.h"
