/* NEON with products of bytes (FEAT_DotProd). */
#define TILE 4
#include "multiply.h"
