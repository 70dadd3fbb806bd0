/* Element by element, and sums of squares: what lies between two products of matrices. Included by each level. */
#include <string.h>

#include "exponential.h"

/* x / (1 + e^-x) */
INLINE f16s f_silu(f16s x) { return f_div(x, f_add(f_all(1.0f), f_exp(f_sub(f_zero(), x)))); }

/* As Exponential.gelu says. */
INLINE f16s f_gelu(f16s x) {
    f16s cube = f_add(f_all(1.0f), f_mul(f_mul(f_all(0.044715f), x), x));
    f16s y = f_mul(f_mul(f_all(0.79788456080286536f), x), cube);
    return f_div(x, f_add(f_all(1.0f), f_exp(f_mul(f_all(-2.0f), y))));
}

static void gate(int gelu, float *gates, const float *up, int count) {
    int i = 0;
    for (; i + 16 <= count; i += 16) {
        f16s x = f_load(gates + i);
        f_store(gates + i, f_mul(gelu ? f_gelu(x) : f_silu(x), f_load(up + i)));
    }
    if (i < count) {
        float rest[16] = {0}, factors[16] = {0};
        memcpy(rest, gates + i, sizeof(float) * (count - i));
        memcpy(factors, up + i, sizeof(float) * (count - i));
        f16s x = f_load(rest);
        f_store(rest, f_mul(gelu ? f_gelu(x) : f_silu(x), f_load(factors)));
        memcpy(gates + i, rest, sizeof(float) * (count - i));
    }
}

static float sum_of_squares(const float *values, int count) {
    f16s lanes = f_zero();
    int i = 0;
    for (; i + 16 <= count; i += 16) {
        f16s x = f_load(values + i);
        lanes = f_fma(x, x, lanes);
    }
    if (i < count) {
        float rest[16] = {0};
        memcpy(rest, values + i, sizeof(float) * (count - i));
        f16s x = f_load(rest);
        lanes = f_fma_some(x, x, lanes, count - i);
    }
    return f_tree(lanes);
}
