/* Exponential.java, sixteen numbers at once, to the bit. */
#ifndef EXPONENTIAL_H
#define EXPONENTIAL_H

#include "simd.h"

/* 2^n for -126..127. */
INLINE f16s power_of_two(i16s n) { return f_of_bits(i_shift_left(i_add(n, i_all(127)), 23)); }

INLINE f16s f_exp(f16s x) {
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the lowest bits */
    f16s rounded = f_add(f_mul(x, f_all(1.44269504088896341f)), f_all(round));
    f16s n = f_sub(rounded, f_all(round));
    f16s r = f_fma(n, f_all(-0.693359375f), x);
    r = f_fma(n, f_all(2.12194440e-4f), r);
    f16s p = f_fma(f_all(1.9875691500e-4f), r, f_all(1.3981999507e-3f));
    p = f_fma(p, r, f_all(8.3334519073e-3f));
    p = f_fma(p, r, f_all(4.1665795894e-2f));
    p = f_fma(p, r, f_all(1.6666665459e-1f));
    p = f_fma(p, r, f_all(5.0000001201e-1f));
    p = f_add(f_fma(f_mul(p, r), r, r), f_all(1.0f));
    i16s exponent = i_sub(i_of_bits(rounded), i_of_bits(f_all(round)));
    i16s half = i_shift_right(exponent, 1);
    f16s result = f_mul(f_mul(p, power_of_two(half)), power_of_two(i_sub(exponent, half)));
    result = f_where_less(x, f_all(-87.33f), f_zero(), result);
    return f_where_less(f_all(88.72f), x, f_all(__builtin_inff()), result);
}

INLINE f16s f_tanh(f16s x) {
    f16s size = f_magnitude(x), z = f_mul(x, x);
    f16s p = f_fma(f_all(-5.70498872745e-3f), z, f_all(2.06390887954e-2f));
    p = f_fma(p, z, f_all(-5.37397155531e-2f));
    p = f_fma(p, z, f_all(1.33314422036e-1f));
    p = f_fma(p, z, f_all(-3.33332819422e-1f));
    f16s small = f_fma(f_mul(p, z), x, x);
    f16s far = f_sub(f_all(1.0f), f_div(f_all(2.0f), f_add(f_exp(f_mul(f_all(2.0f), size)), f_all(1.0f))));
    return f_where_less(size, f_all(0.625f), small, f_with_sign(far, x));
}

#endif
