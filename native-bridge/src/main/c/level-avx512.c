/* AVX-512 F, BW, DQ, VL and VNNI. */
#define TILE 14
#define ROW_TOKENS 4
#include "multiply.h"
