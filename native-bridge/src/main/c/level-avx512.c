/* AVX-512 F, BW, DQ, VL and VNNI. */
#define TILE 14
#include "multiply.h"
